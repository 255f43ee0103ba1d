"""One fit's foreign code kept to itself: what it raises, sets, closes, prints or never ends reaches no other fit."""

from __future__ import annotations

import ctypes
import faulthandler
import os
import signal
import threading
from contextlib import ExitStack, suppress
from pathlib import Path
from types import FrameType
from typing import IO, Any

from bnbench.arms.foreign_errors import first_three
from bnbench.arms.loading import CHILD_EXIT
from bnbench.errors import Signalled
from bnbench.process.descriptors import Descriptors, own_descriptors, stdout_to_stderr
from bnbench.process.replaced import Code
from bnbench.process.surroundings import put_back, read_settings
from bnbench.sweep.fit_memory import MemoryWatch
from bnbench.sweep.interrupts import is_worker_process, may_be_ended

_GRACE = 5.0  # seconds in which a fit whose time is over may end by itself, before its process is ended
_RAISE_EVERY = 1.0  # seconds, until code that catches the exception lets one through
_forks = threading.local()


class ConfinementError(Exception):
    """A fit's code has done what it must not do to the process that it is in; the message says what."""


class OutOfTimeError(Signalled):
    """The time that a fit may take is over."""


class Confinement:
    """Holds while a fit is computed.

    Args:
        is_foreign: whether the fit's arm is a user's own; then torch's functions are watched, too.
        seconds: how long the fit may take; None for as long as it likes.
        marker: where to write the traceback of a fit that does not end when its time is over; its process ends then.
        memory: watches how much the process holds; None where nobody does.
    """

    def __init__(
        self, is_foreign: bool, seconds: float | None, marker: Path, memory: MemoryWatch | None = None
    ) -> None:
        self._process = os.getpid()
        self._forks_before = _forks_so_far()
        self._code = Code() if is_foreign else None
        self._before: dict[str, Any] = {}
        self._descriptors = Descriptors([])
        self._clock, self._memory = _Clock(seconds, marker), memory or MemoryWatch(None, marker)
        self._stack = ExitStack()

    def __enter__(self) -> Confinement:
        if is_worker_process() and not self._clock.is_main:  # built-in arms that share their process
            return self
        self._stack.enter_context(stdout_to_stderr())
        self._before = read_settings()
        self._descriptors = Descriptors(own_descriptors(is_worker_process()))
        self._clock.start()
        self._memory.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.leave_child()
        self._clock.stop()
        self._memory.stop()
        done = self._undo_and_describe()
        if done and isinstance(error[1], BaseException):
            error[1].add_note(done)
        self._descriptors.close()
        self._stack.close()

    def check(self) -> None:
        """End the time of foreign code: after this the fit is written.

        Raises:
            ConfinementError: it has forked this process, closed files of it, or replaced what others use.
            OutOfTimeError: it took too long.
        """
        self.leave_child()
        self._clock.stop()
        self._memory.stop()
        if self._clock.is_over:
            raise OutOfTimeError
        if done := self._undo_and_describe():
            raise ConfinementError(done)

    def leave_child(self) -> None:
        """End a process that foreign code has forked and let go on, before it writes anything."""
        if os.getpid() != self._process:
            os._exit(CHILD_EXIT)

    def _undo_and_describe(self) -> str:
        """Put everything back, and return what code has done that concerns others; empty for nothing."""
        lost = self._descriptors.put_back()
        spoilt = [setting.name for setting in put_back(self._before) if setting.spoils]
        spoilt += self._code.put_back() if self._code else []
        forks = _forks_so_far() - self._forks_before
        done = [f"it closed open files of its process: {', '.join(map(str, lost))}"] if lost else []
        done += [f"it replaced what every other arm uses, too: {first_three(spoilt)}"] if spoilt else []
        return "; ".join(done + ([f"it forked its process ({forks}×)"] if forks else []))


def traceback_at_the_end(marker: Path) -> str | None:
    """Return what a process has left that was ended because a fit went beyond a limit; None where none was."""
    try:
        return marker.read_text() or None
    except OSError:
        return None


class _Clock:
    """Ends foreign code when its time is over: by an exception in its thread, and by the end of its process.

    The second is for code that catches all exceptions or runs outside of Python. It is only for processes that were
    started for fits; a process that ends is replaced, and its fits go on from their checkpoints.
    """

    def __init__(self, seconds: float | None, marker: Path) -> None:
        self.seconds, self.marker = seconds, marker
        self.is_over = False
        self._is_stopped = threading.Event()
        self._lock = threading.Lock()
        self._file: IO[str] | None = None
        self._thread = threading.get_ident()
        self.is_main = threading.current_thread() is threading.main_thread()

    def start(self) -> None:
        if self.seconds is None:
            return
        if self.is_main:
            signal.signal(signal.SIGUSR1, self._raise_out_of_time)
        if may_be_ended():
            self._file = self.marker.open("w")
            faulthandler.dump_traceback_later(self.seconds + _GRACE, exit=True, file=self._file)
        threading.Thread(target=self._wait, args=(self.seconds,), daemon=True).start()

    def stop(self) -> None:
        with self._lock:
            self._is_stopped.set()
        if self._file:
            faulthandler.cancel_dump_traceback_later()
            with suppress(OSError):
                self._file.close()
            self.marker.unlink(missing_ok=True)
            self._file = None

    def _wait(self, seconds: float) -> None:
        while not self._is_stopped.wait(_RAISE_EVERY if self.is_over else seconds):
            with self._lock:
                if self._is_stopped.is_set():
                    return
                self.is_over = True
                if self.is_main:
                    signal.pthread_kill(self._thread, signal.SIGUSR1)
                else:
                    thread = ctypes.c_ulong(self._thread)
                    ctypes.pythonapi.PyThreadState_SetAsyncExc(thread, ctypes.py_object(OutOfTimeError))

    def _raise_out_of_time(self, number: int, frame: FrameType | None) -> None:
        if self.is_over and not self._is_stopped.is_set():
            raise OutOfTimeError


def _forks_so_far() -> int:
    return int(getattr(_forks, "count", 0))


def _count_fork() -> None:
    _forks.count = _forks_so_far() + 1


os.register_at_fork(after_in_parent=_count_fork)
