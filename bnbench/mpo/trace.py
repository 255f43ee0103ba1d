"""What a fit tells of its steps: means of losses, accuracies and the gradient's norm."""

from __future__ import annotations

import math
from typing import NamedTuple

from torch import Tensor

from bnbench.mpo.objective import Targets, is_clamped

# What a row holds the means of.
SUMMED = ("black_loss", "white_loss", "black_accuracy", "white_accuracy", "clamped", "gradient_norm")


class DivergedError(RuntimeError):
    """A loss or gradient stopped being a finite number."""


class TraceRow(NamedTuple):
    """Means over the steps since the last row; accuracies and shares in [0, 1], losses in nats.

    ``clamped`` is the share of the sampled white pixels whose minibatch loss has reached the threshold, where they have
    no gradient. ``gradient_norm`` is that before clipping. ``step``, ``scale``, which is the plane's s, and
    ``learning_rate`` are those of the last of these steps, no means.
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


def step_means(
    losses: Tensor, accuracies: Tensor, targets: Targets, threshold: float, black: int
) -> tuple[Tensor, ...]:
    """Return a step's mean losses and accuracies of both colours and the share of clamped white pixels, float64.

    Args:
        losses: of each pixel, shape (P,), nats.
        accuracies: of each pixel, shape (P,).
        targets: of the pixels.
        threshold: white pixels above it are clamped, nats.
        black: the number of black pixels, which come first, so that no mask makes a GPU wait.
    """
    colours = slice(None, black), slice(black, None)
    means = [values[colour].double().mean() for values in (losses, accuracies) for colour in colours]
    return *means, is_clamped(losses, targets, threshold)[colours[1]].double().mean()


def finite_row(values: tuple[float, ...]) -> TraceRow:
    """Return a row of the trace.

    Args:
        values: in the order of a row.

    Raises:
        DivergedError: one of them is not finite.
    """
    row = TraceRow._make(values)
    if not all(map(math.isfinite, values)):
        raise DivergedError(
            f"the loss or its gradient was not a finite number at step {row.step}; try a lower learning rate."
        )
    return row
