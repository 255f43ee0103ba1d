"""Fits of users' own arms in processes that no other arm's fits share, whatever an arm's code leaves behind there.

What such code sets or replaces is put back after each fit (``bnbench.process``), but nothing puts back a thread that
goes on, or what it has changed in a package that nobody watches. A process ends before another arm's fit would begin
in it; built-in arms, whose code is ours, go on sharing theirs.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from contextlib import closing, suppress
from functools import partial
from multiprocessing import current_process
from typing import TypeVar

from joblib.externals.loky import ProcessPoolExecutor
from joblib.externals.loky.process_executor import BrokenProcessPool

from bnbench.protocol.protocol import FitKey, is_own_arm
from bnbench.sweep.backends.backend import WorkersKilledError
from bnbench.sweep.execution import Execution, Job, Outcome
from bnbench.sweep.interrupts import PATIENCE, RunnerStop, end_with_runner, without_interrupts
from bnbench.sweep.worker import run_fit, was_beyond_a_limit

Item = TypeVar("Item")
T = TypeVar("T")


def needs_own_process(execution: Execution, arms: Iterable[str]) -> bool:
    """Say whether fits of some arms have to be apart: a user's arm may do anything to its process, a limit ends it."""
    return execution.has_limits or any(map(is_own_arm, arms))


def compute_apart(batch: Sequence[FitKey], job: Job, stop: RunnerStop) -> Iterator[Outcome]:
    """Compute fits of which some may end their process; arguments and errors as of :meth:`Backend.compute`.

    Each slot has a process. It takes the fits of its own kind first, as long as there are any of the seed whose turn
    it is, and is replaced by a new one when only fits of another kind are left. One that is killed costs its own fit
    alone; the others go on, and the error comes at the end.
    """
    is_any_killed = False

    def wind_up(calls: Iterable[Future[Outcome]]) -> None:
        stop.request()
        wait(calls, PATIENCE)  # what was trained goes into checkpoints

    work, processes = partial(run_fit, job=job), len(job.execution.slots)
    ends = _as_they_end(work, batch, processes, _itself, wind_up, is_stopped=lambda: stop.is_requested)
    with closing(ends):
        for key, done in ends:
            try:
                yield done.result()
            except BrokenProcessPool:
                if was_beyond_a_limit(key, job):
                    yield run_fit(key, job)  # which records that, and computes nothing
                else:
                    is_any_killed = True
    if is_any_killed:
        raise WorkersKilledError


def each_apart(
    work: Callable[[Item], T], items: Sequence[Item], processes: int, key_of: Callable[[Item], FitKey]
) -> Iterator[T]:
    """Do pieces of work for fits, so that none of a user's own arm shares a process with another arm's.

    Args:
        work: called with each item; it is pickled.
        items: the pieces.
        processes: how many are done at once.
        key_of: says of which fit a piece is.

    Raises:
        BrokenProcessPool: a process was killed; the others are ended.
        Exception: what the work raised; likewise.
    """
    with closing(_as_they_end(work, items, processes, key_of)) as ends:
        for _, done in ends:
            yield done.result()


def alone(work: Callable[..., T], *arguments: object) -> T:
    """Do a piece of work in a process of its own, which ends with it and with the process that asks.

    Args:
        work: what is called there; it is pickled, as its arguments and its result.
        arguments: its arguments.

    Raises:
        WorkersKilledError: the process was killed.
        Exception: what the work raised.
    """
    current_process().daemon = False  # a worker of Dask may be one, and Python lets those have no children
    process = _Process(os.getpid())
    try:
        return process.call(work, *arguments).result()
    except BrokenProcessPool as error:
        raise WorkersKilledError from error
    finally:
        process.end()


def _itself(key: FitKey) -> FitKey:
    return key


def _as_they_end(
    work: Callable[[Item], T],
    items: Sequence[Item],
    count: int,
    key_of: Callable[[Item], FitKey],
    wind_up: Callable[[Iterable[Future[T]]], None] = lambda calls: None,
    is_stopped: Callable[[], bool] = lambda: False,
) -> Generator[tuple[Item, Future[T]], None, None]:
    """Yield each piece of work with its call, as they end; a killed process is replaced, and its call says so.

    Args:
        work: called with each item.
        items: the pieces.
        count: of processes.
        key_of: says of which fit a piece is.
        wind_up: called with what is under way after an interrupt, or when nobody asks for more.
        is_stopped: says when no other piece is to be begun.
    """
    left, processes = list(items), [_Process(os.getpid()) for _ in range(min(count, len(items)))]
    calls: dict[Future[T], tuple[_Process, Item]] = {}

    def begin(process: _Process) -> None:
        if left and not is_stopped():
            place = process.next_of([*map(key_of, left)])
            item = left.pop(place)
            calls[process.submit(kind_of(key_of(item)), work, item)] = process, item
        else:
            process.end()

    try:
        for process in processes:
            begin(process)
        while calls:
            for done in wait(calls, return_when=FIRST_COMPLETED).done:
                process, item = calls.pop(done)
                if isinstance(done.exception(), BrokenProcessPool):
                    process.end()
                yield item, done
                begin(process)
    except BaseException:
        wind_up(calls)
        raise
    finally:
        for process in processes:
            process.end()


class _Process:
    """A process for fits of one own arm, or of built-in ones: none before the first, replaced for another kind.

    Args:
        parent: the process that asks for it; it ends with that one.
    """

    def __init__(self, parent: int) -> None:
        self._parent = parent
        self._kind = ""
        self._pool: ProcessPoolExecutor | None = None

    def next_of(self, keys: Sequence[FitKey]) -> int:
        """Return the place of the fit to take next: of the first one's seed, and of its own kind if there is such."""
        own = (place for place, key in enumerate(keys) if key.seed == keys[0].seed and kind_of(key) == self._kind)
        return next(own, 0) if self._pool else 0

    def submit(self, kind: str, work: Callable[..., T], *arguments: object) -> Future[T]:
        """Have a piece of work of some kind done."""
        if kind != self._kind:
            self.end()
        self._kind = kind
        return self.call(work, *arguments)

    def call(self, work: Callable[..., T], *arguments: object) -> Future[T]:
        """Have a piece of work done; a process that has died since the piece before is replaced."""
        with without_interrupts():  # it starts with Ctrl-C blocked: that is the parent's business
            if self._pool is not None:
                with suppress(BrokenProcessPool):  # such as by a thread that an arm has left in it
                    return self._submit(self._pool, work, *arguments)
                self.end()
            self._pool = ProcessPoolExecutor(1, initializer=end_with_runner, initargs=(self._parent,), timeout=None)
            return self._submit(self._pool, work, *arguments)

    @staticmethod
    def _submit(pool: ProcessPoolExecutor, work: Callable[..., T], *arguments: object) -> Future[T]:
        future: Future[T] = pool.submit(work, *arguments)
        return future

    def end(self) -> None:
        """End it, and whatever threads and children an arm's code has left in it."""
        if self._pool is not None:
            self._pool.shutdown(wait=False, kill_workers=True)
            self._pool = None


def kind_of(key: FitKey) -> str:
    """Return what fits that share a process have in common: their own arm, or that theirs is built in."""
    return key.arm if is_own_arm(key.arm) else ""
