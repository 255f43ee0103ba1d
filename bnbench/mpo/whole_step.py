"""A fit's whole step as one recording: between two looks at the clock the processor only launches it.

What the next hundred steps draw, and their learning rates, lie on the device; the recording reads the row of its own
step, and counts on by itself. Letters: P pixels of a step, B images that a pixel sees.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from bnbench.mpo.cuda_graph import Recording, Work
from bnbench.mpo.optimizers import end_recording
from bnbench.mpo.replayed import TOLERANCE, reason, relative_error

if TYPE_CHECKING:
    from bnbench.mpo.fit import Fit

Recorder = Callable[[Work, torch.device], Recording]

BLOCK = 100  # steps whose draws go to the device at once
_PROOFS = 2  # steps that are computed and replayed: a recording that holds the draws of one fails at the other
_SPARE = 4  # rows of zeros behind a block, for whoever records calls the step some times more
_CHANGE = 0.1  # Adam moves a weight by its whole rate even where its gradient is nothing but rounding


class WholeStep:
    """Takes a fit's steps by a recording of one of them, once that has proved equal.

    A fit's every step comes from the recording, the first one too: so a fit that goes on from a checkpoint computes
    what it would have computed without the stop. The proof: two steps are computed, taken back, replayed and
    taken back. Their gradients, losses, accuracies, moments and sums must agree within 1e-3, and the plane's own
    changes within a tenth.

    Args:
        fit: whose steps.
        record: see :func:`~bnbench.mpo.cuda_graph.record_graph`.

    Attributes:
        refusal: why the fit's steps are computed one by one; empty while nothing speaks against a recording.
    """

    def __init__(self, fit: Fit, record: Recorder) -> None:
        self.fit, self.record, self.refusal = fit, record, ""
        self._device = device = fit.sums.device
        # A GPU's fused optimizer reads its rate as float32; a processor's as a Python number would be.
        self._kind = torch.float32 if device.type == "cuda" else torch.float64
        self._position = torch.zeros(1, dtype=torch.int64, device=device)
        self._draws = torch.zeros(0)  # (BLOCK + _SPARE, P + images) once there are any
        self._rates = torch.zeros(BLOCK + _SPARE, len(fit.rates), dtype=self._kind, device=device)
        self._begun: list[dict[str, object]] = []  # the fit's cycles before the block was drawn
        self._block = self._left = 0
        self._replay: Callable[[], object] | None = None

    def advance(self) -> bool:
        """Take one step, and return whether it was taken: a fit whose steps cannot be recorded is left as it was."""
        if self.refusal:
            return False
        if not self._left:
            self._upload()
        if self._replay is None:
            self._prove()
        if self._replay is None:
            self.settle()
            end_recording(self.fit.optimizer)
            return False
        visits = self.fit.engine.gradient_visits + len(self.fit.targets.factors) * self.fit.images_shape[-1]
        self._replay()
        self.fit.engine.gradient_visits = visits  # whether or not a recording comes by the line that counts them
        self._left -= 1
        return True

    def settle(self) -> None:
        """Put the fit's draws back to the step that it is at: what was drawn ahead is drawn again."""
        if self._left:
            for cycle, begun in zip(self.fit.cycles, self._begun, strict=True):
                cycle.load_state_dict(begun)
            for _ in range(self._block - self._left):
                self.fit.draw()
            self._left = 0

    def _upload(self) -> None:
        """Draw the next steps, and bring them to the device without waiting for it."""
        fit = self.fit
        self._begun = [cycle.state_dict() for cycle in fit.cycles]
        self._block = self._left = max(1, min(BLOCK, fit.training.steps - fit.step))
        steps = range(fit.step, fit.step + self._block)
        rates = torch.tensor([fit.rates_at(step) for step in steps], dtype=self._kind)
        drawn = torch.stack([torch.cat([pixels, images.flatten()]) for pixels, images in (fit.draw() for _ in steps)])
        if not len(self._draws):
            self._draws = drawn.new_zeros(len(self._rates), drawn.shape[1], device=self._device)
        for place, values in ((self._draws, drawn), (self._rates, rates)):
            place[: self._block].copy_(values.pin_memory() if place.is_cuda else values, non_blocking=True)
        self._position.zero_()

    def _work(self) -> tuple[Tensor, ...]:
        """Take the step whose row is next."""
        fit = self.fit
        drawn, rates = (rows.index_select(0, self._position)[0] for rows in (self._draws, self._rates))
        for index, group in enumerate(fit.optimizer.param_groups):
            if not isinstance(group["lr"], Tensor):
                group["lr"] = torch.zeros((), dtype=self._kind, device=self._device)
            group["lr"].copy_(rates[index])
            if "capturable" in group:  # torch asks for it while it records, and warns of it otherwise
                group["capturable"] = self._device.type == "cuda" and torch.cuda.is_current_stream_capturing()
        self._position += 1
        pixels, images = drawn.split([len(fit.targets.factors), len(drawn) - len(fit.targets.factors)])
        return fit.take(pixels, images.view(fit.images_shape))

    def _prove(self) -> None:
        engine, before = self.fit.engine, self._kept()
        visits = engine.forward_visits, engine.gradient_visits
        expected = [(_cloned(self._work()), self._kept()) for _ in range(_PROOFS)]
        self._put_back(before)
        try:
            replay, outputs = self.record(self._work, self._device)
            self._put_back(before)
            for values, state in expected:
                replay()
                self._compare(outputs, values, before, state)
            self._replay = replay
        except Exception as refused:  # what cannot be recorded, too little memory: the step itself worked
            self.refusal = reason(refused)
        finally:
            self._put_back(before)
            engine.forward_visits, engine.gradient_visits = visits

    def _compare(
        self, outputs: tuple[Tensor, ...], values: list[Tensor], before: dict[str, Tensor], state: dict[str, Tensor]
    ) -> None:
        """Hold what was replayed to what was computed.

        Raises:
            RuntimeError: it is something else.
        """
        errors = {f"value {index}": (pair, TOLERANCE) for index, pair in enumerate(zip(outputs, values, strict=True))}
        for name, now in self._state().items():
            moves = name in ("vectors", "scale")
            pair = (now - before[name], state[name] - before[name]) if moves else (now, state[name])
            errors[name] = pair, _CHANGE if moves else TOLERANCE
        for name, (pair, tolerance) in errors.items():
            error = relative_error(*pair)
            if not error <= tolerance:  # not-a-number is no proof
                raise RuntimeError(f"a replay was off by {error:.1e} ({name})")

    def _state(self) -> dict[str, Tensor]:
        """Return all that a step changes."""
        fit = self.fit
        found = {"vectors": fit.plane.vectors, "scale": fit.plane.scale, "sums": fit.sums, "step": self._position}
        for index, parameter in enumerate(fit.plane.parameters()):
            of_it = fit.optimizer.state.get(parameter, {})
            found |= {f"{name} {index}": value for name, value in of_it.items() if isinstance(value, Tensor)}
        return {name: value.detach() for name, value in found.items()}

    def _kept(self) -> dict[str, Tensor]:
        return {name: value.clone() for name, value in self._state().items()}

    def _put_back(self, before: dict[str, Tensor]) -> None:
        """Take steps back, in place; what an optimizer has made in its first step begins as zeros."""
        for name, value in self._state().items():
            if name in before:
                value.copy_(before[name])
            else:
                value.zero_()


def _cloned(values: tuple[Tensor, ...]) -> list[Tensor]:
    return [value.clone() for value in values]
