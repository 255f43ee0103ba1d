"""Pieces of work side by side in processes of this machine, where no piece is a fit."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

from joblib import Parallel, delayed
from joblib.externals.loky.process_executor import BrokenProcessPool

from bnbench.errors import RequestError
from bnbench.protocol.protocol import FitKey
from bnbench.sweep.backends.apart import each_apart, kind_of
from bnbench.sweep.interrupts import without_interrupts
from bnbench.wording import counted

Item = TypeVar("Item")
Result = TypeVar("Result")


def each_in_processes(
    work: Callable[[Item], Result], items: Sequence[Item], jobs: int, key_of: Callable[[Item], FitKey]
) -> Iterator[Result]:
    """Do pieces of work that know nothing of each other in processes, in the order in which they end.

    No piece for a user's own arm shares its process with one for another arm.

    Args:
        work: called with each item; what it raises ends everything.
        items: whatever pickle can send.
        jobs: pieces at once; a single one is done in this process, unless arms have to be kept apart.
        key_of: says of which fit a piece is.

    Raises:
        RequestError: a process was killed; what the others had finished is kept.
    """
    kinds = {kind_of(key_of(item)) for item in items}
    if jobs == 1 and len(kinds) == 1:
        yield from map(work, items)
        return
    try:
        if any(kinds):
            yield from each_apart(work, items, jobs, key_of)
        else:
            yield from _in_shared_processes(work, items, jobs)
    except BrokenProcessPool:
        raise RequestError(
            f"one of {counted(jobs, 'worker')} was killed (out of memory?); what was finished is kept, "
            "and the same command goes on: --jobs 1 needs least memory."
        ) from None


def _in_shared_processes(work: Callable[[Item], Result], items: Sequence[Item], jobs: int) -> Iterator[Result]:
    parallel = Parallel(n_jobs=jobs, return_as="generator_unordered", batch_size=1, pre_dispatch=jobs, backend="loky")
    with without_interrupts():
        results = parallel(delayed(work)(item) for item in items)
    yield from results
