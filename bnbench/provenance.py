"""Where a result comes from: versions, revision, device. Nothing in it changes a number."""

from __future__ import annotations

import platform
import resource
import subprocess
import sys
from datetime import UTC, datetime
from functools import lru_cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from bnbench.devices import Slot, device_name


def provenance(slot: Slot, threads: int, chunk: int) -> dict[str, Any]:
    """What is stored beside a finished fit."""
    revision, dirty = git_state()
    return {
        "bnbench": version("bnbench"),
        "git_revision": revision,
        "git_dirty": dirty,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "numpy": version("numpy"),
        "cuda": torch.version.cuda if slot.device != "cpu" else None,
        "cudnn": torch.backends.cudnn.version() if slot.device != "cpu" else None,
        "system": f"{platform.system()} {platform.machine()}",
        "device": slot.device,
        "device_name": device_name(slot.device),
        "threads": threads,
        "chunk": chunk,
        "finished": datetime.now(UTC).isoformat(timespec="seconds"),
        "process_peak_memory_mib": round(_peak_memory_mib(slot.device), 1),
    }


@lru_cache(maxsize=1)
def git_state() -> tuple[str | None, bool | None]:
    """Revision of bnbench's own checkout and whether it has changes; nothing for an installed copy."""
    folder = Path(__file__).parent

    def git(*arguments: str) -> str | None:
        try:
            done = subprocess.run(
                ["git", "-C", str(folder), *arguments], capture_output=True, text=True, timeout=10, check=True
            )
        except (OSError, subprocess.SubprocessError):
            return None
        return done.stdout.strip()

    if git("ls-files", "--error-unmatch", Path(__file__).name) is None:
        return None, None
    changes = git("status", "--porcelain", "--untracked-files=no", "--", ".")
    return git("rev-parse", "HEAD"), None if changes is None else bool(changes)


def _peak_memory_mib(device: str) -> float:
    """The most that this process ever held, earlier fits included."""
    if device != "cpu":
        return torch.cuda.max_memory_allocated(device) / 2**20
    unit = 1 if sys.platform == "darwin" else 2**10
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**20
