"""The code that a process computes with: a worker with other code than its runner's is refused before it computes.

A worker may be on another machine, or start long after its runner, when the package's files have been changed.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import lru_cache
from importlib.metadata import version
from pathlib import Path

import torch

from bnbench.protocol.protocol import REVISION
from bnbench.results.schemas import FORMAT

_PACKAGE = Path(__file__).parent.parent
# Rooms and modules that no fit enters.
_OUTSIDE_OF_FITS = {
    "__main__.py",
    "compared.py",
    "export.py",
    "plot.py",
    "bending",
    "check",
    "cli",
    "evaluate",
    "interactive",
}
_OUTSIDE_OF_FITS |= {"live", "report", "smoothness", "stats"}


@dataclass(frozen=True)
class Code:
    """What a fit is computed with.

    Attributes:
        digest: of the sources of all modules that a fit enters.
        bnbench: the package's version.
        revision: of the numbers, see ``REVISION``.
        format: of the files of fits.
        torch: its version, without what tells builds for different devices apart.
    """

    digest: str
    bnbench: str
    revision: int
    format: int
    torch: str

    def __str__(self) -> str:
        ours = f"bnbench {self.bnbench} (code {self.digest}, revision {self.revision}, format {self.format})"
        return f"{ours} with torch {self.torch}"


@lru_cache(maxsize=1)
def code_here() -> Code:
    """Return the code that this process computes with; its files are read once."""
    digest = hashlib.sha256()
    for path in sorted(_PACKAGE.rglob("*.py")):
        name = path.relative_to(_PACKAGE)
        if name.parts[0] not in _OUTSIDE_OF_FITS:
            content = path.read_bytes()
            digest.update(f"{name.as_posix()} {len(content)}\n".encode() + content)
    torch_version = str(torch.__version__).partition("+")[0]
    return Code(digest.hexdigest()[:12], version("bnbench"), REVISION, FORMAT, torch_version)


def refusal(there: object, runner: Code, who: str) -> str:
    """Return why a worker with some code must not compute for a runner; empty where it may.

    Args:
        there: the worker's code, or the error with which it could not tell it.
        runner: the runner's code.
        who: names the worker.
    """
    if there == runner:
        return ""
    has = there if isinstance(there, Code) else f"an older bnbench ({type(there).__name__}: {there})"
    return (
        f"{who} computes with {has}, and this sweep with {runner}; install the same there, start it anew, and run the "
        "same command again."
    )
