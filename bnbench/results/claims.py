"""Claims: the right to compute a fit, held by an operating system's lock while it is computed.

The kernel frees a lock however its holder dies, so a claim never outlives the process, and two
runners that share a results folder (two terminals, or two machines on a file system where locks
work) never compute the same fit twice. What a claimed fit has reached lies beside its lock.
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
import stat
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import IO

from bnbench.process.locks import held
from bnbench.process.reading import read_json
from bnbench.protocol.protocol import FitKey, check_key
from bnbench.results import layout

_TRIES = 5  # whoever only looks whether a fit is claimed holds its lock for an instant
_WAIT = 0.01
_TYPES = {"str": ("str",), "int": ("int",), "float": ("int", "float"), "float | None": ("int", "float", "NoneType")}
_TRACED = 3  # numbers of a row of a trace


@dataclass(frozen=True)
class Progress:
    """How far a fit is, as its worker last wrote it.

    Attributes:
        arm, p, seed: which fit it is.
        slot: where it runs, such as ``cuda:0#1``.
        host: hash of the machine.
        pid: the worker's process.
        token: the runner that it works for.
        started: when this worker took it up, seconds since 1970.
        first_step: the step from which this worker went on; 0 unless resumed.
        step: steps taken.
        steps: steps of a whole fit.
        black: accuracy over the black pixels of the last steps; None before the first trace row.
        white: the same over white pixels.
        time: when it last took a step and said so, seconds since 1970; None in files of earlier versions.
        trace: rows of step, black loss and white loss so far; empty in files of earlier versions.
    """

    arm: str
    p: float
    seed: int
    slot: str
    host: str
    pid: int
    token: str
    started: float
    first_step: int
    step: int
    steps: int
    black: float | None = None
    white: float | None = None
    time: float | None = None
    trace: list[list[float]] = field(default_factory=list)

    @property
    def key(self) -> FitKey:
        """Return which fit it is."""
        return FitKey(self.arm, self.p, self.seed)


@contextmanager
def claim(folder: Path, key: FitKey) -> Iterator[bool]:
    """Try to claim a fit of a results folder.

    Yields:
        Whether the claim is ours; if not, another process computes the fit at this moment.

    Raises:
        OSError: the folder cannot be written.
    """
    path = layout.lock_path(folder, key)
    path.parent.mkdir(parents=True, exist_ok=True)
    file = _locked(path)
    if file is None:
        yield False
        return
    with held(file):
        if _has_checkpoint_since(file, folder, key):
            file.truncate(0)
        file.write(b".")  # counts the tries: who dies over the fit leaves the file behind
        file.flush()
        try:
            yield True
        finally:
            for ours in (layout.progress_path(folder, key), path):
                with suppress(OSError):
                    ours.unlink()


def deaths(folder: Path, key: FitKey) -> int:
    """Return how many processes in a row have died over a fit that we have claimed, and reached no checkpoint.

    One that did reach one has most likely lost its machine; the fit gets on all the same.
    """
    return layout.lock_path(folder, key).stat().st_size - 1


def is_claimed(folder: Path, key: FitKey) -> bool:
    """Say whether some process computes a fit at this moment."""
    try:
        with _opened(layout.lock_path(folder, key), os.O_RDONLY) as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:  # not there, or nothing that anyone can have locked
        return False
    return False


def write_progress(folder: Path, progress: Progress) -> None:
    """Say how far a claimed fit is; a disk that is full costs the message and nothing else."""
    content = json.dumps(asdict(progress)).encode()
    try:
        layout.write_atomically(layout.progress_path(folder, progress.key), content, durable=False)
    except OSError:
        return


def running(folder: Path) -> list[Progress]:
    """Return every fit of a results folder that some process computes at this moment, in order of their start."""
    found = [_read(path) for path in layout.progress_paths(folder)]
    alive = [progress for progress in found if progress and is_claimed(folder, progress.key)]
    return sorted(alive, key=lambda progress: progress.started)


def was_left_behind(folder: Path, key: FitKey) -> bool:
    """Say whether a process that computed a fit died over it: its lock file is there and free."""
    return layout.lock_path(folder, key).exists() and not is_claimed(folder, key)


def has_got_on(folder: Path, key: FitKey) -> bool:
    """Say whether a process that died over a fit had written a checkpoint of it."""
    try:
        with _opened(layout.lock_path(folder, key), os.O_RDONLY) as file:
            return _has_checkpoint_since(file, folder, key)
    except OSError:
        return False


def discard_left_behind(folder: Path, keys: Iterable[FitKey]) -> None:
    """Clear away what processes that have died left of their fits; checkpoints of unfinished ones stay."""
    there = layout.lock_paths(folder)
    for key in keys:
        if layout.lock_path(folder, key) in there and not is_claimed(folder, key):
            with suppress(OSError), claim(folder, key) as is_ours:
                if is_ours:
                    _discard(folder, key)


def _discard(folder: Path, key: FitKey) -> None:
    """Delete half-written files of a fit that is claimed by us, and what a fit that is done has no more use for."""
    outdated = layout.partial_paths(folder, key)
    if layout.fit_path(folder, key).exists():
        outdated += [layout.checkpoint_path(folder, key), layout.failure_path(folder, key)]
    for path in outdated:
        path.unlink(missing_ok=True)


def _has_checkpoint_since(file: IO[bytes], folder: Path, key: FitKey) -> bool:
    try:
        written = layout.checkpoint_path(folder, key).stat().st_mtime_ns
    except FileNotFoundError:
        return False
    return written > os.fstat(file.fileno()).st_mtime_ns


def _read(path: Path) -> Progress | None:
    """Return what a fit says of itself; None where it says nothing that can be shown."""
    try:
        progress = Progress(**read_json(path))
        check_key(progress.key)
        for known in fields(Progress):
            value = getattr(progress, known.name)
            is_sound = _is_trace(value) if known.name == "trace" else type(value).__name__ in _TYPES[str(known.type)]
            if not is_sound:
                return None
    except (OSError, ValueError, TypeError):
        return None
    return progress


def _is_trace(value: object) -> bool:
    """Say whether this is a list of rows of numbers, as :attr:`Progress.trace` is."""
    if not isinstance(value, list) or not all(isinstance(row, list) and len(row) == _TRACED for row in value):
        return False
    return all(type(number) in (int, float) for row in value for number in row)


def _opened(path: Path, flags: int) -> IO[bytes]:
    """Return a lock's file; a named pipe in its place is refused, not waited for.

    Raises:
        OSError: it cannot be opened, or is no regular file; it names the path.
    """
    file = os.open(path, flags | os.O_NONBLOCK | os.O_CLOEXEC, 0o666)
    try:
        if not stat.S_ISREG(os.fstat(file).st_mode):
            raise OSError(errno.EINVAL, "it is no file", str(path))
        return os.fdopen(file, "rb" if flags == os.O_RDONLY else "ab")
    except OSError:
        os.close(file)
        raise


def _locked(path: Path) -> IO[bytes] | None:
    """Return the file, open and locked; None if another process holds it."""
    for _ in range(_TRIES):
        file = _opened(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.path.samestat(os.fstat(file.fileno()), path.stat()):
                return file
        except (BlockingIOError, FileNotFoundError):
            pass  # held, or deleted by its last holder after we had opened it
        except OSError:
            file.close()
            raise
        file.close()
        time.sleep(_WAIT)
    return None
