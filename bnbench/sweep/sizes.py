"""Sweeps of several mask sizes: one for each size, in a results folder of its own below a common one."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from bnbench.errors import RequestError
from bnbench.protocol.mask_sizes import Size, size_name
from bnbench.protocol.profiles import folder_name
from bnbench.results.layout import is_there
from bnbench.sweep.backends.backend import Backend
from bnbench.sweep.cost import estimate_seconds
from bnbench.sweep.messages import Listener
from bnbench.sweep.request import SweepRequest, Swept
from bnbench.sweep.sweep import run_sweep

_BUSY = 0.8  # share of the slots' time that a round has to use


def run_sizes(request: SweepRequest, sizes: Sequence[Size], backend: Backend, listener: Listener) -> dict[Size, Swept]:
    """Run a sweep for each mask size, all of them planned before the first fit is computed.

    Seeds come outermost, as in a single sweep, so that what is unfinished is the whole curve over the sizes with fewer
    seeds, and not some of its points: a round takes every size in turn with as few seeds as keep the slots busy.

    Args:
        request: what is asked for of every size; its folder is the one above theirs.
        sizes: rows and columns, each size once.
        backend: where fits are computed.
        listener: hears of every sweep as of a single one, and of all plans together.

    Returns:
        How the sweep of each size ended, over all rounds; without outcomes where a dry run was asked for.

    Raises:
        RequestError: the request cannot be met at one of the sizes; nothing was computed.
        Interrupted: SIGINT or SIGTERM; what was computed is kept.
    """
    requests = {size: _of_size(request, size) for size in sizes}
    silent = listener if request.dry_run else Listener()
    planned = {size: run_sweep(replace(one, dry_run=True), backend, silent) for size, one in requests.items()}
    listener.planned_sizes(list(planned.values()), _seconds(planned.values()))
    if request.dry_run:
        return planned
    swept: dict[Size, Swept] = {}
    for seeds in _rounds(request, planned):
        for size, one in requests.items():
            left = [key for key in planned[size].plan.to_run if key.seed in seeds]
            if size in swept and not left:
                continue
            now = run_sweep(replace(one, seeds_now=seeds), backend, listener)
            before = swept[size].outcomes if size in swept else []
            swept[size] = replace(now, outcomes=[*before, *now.outcomes])
            if any(outcome.state == "failed" and (request.fail_fast or outcome.is_fatal) for outcome in now.outcomes):
                return swept
    return swept


def folder_above(request: SweepRequest) -> Path:
    """Return the folder above those of the sizes; by default that of the protocol with ``-sizes`` at its end."""
    return request.folder or Path("results") / f"{folder_name(request.protocol)}-sizes"


def _of_size(request: SweepRequest, size: Size) -> SweepRequest:
    folder = folder_above(request)
    if is_there(folder / "protocol.json"):
        raise RequestError(f"--out {folder} holds the results of a single mask size; give another folder for several.")
    return replace(request, protocol=request.protocol.with_knobs(mask_size=size), folder=folder / size_name(size))


def _seconds(planned: Iterable[Swept]) -> float | None:
    """Estimate the time of all sizes from the fits that are done; None where one of the sizes has none to go by."""
    times = [estimate_seconds(one.plan, one.execution, None) if one.plan.to_run else 0.0 for one in planned]
    known = [time for time in times if time is not None]
    return sum(known) if len(known) == len(times) else None


def _rounds(request: SweepRequest, planned: dict[Size, Swept]) -> list[tuple[int, ...]]:
    """Share the seeds out into rounds of as few as leave hardly a slot idle at the end of each size."""
    seeds, grid = request.grid.seeds, request.grid
    slots = max((len(one.execution.slots) for one in planned.values()), default=1) or 1
    of_a_seed = max(1, len(grid.arms) * len(grid.probs) // request.shard[1])
    for together in range(1, len(seeds)):
        fits = together * of_a_seed
        if fits / (slots * -(-fits // slots)) >= _BUSY:
            return [seeds[start : start + together] for start in range(0, len(seeds), together)]
    return [seeds]
