"""The objective, eq. 3 of the paper: low loss at black pixels, high loss at white ones."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor


class Targets(NamedTuple):
    """What eq. 3 asks of each of P pixels.

    Attributes:
        factors: what a pixel's loss is multiplied by, float64, shape (P,).
        has_threshold: whether its loss counts up to the threshold only, bool, shape (P,).
    """

    factors: Tensor
    has_threshold: Tensor

    def part(self, pixels: Tensor) -> Targets:
        """Return those of some of the pixels, with the factors that they have among all."""
        return Targets(self.factors[pixels], self.has_threshold[pixels])

    def to(self, device: torch.device) -> Targets:
        """Return the same on a device."""
        return Targets(self.factors.to(device), self.has_threshold.to(device))


def colour_targets(black: Tensor) -> Targets:
    """Return the targets of the two colours of eq. 3.

    A black pixel has the factor 1 / #black and no threshold, a white one the factor −1 / #white and the threshold.

    Args:
        black: True where black, shape (P,).
    """
    return Targets(1 / torch.where(black, black.sum(), -(~black).sum()).double(), ~black)


def objective(losses: Tensor, black: Tensor, threshold: float) -> Tensor:
    """Return the mean loss over black pixels minus the mean of min(loss, threshold) over white ones.

    Args:
        losses: mean cross-entropy of each pixel's minibatch, shape (P,), nats.
        black: True where black, shape (P,).
        threshold: white pixels above it contribute a constant: exactly no gradient.

    Returns:
        The value to minimize, a scalar. A colour with no pixel contributes 0.

    Raises:
        ValueError: colours that are no truth values, or not one for each loss.
    """
    if black.dtype != torch.bool or black.shape != losses.shape:
        raise ValueError(
            f"losses {tuple(losses.shape)} and black {tuple(black.shape)} {black.dtype}: give a truth value for each."
        )
    return weighted_objective(losses, colour_targets(black), threshold)


def weighted_objective(losses: Tensor, targets: Targets, threshold: float) -> Tensor:
    """Return the part of eq. 3 that some of a step's pixels contribute; the parts of chunks add up.

    Args:
        losses: mean cross-entropy of each pixel's minibatch, shape (P,), nats.
        targets: of those pixels, with their factors among all pixels of the step.
        threshold: pixels that have one contribute a constant above it.
    """
    counted = torch.where(targets.has_threshold, losses.clamp(max=threshold), losses)
    return (targets.factors.to(losses) * counted).sum()


def is_clamped(losses: Tensor, targets: Targets, threshold: float) -> Tensor:
    """Return which pixels have reached the threshold that they have: they have no gradient, shape (P,)."""
    return targets.has_threshold & (losses >= threshold)
