"""Which fits of a worker process are one batch of networks: those of an arm, where that was measured to be faster."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import chain

from bnbench.mpo.fit import Fit
from bnbench.mpo.one_batch import Batch
from bnbench.protocol.protocol import FitKey
from bnbench.sweep.execution import Execution, FitStoppedError, Job

_batches: dict[tuple[str, str], Batch] = {}  # of this process: by sweep and arm
_own = threading.local()  # the batch that a thread's fit is expected in


def expect(key: FitKey, job: Job) -> Batch | None:
    """Have the batch of a fit wait for it, if it is to have one: said before its thread is started."""
    slots = job.execution.slots
    if len(slots) < 2 or (slots[0].device, key.arm) not in job.execution.one_batch:
        return None
    batch = _batches.setdefault((job.token, key.arm), Batch(len(slots)))
    batch.expect()
    return batch


@contextmanager
def expected(batch: Batch | None) -> Iterator[None]:
    """Have this thread's fit join a batch, within; one that ends before it could is not waited for."""
    _own.batch = batch
    try:
        yield
    finally:
        _is_expected_no_more()


@contextmanager
def joined(fit: Fit, key: FitKey) -> Iterator[None]:
    """Take a fit's steps together with others, within, where it is expected; its place is that of its p and seed."""
    batch: Batch | None = getattr(_own, "batch", None)
    if batch is None:
        yield
        return
    with batch.joined(fit, (key.p, key.seed)):
        _is_expected_no_more()
        try:
            yield
        except FitStoppedError:
            batch.halt()
            raise


def _is_expected_no_more() -> None:
    batch, _own.batch = _own.batch, None
    if batch:
        batch.expect(-1)


def in_batches(keys: Sequence[FitKey], execution: Execution) -> list[FitKey]:
    """Order fits such that those of one batch are begun together: as many of an arm as there are slots, then others."""
    if not execution.one_batch:
        return [*keys]
    arms, size = dict.fromkeys(key.arm for key in keys), len(execution.slots)
    of_arms = [[key for key in keys if key.arm == arm] for arm in arms]
    return [*chain(*(own[start : start + size] for start in range(0, len(keys), size) for own in of_arms))]
