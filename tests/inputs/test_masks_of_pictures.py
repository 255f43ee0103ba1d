"""Masks of pictures: black comes out black however a picture is given, and what is none is refused."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from PIL import Image

from bnbench.inputs.masks import Mask, is_trained, picture_to_mask
from tests.inputs.test_masks import masks, picture


def test_a_picture_becomes_a_mask() -> None:
    grey = np.array([[0.0, 0.5, 1.0], [0.49, 0.51, 0.2], [0.9, 0.1, 0.5]])
    assert np.array_equal(picture_to_mask(grey), picture("#..", "#.#", ".#."))
    assert np.array_equal(picture_to_mask(grey, level=0.15), picture("#..", "...", ".#."))


LETTER = picture("#..#", "#..#", "##.#", "...#")
LIGHT = (~LETTER).astype(np.float64)  # the same as black ink on white paper


def pillow(mode: str, values: np.ndarray) -> Image.Image:
    """An image of a mode from what RGBA shows."""
    return Image.fromarray(values, "RGBA").convert(mode)


INK = np.dstack([np.where(LETTER, 0, 255)] * 3 + [np.full(LETTER.shape, 255)]).astype(np.uint8)
CLEAR = np.dstack([np.zeros((*LETTER.shape, 3), np.uint8), np.where(LETTER, 255, 0)]).astype(np.uint8)


def palette(first_is_dark: bool) -> Image.Image:
    image = Image.fromarray((LETTER ^ first_is_dark).astype(np.uint8), "P")
    image.putpalette([255, 255, 0, 10, 0, 60] if not first_is_dark else [10, 0, 60, 255, 255, 0])
    return image


@pytest.mark.parametrize(
    "given_as",
    [
        LETTER,
        LETTER.astype(np.uint8),
        LETTER.astype(np.int64),
        LETTER.tolist(),
        LETTER.astype(int).tolist(),
        LETTER[..., None],
        torch.from_numpy(LETTER),
        torch.from_numpy(LETTER).int(),
        LIGHT,
        LIGHT.astype(np.float32),
        LIGHT.astype(np.float16),
        LIGHT[..., None],
        LIGHT.tolist(),
        torch.from_numpy(LIGHT).requires_grad_(),
        LIGHT * 0.4 + 0.3,
        (LIGHT * 255).astype(np.uint8),
        (LIGHT * 200 + 30).astype(np.int64),
        (LIGHT * 65_535).astype(np.uint16),
        (LIGHT * 40_000 + 20_000).astype(np.uint16),
        INK,
        INK[..., :3],
        INK[..., [0, 3]],
        INK[..., :3] / 255,
        CLEAR,
        CLEAR[..., [0, 3]],
        CLEAR / 255,
        pillow("1", INK),
        pillow("L", INK),
        pillow("LA", INK),
        pillow("RGB", INK),
        pillow("RGBA", INK),
        pillow("RGBA", CLEAR),
        pillow("LA", CLEAR),
        pillow("CMYK", INK),
        pillow("HSV", INK),
        Image.fromarray(LIGHT.astype(np.float32)),
        Image.fromarray((LIGHT * 65_535).astype(np.uint16)),
        Image.fromarray((LIGHT * 65_535).astype(np.int32)),
        Image.frombytes("I;16B", LIGHT.shape[::-1], (LIGHT * 65_535).astype(">u2").tobytes()),
        torch.from_numpy(LIGHT).bfloat16(),
        palette(first_is_dark=True),
        palette(first_is_dark=False),
    ],
)
def test_black_comes_out_black_however_a_picture_is_given(given_as: Any) -> None:
    assert np.array_equal(picture_to_mask(given_as), LETTER)


def test_colours_count_by_how_light_they_look() -> None:
    colours = np.array([[(255, 255, 0), (0, 255, 0), (0, 0, 255)], [(255, 0, 0), (9, 9, 9), (255, 255, 255)]] * 2)
    assert np.array_equal(picture_to_mask(colours.astype(np.uint8)), picture("..#", "##.", "..#", "##."))


def test_a_palette_that_was_saved_comes_back(tmp_path: Path) -> None:
    for first_is_dark in (True, False):
        palette(first_is_dark).save(tmp_path / "letter.png")
        with Image.open(tmp_path / "letter.png") as image:
            assert np.array_equal(picture_to_mask(image), LETTER)
    Image.fromarray((LIGHT * 65_535).astype(np.uint16)).save(tmp_path / "letter.png")
    with Image.open(tmp_path / "letter.png") as image:
        assert np.array_equal(picture_to_mask(image), LETTER)


@pytest.mark.parametrize("mask", [LIGHT, LETTER.astype(np.uint8), LIGHT.astype(np.float32) * 0.3])
def test_what_is_no_mask_is_not_taken_for_one(mask: np.ndarray) -> None:
    """A picture of numbers below 1 trained nothing, without a word."""
    with pytest.raises(ValueError, match="picture_to_mask"):
        is_trained(mask)
    assert np.array_equal(is_trained(torch.from_numpy(LETTER)), is_trained(LETTER))  # type: ignore[arg-type]  # tensors are taken too


anything = arrays(
    st.sampled_from(["?", "u1", "u2", "i2", "i8", "f2", "f4", "f8"]), array_shapes(max_dims=4, min_side=1, max_side=5)
)


@settings(max_examples=80)
@given(anything)
def test_any_array_is_a_mask_or_a_sentence(values: np.ndarray) -> None:
    try:
        mask = picture_to_mask(values)
    except ValueError:
        return
    assert mask.dtype == np.bool_
    assert mask.shape == values.shape[:2]
    assert mask.any()
    assert not mask.all()


@given(masks)
def test_a_mask_read_as_a_picture_is_itself(mask: Mask) -> None:
    assume(mask.any() and not mask.all())
    assert np.array_equal(picture_to_mask(1.0 - mask), mask)


@pytest.mark.parametrize(
    ("grey", "message"),
    [
        (np.zeros((3, 3, 5)), "(3, 3, 5)"),
        (np.zeros((3, 9, 9)), "(3, 9, 9)"),
        (np.zeros((2, 9)), "(2, 9)"),
        (np.zeros(9), "(9,)"),
        (np.full((3, 3), 255.0), "float64 from 255 to 255"),
        (np.full((3, 3), 300), "int64 from 300 to 300"),
        (np.full((3, 3), -1), "int64 from -1 to -1"),
        (np.full((3, 3), np.nan), "float64 from nan to nan"),
        (np.full((3, 3), 1j), "complex128"),
        (np.full((3, 3), "x"), "<U1"),
        (Image.fromarray(np.full((3, 3), -1, np.int32)), "-1.5259e-05"),
        (Image.fromarray(np.full((3, 3), 70_000, np.int32)), "1.06813"),
        (Image.fromarray(np.eye(3, dtype=np.uint16)), "level"),
        (np.zeros((3, 3)), "0.5"),
        (np.zeros((3, 3), bool), "0.5"),
    ],
)
def test_refused_pictures(grey: Any, message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        picture_to_mask(grey)


@pytest.mark.parametrize("level", [128, -0.1, float("nan")])
def test_a_level_that_is_no_grey_is_refused(level: float) -> None:
    with pytest.raises(ValueError, match=f"level={level!r}"):
        picture_to_mask(LIGHT, level)
