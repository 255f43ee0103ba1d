"""Stopping: a signal to the runner becomes a word to its workers, who write a checkpoint and end.

A worker is told by a marker file, since it may run on another machine. It also stops when its runner
has died, so that nobody computes for a sweep that is gone.
"""

from __future__ import annotations

import os
import shutil
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from multiprocessing import current_process, resource_tracker
from pathlib import Path
from types import FrameType

from bnbench.errors import Signalled
from bnbench.process.descriptors import keep_stdout_for_machines
from bnbench.process.writers import is_of_the_dead

STOPPING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)  # the last when a terminal is closed
_LOOK_EVERY = 0.2  # seconds; a look at a network's file system is not free
_DAY = 86_400.0  # seconds
PATIENCE = 3.0  # seconds that workers get to write their checkpoints; then the program ends
_program: list[Callable[[int], object]] = []  # what ends it at once, where bnbench is the program


class WorkerStop:
    """Says whether a worker should stop: its marker is there, its runner is gone, or it was sent SIGTERM.

    Args:
        markers: files whose presence means stop.
        runner: process that must stay this one's parent; None where the runner is elsewhere.
    """

    def __init__(self, markers: Sequence[Path], runner: int | None = None) -> None:
        self.markers, self.runner = markers, runner
        self.was_terminated = False
        self._is_requested = False
        self._next_look = 0.0

    @property
    def is_requested(self) -> bool:
        """Return whether to stop; looks at the disk at most five times a second."""
        if self.was_terminated:
            return True
        if not self._is_requested and time.monotonic() >= self._next_look:
            self._next_look = time.monotonic() + _LOOK_EVERY
            is_orphan = self.runner is not None and os.getppid() != self.runner
            self._is_requested = is_orphan or any(marker.exists() for marker in self.markers)
        return self._is_requested

    def is_told_by_runner(self, seconds: float) -> bool:
        """Return whether the runner wants all its workers to stop; waits a moment for its word.

        SIGTERM to a process group reaches workers and runner at once. A worker that then ended by itself would
        make joblib kill the others before they have written their checkpoints.
        """
        end = time.monotonic() + seconds
        while not any(marker.exists() for marker in self.markers):
            if time.monotonic() >= end or (self.runner is not None and os.getppid() != self.runner):
                return False
            time.sleep(_LOOK_EVERY / 10)
        return True


def end_with_runner(runner: int) -> None:
    """Make this worker end when its runner dies: a fit under way gets the time for a checkpoint.

    joblib's idle workers would hold their memory for minutes, and those that are still importing would
    take up a fit. So this runs when a worker starts, before anything is imported. Ctrl-C on a terminal, and its
    end, reach every process of the group, and concern the runner alone.
    """
    for number in (signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    keep_stdout_for_machines()

    def watch() -> None:
        while os.getppid() == runner:
            time.sleep(_LOOK_EVERY)
        time.sleep(PATIENCE)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def is_worker_process() -> bool:
    """Return whether this process was started by joblib to compute fits, as a child of the runner.

    A worker of Dask is none: its runner may be on another machine, and Dask handles its signals. For what concerns
    both alike there is :func:`may_be_ended`.
    """
    return current_process().name.startswith("Loky")


def may_be_ended() -> bool:
    """Return whether this process was started to compute fits, by joblib or Dask, and is replaced if a fit ends it."""
    return is_worker_process() or current_process().name.startswith("Dask Worker")


@contextmanager
def worker_signals(stop: WorkerStop) -> Iterator[None]:
    """Let a worker write a checkpoint when SIGTERM comes while it computes."""
    if not is_worker_process() or threading.current_thread() is not threading.main_thread():
        yield
        return

    def terminate(number: int, frame: FrameType | None) -> None:
        stop.was_terminated = True

    before = signal.signal(signal.SIGTERM, terminate)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


@contextmanager
def without_interrupts(*more: signal.Signals) -> Iterator[None]:
    """Hold SIGINT and SIGHUP back, and others; threads and processes that start within hold them back for good.

    The first of them would start Python's resource tracker, which lets both SIGINT and SIGTERM through again
    (until Python 3.12): so it is there before.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGHUP})  # of which the tracker knows nothing
    try:
        resource_tracker.ensure_running()
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, *more})
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


class Interrupted(Signalled):
    """The runner was told to stop by a signal, and its workers have ended.

    Attributes:
        number: the signal.
    """

    def __init__(self, number: int) -> None:
        super().__init__(signal.Signals(number).name)
        self.number = number


def discard_old_markers(folder: Path) -> None:
    """Clear away the markers of runners that are dead, and words to stop that are over a day old.

    A worker of theirs may have been out of reach for a while; a live runner's own marker is never so old.
    """
    for path in folder.glob("here-*"):
        if is_of_the_dead(path, path.name.removeprefix("here-")):
            path.unlink(missing_ok=True)
    for path in folder.glob("stop-*"):
        with suppress(OSError):
            if time.time() - path.stat().st_mtime > _DAY:
                path.unlink()


class RunnerStop:
    """Says whether the runner was told to stop and by what, and tells its workers.

    Args:
        markers: files that tell the workers.
        local_folder: what the runner and its workers have on this machine's own disk, which goes with them.
    """

    def __init__(self, markers: Sequence[Path], local_folder: Path | None = None) -> None:
        self.markers, self.local_folder = markers, local_folder
        self.number: int | None = None
        self.is_requested = False

    def request(self, number: int | None = None) -> None:
        """Tell every worker to write a checkpoint and end.

        Args:
            number: the signal that asks for it; None where the sweep itself does, because a fit has failed. That takes
                back no signal that came before.
        """
        self.is_requested = True
        self.number = number if self.number is None else self.number
        for marker in self.markers:
            with suppress(OSError):
                marker.parent.mkdir(exist_ok=True)  # no more: a results folder that is gone is not made anew
                marker.touch()


def end_program_by(end: Callable[[int], object]) -> None:
    """Let a second signal, or the end of patience, end this process by a function that never returns.

    Where bnbench is a guest, in a notebook, an exception ends its call instead, and handlers are put back.
    """
    _program[:] = [end]


@contextmanager
def runner_signals(stop: RunnerStop) -> Iterator[None]:
    """Have SIGINT, SIGTERM and SIGHUP stop a sweep; a second one, or workers that take over three seconds, end it.

    A signal that is ignored, as SIGHUP below ``nohup``, stays so.

    Raises:
        Interrupted: within the block, once patience is at its end, or at a second signal; the program ends there.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def end(number: int) -> None:
        if _program and stop.local_folder:
            shutil.rmtree(stop.local_folder, ignore_errors=True)
        for end_program in _program:
            end_program(number)
        raise Interrupted(number)

    def stop_or_end(number: int, frame: FrameType | None) -> None:
        if stop.number is not None:
            end(stop.number)
        stop.request(number)
        signal.setitimer(signal.ITIMER_REAL, PATIENCE)

    def lose_patience(number: int, frame: FrameType | None) -> None:
        if stop.number is not None:  # else an alarm that an arm's code has set
            end(stop.number)

    handlers = {number: stop_or_end for number in STOPPING if signal.getsignal(number) is not signal.SIG_IGN}
    before = {number: signal.signal(number, handler) for number, handler in handlers.items()}
    before[signal.SIGALRM] = signal.signal(signal.SIGALRM, lose_patience)
    try:
        yield
    finally:
        if not (_program and stop.number is not None):  # else whatever is left has its time, too
            signal.setitimer(signal.ITIMER_REAL, 0)
            for number, handler in before.items():
                signal.signal(number, handler)
