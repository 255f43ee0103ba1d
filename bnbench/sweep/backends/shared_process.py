"""Several fits in one worker process: each in a thread of its own, on a stream of its own of the GPU that they share.

Processes share a GPU by time slices and gain nothing by it (measured on an H100). A fit that fails or diverges leaves
the others alone: its claim, slot, checkpoint, record and file are its own, as in a process of its own.
"""

from __future__ import annotations

import math
import queue
import threading
from contextlib import ExitStack

from joblib.externals.loky import process_executor

from bnbench.mpo.one_batch import Batch
from bnbench.protocol.protocol import FitKey
from bnbench.sweep.batches import expect, expected
from bnbench.sweep.devices import own_stream, prepare_process
from bnbench.sweep.execution import Job, Outcome
from bnbench.sweep.interrupts import WorkerStop, is_worker_process, worker_signals
from bnbench.sweep.worker import compute_fit, end_if_terminated

_ended: queue.SimpleQueue[Outcome | BaseException] = queue.SimpleQueue()
_under_way: set[threading.Thread] = set()
_stops: dict[str, WorkerStop] = {}
_heeding = ExitStack()  # holds SIGTERM's handler while a fit is under way, between two calls as well


def exchange(key: FitKey | None, job: Job, *, waits: bool) -> Outcome | None:
    """Begin a fit in this process, and fetch one that has ended.

    Args:
        key: the fit to begin; None for none.
        job: what is asked; its slots are those of the device that this process computes on.
        waits: whether to wait for a fit to end; at least one must be under way.

    Returns:
        How a fit has ended; None where none was waited for.
    """
    # joblib ends a worker that has grown once a call is over; this one's fits go on between calls.
    process_executor._MAX_MEMORY_LEAK_SIZE = math.inf
    stop = _stop_of(job)
    if not _under_way:
        _heeding.enter_context(worker_signals(stop))
    try:
        if key:
            prepare_process(job.execution.threads, job.protocol.training.precision)
            _begin(key, job, stop)
        ended = _ended.get() if waits else None
        if stop.was_terminated:
            for thread in [*_under_way]:  # they have seen it, too: each writes its checkpoint
                thread.join()
            end_if_terminated(stop)
    finally:
        if not _under_way:
            _heeding.close()
    if isinstance(ended, BaseException):
        raise ended
    return ended


def _stop_of(job: Job) -> WorkerStop:
    """Return the word to stop that all fits of a sweep share in this process."""
    if job.token not in _stops:
        _stops[job.token] = WorkerStop(job.stop_markers, runner=job.runner if is_worker_process() else None)
    return _stops[job.token]


def _begin(key: FitKey, job: Job, stop: WorkerStop) -> None:
    batch = expect(key, job)
    thread = threading.Thread(target=_compute, args=(key, job, stop, batch), daemon=True)
    _under_way.add(thread)
    try:
        thread.start()
    except BaseException:  # no more threads, or no memory for one
        _under_way.discard(thread)
        if batch:
            batch.expect(-1)
        raise


def _compute(key: FitKey, job: Job, stop: WorkerStop, batch: Batch | None) -> None:
    try:
        with expected(batch), own_stream(job.execution.slots[0].device):
            outcome: Outcome | BaseException = compute_fit(key, job, stop)
    except BaseException as error:  # the main thread raises it
        outcome = error
    _under_way.discard(threading.current_thread())
    _ended.put(outcome)
