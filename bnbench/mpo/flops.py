"""A cost model: what a network's arithmetic is, and what this machine can do at best."""

from __future__ import annotations

import statistics
import time
from typing import NamedTuple

import torch
import torch.nn.functional as F

from bnbench.mpo.plane import Plane

_SIZE = 2_048  # of matrices on a GPU; on a processor half of it, where it takes two seconds of a core for no more speed
_ROUNDS = 5


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


def matmul_gflops(device: str = "cpu") -> float:
    """Measure the peak that everything is held to: a float32 matrix product, 10⁹ operations a second."""
    size = _SIZE // 2 if device == "cpu" else _SIZE
    own = torch.Generator(device).manual_seed(0)  # the user's stream of random numbers stays where it is
    a, b = (torch.randn(size, size, device=device, generator=own) for _ in range(2))
    times: list[float] = []
    for _ in range(1 + _ROUNDS):
        start = time.perf_counter()
        product = a @ b
        product[0, 0].item()  # waits for the device
        times.append(time.perf_counter() - start)
    return 2 * size**3 / statistics.median(times[1:]) / 1e9
