"""The objective, eq. 3 of the paper: low loss at black pixels, high loss at white ones.

A pixel's colour is a target: which way its loss should go, and how much it counts.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor


class Targets(NamedTuple):
    """What a step asks of each of its P pixels.

    Attributes:
        low: True where the loss should be low (black), False where it should be high (white), bool, shape (P,).
        weight: how much the pixel counts, positive, float64, shape (P,).
    """

    low: Tensor
    weight: Tensor

    def part(self, pixels: Tensor) -> Targets:
        """Return the targets of some of the pixels."""
        return Targets(self.low[pixels], self.weight[pixels])

    def to(self, device: torch.device) -> Targets:
        """Return the targets on a device."""
        return Targets(self.low.to(device), self.weight.to(device))


def targets_of(black: Tensor) -> Targets:
    """Return eq. 3's targets: 1 / #black where black, 1 / #white where white; ``black`` is bool, shape (P,)."""
    return Targets(black, 1 / torch.where(black, black.sum(), (~black).sum()).double())


def objective(losses: Tensor, black: Tensor, threshold: float) -> Tensor:
    """Return the mean loss over black pixels minus the mean of min(loss, threshold) over white ones.

    Args:
        losses: mean cross-entropy of each pixel's minibatch, shape (P,), nats.
        black: True where black, shape (P,).
        threshold: white pixels above it contribute a constant: exactly no gradient.

    Returns:
        The value to minimize, a scalar. A colour with no pixel contributes 0.
    """
    return weighted_objective(losses, targets_of(black), threshold)


def weighted_objective(losses: Tensor, targets: Targets, threshold: float) -> Tensor:
    """Return the part of eq. 3 that some of a step's pixels contribute; the parts of chunks add up.

    Args:
        losses: mean cross-entropy of each pixel's minibatch, shape (P,), nats.
        targets: those pixels' part of the step's targets.
        threshold: pixels whose loss should be high contribute a constant above it.
    """
    clamped = torch.where(targets.low, losses, losses.clamp(max=threshold))
    signed = torch.where(targets.low, targets.weight, -targets.weight)
    return (signed.to(losses) * clamped).sum()


def is_clamped(losses: Tensor, low: Tensor, threshold: float) -> Tensor:
    """Return which pixels should have a high loss and have reached the threshold: they have no gradient, shape (P,)."""
    return ~low & (losses >= threshold)
