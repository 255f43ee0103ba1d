"""Which files a report wrote, so that the next one in the same folder can take away what it no longer writes."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from bnbench.process.reading import read_file
from bnbench.process.writers import remove_strays
from bnbench.results.layout import write_atomically

NAME = "bnbench-files.sha256"  # as ``sha256sum --check`` reads it


def remove_outdated(out: Path, written: Mapping[Path, str]) -> Path:
    """Remove what an earlier report left and this one did not write, then list what is there now.

    A file goes only if the earlier list names it and it still has the bytes that the report gave it:
    what anyone else put or changed there stays. Folders that become empty go too.

    Args:
        out: the report's folder.
        written: every file of this report, at or below ``out``, and its SHA-256.

    Returns:
        The list's own path.
    """
    files = {path.relative_to(out).as_posix(): digest for path, digest in written.items()}
    for name, digest in _listed(out / NAME).items():
        path = out / name
        if name not in files and _is_below(path, out):
            with suppress(OSError):  # another report into this folder took it away first, or put something beside it
                if hashlib.sha256(path.read_bytes()).hexdigest() == digest:
                    path.unlink()
                    _remove_empty(path.parent, out)
    lines = [f"{files[name]}  {name}\n" for name in sorted(files)]
    out.mkdir(parents=True, exist_ok=True)  # a sweep without fits may have had nothing to write
    remove_strays({out, *(path.parent for path in written)})
    write_atomically(out / NAME, "".join(lines).encode())
    return out / NAME


def _listed(manifest: Path) -> dict[str, str]:
    """Return name and digest of each file in an earlier list; nothing if there is none or it cannot be read."""
    try:
        lines = read_file(manifest).decode().splitlines()
    except (OSError, UnicodeDecodeError):
        return {}
    found = [re.fullmatch(r"([0-9a-f]{64})  (.+)", line) for line in lines]
    return {match[2]: match[1] for match in found if match}


def _is_below(path: Path, out: Path) -> bool:
    """Say whether a listed name leads to a plain file of this folder: no ``..``, no link out of it."""
    return path.is_file() and not path.is_symlink() and out.resolve() in path.resolve().parents


def _remove_empty(folder: Path, out: Path) -> None:
    while folder != out and not any(folder.iterdir()):
        folder.rmdir()
        folder = folder.parent
