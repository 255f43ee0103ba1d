"""The runner of a sweep: it hands fits to a backend and hears how each has ended; workers write the results."""

from __future__ import annotations

import shutil
import time
import uuid
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

from bnbench.arms.loading import arm_source
from bnbench.process.writers import writer_name
from bnbench.protocol.protocol import FitKey
from bnbench.results import layout, store
from bnbench.results.claims import discard_left_behind, has_got_on, is_claimed, was_left_behind
from bnbench.results.failures import read_failure
from bnbench.sweep.backends.backend import Backend, WorkersKilledError
from bnbench.sweep.execution import Execution, Job, Outcome
from bnbench.sweep.interrupts import Interrupted, RunnerStop, discard_old_markers, runner_signals
from bnbench.sweep.plan import Plan
from bnbench.sweep.stored_outcome import stored_outcome
from bnbench.sweep.worker import TRIES, record_killed

_WAIT = 1.0  # seconds between two looks at fits that another runner computes
_SUSPECT = TRIES - 1  # deaths without a checkpoint after which a fit is run alone


class Runner:
    """Runs what is left of a plan through a backend: rounds, suspects, fits that other runners have finished.

    Args:
        plan: what is to run.
        execution: how.
        backend: computes a batch of fits.
        fail_fast: stop at the first fit that fails.
    """

    def __init__(self, plan: Plan, execution: Execution, backend: Backend, *, fail_fast: bool = False) -> None:
        self.plan, self.backend, self.fail_fast = plan, backend, fail_fast
        token = f"{writer_name()}-{uuid.uuid4().hex[:12]}"  # who it is, so that what it leaves behind can be told
        sources = {arm: arm_source(arm) for arm in {key.arm for key in plan.to_run}}
        self.job = Job(plan.protocol, plan.folder.resolve(), execution, token, backend.is_remote, sources=sources)
        self.stop = RunnerStop(self.job.stop_markers, self.job.local_folder)
        self.left = list(plan.to_run)
        self.elsewhere: list[FitKey] = []  # fits that another runner computes at the moment
        self.kills: Counter[FitKey] = Counter()
        self.started = time.time()

    def outcomes(self) -> Iterator[Outcome]:
        """Compute what is left, as many fits at once as there are slots.

        A fit that fails leaves a record and an outcome, and the sweep goes on. When a worker process is killed,
        every fit in flight is lost, and all of them go on from their checkpoints. One that was in flight
        a second time without having reached a checkpoint in between is run alone in the end, so that the
        one that kills its worker is found out.

        Yields:
            The outcome of each fit, in the order in which the backend reports them; also of those that
            another runner has finished in the meantime.

        Raises:
            Interrupted: SIGINT or SIGTERM; the workers have written their checkpoints, or were killed.
        """
        try:
            with runner_signals(self.stop):
                discard_left_behind(self.plan.folder, (*self.plan.done, *self.left))
                discard_old_markers(self.plan.folder / "running")
                while self.left and not self.stop.is_requested:
                    yield from self._round()
                discard_left_behind(self.plan.folder, self.plan.to_run)
            if self.stop.number is not None:
                raise Interrupted(self.stop.number)
        finally:
            # A word to stop in the results folder stays: a worker on another machine has yet to see it.
            shutil.rmtree(self.job.local_folder, ignore_errors=True)

    def _round(self) -> Iterator[Outcome]:
        """Send one batch through the backend: all that are not suspected, or one suspect alone."""
        yield from self._finished_elsewhere()
        free = [key for key in self.left if key not in self.elsewhere]
        batch = [key for key in free if self.kills[key] < _SUSPECT] or free[:1]
        if not batch:
            time.sleep(_WAIT)
            return
        try:
            for outcome in self.backend.compute(batch, self.job, self.stop):
                if outcome.state == "killed":
                    yield from self._after_kills_over(outcome.key, is_alone=len(batch) == 1)
                else:
                    yield from self._ended(outcome)
        except WorkersKilledError:
            yield from self._after_kill_in(batch)

    def _after_kills_over(self, key: FitKey, *, is_alone: bool) -> Iterator[Outcome]:
        """Suspect a fit that a cluster has lost several workers over, and fail it if it was the only one at the time.

        A suspect is run alone next, since some of those workers may not have begun it.
        """
        self.kills[key] = _SUSPECT
        if is_alone:
            yield from self._ended(record_killed(key, self.job, TRIES))

    def _ended(self, outcome: Outcome) -> Iterator[Outcome]:
        if outcome.state == "taken":
            self.elsewhere.append(outcome.key)
        if outcome.state in ("taken", "stopped"):
            if outcome.message:  # steps that no checkpoint holds
                yield outcome
            return
        self.left.remove(outcome.key)
        if outcome.state == "failed" and (self.fail_fast or outcome.is_fatal):
            self.stop.request()
        yield outcome

    def _finished_elsewhere(self) -> Iterator[Outcome]:
        """Report what other runners are done with; what they have given up is ours again."""
        folder = self.plan.folder
        for key in [key for key in self.elsewhere if not is_claimed(folder, key)]:
            self.elsewhere.remove(key)
            if layout.fit_path(folder, key).exists():
                yield from self._ended(_outcome_of_file(key, self.job))
            elif self._has_failed(key):
                yield from self._ended(_outcome_of_record(key, folder, " (in another runner)"))

    def _has_failed(self, key: FitKey) -> bool:
        """Return whether somebody has recorded a failure of this fit since this sweep began."""
        try:
            return layout.failure_path(self.plan.folder, key).stat().st_mtime > self.started
        except FileNotFoundError:
            return False

    def _after_kill_in(self, batch: Sequence[FitKey]) -> Iterator[Outcome]:
        """Find out what a worker was killed over, which nobody knows.

        What had finished is reported, what was in flight counts a kill, and what was killed too often is given up.
        """
        folder = self.plan.folder
        silent = [key for key in batch if key in self.left and key not in self.elsewhere]
        left_behind = {key for key in silent if was_left_behind(folder, key)}
        for key in left_behind:
            if has_got_on(folder, key):
                self.kills[key] = 0
        discard_left_behind(folder, left_behind)
        for key in [key for key in silent if layout.fit_path(folder, key).exists()]:
            yield from self._ended(_outcome_of_file(key, self.job))
        for key in [key for key in silent if key in self.left and key not in left_behind and self._has_failed(key)]:
            yield from self._ended(_outcome_of_record(key, folder))
        silent = [key for key in silent if key in self.left]
        in_flight = [key for key in silent if key in left_behind]
        # Killed before the first line of its task: then it was one of those that were handed out first.
        self.kills.update(in_flight or silent[: len(self.job.execution.slots)])
        for key in silent:
            if self.kills[key] >= TRIES:
                yield from self._ended(record_killed(key, self.job, TRIES))


def _outcome_of_file(key: FitKey, job: Job) -> Outcome:
    """Return the outcome of a fit whose file is there; a damaged file is the failure of this fit alone.

    A file that is gone again is ``taken`` by whoever has moved it aside, such as a runner with ``--force``.
    """
    try:
        return stored_outcome(key, job.folder, job.identity(key))
    except FileNotFoundError:
        return Outcome(key, "taken")
    except store.StoreError as error:
        return Outcome(key, "failed", message=str(error))


def _outcome_of_record(key: FitKey, folder: Path, where: str = "") -> Outcome:
    """Return the outcome of a fit whose failure is on record; a record that is gone again is ``taken``, as above."""
    try:
        return Outcome(key, "failed", message=f"{read_failure(layout.failure_path(folder, key))}{where}")
    except FileNotFoundError:
        return Outcome(key, "taken")
    except store.StoreError as error:
        return Outcome(key, "failed", message=str(error))
