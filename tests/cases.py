"""The table of cases that fast paths and their slow twins must agree on."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from bnbench.arms.own_arm import load_arm
from bnbench.inputs.data import Images
from bnbench.mpo.plane import Plane
from bnbench.protocol.sections import NetworkProtocol

IMAGE_SHAPE = (1, 6, 6)
CLASSES = 4
NETWORKS = {
    "strided": NetworkProtocol(widths=(2, 2, 3), strides=(1, 2, 1), hidden=5),
    "pooled": NetworkProtocol(widths=(2, 2, 4, 4), strides=(1, 1, 1, 1), map_size=3, hidden=5, gain=1.0),
}
FOREIGN = "tests.foreign_arms:layer_norm"
ARMS = ("plain", "bn", "skip", FOREIGN)


def make_plane(
    arm: str,
    network: str = "strided",
    seed: int = 0,
    directions: int = 2,
    scale: float = 0.1,
    *,
    from_origin: bool = False,
) -> Plane:
    factory: Callable[[], nn.Module] = load_arm(arm, IMAGE_SHAPE, CLASSES, NETWORKS[network])
    generator = torch.Generator().manual_seed(seed)
    plane = Plane.from_factory(factory, generator, directions=directions, scale=scale, from_origin=from_origin)
    return plane.double()


def make_images(count: int = 40, seed: int = 0) -> Images:
    """Noisy copies of one picture per class, so that there is something to learn."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.randint(CLASSES, (count,), generator=generator)
    pictures = torch.randn(CLASSES, *IMAGE_SHAPE, generator=generator, dtype=torch.float64)
    noise = torch.randn(count, *IMAGE_SHAPE, generator=generator, dtype=torch.float64)
    return Images(pictures[labels] + noise / 2, labels)


def make_mask(rows: int = 4, columns: int = 5, seed: int = 0) -> Tensor:
    mask = torch.rand(rows, columns, generator=torch.Generator().manual_seed(seed)) < 0.5
    mask[0, 0], mask[-1, -1] = True, False
    return mask
