"""How networks and pixels are measured for their smoothness, beside the protocol that they follow."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class SmoothnessSettings:
    """How networks are trained and measured, beside the protocol that they follow.

    Attributes:
        steps: of training.
        batch: images of a training minibatch, and of one that is measured.
        minibatches: how many are measured: the first training images, the same for all networks.
        points: steps measured beside the initial weights, spaced by the logarithm from a hundredth of the steps on.
        probes: random vectors of a trace.
        tolerance: relative accuracy of an eigenvalue.
    """

    steps: int = 600
    batch: int = 64
    minibatches: int = 4
    points: int = 4
    probes: int = 30
    tolerance: float = 1e-3


@dataclass(frozen=True)
class PlaneSettings:
    """How black pixels of fitted planes are measured.

    Attributes:
        batch: images of a minibatch.
        minibatches: how many are measured: the first training images, as for ordinary networks.
        pixels: trained black pixels of a plane, drawn by p and seed, the same for all arms; all where there are fewer.
        probes: random vectors of a trace.
        tolerance: relative accuracy of an eigenvalue.
    """

    batch: int = 64
    minibatches: int = 4
    pixels: int = 3
    probes: int = 30
    tolerance: float = 1e-3
