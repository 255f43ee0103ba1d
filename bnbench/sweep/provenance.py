"""Where a result comes from: versions, revision, device. Nothing in it changes a number."""

from __future__ import annotations

import os
import platform
import re
import resource
import subprocess
import sys
from contextlib import suppress
from datetime import UTC, datetime
from functools import lru_cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from bnbench.process.writers import host_hash
from bnbench.sweep.devices import Slot, device_name, processor_kind

# What changes rounding: a fit that was cut off and went on under others says so.
OF_A_GPU = ("cuda", "cudnn", "kernels", "triton", "recorded", "batch")
CONDITIONS = ("git_revision", "torch", "device_name", "processor", "threads", "chunk", "host", *OF_A_GPU)
# Variables of the environment that choose other kernels, and with them other rounding.
_KERNEL_VARIABLES = (
    *("ATEN_CPU_CAPABILITY", "DNNL_MAX_CPU_ISA", "ONEDNN_MAX_CPU_ISA", "DNNL_DEFAULT_FPMATH_MODE"),
    *("ONEDNN_DEFAULT_FPMATH_MODE", "MKL_CBWR", "MKL_ENABLE_INSTRUCTIONS", "MKL_DEBUG_CPU_TYPE"),
    *("OPENBLAS_CORETYPE", "CUBLAS_WORKSPACE_CONFIG", "NVIDIA_TF32_OVERRIDE", "TORCH_ALLOW_TF32_CUBLAS_OVERRIDE"),
)


def read_provenance(slot: Slot, threads: int, chunk: int) -> dict[str, Any]:
    """Return what is stored beside a finished fit."""
    revision, dirty = git_state()
    return {
        "bnbench": version("bnbench"),
        "git_revision": revision,
        "git_dirty": dirty,
        "python": platform.python_version(),
        "torch": str(torch.__version__),
        "numpy": version("numpy"),
        "cuda": torch.version.cuda if slot.device != "cpu" else None,
        "cudnn": torch.backends.cudnn.version() if slot.device != "cpu" else None,
        "kernel_variables": ", ".join(f"{name}={os.environ[name]}" for name in _KERNEL_VARIABLES if name in os.environ),
        "system": f"{platform.system()} {platform.machine()}",
        "device": slot.device,
        "device_name": device_name(slot.device),
        "processor": processor_kind(slot.device),
        "threads": threads,
        "chunk": chunk,
        "host": host_hash(),
        "finished": now(),
        "peak_memory_mib": round(_peak_memory_mib(slot.device), 1),
    }


@lru_cache(maxsize=1)
def git_state() -> tuple[str | None, bool | None]:
    """Return the revision of bnbench's own checkout and whether it has changes; none for an installed copy."""
    folder = Path(__file__).parent

    def git(*arguments: str) -> str | None:
        only_look = ["git", "--no-optional-locks", "-C", str(folder)]  # killed with us it would leave the index locked
        try:
            done = subprocess.run([*only_look, *arguments], capture_output=True, text=True, timeout=10, check=True)
        except (OSError, subprocess.SubprocessError):
            return None
        return done.stdout.strip()

    if git("ls-files", "--error-unmatch", Path(__file__).name) is None:
        return None, None
    changes = git("status", "--porcelain", "--untracked-files=no", "--", ".")
    return git("rev-parse", "HEAD"), None if changes is None else bool(changes)


def now() -> str:
    """Return this moment, ISO 8601 in UTC."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def forget_peak_memory(device: str) -> None:
    """Start to count a fit's own peak memory, where the system lets a process do so."""
    if device != "cpu":
        torch.cuda.init()  # a worker's first word to its GPU: before that, torch knows of no device to forget for
        torch.cuda.reset_peak_memory_stats(device)
        return
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


def _peak_memory_mib(device: str) -> float:
    """Return the most that this process held since :func:`forget_peak_memory`; where Linux does not tell, ever."""
    if device != "cpu":
        return torch.cuda.max_memory_allocated(device) / 2**20
    status = Path("/proc/self/status")
    if status.exists() and (found := re.search(r"VmHWM:\s*(\d+) kB", status.read_text())):
        return int(found[1]) / 2**10
    unit = 1 if sys.platform == "darwin" else 2**10
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**20
