"""Pieces of work side by side in processes of this machine, where no piece is a fit."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

from joblib import Parallel, delayed
from joblib.externals.loky.process_executor import BrokenProcessPool

from bnbench.errors import RequestError
from bnbench.sweep.interrupts import without_interrupts

Item = TypeVar("Item")
Result = TypeVar("Result")


def each_in_processes(work: Callable[[Item], Result], items: Sequence[Item], jobs: int) -> Iterator[Result]:
    """Do pieces of work that know nothing of each other in processes of their own, in the order in which they end.

    Args:
        work: called with each item; what it raises ends everything.
        items: whatever pickle can send.
        jobs: pieces at once; a single one is done in this process.

    Raises:
        RequestError: a process was killed; what the others had finished is kept.
    """
    if jobs == 1:
        yield from map(work, items)
        return
    parallel = Parallel(n_jobs=jobs, return_as="generator_unordered", batch_size=1, pre_dispatch=jobs, backend="loky")
    try:
        with without_interrupts():
            results = parallel(delayed(work)(item) for item in items)
        yield from results
    except BrokenProcessPool:
        raise RequestError(
            f"one of {jobs} processes was killed (out of memory?); what was finished is kept, "
            "and the same command goes on: --jobs 1 needs least memory."
        ) from None
