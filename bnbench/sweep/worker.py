"""One fit in a worker: claimed, given a slot, computed; or a record of why not. Only a signal passes through."""

from __future__ import annotations

import os
import platform
import time
import traceback
from contextlib import suppress

import torch

from bnbench.arms.foreign_errors import error_text, is_from_outside
from bnbench.inputs.masks import OneColourError
from bnbench.mpo.cuda_graph import RECORDING, is_lost, is_out_of_memory
from bnbench.mpo.trace import DivergedError
from bnbench.process.writers import host_hash
from bnbench.protocol.protocol import FitKey, is_own_arm
from bnbench.results import layout, store
from bnbench.results.claims import claim, deaths
from bnbench.results.failures import Failure, failure_of, write_failure
from bnbench.results.folder_protocol import check_folder
from bnbench.results.own_paths import without_own_paths
from bnbench.sweep.confinement import Confinement, OutOfTimeError, traceback_at_the_end
from bnbench.sweep.devices import LeaseGivenUpError, Slot, free_cached_memory, lease
from bnbench.sweep.disk import check_opened, disk_outcome
from bnbench.sweep.execution import FitStoppedError, Job, Outcome, UnwritableError
from bnbench.sweep.fit_memory import MemoryWatch
from bnbench.sweep.fit_under_way import FitUnderWay
from bnbench.sweep.interrupts import WorkerStop, is_worker_process, may_be_ended, worker_signals
from bnbench.sweep.provenance import now
from bnbench.sweep.same_code import code_here, refusal
from bnbench.sweep.stored_outcome import stored_outcome
from bnbench.wording import counted

_TERMINATED = 143
_LOST = 70
_GRACE = 1.0  # seconds
TRIES = 3  # workers that may die over a fit


def run_fit(key: FitKey, job: Job) -> Outcome:
    """Compute one fit and write its file; whatever goes wrong becomes a record.

    Args:
        key: which fit.
        job: what is asked, how, and where.

    Returns:
        How it ended: ``taken`` at once when another process computes it, ``stopped`` when it was told to.
    """
    stop = WorkerStop(job.stop_markers, runner=job.runner if is_worker_process() else None)
    with worker_signals(stop):
        outcome = compute_fit(key, job, stop)
    end_if_terminated(stop)
    return outcome


def code_outcome(key: FitKey, job: Job) -> Outcome | None:
    """Return the outcome of a fit that this process must not compute, since its code is not the runner's."""
    said = refusal(code_here(), job.code, f"a worker (on {platform.node()}, process {os.getpid()})")
    return Outcome(key, "failed", message=said, is_fatal=True) if said else None


def end_if_terminated(stop: WorkerStop) -> None:
    """End this process if SIGTERM was sent to it and not to its runner; checkpoints are written."""
    if stop.was_terminated and not stop.is_told_by_runner(_GRACE):
        os._exit(_TERMINATED)


def end_if_lost(job: Job, slot: Slot) -> None:
    """End this process if its GPU answers no more: every later fit in it would fail, while a new process may go on.

    Later workers leave Triton's kernels out. On a processor, or in the runner's own process, the failure is recorded
    instead.
    """
    if may_be_ended() and is_lost(torch.device(slot.device)):
        with suppress(OSError):
            job.without_triton.touch()
        os._exit(_LOST)


def compute_fit(key: FitKey, job: Job, stop: WorkerStop) -> Outcome:
    """Compute one fit as :func:`run_fit` does, told to stop by somebody else.

    Args:
        key: which fit.
        job: what is asked, how, and where.
        stop: whether to stop.
    """
    folder = job.folder
    if refused := code_outcome(key, job):
        return refused
    try:
        if stop.is_requested:
            return Outcome(key, "stopped")
        check_opened(folder)
        with claim(folder, key) as is_ours:
            if not is_ours:
                return Outcome(key, "taken")
            check_folder(folder, job.protocol)  # another runner may have opened it since for its own
            if layout.fit_path(folder, key).exists():
                return stored_outcome(key, folder, job.identity(key))
            if ended := _record_of_limit(key, job):
                return ended
            if (killed := deaths(folder, key)) >= TRIES:
                return record_killed(key, job, killed)
            return _with_slot(key, job, stop)
    except LeaseGivenUpError:
        return Outcome(key, "stopped")
    except store.StoreError as error:
        if isinstance(error.__cause__, OSError):  # the folder cannot be read, whosever the fit is
            return disk_outcome(key, error.__cause__, 0.0)
        return Outcome(key, "failed", message=str(error))
    except OSError as error:
        return disk_outcome(key, error, 0.0)


def record_failure(
    key: FitKey,
    job: Job,
    kind: str,
    message: str,
    *,
    seconds: float = 0.0,
    tries: int = 1,
    slot: str = "",
    details: str = "",
) -> Outcome:
    """Write the record of a failed fit; where even that fails (a full disk), say so and go on."""
    try:
        check_opened(job.folder)
        earlier = failure_of(job.folder, key)
        identity = job.identity(key)
        if earlier is not None and earlier.identity == identity:
            tries += earlier.tries
        message, details = (without_own_paths(text, job.folder) for text in (message, details))
        failure = Failure(key, identity, kind, message, details, tries, slot, host_hash(), now())
        write_failure(job.folder, failure)
    except OSError as error:
        message += f" (and no record of it could be written: {error.strerror})"
    except store.StoreError:
        try:
            layout.failure_path(job.folder, key).unlink(missing_ok=True)
        except OSError as error:  # such as a folder in its place
            message += f" (and no record of it could be written: {error.strerror})"
            return Outcome(key, "failed", seconds, message=f"{kind}: {message}")
        return record_failure(key, job, kind, message, seconds=seconds, tries=tries, slot=slot, details=details)
    return Outcome(key, "failed", seconds, message=f"{kind}: {message}")


def record_killed(key: FitKey, job: Job, tries: int) -> Outcome:
    """Give up a fit whose workers were killed too often."""
    message = f"its worker was killed {counted(tries, 'time')} (out of memory?)"
    return record_failure(key, job, "killed worker", message, tries=tries)


def was_beyond_a_limit(key: FitKey, job: Job) -> bool:
    """Say whether a process of this machine was ended because a fit went beyond a limit, which is to be recorded."""
    return any(traceback_at_the_end(marker) for marker in (job.time_marker(key), job.memory_marker(key)))


def _record_of_limit(key: FitKey, job: Job) -> Outcome | None:
    """Record a fit over which a process was ended because it went beyond a limit."""
    if ended := traceback_at_the_end(job.time_marker(key)):
        return _record_timeout(key, job, ended)
    if ended := traceback_at_the_end(job.memory_marker(key)):
        message, _, details = ended.partition("\n")
        return record_failure(key, job, "too much memory", message, details=details)
    return None


def _record_timeout(key: FitKey, job: Job, details: str = "", *, seconds: float = 0.0, slot: str = "") -> Outcome:
    message = f"it was not done after the {job.execution.fit_timeout:g} s of --fit-timeout"
    return record_failure(key, job, "timed out", message, seconds=seconds, slot=slot, details=details)


def _with_slot(key: FitKey, job: Job, stop: WorkerStop) -> Outcome:
    start = time.perf_counter()
    with lease(job.execution.slots, job.local_folder, lambda: stop.is_requested) as slot:
        try:
            limits, memory = job.execution, MemoryWatch(job.execution.fit_memory, job.memory_marker(key))
            is_own = is_own_arm(key.arm)
            with Confinement(is_own, limits.fit_timeout, job.time_marker(key), memory) as confinement:
                return _with_retry(key, job, stop, slot, confinement)
        except FitStoppedError as error:
            return Outcome(key, "stopped", time.perf_counter() - start, message=str(error))
        except OneColourError as error:
            kind, message = "one-colour mask", str(error)
        except DivergedError as error:
            kind, message = "diverged", str(error)
            layout.checkpoint_path(job.folder, key).unlink(missing_ok=True)  # it can only diverge again
        except UnwritableError as error:
            return disk_outcome(key, error.reason, time.perf_counter() - start, error.lost)
        except OutOfTimeError:
            seconds, details = time.perf_counter() - start, traceback.format_exc()
            return _record_timeout(key, job, details, seconds=seconds, slot=str(slot))
        except BaseException as error:  # a user's arm may raise anything, and this process goes on
            if is_from_outside(error):
                raise
            end_if_lost(job, slot)
            seconds, details = time.perf_counter() - start, traceback.format_exc()
            kind = "out of memory" if is_out_of_memory(error, error_text(error)) else "error"
            details = details if kind == "error" else ""
            return record_failure(key, job, kind, error_text(error), seconds=seconds, slot=str(slot), details=details)
        return record_failure(key, job, kind, message, seconds=time.perf_counter() - start, slot=str(slot))


def _with_retry(key: FitKey, job: Job, stop: WorkerStop, slot: Slot, confinement: Confinement) -> Outcome:
    """Compute a fit; where memory runs out, begin it again with half as many pixels at once.

    In a process that it shares with other fits, it is begun with as many pixels once more before that.
    """
    chunk = job.execution.chunk
    try:
        return FitUnderWay(key, job, slot, chunk).run(stop, confinement)
    except Exception as error:
        if not is_out_of_memory(error, error_text(error)) or (chunk == 1 and not job.shares_process):
            raise
    if job.shares_process:  # while a neighbour records, torch gives no cached memory back
        try:
            return _again(key, job, slot, chunk, "out of memory beside other fits, computed again").run(
                stop, confinement
            )
        except Exception as error:
            if not is_out_of_memory(error, error_text(error)) or chunk == 1:
                raise
    note = f"out of memory with {chunk} pixels at once, computed with {chunk // 2}"
    return _again(key, job, slot, chunk // 2, note).run(stop, confinement)


def _again(key: FitKey, job: Job, slot: Slot, chunk: int, note: str) -> FitUnderWay:
    """Begin a fit again, from its checkpoint, once memory has been handed back and nobody records."""
    with RECORDING:
        free_cached_memory(slot.device)
    under_way = FitUnderWay(key, job, slot, chunk)
    under_way.add_note(note)
    return under_way
