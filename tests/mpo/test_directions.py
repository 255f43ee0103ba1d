"""Lines, pictures and spaces: what is fitted and measured along one to four axes, from Python alone."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import bnbench
from bnbench.errors import RequestError
from bnbench.inputs.masks import Mask
from bnbench.mpo.fit import Fit
from bnbench.protocol.mask_sizes import parse_size
from tests.cases import make_images, make_plane

SMOKE = bnbench.PROFILES["smoke"]


def network() -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 16), nn.ReLU(), nn.Linear(16, 10))


def ball(shape: tuple[int, ...], radius: float) -> Mask:
    """Pixels that lie nearer to the centre than the radius."""
    offsets = [at - (size - 1) / 2 for at, size in zip(np.indices(shape), shape, strict=True)]
    mask: Mask = sum(offset**2 for offset in offsets) < radius**2
    return mask


@pytest.mark.parametrize(
    ("shape", "radius", "steps"), [((6, 6, 6), 2.4, 150), pytest.param((12,), 2, 250, marks=pytest.mark.nightly)]
)
def test_a_landscape_is_bent_to_a_ball_in_three_directions_and_to_a_piece_of_a_line(
    shape: tuple[int, ...], radius: float, steps: int
) -> None:
    data, mask = bnbench.load_data(SMOKE.data, SMOKE.measurement), ball(shape, radius)
    plane = bnbench.Plane.from_factory(network, torch.Generator().manual_seed(1), directions=len(shape))
    trained = bnbench.is_trained(mask)
    training = replace(SMOKE.training, steps=steps, black_pixels=16, white_pixels=16, images=8, learning_rate=0.01)
    trace = bnbench.fit(plane, torch.from_numpy(mask), torch.from_numpy(trained), data.train.first(400), training)
    assert trace[-1].black_loss < 0.7 * trace[0].black_loss
    found = bnbench.measure_landscape(plane, shape, data.measured.first(100))
    assert found.loss.shape == found.accuracy.shape == shape
    accuracy = found.accuracy.numpy()
    assert accuracy[mask & trained].mean() > accuracy[~mask & trained].mean() + 0.3


@pytest.mark.parametrize("axes", [1, 2, 3])
def test_the_last_axis_lies_along_the_first_direction(axes: int) -> None:
    space = make_plane("plain", directions=3)
    origin, *free = space.vectors.detach()
    directions = torch.linalg.qr(torch.stack(free).T)[0].T  # orthogonal and of one length: eq. 2 leaves them
    line, other = (bnbench.Plane(space.module, torch.stack([origin, *directions[:d]]), 0.3) for d in (1, axes))
    expected = bnbench.measure_landscape(line, (7,), make_images()).loss
    loss = bnbench.measure_landscape(other, (1,) * (axes - 1) + (7,), make_images()).loss
    torch.testing.assert_close(loss.flatten(), expected)


def test_a_fit_in_three_directions_goes_on_bit_for_bit_from_its_state(tmp_path: Path) -> None:
    mask = torch.from_numpy(bnbench.draw_mask(0.5, 1, (3, 4, 3)))
    training = replace(SMOKE.training, steps=6, black_pixels=4, white_pixels=4, images=6)

    def start(seed: int = 0) -> Fit:
        plane = make_plane("bn", seed=seed, directions=3)
        return Fit(plane, mask, torch.ones_like(mask), make_images(), training)

    whole, half, resumed = start(), start(), start(seed=9)
    for under_way, steps in ((whole, 6), (half, 3)):
        for _ in range(steps):
            under_way.advance()
    torch.save(half.state_dict(), tmp_path / "fit.pt")
    resumed.load_state_dict(torch.load(tmp_path / "fit.pt", weights_only=True))
    while not resumed.is_done:
        resumed.advance()
    assert torch.equal(resumed.plane.vectors, whole.plane.vectors)
    assert resumed.rows == whole.rows


@pytest.mark.parametrize("size", ["6x6x6", "12,12", "x6"])
def test_a_sweep_of_another_shape_than_a_picture_is_refused_where_it_is_asked(size: str) -> None:
    with pytest.raises(RequestError, match=re.escape(f"--mask-size {size} ")):
        parse_size(size)


@pytest.mark.parametrize("size", [(6, 6, 6), (12,), ()])
def test_a_protocol_of_another_shape_than_a_picture_is_refused_where_it_is_made(size: Any) -> None:
    with pytest.raises(RequestError, match="rows and columns"):
        SMOKE.with_knobs(mask_size=size)
