"""What a fit is made from: what arms share, what each p and seed has of its own, and what nobody hands on."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from bnbench.inputs.data import DataSet, load_data
from bnbench.mpo.fit import Fit
from bnbench.protocol.protocol import FitKey
from bnbench.sweep.start import draw_masks, make_fit, make_plane
from tests.fits import SMOKE

ARMS = ("plain", "bn", "skip")
KEYS = [FitKey("plain", 0.3, 1), FitKey("plain", 0.3, 2), FitKey("plain", 0.5, 1)]
PROTOCOL = replace(SMOKE, training=replace(SMOKE.training, steps=2))


@pytest.fixture(scope="module")
def data() -> DataSet:
    return load_data(PROTOCOL.data, PROTOCOL.measurement)


def started(key: FitKey, data: DataSet) -> Fit:
    plane = make_plane(key, PROTOCOL, data, "cpu")
    return make_fit(key, PROTOCOL, plane, draw_masks(key, PROTOCOL), data.train)


def test_arms_share_their_masks() -> None:
    for p, seed in ((0.3, 1), (0.5, 2)):
        masks = [draw_masks(FitKey(arm, p, seed), PROTOCOL) for arm in ARMS]
        assert all(np.array_equal(masks[0], others) for others in masks[1:])


def test_arms_share_the_order_of_pixels_and_images(data: DataSet) -> None:
    fits = [started(FitKey(arm, 0.5, 1), data) for arm in ARMS]
    for name in ("black_cycle", "white_cycle", "image_cycle"):
        orders = [getattr(fit, name).order for fit in fits]
        assert all(torch.equal(orders[0], other) for other in orders[1:]), name


def test_every_p_and_seed_has_its_own_weights_pixels_and_images(data: DataSet) -> None:
    fits = [started(key, data) for key in KEYS]
    for one, other in ((0, 1), (0, 2), (1, 2)):
        first, second = fits[one], fits[other]
        assert not torch.equal(first.plane.vectors, second.plane.vectors)
        assert not torch.equal(first.image_cycle.order, second.image_cycle.order)
        pixels = [fit.white_pixels[fit.white_cycle.order].tolist() for fit in (first, second)]
        assert pixels[0] != pixels[1]


def test_an_arm_leaves_nothing_to_the_next(data: DataSet) -> None:
    def bn() -> Fit:
        under_way = started(FitKey("bn", 0.5, 1), data)
        while not under_way.is_done:
            under_way.advance()
        return under_way

    alone = bn()
    started(FitKey("plain", 0.5, 1), data).advance()
    after_plain = bn()
    assert torch.equal(alone.plane.vectors, after_plain.plane.vectors)
    assert torch.equal(alone.plane.scale, after_plain.plane.scale)
