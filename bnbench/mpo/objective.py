"""The objective, eq. 3 of the paper: low loss at black pixels, high loss at white ones."""

from __future__ import annotations

import torch
from torch import Tensor


def objective(losses: Tensor, black: Tensor, threshold: float) -> Tensor:
    """Mean loss over black pixels minus the mean of min(loss, threshold) over white ones.

    Args:
        losses: mean cross-entropy of each pixel's minibatch, shape (P,), nats.
        black: True where black, shape (P,).
        threshold: white pixels above it contribute a constant: exactly no gradient.

    Returns:
        The value to minimize, a scalar. A colour with no pixel contributes 0.
    """
    return weighted_objective(losses, objective_weights(black), threshold)


def objective_weights(black: Tensor) -> Tensor:
    """Each pixel's weight in eq. 3: 1 / #black where black, −1 / #white where white, float64 (P,)."""
    return 1 / torch.where(black, black.sum(), -(~black).sum()).double()


def weighted_objective(losses: Tensor, weights: Tensor, threshold: float) -> Tensor:
    """The part of eq. 3 that some of a step's pixels contribute; the parts of chunks add up.

    Args:
        losses: mean cross-entropy of each pixel's minibatch, shape (P,), nats.
        weights: those pixels' entries of :func:`objective_weights`, shape (P,).
        threshold: white pixels above it contribute a constant.
    """
    clamped = torch.where(weights > 0, losses, losses.clamp(max=threshold))
    return (weights.to(losses) * clamped).sum()


def is_clamped(losses: Tensor, weights: Tensor, threshold: float) -> Tensor:
    """White pixels whose loss has reached the threshold: they have no gradient, shape (P,)."""
    return (weights < 0) & (losses >= threshold)
