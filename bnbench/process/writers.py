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
from collections.abc import Iterable, Iterator
from contextlib import suppress
from functools import lru_cache
from pathlib import Path

_SHARED_MEMORY = Path("/dev/shm")
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


def scratch_prefix() -> str:
    """Return how the names of this process's folders begin that are there for a while only."""
    return f"bnbench-{writer_name()}-"


def is_of_the_dead(path: Path, writer: str) -> bool:
    """Say whether the writer that a name tells of is dead: gone from this machine, or of another and a day silent."""
    named = _WRITER.fullmatch(writer)
    if named and named["host"] == host_hash():
        return not _is_alive(int(named["pid"]))
    with suppress(OSError):
        return time.time() - path.lstat().st_mtime > _DAY
    return False


def remove_strays(folders: Iterable[Path]) -> None:
    """Remove half-written files of dead processes from these folders, and what else they have left on this machine.

    That is scratch folders, and what joblib keeps in shared memory for a process that has such a folder. What a living
    process writes, or one that cannot be told, is left alone, and so is what cannot be removed.
    """
    for folder in folders:
        for path, _ in _strays(folder):
            with suppress(OSError):
                path.unlink()
    remove_dead_scratch(Path(tempfile.gettempdir()))


def remove_strays_of(paths: Iterable[Path]) -> None:
    """Remove half-written versions of these files that dead processes have left; nothing else in their folders.

    In a folder of the user's own a name that looks like one of ours may be another program's.
    """
    for path in paths:
        for stray, name in _strays(path.parent):
            if name == path.name:
                with suppress(OSError):
                    stray.unlink()


def _strays(folder: Path) -> Iterator[tuple[Path, str]]:
    """Yield each half-written file of a dead process in a folder, and the name that it was to have."""
    with suppress(OSError):
        for path in list(folder.iterdir()):
            *name, writer = path.name.split(".")
            if len(name) > 1 and not name[0] and _WRITER.fullmatch(writer) and is_of_the_dead(path, writer):
                yield path, ".".join(name[1:])


def remove_dead_scratch(place: Path, hidden: str = "") -> None:
    """Remove folders of this machine's dead processes, whose names begin as :func:`scratch_prefix` says.

    Args:
        place: the folder that they are in.
        hidden: what stands before their names: a dot, or nothing.
    """
    with suppress(OSError):
        for path in list(place.glob(f"{hidden}bnbench-{host_hash()}-*")):
            # The folders of other machines' runners say nothing by their age: a sweep may last for weeks.
            writer = path.name.removeprefix(f"{hidden}bnbench-")
            if (named := _WRITER.fullmatch(writer)) and is_of_the_dead(path, writer):
                _remove_shared_memory(named["pid"])
                shutil.rmtree(path, ignore_errors=True)


def _remove_shared_memory(pid: str) -> None:
    """Remove what joblib has kept for a dead process, which nothing takes away once its helpers are killed with it."""
    for place in (_SHARED_MEMORY, Path(tempfile.gettempdir())):
        for path in [*place.glob(f"sem.loky-{pid}-*"), *place.glob(f"joblib_memmapping_folder_{pid}_*")]:
            with suppress(OSError):
                if path.is_dir():
                    shutil.rmtree(path, ignore_errors=True)
                else:
                    path.unlink()


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)  # asks, and sends nothing
    except (ProcessLookupError, OverflowError):
        return False
    except OSError:
        pass  # another user's
    return True
