"""One arm's landscape on its way to a picture: trained, measured for the animation, cut off and resumed."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from bnbench.arms.loading import use_module_path
from bnbench.bending.files import VALUES, Bent, write_bent
from bnbench.bending.request import BendRequest
from bnbench.inputs.data import DataSet
from bnbench.inputs.masks import is_trained
from bnbench.mpo.images import Images
from bnbench.mpo.trace import TraceRow
from bnbench.results import layout
from bnbench.results.checkpoints import Checkpoint, save_checkpoint
from bnbench.results.planes import save_plane
from bnbench.sweep.devices import device_name, prepare_process
from bnbench.sweep.execution import FitStoppedError
from bnbench.sweep.measure import headline_policy, measure_fit, measured_landscape
from bnbench.sweep.resume import resume
from bnbench.sweep.start import make_fit, make_plane

FRAMES = 40
FRAME_IMAGES = 200  # test images that a frame is measured on; the landscape of the end is measured on all

Told = Callable[[int, TraceRow | None], None]


def frame_steps(steps: int) -> NDArray[np.int64]:
    """Return the steps at which a frame is measured: dense at the start, where most happens; the first and the last.

    Args:
        steps: of the whole fit.
    """
    return np.unique(np.round(steps * np.linspace(0, 1, FRAMES) ** 2).astype(np.int64))


class ArmBending:
    """One arm's fit to a picture, from its first step or its checkpoint to its files.

    Args:
        request: what is asked.
        arm: which network.
        data: images, on any device.

    Attributes:
        note: why its checkpoint was not used, one sentence; empty where it was, or there is none.
        unkept: why its last checkpoint could not be written; empty where it was, or none was due.

    Raises:
        ArmError: the arm cannot be used.
    """

    def __init__(self, request: BendRequest, arm: str, data: DataSet) -> None:
        prepare_process(request.threads, request.protocol.training.precision)
        self.request, self.arm, self.key = request, arm, request.key(arm)
        self.data = data.to(request.device)
        self.trained = is_trained(request.mask)
        self._begin()
        self.identity = request.identity(arm)
        self.frames: list[torch.Tensor] = []
        self.due = [int(step) for step in frame_steps(self.fit.training.steps)] if request.animate else []
        self.earlier_seconds, self.started, self.parts, self.note = 0.0, 0.0, 1, ""
        self.unkept = ""
        self._resume()

    def run(self, is_stopped: Callable[[], bool], told: Told) -> Bent:
        """Train what is left, measure, and write the landscape, its frames and the plane.

        Args:
            is_stopped: whether to stop; asked before each step.
            told: hears the step reached, and the last row of the trace.

        Raises:
            FitStoppedError: told to stop; the checkpoint is written, or ``unkept`` says why not.
            DivergedError: a loss stopped being finite.
            OSError: a file cannot be written.
        """
        prepare_process(self.request.threads, self.fit.training.precision)  # the arm before was measured in float32
        self.started = time.perf_counter()
        try:
            self._train(is_stopped, told)
        finally:
            self.fit.forget_recordings()  # their memory is needed for the measurement
        prepare_process(self.request.threads)  # whatever it was trained in, it is measured in float32
        bent = self._measured()
        save_plane(self.request.folder, self.plane, self.key, self.identity, self.request.protocol, self.data)
        write_bent(self.request, bent)
        layout.checkpoint_path(self.request.folder, self.key).unlink(missing_ok=True)
        return bent

    def _train(self, is_stopped: Callable[[], bool], told: Told) -> None:
        next_checkpoint = time.monotonic() + self.request.checkpoint_every
        while not self.fit.is_done:
            self._measure_frame()
            if is_stopped():
                self._checkpoint()
                raise FitStoppedError
            if time.monotonic() >= next_checkpoint:
                self._checkpoint()
                next_checkpoint = time.monotonic() + self.request.checkpoint_every
            self.fit.advance()
            told(self.fit.step, self.fit.rows[-1] if self.fit.rows else None)
        self._measure_frame()
        self._checkpoint()  # the measurement at the end takes a while, too

    def _begin(self) -> None:
        """Make the fit as it is before its first step."""
        protocol = self.request.protocol
        self.plane = make_plane(self.key, protocol, self.data, self.request.device)
        use_module_path(self.arm)
        self.fit = make_fit(self.key, protocol, self.plane, (self.request.mask, self.trained), self.data.train)

    def _measure_frame(self) -> None:
        """Measure the landscape where a frame is due; one that a resumed fit has already is not measured again."""
        if len(self.frames) >= len(self.due) or self.due[len(self.frames)] > self.fit.step:
            return
        measured = self.data.measured
        few = Images(measured.pixels[:FRAME_IMAGES], measured.labels[:FRAME_IMAGES])
        protocol = self.request.protocol
        found = measured_landscape(self.plane, few, headline_policy(self.plane, protocol), self.data, protocol)
        self.frames.append(found.accuracy.float())

    def _measured(self) -> Bent:
        request = self.request
        table, _ = measure_fit(self.plane, self.key, request.mask, self.trained, self.data, request.protocol)
        shape = (len(self.frames), *request.mask.shape)
        frames = torch.stack(self.frames).numpy() if self.frames else np.zeros(shape, np.float32)
        details: dict[str, Any] = {
            "identity": self.identity,
            "arm": self.arm,
            "picture": request.name,
            "seed": request.seed,
            "protocol": request.protocol.as_dict(),
            "device_name": device_name(request.device),
            "threads": request.threads,
            "parts": self.parts,
            "seconds": round(self._seconds(), 1),
        }
        landscape = table[["row", "column", "black", "trained", *VALUES]]
        return Bent(self.arm, landscape, frames, np.array(self.due[: len(self.frames)], np.int64), details)

    def _resume(self) -> None:
        """Go on from the checkpoint, if there is one that has the frames asked for; else say why not."""
        notes: list[str] = []
        folder = self.request.folder
        if found := resume(folder, self.key, self.identity, self._take_over, self._begin, notes.append):
            self.earlier_seconds, self.parts = found.seconds, found.parts + 1
        self.note = "".join(notes)

    def _take_over(self, found: Checkpoint) -> None:
        if self.due and found.course["due"] != self.due:
            raise ValueError("it has no frames for an animation")
        self.fit.load_state_dict(found.state)
        self.frames = list(found.course["frames"]) if self.due else []

    def _checkpoint(self) -> None:
        """Write a checkpoint; one that cannot be written costs the fit nothing, as long as it goes on."""
        course = {"frames": self.frames, "due": self.due}
        checkpoint = Checkpoint(self.identity, self.fit.state_dict(), self._seconds(), self.parts, {}, course)
        try:
            layout.checkpoint_path(self.request.folder, self.key).parent.mkdir(parents=True, exist_ok=True)
            save_checkpoint(self.request.folder, self.key, checkpoint)
            self.unkept = ""
        except OSError as error:
            self.unkept = f"a checkpoint could not be written ({error.strerror})"

    def _seconds(self) -> float:
        return self.earlier_seconds + time.perf_counter() - self.started
