"""One fit: drawn, trained, measured and written; resumed from its checkpoint where there is one."""

from __future__ import annotations

import time
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

import pandas as pd

from bnbench.arms.loading import arm_source, use_module_path
from bnbench.inputs.data import load_data_of
from bnbench.mpo.candidates import OF_TRITON
from bnbench.mpo.cuda_graph import RECORDING
from bnbench.mpo.one_batch import HaltedError
from bnbench.mpo.trace import TraceRow
from bnbench.process.surroundings import in_force
from bnbench.protocol.protocol import FitKey
from bnbench.results import store
from bnbench.results.checkpoints import Checkpoint, save_checkpoint
from bnbench.results.checks import check_fit
from bnbench.results.claims import write_progress
from bnbench.results.planes import save_plane
from bnbench.sweep.batches import joined
from bnbench.sweep.confinement import Confinement
from bnbench.sweep.course import Course
from bnbench.sweep.devices import Slot, device_name, prepare_process
from bnbench.sweep.disk import check_not_gone, check_opened
from bnbench.sweep.execution import FitStoppedError, Job, Outcome, UnwritableError
from bnbench.sweep.fit_record import computed_how, moved_from, part_provenance, progress_of
from bnbench.sweep.interrupts import WorkerStop
from bnbench.sweep.kept_kernels import choose_once
from bnbench.sweep.measure import measure_fit
from bnbench.sweep.provenance import forget_peak_memory
from bnbench.sweep.resume import resume
from bnbench.sweep.start import check_source, draw_masks, make_fit, make_plane
from bnbench.sweep.stored_outcome import headline_readings
from bnbench.wording import counted


class FitUnderWay:
    """One fit in this process, from its first step or its checkpoint to its file.

    Args:
        key: which fit.
        job: what is asked, how, and where results go: the results folder, or one of this machine that stands in for it.
        slot: where it runs.
        chunk: pixels computed at once.

    Raises:
        RequestError: its data or its arm cannot be used.
        OneColourError: its mask has one colour.
    """

    def __init__(self, key: FitKey, job: Job, slot: Slot, chunk: int) -> None:
        execution, protocol = job.execution, job.protocol
        self.clock_at_start, self.started = time.perf_counter(), time.time()
        prepare_process(execution.threads, protocol.training.precision)
        forget_peak_memory(slot.device)
        self.key, self.job, self.slot, self.chunk, self.folder = key, job, slot, chunk, job.folder
        self.note = ""
        self.mask, self.trained = draw_masks(key, protocol)
        data = load_data_of(protocol, execution.data_folder, execution.download)
        self.data = data.to(slot.device)
        check_source(key.arm, job.sources.get(key.arm, ""))
        self._begin()
        self.identity = job.identity(key)
        self.earlier_seconds, self.parts = 0.0, 1
        self.earlier: dict[str, Any] = {}  # provenance of the part before
        self._resume()
        if self.fit.engine.trial and self.job.without_triton.exists():
            self.fit.engine.trial.without(OF_TRITON)
            self.add_note("computed without Triton: a GPU was lost to one of its kernels, or beside one")
        choose_once(self.fit, self.folder, device_name(slot.device), key.arm)
        self.first_step = self.kept_step = self.fit.step

    def run(self, stop: WorkerStop, confinement: Confinement) -> Outcome:
        """Train what is left, measure and write.

        Args:
            stop: whether to stop.
            confinement: what the arm's code is kept in.

        Raises:
            FitStoppedError: told to stop; the checkpoint is written, or the message says which steps are lost.
            DivergedError: a loss stopped being finite.
            ConfinementError: the arm's code has done something to this process.
            UnwritableError: the disk is full, or the like.
        """
        before = in_force()
        try:
            with joined(self.fit, self.key):
                self._train(stop, confinement)
            settings = in_force()
            if changed := [f"{name} from {value}" for name, value in before.items() if settings[name] != value]:
                self.add_note(f"its arm's code changed {', '.join(changed)} while it was trained")
            for note in self.fit.notes:
                self.add_note(note)
        finally:
            self.fit.forget_recordings()  # their memory is needed for the measurement, and by other fits
        trained_seconds = self._seconds() - self.course.seconds
        prepare_process(self.job.execution.threads)  # whatever it was trained in, it is measured in float32
        table, summary = measure_fit(
            self.plane,
            self.key,
            self.mask,
            self.trained,
            self.data,
            self.job.protocol,
            keeps_plane=self.job.execution.keep_planes,
        )
        gflops = self.fit.engine.flops(self.data.image_shape) / trained_seconds / 1e9
        provenance = self._whole_provenance(settings, trained_seconds, gflops)
        confinement.check()
        result = store.FitResult(
            self.key,
            self.identity,
            self.job.protocol,
            table,
            summary,
            pd.DataFrame(self.fit.rows, columns=TraceRow._fields),
            provenance,
            arm_source(self.key.arm),
            self.course.table(self.fit.step, summary),
        )
        check_fit(result)  # a fit that no reader would believe, such as one with an infinite loss, has failed
        self._write(result)
        return Outcome(self.key, "done", self._seconds(), gflops, *headline_readings(summary), message=self.note)

    def _write(self, result: store.FitResult) -> None:
        try:
            check_opened(self.folder)
            if self.job.execution.keep_planes:  # before the fit's file: a fit that is done has its plane
                save_plane(self.folder, self.plane, self.key, self.identity, self.job.protocol, self.data)
            store.write_fit(self.folder, result)
        except OSError as error:
            lost = self._checkpoint()  # so that what was trained is not trained again
            raise UnwritableError(error, lost) from error

    def _train(self, stop: WorkerStop, confinement: Confinement) -> None:
        now = time.monotonic()
        next_checkpoint, next_progress = now + self.job.execution.checkpoint_every, now
        while not self.fit.is_done:
            confinement.leave_child()
            if self.course.is_due(self.fit.step):
                self._measure_course(stop)
            if stop.is_requested:
                raise FitStoppedError(self._checkpoint())
            now = time.monotonic()
            if now >= next_progress:
                self._say_progress()
                next_progress = now + self.job.progress_every
            if now >= next_checkpoint:
                check_not_gone(self.folder, self._checkpoint())
                next_checkpoint = time.monotonic() + self.job.execution.checkpoint_every
            with suppress(HaltedError):  # another fit of its batch has heard the word to stop, and so will this one
                self.fit.advance()
        self._say_progress()
        if self._seconds() > self.job.execution.checkpoint_every:
            self._checkpoint()  # measuring a large plane takes long, too

    def _measure_course(self, stop: WorkerStop) -> None:
        self.course.measure(
            self.fit.step,
            self.plane,
            (self.mask, self.trained),
            self.data,
            self.job.protocol,
            threads=self.job.execution.threads,
            is_stopped=lambda: stop.is_requested,
        )
        if self.course.note:
            self.add_note(self.course.note)

    def add_note(self, note: str) -> None:
        """Say something of this fit in its provenance, once."""
        if note not in self.note:
            self.note = f"{self.note}; {note}" if self.note else note

    def _begin(self) -> None:
        """Make the fit as it is before its first step; a GPU's libraries begin, while nobody records."""
        protocol = self.job.protocol
        with RECORDING:
            self.plane = make_plane(self.key, protocol, self.data, self.slot.device)
            use_module_path(self.key.arm)
            masks = (self.mask, self.trained)
            self.fit = make_fit(self.key, protocol, self.plane, masks, self.data.train, self.chunk)
        self.course = Course(self.job.execution.measure_at, protocol.training.steps)

    def _resume(self) -> None:
        """Go on from the checkpoint, if there is one; a damaged one costs its steps and is said."""
        found = resume(self.folder, self.key, self.identity, self._take_over, self._begin, self.add_note)
        if found is None:
            return
        self.earlier_seconds, self.parts, self.earlier = found.seconds, found.parts + 1, found.provenance
        if self.earlier["note"]:  # the notes of all parts before, which each of these below may repeat
            self.add_note(self.earlier["note"])
        if missed := self.course.missed(self.fit.step):
            self.add_note(f"it had passed {counted(len(missed), 'step')} of --measure-at before that was asked for")

    def _take_over(self, found: Checkpoint) -> None:
        self.fit.load_state_dict(found.state)
        self.course.load_state_dict(found.course)

    def _provenance(self) -> dict[str, Any]:
        """Return this part's provenance, with what concerns all parts: the first's start, the most memory, the note."""
        started = datetime.fromtimestamp(self.started, UTC).isoformat(timespec="seconds")
        whole = {"images": self.data.digest, "begun": self.earlier.get("begun", started), "started": started}
        mine = part_provenance(self.job, self.slot, self.chunk, self.fit, self.earlier)
        if moved := moved_from(self.earlier, mine):
            self.add_note(f"up to step {self.first_step:,} it was computed with {', '.join(moved)}")
        return {**mine, **whole, "note": self.note}

    def _whole_provenance(self, settings: Mapping[str, str], trained_seconds: float, gflops: float) -> dict[str, Any]:
        """Return the provenance of a fit that is trained and measured, with the settings that it was trained under."""
        seconds = trained_seconds, self._seconds(), self.course.seconds if self.course.rows else None
        return {
            **self._provenance(),
            "parts": self.parts,
            **computed_how(seconds, gflops, self.fit.engine.strategy, settings),
        }

    def _checkpoint(self) -> str:
        """Write a checkpoint; where none can be written, note it, and return which steps are in none."""
        if self.fit.step == self.first_step:
            return ""  # nothing new
        state, course, provenance = self.fit.state_dict(), self.course.state_dict(), self._provenance()
        checkpoint = Checkpoint(self.identity, state, self._seconds(), self.parts, provenance, course)
        try:
            save_checkpoint(self.folder, self.key, checkpoint)
        except OSError as error:
            reason = f"checkpoint could not be written ({error.strerror})"
            self.add_note(f"a {reason}")
            return f"its steps from {self.kept_step:,} to {self.fit.step:,} are lost, for a {reason}"
        self.kept_step = self.fit.step
        return ""

    def _say_progress(self) -> None:
        progress = progress_of(self.key, self.job.token, self.slot, self.fit, (self.started, self.first_step))
        write_progress(self.folder, progress)

    def _seconds(self) -> float:
        return self.earlier_seconds + time.perf_counter() - self.clock_at_start
