"""Who writes a file or a folder that is there for a while only, said in its name, and whether that process is dead."""

from __future__ import annotations

import hashlib
import os
import platform
import re
import shutil
import tempfile
import time
import uuid
from collections.abc import Iterable
from contextlib import suppress
from functools import lru_cache
from pathlib import Path

_DAY = 24 * 3600.0  # no write lasts so long
_WRITER = re.compile(r"(?:(?P<host>[0-9a-f]{8})-)?(?P<pid>[0-9]+)-[0-9a-z_]+")  # earlier versions named no host


@lru_cache(maxsize=1)
def host_hash() -> str:
    """Return eight hexadecimal digits that tell machines apart and name none."""
    identity = Path("/etc/machine-id")
    machine = identity.read_text() if identity.exists() else str(uuid.getnode())
    return hashlib.sha256(f"bnbench {machine} {platform.node()}".encode()).hexdigest()[:8]


def writer_name() -> str:
    """Return what names this process among those of all machines: its host's hash and its number."""
    return f"{host_hash()}-{os.getpid()}"


def is_of_the_dead(path: Path, writer: str) -> bool:
    """Say whether the writer that a name tells of is dead: gone from this machine, or of another and a day silent."""
    named = _WRITER.fullmatch(writer)
    if named and named["host"] == host_hash():
        return not _is_alive(int(named["pid"]))
    with suppress(OSError):
        return time.time() - path.lstat().st_mtime > _DAY
    return False


def remove_strays(folders: Iterable[Path]) -> None:
    """Remove half-written files of dead processes from these folders, and their scratch folders from this machine.

    What a living process writes, or one that cannot be told, is left alone, and so is what cannot be removed.
    """
    for folder in folders:
        with suppress(OSError):
            for path in list(folder.iterdir()):
                *name, writer = path.name.split(".")
                if len(name) > 1 and not name[0] and _WRITER.fullmatch(writer) and is_of_the_dead(path, writer):
                    with suppress(OSError):
                        path.unlink()
    with suppress(OSError):
        for path in list(Path(tempfile.gettempdir()).glob(f"bnbench-{host_hash()}-*")):
            # The folders of other machines' runners say nothing by their age: a sweep may last for weeks.
            if is_of_the_dead(path, path.name.removeprefix("bnbench-")):
                shutil.rmtree(path, ignore_errors=True)


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)  # asks, and sends nothing
    except (ProcessLookupError, OverflowError):
        return False
    except OSError:
        pass  # another user's
    return True
