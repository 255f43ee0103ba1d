"""What Python and the system keep for a whole process, where they offer no pair of functions to read and set it."""

from __future__ import annotations

import logging
import os
import resource
import signal
import sys
import threading
import time
import warnings
from contextlib import suppress
from pathlib import Path
from typing import Any


def write_filters(value: list[Any]) -> None:
    """Set these filters of warnings, and no others."""
    warnings.resetwarnings()  # which also forgets what the filters have decided
    warnings.filters[:] = value  # type: ignore[index]  # a list, typed as a sequence


def write_environment(value: dict[str, str]) -> None:
    """Set these environment variables, and no others."""
    for name in os.environ.keys() - value.keys():
        del os.environ[name]
    os.environ.update(value)


def write_path(value: list[str]) -> None:
    """Set where modules are looked for."""
    sys.path[:] = value


def read_handlers() -> dict[int, Any]:
    """Return what every signal does."""
    return {number: signal.getsignal(number) for number in signal.valid_signals()}


def write_handlers(value: dict[int, Any]) -> None:
    """Set what signals do; Python allows it in the main thread alone."""
    if threading.current_thread() is threading.main_thread():
        for number, handler in value.items():
            if handler is not None and signal.getsignal(number) is not handler:
                signal.signal(number, handler)


def write_timer(was_running: bool) -> None:
    """Stop the alarm clock unless it ran before."""
    if not was_running:
        signal.setitimer(signal.ITIMER_REAL, 0)


def read_umask() -> int:
    """Return the permissions that new files lack."""
    mask = os.umask(0o077)
    os.umask(mask)
    return mask


def write_logging(value: tuple[int, list[logging.Handler], int]) -> None:
    """Set level and handlers of the root logger, and what is not logged at all."""
    logging.root.setLevel(value[0])
    logging.root.handlers[:] = value[1]
    logging.disable(value[2])


def read_limits() -> dict[int, tuple[int, int]]:
    """Return what the system lets this process use."""
    limits = [number for name, number in vars(resource).items() if name.startswith("RLIMIT_")]
    return {limit: resource.getrlimit(limit) for limit in limits}


def write_limits(value: dict[int, tuple[int, int]]) -> None:
    """Allow this much again."""
    for limit, before in value.items():
        with suppress(ValueError, OSError):  # what is lowered for good stays so
            resource.setrlimit(limit, before)


def read_logging() -> tuple[int, list[logging.Handler], int]:
    """Return level and handlers of the root logger, and what is not logged at all."""
    return logging.root.level, list(logging.root.handlers), logging.root.manager.disable


def read_folder() -> str | None:
    """Return the working directory; None where it was deleted."""
    with suppress(OSError):
        return str(Path.cwd())
    return None


def write_folder(value: str | None) -> None:
    """Work in this folder."""
    if value is not None:
        os.chdir(value)


def read_start() -> float:
    """Return when this process began, in seconds since 1970; now where the system does not tell."""
    try:
        ticks = int(Path("/proc/self/stat").read_text().rpartition(")")[2].split()[19])  # since the system began
    except OSError:
        return time.time()
    return time.time() - time.clock_gettime(time.CLOCK_BOOTTIME) + ticks / os.sysconf("SC_CLK_TCK")
