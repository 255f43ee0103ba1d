"""Sweeps of several mask sizes or pictures: one for each, in a results folder of its own below a common one."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from bnbench.errors import RequestError
from bnbench.inputs.masks import Mask, black_share, with_picture
from bnbench.protocol.mask_sizes import Size, size_name
from bnbench.protocol.profiles import folder_name
from bnbench.protocol.protocol import FitKey
from bnbench.results.folder_protocol import check_folder
from bnbench.results.layout import is_there
from bnbench.sweep.backends.backend import Backend
from bnbench.sweep.cost import estimate_seconds
from bnbench.sweep.execution import Execution, Outcome
from bnbench.sweep.fits_per_device import most_slots
from bnbench.sweep.messages import Listener
from bnbench.sweep.plan import Plan
from bnbench.sweep.request import SweepRequest, Swept
from bnbench.sweep.runner import Runner
from bnbench.sweep.sweep import run_on_open, run_sweep

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
    swept = _run_each({size_name(size): _of_size(request, size) for size in sizes}, backend, listener, "mask size")
    return {size: swept[size_name(size)] for size in sizes if size_name(size) in swept}


def run_pictures(
    request: SweepRequest, pictures: Mapping[str, Mask], backend: Backend, listener: Listener, *, is_folder: bool
) -> dict[str, Swept]:
    """Run a sweep for each picture in place of random masks; else as :func:`run_sizes`.

    Args:
        request: what is asked for of every picture.
        pictures: name to mask, True where black. A fit's p is its picture's share of black pixels.
        backend: where fits are computed.
        listener: hears of every sweep as of a single one, and of all plans together.
        is_folder: whether pictures come from a folder, to which some may be added: the request's folder is then the
            one above theirs, and else that of the only picture.

    Returns:
        Name to how the sweep ended.

    Raises:
        RequestError: as :func:`run_sizes`.
        Interrupted: as :func:`run_sizes`.
    """
    requests = {name: _of_picture(request, name, mask) for name, mask in pictures.items()}
    if not is_folder:
        return {name: run_sweep(one, backend, listener) for name, one in requests.items()}
    folder = folder_above(request, "pictures")
    _check_above(folder, "picture")
    below = {name: replace(one, folder=folder / name) for name, one in requests.items()}
    return _run_each(below, backend, listener, "picture")


def _of_picture(request: SweepRequest, name: str, mask: Mask) -> SweepRequest:
    grid = replace(request.grid, probs=(black_share(mask),))
    return replace(request, protocol=with_picture(request.protocol, name, mask), grid=grid)


def _run_each(
    requests: Mapping[str, SweepRequest], backend: Backend, listener: Listener, what: str
) -> dict[str, Swept]:
    """Run several sweeps in rounds of seeds, all of them planned before the first fit is computed."""
    request = next(iter(requests.values()))
    for one in requests.values():
        check_folder(one.folder_of(one.protocol), one.protocol, with_images=False)
    with backend.opened(listener.note, waits=not request.dry_run):
        silent = listener if request.dry_run else Listener()
        planned = {name: run_on_open(replace(one, dry_run=True), backend, silent) for name, one in requests.items()}
        listener.planned_sizes(list(planned.values()), _seconds(planned.values()), what)
        swept = planned if request.dry_run else _run_rounds(request, requests, planned, backend, listener)
    if not request.dry_run:
        for ended in swept.values():
            listener.ended(ended)
        listener.over(request.folder_of(request.protocol).parent)
    return swept


def _run_rounds(
    request: SweepRequest,
    requests: Mapping[str, SweepRequest],
    planned: Mapping[str, Swept],
    backend: Backend,
    listener: Listener,
) -> dict[str, Swept]:
    """Run every sweep in turn, round after round of seeds."""
    swept: dict[str, Swept] = {}
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


def folder_above(request: SweepRequest, what: str) -> Path:
    """Return the folder above those of several sweeps; by default the protocol's, with what they are at its end.

    Args:
        request: names a folder, or the protocol that the default one is called after.
        what: ``sizes`` or ``pictures``.
    """
    return request.folder or Path("results") / f"{folder_name(request.protocol)}-{what}"


def _of_size(request: SweepRequest, size: Size) -> SweepRequest:
    folder = folder_above(request, "sizes")
    _check_above(folder, "mask size")
    return replace(request, protocol=request.protocol.with_knobs(mask_size=size), folder=folder / size_name(size))


def _check_above(folder: Path, what: str) -> None:
    if is_there(folder / "protocol.json"):
        raise RequestError(f"--out {folder} holds the results of a single {what}; give another folder for several.")


def _seconds(planned: Iterable[Swept]) -> float | None:
    """Estimate the time of all sizes from the fits that are done; None where one of the sizes has none to go by."""
    times = [estimate_seconds(one.plan, one.execution, None) if one.plan.to_run else 0.0 for one in planned]
    known = [time for time in times if time is not None]
    return sum(known) if len(known) == len(times) else None


def _rounds(request: SweepRequest, planned: Mapping[str, Swept]) -> list[tuple[int, ...]]:
    """Share the seeds out into rounds of as few as leave hardly a slot idle at the end of each size."""
    seeds, grid = request.grid.seeds, request.grid
    slots = max((most_slots(one.execution) for one in planned.values()), default=1) or 1
    of_a_seed = max(1, len(grid.arms) * len(grid.probs) // request.shard[1])
    for together in range(1, len(seeds)):
        fits = together * of_a_seed
        if fits / (slots * -(-fits // slots)) >= _BUSY:
            return [seeds[start : start + together] for start in range(0, len(seeds), together)]
    return [seeds]
