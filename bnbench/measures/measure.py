"""What a measure is, and what it is computed from: the pixels of a landscape, or the fitted plane itself."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:  # a report reads measures and loads no torch
    from bnbench.bn_policy import BnPolicy
    from bnbench.mpo.images import Images
    from bnbench.mpo.plane import Plane

Truths = NDArray[np.bool_]
Numbers = NDArray[np.floating[Any]]


@dataclass(frozen=True)
class Pixels:
    """A measured landscape, and which of its pixels count.

    Attributes:
        black: True where black, shape (rows, columns).
        counted: True where a pixel counts, same shape: everywhere, or where it was trained.
        loss: mean cross-entropy in nats, same shape.
        accuracy: share of images classified right, in [0, 1], same shape.
        threshold: the protocol's loss from which a white pixel is left alone, nats.
    """

    black: Truths
    counted: Truths
    loss: Numbers
    accuracy: Numbers
    threshold: float

    @property
    def counted_black(self) -> Truths:
        """Return the black pixels that count."""
        return self.black & self.counted

    @property
    def counted_white(self) -> Truths:
        """Return the white pixels that count."""
        return ~self.black & self.counted


@dataclass(frozen=True)
class FittedPlane:
    """A plane at the end of its fit, with the images that it is measured on.

    Attributes:
        plane: the fitted plane, on its own device.
        pixels: its landscape on ``measured`` under ``policy``; all pixels count.
        trained: True where a pixel was trained, shape (rows, columns).
        measured: the images that the protocol measures on.
        train: the training images, for BN statistics that are estimated beforehand.
        policy: BN statistics; ``NO_BN`` for networks without BN.
        origin: where (α, β) = (0, 0) lies, ``centre``, ``corner`` or ``middle-pixel``.
    """

    plane: Plane
    pixels: Pixels
    trained: Truths
    measured: Images
    train: Images
    policy: BnPolicy
    origin: str


@dataclass(frozen=True)
class Measure:
    """A number for each fit: the only place that says what it is called, what it means and how it is computed.

    Attributes:
        name: its column in summaries and tables.
        title: what it is, in a few words.
        unit: what it is counted in, such as ``nats``; empty for a share.
        low: its least possible value.
        high: its greatest possible value.
        better: ``higher`` or ``lower``, whichever a better bent landscape has; empty where neither is better.
        of_pixels: computes it from a landscape. It is stored with every fit, for all pixels and for trained ones, and
            is computed from the stored pixels for fits that are older than the measure.
        of_plane: computes it from the fitted plane, once, at the end of the fit. Fits that are older lack it.
        of_kept_planes: whether it is computed only for fits that keep their plane, since it takes long.
        trained_column: whether the table of fits also has it over trained pixels alone.
        trained_title: what it is over trained pixels alone, where the arms are also compared in that; else empty. It
            needs ``trained_column``.

    Raises:
        ValueError: not exactly one of ``of_pixels`` and ``of_plane`` is given, there is a ``trained_title`` without
            ``trained_column``, or ``of_kept_planes`` without ``of_plane``.
    """

    name: str
    title: str
    unit: str = ""
    low: float = -math.inf
    high: float = math.inf
    better: str = ""
    of_pixels: Callable[[Pixels], float] | None = None
    of_plane: Callable[[FittedPlane], float] | None = None
    of_kept_planes: bool = False
    trained_column: bool = False
    trained_title: str = ""

    def __post_init__(self) -> None:
        if (self.of_pixels is None) == (self.of_plane is None):
            raise ValueError(f"the measure {self.name} is computed from pixels or from a plane: give one function.")
        if self.of_kept_planes and self.of_plane is None:
            raise ValueError(f"the measure {self.name} is of kept planes: give of_plane.")
        if self.trained_title and not self.trained_column:
            raise ValueError(f"the measure {self.name} has a trained_title: give trained_column=True as well.")

    @property
    def columns(self) -> dict[str, str]:
        """Return the measure's columns in the table of fits in which arms are compared, with their titles."""
        trained = {f"{self.name}_trained": self.trained_title} if self.trained_title else {}
        return {self.name: self.title, **trained}


def stored_mean(values: Numbers, chosen: Truths) -> float:
    """Return the mean as PyTorch sums it, for the five measures that every fit has stored; a later one uses NumPy.

    NumPy adds in another order, which would move the last bits of what is stored. Where no value is chosen, the mean
    is not a number.
    """
    import torch  # whoever computes a summary has loaded it, and a report computes none of these

    return float(torch.from_numpy(values)[torch.from_numpy(chosen)].mean())
