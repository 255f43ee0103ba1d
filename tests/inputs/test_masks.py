"""Masks: the same on every machine, keyed by (p, seed) alone, and which pixels are trained."""

from __future__ import annotations

import hashlib
import itertools
from decimal import Decimal
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from bnbench.inputs.masks import Mask, OneColourError, _permille, draw_mask, is_trained
from bnbench.protocol.parsing import parse_probs
from bnbench.protocol.profiles import PROFILES

masks = arrays(np.bool_, array_shapes(min_dims=2, max_dims=2, min_side=3, max_side=9))
grids = arrays(np.bool_, array_shapes(min_dims=1, max_dims=4, min_side=1, max_side=4))


def digest(mask: Mask) -> str:
    """Shape and bits, whatever the machine's byte order."""
    return hashlib.sha256(repr(mask.shape).encode() + np.packbits(mask).tobytes()).hexdigest()[:32]


def picture(*rows: str) -> Mask:
    """A mask as text: # is black."""
    return np.array([[letter == "#" for letter in row] for row in rows])


def is_trained_by_loops(mask: Mask) -> Mask:
    """Design §1 word for word: some neighbour, of 8 or fewer, has the other colour."""
    rows, columns = mask.shape
    trained = np.zeros_like(mask)
    for row in range(rows):
        for column in range(columns):
            for down in (-1, 0, 1):
                for right in (-1, 0, 1):
                    there = (row + down, column + right)
                    if 0 <= there[0] < rows and 0 <= there[1] < columns and mask[there] != mask[row, column]:
                        trained[row, column] = True
    return trained


@pytest.mark.parametrize(
    ("p", "seed", "shape", "kind", "expected"),
    [
        (0.1, 1, (30, 30), "random", "9e74633bd8d51314a1adccea8048514d"),
        (0.5, 1, (30, 30), "random", "1a0d3ec436f20ae4ce14d6416e4e12b9"),
        (0.5, 2, (30, 30), "random", "5b3a8869438c625554fd517fccbf4767"),
        (0.9, 5, (30, 30), "random", "7b00e44590d8fd4ed39b10eca989ecaa"),
        (0.3, 101, (10, 20), "random", "f1dc4566791b0074816b04e73a70b078"),
        (0.125, 1, (7, 5), "random", "c44fd4f795414e03871b826773e34211"),
        (0.5, 1, (30, 30), "framed", "f13864a9001ee5c552fecab8df9bbcee"),
        (0.7, 3, (8, 8), "framed", "ea96b47e167ad97ca48f79b50c853bd7"),
    ],
)
def test_masks_are_the_committed_ones(p: float, seed: int, shape: tuple[int, int], kind: str, expected: str) -> None:
    assert digest(draw_mask(p, seed, shape, kind)) == expected


def test_a_mask_does_not_depend_on_what_was_drawn_before() -> None:
    first = draw_mask(0.3, 2, (9, 7))
    np.random.seed(0)
    for seed in (1, 2, 3):
        draw_mask(0.7, seed, (9, 7))
    assert np.array_equal(draw_mask(0.3, 2, (9, 7)), first)


def test_masks_of_different_keys_differ() -> None:
    keys = [(p, seed) for p in (0.1, 0.3, 0.5, 0.501, 0.7, 0.9) for seed in (1, 2, 3, 101)]
    assert len({digest(draw_mask(p, seed, (30, 30))) for p, seed in keys}) == len(keys)


@given(p=st.integers(100, 900), seed=st.integers(1, 2**31 - 1))
def test_a_mask_has_the_shape_and_type_asked_for(p: int, seed: int) -> None:
    mask = draw_mask(p / 1000, seed, (20, 30))
    assert mask.shape == (20, 30)
    assert mask.dtype == np.bool_


@pytest.mark.parametrize("p", [0.1, 0.3, 0.5, 0.7, 0.9])
def test_share_of_black_lies_within_binomial_bounds(p: float) -> None:
    shares = np.array([draw_mask(p, seed, (30, 30)).mean() for seed in range(1, 201)])
    deviation = (p * (1 - p) / 900) ** 0.5
    assert abs(shares.mean() - p) < 4 * deviation / 200**0.5
    assert abs(shares - p).max() < 5 * deviation
    assert 0.8 < shares.std(ddof=1) / deviation < 1.2


def test_every_pixel_is_as_likely_to_be_black() -> None:
    share = np.mean([draw_mask(0.5, seed, (8, 8)) for seed in range(1, 1001)], axis=0)
    assert abs(share - 0.5).max() < 5 * (0.25 / 1000) ** 0.5


@pytest.mark.parametrize("shape", [(9, 12), (20,), (6, 7, 8)])
def test_framed_layout(shape: tuple[int, ...]) -> None:
    framed, random = draw_mask(0.5, 1, shape, "framed"), draw_mask(0.5, 1, shape)
    from_edge = np.min([np.minimum(at, size - 1 - at) for at, size in zip(np.indices(shape), shape, strict=True)], 0)
    assert not framed[from_edge == 0].any()
    assert framed[from_edge == 1].all()
    assert np.array_equal(framed[from_edge > 1], random[from_edge > 1])


def test_the_axes_of_a_mask_change_nothing_of_its_pixels() -> None:
    picture = draw_mask(0.3, 2, (12, 6))
    assert np.array_equal(draw_mask(0.3, 2, (3, 4, 6)), picture.reshape(3, 4, 6))
    assert np.array_equal(draw_mask(0.3, 2, (72,)), picture.ravel())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((0.5, 1, (9, 9), "spiral"), "'spiral' .*'random' .*'framed'"),
        ((0.5, 1, (4, 9), "framed"), "framed .*5×5 .*4×9"),
        ((0.5, 1, (2, 9)), "3×3 .*2×9"),
        ((0.5, 1, (9, 2, 9)), "3×3×3 .*9×2×9"),
        ((0.5, 1, ()), "3 pixels"),
        ((1.5, 1, (9, 9)), r"p=1\.5 .*0\.001 .*0 and 1"),
        ((-0.1, 1, (9, 9)), r"p=-0\.1 .*0\.001 .*0 and 1"),
        ((0.0005, 1, (9, 9)), r"p=0\.0005 .*0\.001 .*0 and 1"),
    ],
)
def test_refused_masks(arguments: tuple[float, int, tuple[int, ...]], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        draw_mask(*arguments)


def test_a_mask_of_one_colour_names_p_and_seed() -> None:
    with pytest.raises(OneColourError, match=r"p=1, seed 4 .*black.*5×6"):
        draw_mask(1.0, 4, (5, 6))
    with pytest.raises(OneColourError, match=r"p=0, seed 4 .*white.*5×6"):
        draw_mask(0.0, 4, (5, 6))


def test_a_mask_may_come_out_one_colour_by_chance() -> None:
    def is_refused(seed: int) -> bool:
        try:
            return bool(draw_mask(0.1, seed, (3, 3)).all())
        except OneColourError:
            return True

    refused = sum(is_refused(seed) for seed in range(1, 501))
    assert abs(refused / 500 - 0.9**9) < 4 * (0.9**9 * (1 - 0.9**9) / 500) ** 0.5


@given(masks)
def test_is_trained_agrees_with_plain_loops(mask: Mask) -> None:
    assert np.array_equal(is_trained(mask), is_trained_by_loops(mask))


@given(grids)
def test_is_trained_agrees_with_plain_loops_along_any_number_of_axes(mask: Mask) -> None:
    expected = np.zeros_like(mask)
    steps = list(itertools.product((-1, 0, 1), repeat=mask.ndim))
    for place in np.ndindex(mask.shape):
        for step in steps:
            there = tuple(at + by for at, by in zip(place, step, strict=True))
            is_inside = all(0 <= at < size for at, size in zip(there, mask.shape, strict=True))
            if is_inside and mask[there] != mask[place]:
                expected[place] = True
    assert np.array_equal(is_trained(mask), expected)


@pytest.mark.parametrize(("axes", "neighbours"), [(1, 2), (2, 8), (3, 26)])
def test_a_pixel_has_neighbours_along_every_axis_and_across(axes: int, neighbours: int) -> None:
    mask = np.zeros((5,) * axes, np.bool_)
    mask[(2,) * axes] = True
    assert is_trained(mask).sum() == 1 + neighbours


def test_is_trained_on_a_picture() -> None:
    mask = picture(
        "......",
        "......",
        "...#..",
        "......",
    )
    assert np.array_equal(
        is_trained(mask),
        picture(
            "......",
            "..###.",
            "..###.",
            "..###.",
        ),
    )


@given(masks)
def test_inverting_the_colours_leaves_the_trained_pixels(mask: Mask) -> None:
    assert np.array_equal(is_trained(~mask), is_trained(mask))


@given(masks)
def test_turning_and_mirroring_move_the_trained_pixels_along(mask: Mask) -> None:
    assert np.array_equal(is_trained(np.rot90(mask)), np.rot90(is_trained(mask)))
    assert np.array_equal(is_trained(mask[:, ::-1]), is_trained(mask)[:, ::-1])


@given(masks)
def test_each_colour_of_a_mask_has_a_trained_pixel(mask: Mask) -> None:
    assume(mask.any() and not mask.all())
    assert is_trained(mask)[mask].any()
    assert is_trained(mask)[~mask].any()


@pytest.mark.parametrize(
    "numbers",
    [
        torch.linspace(0.1, 0.9, 9),
        np.linspace(0.1, 0.9, 9, dtype=np.float32),
        np.linspace(0.1, 0.9, 9),
        np.arange(1, 10) / np.float32(10),
        torch.linspace(0.1, 0.9, 9, dtype=torch.float64),
        [Fraction(tenth, 10) for tenth in range(1, 10)],
        [Decimal(tenth) / 10 for tenth in range(1, 10)],
    ],
)
def test_a_probability_may_be_any_kind_of_number(numbers: Any) -> None:
    for tenth, p in enumerate(numbers, start=1):
        assert np.array_equal(draw_mask(p, 1, (9, 9)), draw_mask(tenth / 10, 1, (9, 9)))
    seeds: list[Any] = [np.int64(2), torch.tensor(2)]
    for seed in seeds:
        assert np.array_equal(draw_mask(0.5, seed, (9, 9)), draw_mask(0.5, 2, (9, 9)))


@given(st.integers(1, 999))
def test_every_thousandth_survives_single_precision(permille: int) -> None:
    assert _permille(np.float32(permille / 1000)) == _permille(permille / 1000) == permille


@pytest.mark.parametrize(
    "p",
    [
        True,
        np.True_,
        torch.tensor(True),
        "0.5",
        None,
        float("nan"),
        float("inf"),
        0.5j,
        np.complex64(0.5),
        [0.5],
        np.array([0.5]),
        b"1",
    ],
)
def test_what_is_no_number_is_no_probability(p: Any) -> None:
    with pytest.raises(ValueError, match="fill probability"):
        draw_mask(p, 1, (9, 9))


@pytest.mark.parametrize(
    "seed",
    [True, np.True_, 1.0, np.float64(1), "1", None, 0, -1, torch.tensor(1.0), np.array([1])],
)
def test_what_is_no_whole_number_is_no_seed(seed: Any) -> None:
    with pytest.raises(ValueError, match=r"seed.* 1"):
        draw_mask(0.5, seed, (9, 9))


@pytest.mark.parametrize("profile", PROFILES)
def test_no_mask_of_a_profiles_default_grid_has_one_colour(profile: str) -> None:
    for p in parse_probs("0.1:0.9:0.1"):
        for seed in range(1, 6):
            draw_mask(p, seed, PROFILES[profile].mask.mask_size)
