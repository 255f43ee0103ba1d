"""A cost model: how much arithmetic a network's step is."""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F

from bnbench.mpo.plane import Plane


class Flops(NamedTuple):
    """Floating-point operations for one image at one pixel; matrix products and convolutions alone."""

    forward: float
    gradient: float


def count_flops(plane: Plane, image_shape: tuple[int, int, int]) -> Flops:
    """Count a network's operations, forward alone and forward with backward, by torch's own counter."""
    from torch.utils.flop_counter import FlopCounterMode  # a tenth of a second that a plan need not wait for

    module, images = plane.module, 2
    pixels = torch.zeros(images, *image_shape, dtype=plane.vectors.dtype, device=plane.vectors.device)
    counts: list[float] = []
    for backward in (False, True):
        with FlopCounterMode(display=False) as counter:
            loss = F.cross_entropy(module(pixels), torch.zeros(images, dtype=torch.int64, device=pixels.device))
            if backward:
                torch.autograd.backward(loss)
        module.zero_grad(set_to_none=True)
        counts.append(counter.get_total_flops() / images)
    return Flops(*counts)
