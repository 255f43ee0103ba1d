"""Fits of one and of three dimensions: a line of pixels, a ball."""

from __future__ import annotations

import math
from functools import partial

import numpy as np
import pytest
import torch
from torch import nn

import bnbench
from bnbench.inputs.masks import Mask, draw_mask, is_trained
from bnbench.mpo.fit import Fit, fit
from bnbench.mpo.landscape import measure_landscape
from bnbench.mpo.plane import Plane
from bnbench.mpo.training import Training
from tests.cases import make_images, make_plane

FEW = Training(black_pixels=4, white_pixels=4, images=6, steps=3, learning_rate=1e-2)


@pytest.mark.parametrize("shape", [(9,), (3, 4, 3)])
def test_a_fit_of_any_dimensions_goes_on_bit_for_bit(shape: tuple[int, ...]) -> None:
    black = torch.from_numpy(draw_mask(0.5, 1, shape))
    begin = partial(Fit, black=black, trained=torch.ones_like(black), data=make_images(), training=FEW)
    whole, first, second = (begin(make_plane("plain", directions=len(shape))) for _ in range(3))
    while not whole.is_done:
        whole.advance()
    first.advance()
    second.load_state_dict(first.state_dict())
    while not second.is_done:
        second.advance()
    assert torch.equal(whole.plane.vectors, second.plane.vectors)
    assert whole.rows == second.rows
    assert len(whole.rows) == FEW.steps


def ball(size: int = 6, radius: float = 2.3) -> Mask:
    """Black within a radius of the centre of a cube."""
    steps = np.indices((size,) * 3) - (size - 1) / 2
    inside: Mask = np.sqrt((steps**2).sum(0)) < radius
    return inside


@pytest.fixture(scope="module")
def digits() -> bnbench.Images:
    from bnbench.inputs.data import load_data

    smoke = bnbench.PROFILES["smoke"]
    return load_data(smoke.data, smoke.measurement).train


def network() -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 16), nn.ReLU(), nn.Linear(16, 10))


@pytest.mark.parametrize("mask", [ball(), np.arange(12) // 4 == 1], ids=["a ball", "a line"])
def test_a_landscape_is_bent_to_it(mask: Mask, digits: bnbench.Images) -> None:
    plane = Plane.from_factory(network, torch.Generator().manual_seed(1), directions=mask.ndim)
    trained = is_trained(mask)
    settings = Training(black_pixels=24, white_pixels=24, steps=150, learning_rate=1e-2)
    trace = fit(plane, torch.from_numpy(mask), torch.from_numpy(trained), digits, settings)
    found = measure_landscape(plane, mask.shape, digits.first(300))
    assert math.isfinite(trace[-1].white_loss)
    assert found.accuracy[mask].mean() > found.accuracy[~mask].mean() + 0.3
