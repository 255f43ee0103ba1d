"""Locked files that no child process may keep locked."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import IO, Any

_HELD: set[IO[Any]] = set()


@contextmanager
def held(file: IO[Any]) -> Iterator[None]:
    """Keep a locked file within the block; then free its lock and close it.

    The lock is freed by name, and a child that an arm's code forks closes the file at once: a lock belongs to all
    who have inherited the file, and would last as long as any of them.
    """
    _HELD.add(file)
    try:
        yield
    finally:
        _HELD.discard(file)
        with suppress(OSError, ValueError):
            fcntl.flock(file, fcntl.LOCK_UN)
        with suppress(OSError):  # foreign code may have closed it
            file.close()


def held_descriptors() -> list[int]:
    """Return the descriptors of all files that this process holds locked."""
    return [file.fileno() for file in _HELD if not file.closed]


def _close_in_child() -> None:
    for file in _HELD:
        with suppress(OSError):
            file.close()
    _HELD.clear()


os.register_at_fork(after_in_child=_close_in_child)
