"""A whole step as one recording, of a fit or of several: between two looks at the clock the processor only launches it.

What the next hundred steps draw, and their learning rates, lie on the device (:mod:`bnbench.mpo.drawn_ahead`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from bnbench.mpo.cuda_graph import Recording, Work
from bnbench.mpo.drawn_ahead import BLOCK, DrawnAhead
from bnbench.mpo.optimizers import end_recording
from bnbench.mpo.replayed import TOLERANCE, reason, relative_error
from bnbench.mpo.together import take_together

if TYPE_CHECKING:
    from bnbench.mpo.fit import Fit

Recorder = Callable[[Work, torch.device], Recording]

_PROOFS = 2  # steps that are computed and replayed: a recording that holds the draws of one fails at the other
_CHANGE = 0.1  # Adam moves a weight by its whole rate even where its gradient is nothing but rounding


class WholeStep:
    """Takes the steps of a fit, or of several as one batch, by a recording of one of them, once that has proved equal.

    A fit's every step comes from the recording, the first one too: so a fit that goes on from a checkpoint computes
    what it would have computed without the stop. The proof: two steps are computed, of each fit alone, taken back,
    replayed and taken back. Their gradients, losses, accuracies, moments and sums must agree within 1e-3, and the
    planes' own changes within a tenth.

    Args:
        fits: whose steps; several are alike (:mod:`bnbench.mpo.together`).
        record: see :func:`~bnbench.mpo.cuda_graph.record_graph`.
        width: fits that the batch has room for; at least as many as there are.

    Attributes:
        refusal: why steps are computed one by one; empty while nothing speaks against a recording.
    """

    def __init__(self, fits: Sequence[Fit], record: Recorder, width: int = 1) -> None:
        self.fits, self.record, self.width, self.refusal = tuple(fits), record, max(width, len(fits)), ""
        self._device = fits[0].sums.device
        self._ahead = [DrawnAhead(fit) for fit in fits]
        self._block = self._left = 0
        self._replay: Callable[[], object] | None = None

    def advance(self) -> bool:
        """Take one step, and return whether it was taken: fits whose steps cannot be recorded are left as they were."""
        if self.refusal:
            return False
        if not self._left:
            self._draw_ahead()
        if self._replay is None and not self.refusal:
            self._prove()
        if self._replay is None or self.refusal:
            self._replay = None
            self.put_draws_back()
            for fit in self.fits:
                end_recording(fit.optimizer)
            return False
        for fit in self.fits:
            fit.note_width(self.width)
        visits = self._visits_after(1)
        self._replay()
        self._set_visits(visits)  # a replay runs no Python, so that nothing else has counted them
        self._left -= 1
        return True

    def _draw_ahead(self) -> None:
        try:
            for ahead in self._ahead:
                ahead.begin()
            self._block = self._left = max(1, min(BLOCK, *(fit.training.steps - fit.step for fit in self.fits)))
            for ahead in self._ahead:
                ahead.upload(self._block)
        except Exception as refused:  # no memory to pin: each fit draws for itself
            self.refusal = reason(refused)

    def put_draws_back(self) -> None:
        """Put each fit's draws back to the step that it is at: what was drawn ahead is drawn again."""
        if self._left:
            for ahead in self._ahead:
                ahead.put_back(self._block - self._left)
            self._left = 0

    def _visits_after(self, steps: int) -> list[tuple[int, int]]:
        """Return each fit's visits, of forward passes and of gradients, after so many more steps."""
        seen = [steps * len(fit.targets.factors) * fit.images_shape[-1] for fit in self.fits]
        engines = [fit.engine for fit in self.fits]
        return [(one.forward_visits, one.gradient_visits + more) for one, more in zip(engines, seen, strict=True)]

    def _set_visits(self, visits: list[tuple[int, int]]) -> None:
        for fit, own in zip(self.fits, visits, strict=True):
            fit.engine.forward_visits, fit.engine.gradient_visits = own

    def _apart(self) -> tuple[Tensor, ...]:
        """Take the step whose row is next, one fit after another."""
        drawn = [ahead.take_next() for ahead in self._ahead]
        taken = [fit.take(*own) for fit, own in zip(self.fits, drawn, strict=True)]
        return tuple(value for values in taken for value in values)

    def _together(self) -> tuple[Tensor, ...]:
        """Take the step whose row is next, all fits as one batch."""
        return take_together(self.fits, [ahead.take_next() for ahead in self._ahead], self.width)

    def _prove(self) -> None:
        visits, before = self._visits_after(0), self._kept()
        try:
            expected = [(_cloned(self._apart()), self._kept()) for _ in range(_PROOFS)]
            self._put_back(before)
            replay, outputs = self.record(self._apart if self.width == 1 else self._together, self._device)
            self._put_back(before)
            for values, state in expected:
                replay()
                self._compare(outputs, values, before, state)
            self._replay = replay
        except Exception as refused:  # no recording, too little memory; a step that fails does so again, alone
            self.refusal = reason(refused)
        finally:
            self._put_back(before)
            self._set_visits(visits)

    def _compare(
        self, outputs: tuple[Tensor, ...], values: list[Tensor], before: dict[str, Tensor], state: dict[str, Tensor]
    ) -> None:
        """Hold what was replayed to what was computed.

        Raises:
            RuntimeError: it is something else.
        """
        errors = {f"value {index}": (pair, TOLERANCE) for index, pair in enumerate(zip(outputs, values, strict=True))}
        for name, now in self._state().items():
            moves = name.endswith(("vectors", "scale"))
            pair = (now - before[name], state[name] - before[name]) if moves else (now, state[name])
            errors[name] = pair, _CHANGE if moves else TOLERANCE
        for name, (pair, tolerance) in errors.items():
            error = relative_error(*pair)
            if not error <= tolerance:  # not-a-number is no proof
                raise RuntimeError(f"a replay was off by {error:.1e} ({name})")

    def _state(self) -> dict[str, Tensor]:
        """Return all that a step changes."""
        found: dict[str, Tensor] = {}
        for number, (fit, ahead) in enumerate(zip(self.fits, self._ahead, strict=True)):
            own = {"vectors": fit.plane.vectors, "scale": fit.plane.scale, "sums": fit.sums, "step": ahead.position}
            for index, parameter in enumerate(fit.plane.parameters()):
                of_it = fit.optimizer.state.get(parameter, {})
                own |= {f"{name} {index}": value for name, value in of_it.items() if isinstance(value, Tensor)}
            found |= {f"fit {number}: {name}": value.detach() for name, value in own.items()}
        return found

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
