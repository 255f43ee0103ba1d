"""A limit of memory for a fit: its process is watched, and ends when it holds more.

What a process holds is what the system counts as resident, and it does not give back all that it frees: only the end
of the process leaves nothing behind for the next fit.
"""

from __future__ import annotations

import faulthandler
import os
import sys
import threading
from contextlib import suppress
from pathlib import Path

from bnbench.errors import RequestError

_LOOK_EVERY = 0.05  # seconds
_TOO_MUCH = 71  # exit code
_RESIDENT = Path("/proc/self/statm")


def check_memory_limit(limit: int | None, backend: str, *, is_alone: bool) -> None:
    """Refuse a limit where no process can be held to it.

    Args:
        limit: of a fit, MiB; None for none.
        backend: where fits are computed, by name.
        is_alone: whether the process of a fit may be ended without the sweep.

    Raises:
        RequestError: the sweep itself computes the fits, or the system does not tell how much a process holds.
    """
    if limit is None:
        return
    if not is_alone:
        raise RequestError(
            f"--fit-memory {limit} and --backend {backend}: fits share the process of the sweep, which must not end "
            "with one of them; leave one of the two out."
        )
    if not sys.platform.startswith("linux"):
        raise RequestError(
            f"--fit-memory {limit} needs Linux, which tells how much memory a process holds; leave it out here."
        )


class MemoryWatch:
    """Ends this process while a fit is computed, as soon as it holds more than it may.

    Args:
        limit: MiB of main memory that the process may hold, all of Python, torch and the images included; None for
            any number.
        marker: where to write how much it held and where it was, before it ends.
    """

    def __init__(self, limit: int | None, marker: Path) -> None:
        self._limit, self._marker = limit, marker
        self._is_stopped = threading.Event()
        self._lock = threading.Lock()

    def start(self) -> None:
        """Begin to watch."""
        if self._limit is not None:
            threading.Thread(target=self._watch, args=(self._limit, resident_mib()), daemon=True).start()

    def stop(self) -> None:
        """Watch no longer: after this the process is not ended."""
        with self._lock:
            self._is_stopped.set()

    def _watch(self, limit: int, before: float) -> None:
        while (held := resident_mib()) <= limit:
            if self._is_stopped.wait(_LOOK_EVERY):
                return
        with self._lock:
            if not self._is_stopped.is_set():
                self._end(
                    f"its process held {held:,.0f} MiB, {before:,.0f} of them before it began; --fit-memory "
                    f"allows {limit:,}"
                )

    def _end(self, sentence: str) -> None:
        with suppress(OSError), self._marker.open("w") as file:
            file.write(f"{sentence}\n")
            file.flush()
            faulthandler.dump_traceback(file)
        os._exit(_TOO_MUCH)


def resident_mib() -> float:
    """Return the main memory that this process holds, MiB, as Linux counts it."""
    return int(_RESIDENT.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20
