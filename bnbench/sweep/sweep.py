"""A single sweep, from its request to its end; several go through it in turn (:mod:`bnbench.sweep.several`)."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from statistics import mode

from bnbench.arms.sizes import own_arm_lines
from bnbench.errors import RequestError
from bnbench.inputs.data import DataSet
from bnbench.mpo.candidates import allowed_kernels
from bnbench.protocol.protocol import Protocol
from bnbench.results import store
from bnbench.results.asked import effective_config, write_config
from bnbench.results.chunks import keep_chunk, read_chunk
from bnbench.results.folder_protocol import check_folder, open_folder
from bnbench.sweep.backends.backend import Backend
from bnbench.sweep.cost import choose_chunk, estimate_seconds
from bnbench.sweep.disk import try_folder
from bnbench.sweep.execution import Execution
from bnbench.sweep.fit_memory import check_memory_limit
from bnbench.sweep.fits_per_device import with_fits_per_device
from bnbench.sweep.inputs import load_inputs
from bnbench.sweep.messages import Listener
from bnbench.sweep.plan import Plan, plan_sweep, set_aside
from bnbench.sweep.request import EndedSweep, SweepRequest
from bnbench.sweep.runner import Runner

LARGEST_GRID = 1_000_000  # fits: the list of more, and the folder of their files, would be of no use


def run_sweep(request: SweepRequest, backend: Backend, listener: Listener) -> EndedSweep:
    """Run a sweep: check what is asked, plan, compute what is left, and keep all of it in the results folder.

    Finished fits are kept, and a fit that was cut off goes on from its last checkpoint: the same request again goes
    on where the sweep was stopped. A fit that fails leaves a record and costs no other fit.

    Args:
        request: what is asked for.
        backend: where fits are computed.
        listener: hears of the plan, of each fit, and of the end.

    Returns:
        How it ended; without outcomes where a dry run was asked for.

    Raises:
        RequestError: the request cannot be met; nothing was computed.
        Interrupted: SIGINT or SIGTERM; what was computed is kept.
    """
    check_unopened(request, backend)
    with backend.opened(listener.note, waits=not request.dry_run):
        swept = run_on_open(request, backend, listener)
    if not request.dry_run:
        listener.ended(swept)
        listener.over(swept.plan.folder)
    return swept


def check_unopened(request: SweepRequest, backend: Backend) -> None:
    """Refuse what can be refused before a backend is opened.

    Raises:
        RequestError: a variable names kernels that there are not, the grid is too large, the backend knows no limit of
            memory, or the folder is that of another protocol.
    """
    allowed_kernels()
    if request.grid.count > LARGEST_GRID:
        raise RequestError(
            f"--probs and --seeds ask for {request.grid}; a sweep has at most {LARGEST_GRID:,}: give fewer of either."
        )
    check_memory_limit(request.execution.fit_memory, backend.name, is_alone=backend.has_processes)
    check_folder(request.folder_of(request.protocol), request.protocol, with_images=False)


def run_on_open(request: SweepRequest, backend: Backend, listener: Listener) -> EndedSweep:
    """Run a sweep that :func:`check_unopened` has let pass, on a backend that is open; the end is not told."""
    ready = _make_ready(request, backend, listener)
    data, protocol = ready.data, ready.plan.protocol
    for line in own_arm_lines(request.grid.arms, data.image_shape, data.classes, protocol):
        listener.note(line)
    return _show(request, ready, backend, listener) if request.dry_run else _compute(request, ready, backend, listener)


@dataclass(frozen=True)
class _Ready:
    """Holds what is known of a sweep before it begins.

    Attributes:
        plan: what is left to run.
        execution: how, but for the pixels at once and the fits that share a device.
        data: the images.
        chunk: pixels at once that the folder was started with; None of a new one.
        to_start: seconds that the workers need until the first fit begins.
    """

    plan: Plan
    execution: Execution
    data: DataSet
    chunk: int | None
    to_start: float

    def seconds(self, of_fits: Callable[[], float | None]) -> float | None:
        """Return the seconds until all fits are done, the start of workers included; None where they are unknown."""
        if not self.plan.to_run:
            return 0.0
        seconds = of_fits()
        return None if seconds is None else self.to_start + seconds


def _make_ready(request: SweepRequest, backend: Backend, listener: Listener) -> _Ready:
    """Load what the fits need, and find out which of them are left; nothing is written but what --force moves aside."""
    execution = replace(request.execution, slots=backend.slots(request.execution.devices))
    start = time.perf_counter()
    data = load_inputs(request.grid, request.protocol, execution)
    to_start = backend.seconds_to_start(time.perf_counter() - start)
    protocol = replace(request.protocol, content=data.content)
    folder = request.folder_of(protocol)
    check_folder(folder, protocol)
    if request.force and not request.dry_run and (aside := set_aside(folder, request.keys_now())):
        listener.note(f"what was there is in {aside}")
    plan = _plan(request, protocol)
    return _Ready(plan, execution, data, _kept_chunk(plan, listener), to_start)


def _show(request: SweepRequest, ready: _Ready, backend: Backend, listener: Listener) -> EndedSweep:
    """Tell the plan of a sweep, with what it would cost by the fits that are done; nothing is timed for it."""
    plan = ready.plan
    execution = replace(ready.execution, chunk=request.chunk or ready.chunk or 0)
    execution = with_fits_per_device(execution, plan, backend, None)
    seconds = ready.seconds(partial(estimate_seconds, plan, execution, None))
    if seconds is None:
        seconds = ready.seconds(partial(estimate_seconds, plan, execution, None, any_processor=True))
        if seconds is not None:
            listener.note(
                "the time goes by fits of another kind of processor, or of an unknown one, than this machine's"
            )
    listener.planned(plan, execution, lambda: seconds)
    return EndedSweep(plan, execution, backend, [])


def _compute(request: SweepRequest, ready: _Ready, backend: Backend, listener: Listener) -> EndedSweep:
    """Open the folder, choose what is measured once for it, tell the plan, and run what is left."""
    plan, execution, data = ready.plan, ready.execution, ready.data
    open_folder(plan.folder, plan.protocol)
    if plan.to_run:
        try_folder(plan.folder)
    write_config(plan.folder, effective_config(plan.protocol, request.grid, request.options(backend)))
    if plan.to_run:
        chunk = _chosen_chunk(request.chunk, ready.chunk, plan, execution, data, backend, listener)
        execution = with_fits_per_device(replace(execution, chunk=chunk), plan, backend, data)
    of_fits = partial(backend.time_on_device, estimate_seconds, plan, execution, data)
    listener.planned(plan, execution, partial(ready.seconds, of_fits))
    runner = Runner(plan, execution, backend, fail_fast=request.fail_fast)
    outcomes = listener.run_through(runner)  # here the fits are computed
    return EndedSweep(plan, execution, backend, outcomes)


def _plan(request: SweepRequest, protocol: Protocol) -> Plan:
    """Plan the sweep, of which this go runs its own seeds; with ``force`` every fit of theirs is left to run."""
    folder = request.folder_of(protocol)
    plan = plan_sweep(
        folder,
        protocol,
        request.grid,
        shard=request.shard,
        retry_failed=request.retry_failed,
        measure_at=request.execution.measure_at,
    )
    if request.force:
        return replace(plan, done={}, failed={}, broken=[], without_course=[], to_run=request.keys_now())
    now = set(request.keys_now())
    return replace(plan, to_run=[key for key in plan.to_run if key in now])


def _kept_chunk(plan: Plan, listener: Listener) -> int | None:
    """Return the chunk that a folder was started with; where its file is damaged, that of its fits."""
    try:
        return read_chunk(plan.folder)
    except store.StoreError as error:
        known = [int(provenance["chunk"]) for provenance in plan.done.values() if "chunk" in provenance]
        said = f"its fits were computed {mode(known)} at once" if known else "no fit that is done tells it either"
        listener.note(f"{error} Here {said}.")
        return mode(known) if known else None


def _chosen_chunk(
    asked: int | None,
    kept: int | None,
    plan: Plan,
    execution: Execution,
    data: DataSet,
    backend: Backend,
    listener: Listener,
) -> int:
    """Return the chunk that was asked for, else the one that the folder was started with, else the fastest."""
    chunk = asked or kept or backend.time_on_device(choose_chunk, plan, execution, data)
    first = keep_chunk(plan.folder, kept or chunk)  # another shard may have been quicker: its choice holds
    if kept is None:
        return asked or first
    if asked not in (None, kept) and plan.done:
        changed = f"--chunk {asked}: {plan.folder} was computed {kept} pixels at once so far"
        listener.note(f"{changed}; from now on sums are rounded differently")
    return chunk
