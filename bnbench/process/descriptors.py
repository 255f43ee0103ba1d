"""This process's own open files: kept open whatever foreign code closes, and stdout kept for machines."""

from __future__ import annotations

import fcntl
import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from bnbench.process.locks import held_descriptors

_STANDARD = (0, 1, 2)
_MOST = 256  # a worker has about a dozen


class Descriptors:
    """Open files as they are now.

    Args:
        numbers: which of them.
    """

    def __init__(self, numbers: Iterator[int] | list[int]) -> None:
        self._kept: dict[int, tuple[int, bool]] = {}  # a copy of each, and whether children inherit it
        for number in numbers:
            with suppress(OSError):  # not open
                self._kept[number] = _copy(number), os.get_inheritable(number)

    def put_back(self) -> list[int]:
        """Open again what was closed or replaced since, and return the numbers of all that was."""
        lost = [number for number, (copy, _) in self._kept.items() if not _same(number, copy)]
        for number in lost:
            copy, is_inherited = self._kept[number]
            with suppress(OSError):  # its copy was closed, too
                os.dup2(copy, number, is_inherited)
        return lost

    def close(self) -> None:
        """Give up the copies."""
        for copy, _ in self._kept.values():
            with suppress(OSError):
                os.close(copy)
        self._kept.clear()


def own_descriptors(is_ours_alone: bool) -> list[int]:
    """Return what foreign code has no business to close: the standard files, and the files that are locked.

    Args:
        is_ours_alone: whether nobody else opens files in this process: then all that is open before the first arm.
    """
    if is_ours_alone and not _FIRST:
        _FIRST.extend(number for number in range(_MOST) if _is_open(number))
    return sorted({*_STANDARD, *_FIRST, *held_descriptors()})


_FIRST: list[int] = []


@contextmanager
def stdout_to_stderr() -> Iterator[None]:
    """Send what is printed to stderr, for stdout is for machines; only in the main thread, for stdout is everyone's."""
    if threading.current_thread() is not threading.main_thread() or not (_is_open(1) and _is_open(2)):
        yield
        return
    printed, kept = sys.stdout, _copy(1)
    _flush()
    os.dup2(2, 1)
    sys.stdout = sys.stderr
    try:
        yield
    finally:
        _flush()
        os.dup2(kept, 1)
        os.close(kept)
        sys.stdout = printed


def keep_stdout_for_machines() -> None:
    """Send all that this process prints from now on to stderr: a worker's stdout is its runner's, for machines."""
    with suppress(OSError):  # stderr may be closed
        os.dup2(2, 1)


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr, sys.__stdout__):
        with suppress(OSError, ValueError, AttributeError):  # closed, or none
            stream.flush()  # type: ignore[union-attr]  # as the line above says


def _copy(number: int) -> int:
    return fcntl.fcntl(number, fcntl.F_DUPFD_CLOEXEC, 64)


def _is_open(number: int) -> bool:
    try:
        os.fstat(number)
    except OSError:
        return False
    return True


def _same(number: int, other: int) -> bool:
    try:
        return os.path.samestat(os.fstat(number), os.fstat(other))
    except OSError:
        return False
