"""A fit on a worker of a cluster, and its way home; what runner and workers tell each other meanwhile.

Where the worker can reach the results folder, the fit is claimed, resumed and written there, as in a process
of the runner's own machine. Where it cannot, a folder of the worker's machine stands in for it, and what the
fit leaves there is sent back with its outcome.
"""

from __future__ import annotations

import os
import shutil
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from typing import TYPE_CHECKING, TypeVar

from bnbench.inputs.data import load_data_of
from bnbench.process.descriptors import keep_stdout_for_machines
from bnbench.protocol.protocol import FitKey, is_own_arm
from bnbench.results import layout, store
from bnbench.results.failures import Failure, failure_of, write_failure
from bnbench.results.folder_protocol import open_folder
from bnbench.sweep.backends.apart import alone, needs_own_process
from bnbench.sweep.backends.backend import Timing, WorkersKilledError
from bnbench.sweep.devices import DeviceRequest, Slot
from bnbench.sweep.disk import check_opened, disk_outcome
from bnbench.sweep.execution import Execution, Job, Outcome
from bnbench.sweep.interrupts import RunnerStop
from bnbench.sweep.plan import Plan
from bnbench.sweep.worker import TRIES, code_outcome, run_fit

if TYPE_CHECKING:
    from distributed import Client

_WAIT = 1.0  # seconds
_LOOK_EVERY = 0.2  # seconds
_TOUCH_EVERY = 3_600.0  # seconds; left longer, another runner may take the marker for a dead runner's

T = TypeVar("T")


def fit_on_this_machine(key: FitKey, job: Job) -> Outcome:
    """Compute a fit in a worker's thread, on the runner's machine."""
    if os.getpid() != job.runner:
        keep_stdout_for_machines()
    return _run_fit(key, job)


def fit_on_any_machine(key: FitKey, job: Job) -> Outcome:
    """Compute a fit in a worker's thread, on a slot of the worker's own machine.

    Raises:
        RequestError: the machine lacks a device that was asked for.
    """
    if refused := code_outcome(key, job):
        return refused
    job = replace(job, execution=replace(job.execution, slots=job.execution.devices.slots()))
    return _run_fit(key, job) if job.here_marker.exists() else _fit_in_own_folder(key, job)


def bring_home(outcome: Outcome, job: Job) -> Outcome:
    """Write what came with an outcome from a worker that cannot reach the results folder."""
    if not outcome.files:
        return outcome
    folder, key = job.folder, outcome.key
    try:
        check_opened(folder)
        earlier = None if outcome.state == "done" else _failure(key, job)
        for name, content in outcome.files.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            layout.write_atomically(folder / name, content)
        if outcome.state == "done":
            layout.failure_path(folder, key).unlink(missing_ok=True)
            layout.checkpoint_path(folder, key).unlink(missing_ok=True)
        elif earlier and (failure := failure_of(folder, key)) and failure.identity == earlier.identity:
            write_failure(folder, replace(failure, tries=failure.tries + earlier.tries))
    except OSError as error:
        return disk_outcome(key, error, outcome.seconds, "what a worker has sent of this fit is lost")
    return replace(outcome, files={})


@contextmanager
def workers_told(client: Client, job: Job, stop: RunnerStop) -> Iterator[None]:
    """Let workers on other machines know whether they share the runner's disk, and when they are to stop.

    Raises:
        OSError: the results folder cannot be written.
    """

    def relay() -> None:
        touched = time.monotonic()
        while not is_over.wait(_LOOK_EVERY):
            if stop.is_requested:
                with suppress(Exception):
                    client.run(_stop_here, job, on_error="ignore", wait=False)
                return
            if time.monotonic() - touched > _TOUCH_EVERY:
                touched = time.monotonic()
                with suppress(OSError):
                    job.here_marker.touch()

    job.here_marker.parent.mkdir(parents=True, exist_ok=True)
    job.here_marker.touch()
    is_over = threading.Event()
    threading.Thread(target=relay, daemon=True).start()
    try:
        yield
    finally:
        is_over.set()
        job.here_marker.unlink(missing_ok=True)
    if not stop.is_requested:
        client.run(_forget_here, job, on_error="ignore")


def slots_here(request: DeviceRequest) -> tuple[Slot, ...]:
    """Return the slots of the machine that this runs on.

    Raises:
        RequestError: it lacks a device that was asked for.
    """
    return request.slots()


def timed_here(timing: Timing[T], plan: Plan, execution: Execution) -> T:
    """Call a function that times steps on the machine that this runs on."""
    if not any(is_own_arm(key.arm) for key in plan.to_run):
        return _timed(timing, plan, execution)
    result: T = alone(_timed, timing, plan, execution)
    return result


def _timed(timing: Timing[T], plan: Plan, execution: Execution) -> T:
    protocol = plan.protocol
    data = load_data_of(protocol, execution.data_folder, execution.download)
    slots = execution.devices.slots()[:1] * len(execution.slots)
    return timing(plan, replace(execution, slots=slots), data)


def _stop_here(job: Job) -> None:
    """Tell the workers of this machine to stop, whether or not they can reach the results folder."""
    job.local_folder.mkdir(mode=0o700, exist_ok=True)
    (job.local_folder / "stop").touch()


def _forget_here(job: Job) -> None:
    """Clear away what the job has left on this machine's own disk."""
    shutil.rmtree(job.local_folder, ignore_errors=True)


def _run_fit(key: FitKey, job: Job) -> Outcome:
    """Compute a fit in this worker; one of a user's own arm, or with a limit, in a process of its own.

    No scheduler renews a worker. One with several threads holds the memory of several fits, and has one clock.

    A process that dies over it counts as a worker that does: the fit goes on from its checkpoint in another one.
    """
    if not needs_own_process(job.execution, (key.arm,)):
        return run_fit(key, job)
    for _ in range(TRIES):
        with suppress(WorkersKilledError):
            return alone(run_fit, key, replace(job, runner=os.getpid()))
    return Outcome(key, "killed")


def _fit_in_own_folder(key: FitKey, job: Job) -> Outcome:
    """Compute a fit in a folder of this machine, and send back what it has left there."""
    folder = job.local_folder / "results"
    job = replace(job, folder=folder)
    job.local_folder.mkdir(mode=0o700, exist_ok=True)
    open_folder(folder, job.protocol)
    while (outcome := _run_fit(key, job)).state == "taken":
        time.sleep(_WAIT)  # by a worker of this machine that the scheduler has lost sight of
    # The plane first: whoever brings the files home writes them in this order, and a done fit has its plane.
    left = (layout.plane_path(folder, key), layout.fit_path(folder, key), layout.failure_path(folder, key))
    paths = [path for path in left if path.exists()]
    files = {path.relative_to(folder).as_posix(): path.read_bytes() for path in paths}
    for path in paths:
        path.unlink()
    return replace(outcome, files=files, is_fatal=False)  # a full disk here is not everyone's


def _failure(key: FitKey, job: Job) -> Failure | None:
    """Return the earlier failure on record; a damaged record counts as none."""
    try:
        return failure_of(job.folder, key)
    except store.StoreError:
        return None
