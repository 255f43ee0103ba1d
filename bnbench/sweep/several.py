"""Sweeps of several mask sizes or pictures: one for each, in a results folder of its own below a common one."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from bnbench.errors import RequestError
from bnbench.inputs.masks import Mask, black_share, with_picture
from bnbench.protocol.mask_sizes import Size, size_name
from bnbench.protocol.profiles import folder_name
from bnbench.protocol.protocol import FitKey
from bnbench.results.layout import is_there
from bnbench.sweep.backends.backend import Backend
from bnbench.sweep.cost import estimate_seconds
from bnbench.sweep.execution import Execution, Outcome
from bnbench.sweep.fits_per_device import most_slots
from bnbench.sweep.messages import Listener
from bnbench.sweep.plan import Plan
from bnbench.sweep.request import EndedSweep, SweepRequest
from bnbench.sweep.runner import Runner
from bnbench.sweep.sweep import check_unopened, run_on_open, run_sweep

_PLURAL = {"mask size": "sizes", "picture": "pictures"}
_BUSY = 0.8  # share of the slots' time that a round has to use


@dataclass(frozen=True)
class EndedSweeps:
    """How one sweep has ended, or several of mask sizes or pictures.

    Attributes:
        each: name of the size or picture to how its sweep has ended, over all rounds; the name of one alone is empty.
        several: ``mask size`` or ``picture``, of which there may be more than one; empty of a single sweep.
        folder: that of the sweep, or the one above those of several.
    """

    each: dict[str, EndedSweep]
    several: str
    folder: Path


def run_sweeps(
    request: SweepRequest,
    backend: Backend,
    listener: Listener,
    *,
    sizes: Sequence[Size] = (),
    pictures: Mapping[str, Mask] | None = None,
    is_folder: bool = False,
) -> EndedSweeps:
    """Run what is asked for: one sweep, or one for each mask size or picture.

    Several are all planned before the first fit is computed. Seeds come outermost, as in a single sweep, so that what
    is unfinished is the whole curve over the sizes with fewer seeds, and not some of its points: a round takes every
    size in turn with as few seeds as keep the slots busy.

    Args:
        request: what is asked for, of every size or picture; the folder of several is the one above theirs.
        backend: where fits are computed.
        listener: hears of every sweep as of a single one, and of all plans together.
        sizes: rows and columns, each size once; of fewer than two the protocol's own is the only one.
        pictures: name to mask, True where black, in place of random masks. A fit's p is its picture's share of black
            pixels.
        is_folder: whether pictures come from a folder, to which some may be added later: they are several even where
            it holds one.

    Returns:
        How each sweep has ended; without outcomes where a dry run was asked for.

    Raises:
        RequestError: the request cannot be met, of several at one of them; nothing was computed.
        Interrupted: SIGINT or SIGTERM; what was computed is kept.
    """
    if pictures and is_folder:
        of_each = {name: _of_picture(request, name, mask) for name, mask in pictures.items()}
        return _run_each(request, of_each, backend, listener, "picture")
    if not pictures and len(sizes) > 1:
        of_each = {size_name(size): _of_size(request, size) for size in sizes}
        return _run_each(request, of_each, backend, listener, "mask size")
    for name, mask in (pictures or {}).items():
        request = _of_picture(request, name, mask)
    ended = run_sweep(request, backend, listener)
    return EndedSweeps({"": ended}, "", ended.plan.folder)


def _of_picture(request: SweepRequest, name: str, mask: Mask) -> SweepRequest:
    grid = replace(request.grid, probs=(black_share(mask),))
    return replace(request, protocol=with_picture(request.protocol, name, mask), grid=grid)


def _of_size(request: SweepRequest, size: Size) -> SweepRequest:
    return replace(request, protocol=request.protocol.with_knobs(mask_size=size))


def _run_each(
    request: SweepRequest, of_each: Mapping[str, SweepRequest], backend: Backend, listener: Listener, what: str
) -> EndedSweeps:
    """Run several sweeps in rounds of seeds, into folders below a common one."""
    folder = request.folder or Path("results") / f"{folder_name(request.protocol)}-{_PLURAL[what]}"
    if is_there(folder / "protocol.json"):
        raise RequestError(f"--out {folder} holds the results of a single {what}; give another folder for several.")
    requests = {name: replace(one, folder=folder / name) for name, one in of_each.items()}
    for one in requests.values():
        check_unopened(one, backend)
    with backend.opened(listener.note, waits=not request.dry_run):
        silent = listener if request.dry_run else Listener()
        planned = {name: run_on_open(replace(one, dry_run=True), backend, silent) for name, one in requests.items()}
        listener.planned_several(
            list(planned.values()), _seconds(planned.values(), any_processor=request.dry_run), what
        )
        swept = planned if request.dry_run else _run_rounds(requests, planned, backend, listener)
    if not request.dry_run:
        for ended in swept.values():
            listener.ended(ended)
        listener.over(folder)
    return EndedSweeps(swept, what, folder)


def _run_rounds(
    requests: Mapping[str, SweepRequest],
    planned: Mapping[str, EndedSweep],
    backend: Backend,
    listener: Listener,
) -> dict[str, EndedSweep]:
    """Run every sweep in turn, round after round of seeds."""
    request = next(iter(requests.values()))  # any of them: each asks for equally many fits of a seed
    swept: dict[str, EndedSweep] = {}
    for seeds in _rounds(request, planned):
        for name, one in requests.items():
            to_run = planned[name].plan.to_run
            if name in swept and not any(key.seed in seeds for key in to_run):
                continue
            heard = _OneRound(listener, to_run, is_first=name not in swept)
            now = run_on_open(replace(one, seeds_now=seeds), backend, heard)
            before = swept[name].outcomes if name in swept else []
            swept[name] = replace(now, outcomes=[*before, *now.outcomes])
            if any(outcome.state == "failed" and (request.fail_fast or outcome.is_fatal) for outcome in now.outcomes):
                return swept
    return swept


class _OneRound(Listener):
    """Hears of a size's round: only its first one tells the plan, that of all rounds, and what else is to be known.

    Args:
        listener: who is told.
        to_run: the fits of all rounds.
        is_first: whether it is the size's first round.
    """

    def __init__(self, listener: Listener, to_run: list[FitKey], *, is_first: bool) -> None:
        self._listener, self._to_run, self._is_first = listener, to_run, is_first

    def note(self, sentence: str) -> None:
        """Pass a sentence on, once for a size."""
        if self._is_first:
            self._listener.note(sentence)

    def planned(self, plan: Plan, execution: Execution, estimate: Callable[[], float | None]) -> None:
        """Pass the plan of all rounds on, its time in proportion to that of the first one's fits."""

        def of_all_rounds() -> float | None:
            seconds = estimate()
            return seconds * len(self._to_run) / len(plan.to_run) if seconds and plan.to_run else seconds

        if self._is_first:
            self._listener.planned(replace(plan, to_run=self._to_run), execution, of_all_rounds)

    def run_through(self, runner: Runner) -> list[Outcome]:
        """Have the listener run it."""
        return self._listener.run_through(runner)


def _seconds(planned: Iterable[EndedSweep], *, any_processor: bool) -> float | None:
    """Estimate the time of all sizes from the fits that are done; None where one of the sizes has none to go by."""
    estimate = partial(estimate_seconds, data=None, any_processor=any_processor)
    times = [estimate(one.plan, one.execution) if one.plan.to_run else 0.0 for one in planned]
    known = [time for time in times if time is not None]
    return sum(known) if len(known) == len(times) else None


def _rounds(request: SweepRequest, planned: Mapping[str, EndedSweep]) -> list[tuple[int, ...]]:
    """Share the seeds out into rounds of as few as leave hardly a slot idle at the end of each size."""
    seeds, grid = request.grid.seeds, request.grid
    slots = max((most_slots(one.execution) for one in planned.values()), default=1) or 1
    of_a_seed = max(1, len(grid.arms) * len(grid.probs) // request.shard[1])
    for together in range(1, len(seeds)):
        fits = together * of_a_seed
        if fits / (slots * -(-fits // slots)) >= _BUSY:
            return [seeds[start : start + together] for start in range(0, len(seeds), together)]
    return [seeds]
