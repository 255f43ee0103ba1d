"""Random slices through a loss, filter-normalized (Li, Xu, Taylor, Studer & Goldstein 2018, arXiv 1712.09913).

Letters: n weights, d directions.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from bnbench.smoothness.minibatch_loss import Loss, filter_norms

RADIUS = 0.1
DIRECTIONS = 10
_STEPS_TO_RADIUS = 4


def filter_normalized_directions(module: nn.Module, weights: Tensor, count: int, generator: torch.Generator) -> Tensor:
    """Draw random directions of which every filter is as long as that of the weights: d_f ← d_f ‖w_f‖ / ‖d_f‖.

    Entries are drawn from the standard normal distribution; those of biases and other one-dimensional parameters
    are 0, see :func:`bnbench.smoothness.minibatch_loss.filter_norms`.

    Args:
        module: the network; only its parameters' shapes are used.
        weights: its weights, shape (n,).
        count: how many.
        generator: on the CPU.

    Returns:
        Shape (d, n).
    """
    norms = filter_norms(module, weights)
    found = []
    for _ in range(count):
        drawn = torch.randn(weights.shape, generator=generator, dtype=weights.dtype)
        own = filter_norms(module, drawn)
        found.append(torch.where(own > 0, drawn * norms / own, 0))
    return torch.stack(found)


@torch.no_grad()
def slice_losses(loss: Loss, weights: Tensor, directions: Tensor, steps: Sequence[float]) -> Tensor:
    """Return the losses L(w + t d) along directions.

    Args:
        loss: of one minibatch, or of several.
        weights: w, shape (n,).
        directions: shape (d, n).
        steps: t.

    Returns:
        Nats, shape (d, steps).
    """
    rows = [torch.stack([loss(weights + step * direction) for step in steps]) for direction in directions]
    return torch.stack(rows)


def sharpness(loss: Loss, weights: Tensor, directions: Tensor, radius: float = RADIUS) -> float:
    """Return how far the loss rises within a relative radius, along directions and against them, nats.

    It is the mean over the directions d of max L(w + t d) − L(w), t = 0, ±¼ϱ, ±½ϱ, ±¾ϱ, ±ϱ: with filter-normalized
    directions every filter moves by up to ϱ of its length. Random directions say what happens to most of the n
    dimensions, not to the steepest of them.

    Args:
        loss: of one minibatch, or of several.
        weights: w, shape (n,).
        directions: shape (d, n).
        radius: ϱ.
    """
    steps = [radius * step / _STEPS_TO_RADIUS for step in range(-_STEPS_TO_RADIUS, _STEPS_TO_RADIUS + 1)]
    losses = slice_losses(loss, weights, directions, steps)  # (d, 9), the start in the middle
    return float((losses.amax(1) - losses[:, _STEPS_TO_RADIUS]).mean())
