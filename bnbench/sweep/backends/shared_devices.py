"""A process for each GPU, whose slots are threads of it; and a process for each other slot."""

from __future__ import annotations

import os
import time
from collections import Counter, deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from contextlib import suppress
from dataclasses import replace

from joblib.externals.loky import ProcessPoolExecutor
from joblib.externals.loky.process_executor import BrokenProcessPool

from bnbench.protocol.protocol import FitKey, Protocol
from bnbench.sweep.backends.apart import needs_own_process
from bnbench.sweep.backends.backend import WorkersKilledError
from bnbench.sweep.backends.shared_process import exchange
from bnbench.sweep.batches import in_batches
from bnbench.sweep.devices import Slot
from bnbench.sweep.execution import Execution, Job, Outcome
from bnbench.sweep.interrupts import PATIENCE, RunnerStop, end_with_runner, without_interrupts

Groups = list[tuple[Slot, ...]]

STANDS_IN_FOR_A_GPU = "_BNBENCH_PROCESSOR_STANDS_IN_FOR_A_GPU"


def groups_of(slots: Sequence[Slot]) -> Groups:
    """Return the slots that a process has: all those of a GPU, or a single one of a processor.

    Tests have a processor's slots stand in for a GPU's, by a variable that their child processes see as well.
    """
    is_gpu = bool(os.environ.get(STANDS_IN_FOR_A_GPU))
    by_device: dict[str, list[Slot]] = {}
    for slot in slots:
        by_device.setdefault(slot.device if slot.device != "cpu" or is_gpu else str(slot), []).append(slot)
    return [tuple(group) for group in by_device.values()]


def may_share(protocol: Protocol, execution: Execution, arms: Iterable[str]) -> bool:
    """Say whether fits of some arms may share the process of their GPU.

    A process for each fit keeps what concerns the whole process apart: a user's arm may do anything to it, a limit of
    time or memory ends it, and ``tf32`` is a setting of all of it that a fit's measurement takes back.
    """
    return not needs_own_process(execution, arms) and protocol.training.precision != "tf32"


def compute_on_groups(groups: Groups, batch: Sequence[FitKey], job: Job, stop: RunnerStop) -> Iterator[Outcome]:
    """Compute fits, one for each slot at a time; arguments and errors as of :meth:`Backend.compute`.

    Args:
        groups: the slots of each process.
        batch: which fits.
        job: what is asked.
        stop: says when no other fit is to be begun.

    Yields:
        The outcome of each fit, as they end.

    Raises:
        WorkersKilledError: a process was killed, and the fits of all of them were ended.
    """
    left, under_way = deque(in_batches(batch, job.execution)), Counter[int]()
    pools = [ProcessPoolExecutor(1, initializer=end_with_runner, initargs=(job.runner,), timeout=None) for _ in groups]
    calls: dict[Future[Outcome | None], int] = {}

    def call(index: int) -> None:
        """Have a process begin a fit where one is left and it has a slot, and wait for another where it has none."""
        begins = bool(left) and not stop.is_requested and under_way[index] < len(groups[index])
        key = left.popleft() if begins else None
        under_way[index] += begins
        if under_way[index]:
            own = replace(job, execution=replace(job.execution, slots=groups[index]), shares_process=True)
            waits = not begins or under_way[index] == len(groups[index]) or not left
            with without_interrupts():  # workers start with Ctrl-C blocked: it is this process's business
                calls[pools[index].submit(exchange, key, own, waits=waits)] = index

    def end_what_is_left() -> None:
        """Have fits that are under way write their checkpoints; a process that takes too long is killed."""
        left.clear()
        stop.request()
        until = time.monotonic() + PATIENCE
        for index in {*under_way} - {*calls.values()}:
            call(index)
        while calls and (seconds := until - time.monotonic()) > 0:
            for done in wait(calls, seconds, return_when=FIRST_COMPLETED).done:
                index = calls.pop(done)
                if done.exception() is not None or done.result() is not None:
                    under_way[index] -= 1
                call(index)

    try:
        for index in range(len(groups)):
            call(index)
        while calls:
            for done in wait(calls, return_when=FIRST_COMPLETED).done:
                index = calls.pop(done)
                if (outcome := done.result()) is not None:
                    under_way[index] -= 1
                    yield outcome
                call(index)
    except BrokenProcessPool as error:
        raise WorkersKilledError from error
    except (Exception, GeneratorExit):  # a fit's thread raised, or whoever asks has gone
        with suppress(BrokenProcessPool):
            end_what_is_left()
        raise
    finally:
        is_left = bool(calls) or any(under_way.values())
        for pool in pools:
            pool.shutdown(wait=False, kill_workers=is_left)
