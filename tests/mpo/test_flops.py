"""The cost model against multiplications counted by hand."""

from __future__ import annotations

from itertools import pairwise

import torch

from bnbench.arms.networks import arm_factory
from bnbench.mpo.flops import count_flops
from bnbench.mpo.gradient import ObjectiveGradient
from bnbench.mpo.objective import colour_targets
from bnbench.mpo.plane import Plane, grid_coordinates
from bnbench.protocol.profiles import PROFILES
from tests.cases import IMAGE_SHAPE, make_images, make_plane


def test_the_papers_network_costs_what_its_layers_say() -> None:
    factory = arm_factory("plain", (1, 28, 28), 10, PROFILES["paper"].network)
    plane = Plane.from_factory(factory, torch.Generator().manual_seed(0))
    widths = [1, 8, 8, 32, 32, 64, 64]
    layers = [28 * 28 * 9 * before * after for before, after in pairwise(widths)]
    layers += [1024 * 128, 128 * 10]
    found = count_flops(plane, (1, 28, 28))
    assert found.forward == 2 * sum(layers)
    # Backward: once for the weights, once for the inputs, of which the first layer's are not needed.
    assert found.gradient == 2 * (3 * sum(layers) - layers[0])


def test_the_engine_counts_what_it_computes() -> None:
    plane = make_plane("plain")
    engine = ObjectiveGradient(plane, make_images(), grid_coordinates((4, 5)), threshold=1e-9, chunk=3)
    pixels, targets = torch.arange(9), colour_targets(torch.arange(9) < 5)
    images = torch.zeros(9, 6, dtype=torch.int64)
    frame = plane.frame().detach()
    one = count_flops(plane, IMAGE_SHAPE)
    engine.step(frame, pixels, targets, images)
    assert engine.flops(IMAGE_SHAPE) == 9 * 6 * one.gradient
    engine.step(frame, pixels, targets, images, find_clamped=True)
    assert engine.flops(IMAGE_SHAPE) == 9 * 6 * one.gradient + 4 * 6 * one.forward + 5 * 6 * one.gradient
