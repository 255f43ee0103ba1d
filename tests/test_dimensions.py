"""Pictures of one and of three dimensions: a line of pixels, a ball."""

from __future__ import annotations

import itertools
import math
from functools import partial

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis.extra.numpy import array_shapes, arrays
from torch import nn

import bnbench
from bnbench.inputs.masks import Mask, OneColourError, draw_mask, is_trained
from bnbench.mpo.fit import Fit, fit
from bnbench.mpo.landscape import measure_landscape
from bnbench.mpo.plane import Plane, grid_coordinates
from bnbench.mpo.training import Training
from tests.cases import make_images, make_plane
from tests.slow import pixel_loss

shapes = array_shapes(min_dims=1, max_dims=4, min_side=1, max_side=5)
FEW = Training(black_pixels=4, white_pixels=4, images=6, steps=3, learning_rate=1e-2)


def position_by_hand(pixel: tuple[int, ...], shape: tuple[int, ...]) -> list[float]:
    """Right along columns, up against rows, then along every axis before them."""
    place = [index - (length - 1) / 2 for index, length in zip(pixel, shape, strict=True)][::-1]
    return [place[0], *(-beta for beta in place[1:2]), *place[2:]]


@given(shapes)
def test_positions_follow_the_axes_of_the_picture(shape: tuple[int, ...]) -> None:
    pixels = list(itertools.product(*map(range, shape)))  # reading order
    coordinates = grid_coordinates(shape)
    assert coordinates.tolist() == [position_by_hand(pixel, shape) for pixel in pixels]
    corner = grid_coordinates(shape, "corner")
    assert corner.min() == 0
    assert torch.equal(corner - corner[0], coordinates - coordinates[0])
    assert sorted(corner.tolist()) == sorted(map(list, itertools.product(*map(range, reversed(shape)))))


def is_trained_by_loops(mask: Mask) -> Mask:
    """Some neighbour, of 3ᵈ − 1 or fewer, has the other colour."""
    trained = np.zeros_like(mask)
    for pixel in np.ndindex(mask.shape):
        for step in itertools.product((-1, 0, 1), repeat=mask.ndim):
            there = tuple(index + move for index, move in zip(pixel, step, strict=True))
            if all(0 <= index < length for index, length in zip(there, mask.shape, strict=True)):
                trained[pixel] |= mask[there] != mask[pixel]
    return trained


@given(arrays(np.bool_, array_shapes(min_dims=1, max_dims=3, min_side=1, max_side=5)))
def test_a_pixel_is_trained_if_a_neighbour_has_the_other_colour(mask: Mask) -> None:
    assert np.array_equal(is_trained(mask), is_trained_by_loops(mask))


def test_one_pixel_of_a_space_has_26_neighbours() -> None:
    mask = np.zeros((5, 5, 5), dtype=bool)
    mask[2, 2, 2] = True
    assert is_trained(mask).sum() == 27


@pytest.mark.parametrize("kind", ["random", "framed"])
@pytest.mark.parametrize("shape", [(40,), (7, 6, 8)])
def test_masks_of_any_dimensions_are_drawn(shape: tuple[int, ...], kind: str) -> None:
    mask = draw_mask(0.4, 1, shape, kind)
    assert mask.shape == shape
    assert np.array_equal(mask, draw_mask(0.4, 1, shape, kind))
    if kind == "random":
        assert np.array_equal(mask.ravel()[:40], draw_mask(0.4, 1, (40,)))
    else:
        border = np.ones(shape, dtype=bool)
        border[(slice(1, -1),) * len(shape)] = False
        assert not mask[border].any()


@pytest.mark.parametrize("shape", [(), (2,), (5, 5, 2)])
def test_too_small_a_shape_is_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="a mask needs at least 3"):
        draw_mask(0.5, 1, shape)


def test_a_line_of_one_colour_is_refused() -> None:
    with pytest.raises(OneColourError, match="at 3;"):
        draw_mask(0.001, 1, (3,))


@pytest.mark.parametrize("shape", [(7,), (2, 3, 4)])
@pytest.mark.parametrize("arm", ["plain", "bn"])
def test_every_pixel_equals_its_own_network(shape: tuple[int, ...], arm: str) -> None:
    plane, images = make_plane(arm, directions=len(shape)), make_images(20)
    found = measure_landscape(plane, shape, images)
    assert found.loss.shape == found.accuracy.shape == shape
    frame = plane.frame().detach()
    for pixel in np.ndindex(shape):
        position = torch.tensor(position_by_hand(pixel, shape), dtype=torch.float64)
        weights = frame[0] + sum(step * direction for step, direction in zip(position, frame[1:], strict=True))
        loss, accuracy = pixel_loss(plane.module, weights, images.pixels, images.labels)
        assert found.loss[pixel].item() == pytest.approx(loss.item(), rel=1e-9)
        assert found.accuracy[pixel].item() == accuracy


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
