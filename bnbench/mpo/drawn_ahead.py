"""What a fit's next steps draw, and their learning rates, on its device: a recording reads the row of its own step.

Letters: P pixels of a step.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

if TYPE_CHECKING:
    from bnbench.mpo.fit import Fit

BLOCK = 100  # steps whose draws go to the device at once
_SPARE = 4  # rows of zeros after a block, for whoever records calls the step some times more


class DrawnAhead:
    """Holds the draws and the learning rates of a fit's next steps, and counts on by itself from row to row.

    Args:
        fit: whose steps.

    Attributes:
        position: the row that is next, int64, shape (1,), on the device.
    """

    def __init__(self, fit: Fit) -> None:
        self.fit, self._device = fit, fit.sums.device
        # A GPU's fused optimizer reads its rate as float32; a processor's as a Python number would be.
        self._kind = torch.float32 if self._device.type == "cuda" else torch.float64
        self.position = torch.zeros(1, dtype=torch.int64, device=self._device)
        self._draws = torch.zeros(0)  # (BLOCK + _SPARE, P + images) once there are any
        self._rates = torch.zeros(BLOCK + _SPARE, len(fit.rates), dtype=self._kind, device=self._device)
        self._begun: list[dict[str, object]] = []  # the fit's cycles before the block was drawn

    def begin(self) -> None:
        """Remember what the fit has drawn, before a block of draws."""
        self._begun = [cycle.state_dict() for cycle in self.fit.cycles]

    def upload(self, count: int) -> None:
        """Draw the next steps, so many, and bring them to the device without waiting for it."""
        fit = self.fit
        steps = range(fit.step, fit.step + count)
        rates = torch.tensor([fit.rates_at(step) for step in steps], dtype=self._kind)
        drawn = torch.stack([torch.cat([pixels, images.flatten()]) for pixels, images in (fit.draw() for _ in steps)])
        if not len(self._draws):
            self._draws = drawn.new_zeros(len(self._rates), drawn.shape[1], device=self._device)
        for place, values in ((self._draws, drawn), (self._rates, rates)):
            place[:count].copy_(values.pin_memory() if place.is_cuda else values, non_blocking=True)
        self.position.zero_()

    def take_next(self) -> tuple[Tensor, Tensor]:
        """Give the optimizer the rates of the row that is next, and return its pixels and images."""
        fit = self.fit
        drawn, rates = (rows.index_select(0, self.position)[0] for rows in (self._draws, self._rates))
        for index, group in enumerate(fit.optimizer.param_groups):
            if not isinstance(group["lr"], Tensor):
                group["lr"] = torch.zeros((), dtype=self._kind, device=self._device)
            group["lr"].copy_(rates[index])
            if "capturable" in group:  # torch asks for it while it records, and warns of it otherwise
                group["capturable"] = self._device.type == "cuda" and torch.cuda.is_current_stream_capturing()
        self.position += 1
        pixels, images = drawn.split([len(fit.targets.factors), len(drawn) - len(fit.targets.factors)])
        return pixels, images.view(fit.images_shape)

    def put_back(self, taken: int) -> None:
        """Put the fit's draws back to what they are after so many steps of the block."""
        for cycle, begun in zip(self.fit.cycles, self._begun, strict=True):
            cycle.load_state_dict(begun)
        for _ in range(taken):
            self.fit.draw()
