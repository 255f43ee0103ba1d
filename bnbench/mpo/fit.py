"""The training loop: bend a plane's landscape to a picture.

Letters: P pixels of a step, B images that a pixel sees, n weights, d directions.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor

from bnbench.mpo.gradient import CHUNK, ObjectiveGradient
from bnbench.mpo.images import Images, check_outputs
from bnbench.mpo.objective import colour_targets, is_clamped
from bnbench.mpo.optimizers import build_optimizer
from bnbench.mpo.plane import Plane, check_masks, grid_coordinates
from bnbench.mpo.sampling import Cycle
from bnbench.mpo.training import Training, TrainingSettings

# A forward pass alone costs 0.35 (plain) to 0.42 (bn) of forward and backward: from this share of
# clamped white pixels on it pays to find them first.
_FIND_FROM = 0.4
_SMOOTHING = 0.1  # how much a step counts in the running mean of that share


# What a row holds the means of.
_SUMMED = ("black_loss", "white_loss", "black_accuracy", "white_accuracy", "clamped", "gradient_norm")


class DivergedError(RuntimeError):
    """A loss or gradient stopped being a finite number."""


class TraceRow(NamedTuple):
    """Means over the steps since the last row; accuracies and shares in [0, 1], losses in nats.

    ``clamped`` is the share of white pixels whose loss has reached the threshold, where they have no gradient.
    ``step``, ``scale`` and ``learning_rate`` are those of the last of these steps, no means.
    """

    step: int
    black_loss: float
    white_loss: float
    black_accuracy: float
    white_accuracy: float
    clamped: float
    gradient_norm: float
    scale: float
    learning_rate: float


class Fit:
    """One fit under way: everything that its next step depends on.

    Args:
        plane: trained in place, on its own device.
        black: True where black, bool, with an axis for each direction of the plane: (rows, columns) for two.
        trained: True where trained, same shape.
        data: training images, on the plane's device and of its dtype.
        training: objective and optimization.
        origin: where (α, β, …) = 0 lies, ``centre``, ``corner`` or ``middle-pixel``.
        pixels: generator of the pixels' order, on the CPU; by default a new one with seed 0.
        images: generator of the images' order, on the CPU; by default a new one with seed 1.
        chunk: pixels computed at once.

    Raises:
        ValueError: masks that do not fit each other or the plane, or lack a trained pixel of either colour.
    """

    def __init__(
        self,
        plane: Plane,
        black: Tensor,
        trained: Tensor,
        data: Images,
        training: TrainingSettings,
        *,
        origin: str = "centre",
        pixels: torch.Generator | None = None,
        images: torch.Generator | None = None,
        chunk: int = CHUNK,
    ) -> None:
        black, trained = torch.as_tensor(black), torch.as_tensor(trained)
        check_masks(plane, black, trained)
        data = data.beside(plane.vectors)
        check_outputs(plane.module, data)
        self.plane, self.training = plane, training
        device = plane.vectors.device
        self.coordinates = grid_coordinates(black.shape, origin).to(device, plane.vectors.dtype)  # (pixels, d)
        self.engine = ObjectiveGradient(plane, data, self.coordinates, training.threshold, chunk, training.precision)
        self.black_pixels = (black & trained).flatten().nonzero().squeeze(1).cpu()
        self.white_pixels = (~black & trained).flatten().nonzero().squeeze(1).cpu()
        pixels = pixels or torch.Generator().manual_seed(0)
        self.black_cycle = Cycle(len(self.black_pixels), pixels)
        self.white_cycle = Cycle(len(self.white_pixels), pixels)
        self.black_count = min(training.black_pixels, self.black_cycle.count)
        self.white_count = min(training.white_pixels, self.white_cycle.count)
        is_black = torch.arange(self.black_count + self.white_count) < self.black_count
        self.targets = colour_targets(is_black).to(device)  # of each step's pixels: black ones come first
        self.image_cycle = Cycle(len(data), images or torch.Generator().manual_seed(1))
        self.rates = (training.learning_rate, training.learning_rate * training.scale_rate)
        groups = [{"params": [plane.vectors]}, {"params": [plane.scale]}]
        self.optimizer = build_optimizer(training.optimizer, groups, training.learning_rate)
        self.step = 0
        self.clamped_share = 0.0
        self.sums = torch.zeros(len(_SUMMED), dtype=torch.float64, device=device)
        self.rows: list[TraceRow] = []

    @property
    def is_done(self) -> bool:
        """Whether all steps were taken."""
        return self.step >= self.training.steps

    def advance(self) -> None:
        """Take one step of the optimizer on eq. 3."""
        self._set_learning_rate()
        pixels = self._draw_pixels()
        images = self._draw_images(len(pixels))
        frame = self.plane.frame()  # (1 + d, n)
        finds = self.clamped_share > _FIND_FROM and not frame.is_cuda
        step = frame.detach(), pixels, self.targets, images
        gradient, losses, accuracies = self.engine.step(*step, find_clamped=finds)
        self.optimizer.zero_grad()
        torch.autograd.backward(frame, gradient)
        norm = torch.nn.utils.clip_grad_norm_(self.plane.parameters(), self.training.clip)
        self.optimizer.step()
        self.step += 1
        self._record(losses, accuracies, norm)

    def _set_learning_rate(self) -> None:
        factor = 1.0
        if self.training.schedule == "cosine":
            factor = 0.5 + 0.5 * math.cos(math.pi * self.step / self.training.steps)
        for group, rate in zip(self.optimizer.param_groups, self.rates, strict=True):
            group["lr"] = rate * factor

    def _draw_pixels(self) -> Tensor:
        """Draw the pixels of this step, black ones first, shape (P,)."""
        black = self.black_pixels[self.black_cycle.draw(self.black_count)]
        white = self.white_pixels[self.white_cycle.draw(self.white_count)]
        return torch.cat([black, white]).to(self.coordinates.device)

    def _draw_images(self, pixels: int) -> Tensor:
        """Images of this step: one shared minibatch (B,), or one for each pixel (P, B)."""
        count = self.training.images
        if self.training.minibatch == "shared":
            return self.image_cycle.draw(count).to(self.coordinates.device)
        return self.image_cycle.draw(pixels * count).view(pixels, count).to(self.coordinates.device)

    def _record(self, losses: Tensor, accuracies: Tensor, norm: Tensor) -> None:
        """Add a step to the means of a row; black pixels come first, so that no mask makes a GPU wait."""
        colours = slice(None, self.black_count), slice(self.black_count, None)
        clamped = is_clamped(losses, self.targets, self.training.threshold)[colours[1]].double().mean()
        if not self.sums.is_cuda:
            self.clamped_share += _SMOOTHING * (float(clamped) - self.clamped_share)
        means = [values[colour].double().mean() for values in (losses, accuracies) for colour in colours]
        self.sums += torch.stack([*means, clamped, norm.double()])
        every = max(1, self.training.steps // 100)
        if self.step % every == 0 or self.is_done:
            self._close_row(self.step - (self.rows[-1].step if self.rows else 0))

    def _close_row(self, steps: int) -> None:
        means = (self.sums / steps).tolist()
        self.sums.zero_()
        scale = self.plane.scale.item()
        if not all(map(math.isfinite, (*means, scale))):
            raise DivergedError(
                f"the loss or its gradient was not a finite number at step {self.step}; try a lower learning rate."
            )
        self.rows.append(TraceRow._make((self.step, *means, scale, self.optimizer.param_groups[0]["lr"])))

    def state_dict(self) -> dict[str, Any]:
        """Return everything that :meth:`load_state_dict` needs to go on bit for bit."""
        cycles = (self.black_cycle, self.white_cycle, self.image_cycle)
        return {
            "plane": self.plane.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "cycles": [cycle.state_dict() for cycle in cycles],
            "step": self.step,
            "clamped_share": self.clamped_share,
            "sums": self.sums,
            "rows": [tuple(row) for row in self.rows],
            "visits": (self.engine.forward_visits, self.engine.gradient_visits),
            "kernels": self.engine.strategy.name if self.engine.strategy else "",
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from where :meth:`state_dict` was taken."""
        self.plane.load_state_dict(state["plane"])
        self.optimizer.load_state_dict(state["optimizer"])
        cycles = (self.black_cycle, self.white_cycle, self.image_cycle)
        for cycle, stored in zip(cycles, state["cycles"], strict=True):
            cycle.load_state_dict(stored)
        self.step, self.clamped_share = state["step"], state["clamped_share"]
        self.sums.copy_(state["sums"])
        self.rows = [TraceRow(*row) for row in state["rows"]]
        self.engine.forward_visits, self.engine.gradient_visits = state["visits"]
        self.engine.keep(state.get("kernels", ""))  # a processor's fit has none, nor has one of an earlier version


def fit(
    plane: Plane,
    black: Tensor,
    trained: Tensor,
    data: Images,
    training: TrainingSettings | None = None,
    *,
    origin: str = "centre",
    pixels: torch.Generator | None = None,
    images: torch.Generator | None = None,
    chunk: int = CHUNK,
    on_row: Callable[[TraceRow], None] | None = None,
) -> list[TraceRow]:
    """Train a plane in place until its landscape shows the picture, as far as it can.

    Args:
        plane: trained in place, on its own device.
        black: True where black, bool, with an axis for each direction of the plane: (rows, columns) for two.
        trained: True where trained, same shape.
        data: training images, pixels (N, C, H, W) and labels (N,), on the plane's device and of its dtype.
        training: objective and optimization; by default those of ``compact``.
        origin: where (α, β, …) = 0 lies, ``centre``, ``corner`` or ``middle-pixel``.
        pixels: generator of the pixels' order, on the CPU; by default a new one with seed 0.
        images: generator of the images' order, on the CPU; by default a new one with seed 1.
        chunk: pixels computed at once.
        on_row: called with each row of the trace.

    Returns:
        The training trace, about 100 rows.

    Raises:
        DivergedError: a loss or gradient stopped being finite.
        ValueError: masks that do not fit each other or the plane, or lack a trained pixel of either colour.
    """
    under_way = Fit(
        plane, black, trained, data, training or Training(), origin=origin, pixels=pixels, images=images, chunk=chunk
    )
    while not under_way.is_done:
        rows = len(under_way.rows)
        under_way.advance()
        if on_row and len(under_way.rows) > rows:
            on_row(under_way.rows[-1])
    return under_way.rows
