"""The objective's two readings, J and the share of pixels that are right, against plain loops in float64."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bnbench.measures.measure import Pixels
from bnbench.measures.objective import objective
from bnbench.measures.right import right

Drawn = list[tuple[float, bool, bool]]  # loss, black, counted
# Eighths, so that losses are often equal, and sums of them exact.
drawings = st.lists(st.tuples(st.integers(0, 48).map(lambda n: n / 8), st.booleans(), st.booleans()), min_size=1)
thresholds = st.sampled_from([0.5, 2.5, 5.0])


def pixels_of(drawn: Drawn, threshold: float = 2.5) -> Pixels:
    losses, black, counted = (np.array([values]) for values in zip(*drawn, strict=True))
    return Pixels(black, counted, losses, np.full(losses.shape, 0.3), threshold)


def both(drawn: Drawn) -> Drawn:
    """The same with a counted pixel of either colour, so that both readings are numbers."""
    return [*drawn, (1.0, True, True), (1.0, False, True)]


def objective_by_hand(drawn: Drawn, threshold: float) -> float:
    sums, counts = {True: 0.0, False: 0.0}, {True: 0, False: 0}
    for loss, black, counted in drawn:
        if counted:
            sums[black] += loss if black or loss < threshold else threshold
            counts[black] += 1
    if 0 in counts.values():
        return math.nan
    return sums[True] / counts[True] - sums[False] / counts[False]


def right_by_hand(drawn: Drawn) -> float:
    """Every cut: below all losses, and at each of them."""
    chosen = [(loss, black) for loss, black, counted in drawn if counted]
    blacks = sum(black for _, black in chosen)
    whites = len(chosen) - blacks
    if not (blacks and whites):
        return math.nan
    best = 0.0
    for cut in [-1.0, *(loss for loss, _ in chosen)]:
        low = sum(black and loss <= cut for loss, black in chosen)
        high = sum(not black and loss > cut for loss, black in chosen)
        best = max(best, 0.5 * low / blacks + 0.5 * high / whites)
    return best


@given(drawings, thresholds)
def test_both_agree_with_plain_loops(drawn: Drawn, threshold: float) -> None:
    pixels = pixels_of(drawn, threshold)
    assert objective(pixels) == pytest.approx(objective_by_hand(drawn, threshold), abs=1e-12, nan_ok=True)
    assert right(pixels) == pytest.approx(right_by_hand(drawn), abs=1e-12, nan_ok=True)


@given(drawings, st.sampled_from([np.sqrt, np.exp, lambda loss: 3 * loss + 1, lambda loss: loss**3]))
def test_right_is_the_same_under_any_increasing_map_of_losses(drawn: Drawn, mapped: np.ufunc) -> None:
    moved = [(float(mapped(loss)), black, counted) for loss, black, counted in both(drawn)]
    assert right(pixels_of(moved)) == right(pixels_of(both(drawn)))


@given(drawings)
def test_right_is_a_share_of_at_least_one_half(drawn: Drawn) -> None:
    assert 0.5 <= right(pixels_of(both(drawn))) <= 1


@given(drawings, thresholds, st.data())
def test_neither_is_better_where_one_pixel_is_worse(drawn: Drawn, threshold: float, data: st.DataObject) -> None:
    drawn = both(drawn)
    place = data.draw(st.integers(0, len(drawn) - 1))
    loss, black, counted = drawn[place]
    worse = loss + 0.75 if black else max(0.0, loss - 0.75)
    moved = [*drawn[:place], (worse, black, counted), *drawn[place + 1 :]]
    before, after = pixels_of(drawn, threshold), pixels_of(moved, threshold)
    assert objective(after) >= objective(before)
    assert right(after) <= right(before)


@given(drawings, thresholds)
def test_a_white_loss_beyond_the_threshold_counts_as_the_threshold(drawn: Drawn, threshold: float) -> None:
    further = [
        (loss if black or loss < threshold else 2 * loss, black, counted) for loss, black, counted in both(drawn)
    ]
    assert objective(pixels_of(further, threshold)) == objective(pixels_of(both(drawn), threshold))


@given(drawings)
def test_a_pixel_that_does_not_count_moves_neither(drawn: Drawn) -> None:
    alone = [one for one in both(drawn) if one[2]]
    for reading in (objective, right):
        assert reading(pixels_of(both(drawn))) == reading(pixels_of(alone))


@pytest.mark.parametrize(
    ("losses", "black", "share"),
    [
        ([0.1, 0.2, 2.0, 3.0], [True, True, False, False], 1.0),
        ([2.0, 3.0, 0.1, 0.2], [True, True, False, False], 0.5),
        ([1.0, 1.0, 1.0, 1.0], [True, True, False, False], 0.5),
        ([0.1, 1.0, 1.0, 2.0], [True, True, False, False], 0.75),
        ([0.1, 0.3, 0.2, 2.0, 2.5, 3.0], [True, True, False, False, False, False], 0.875),
    ],
)
def test_right_worked_out_by_hand(losses: list[float], black: list[bool], share: float) -> None:
    assert right(pixels_of([(loss, is_black, True) for loss, is_black in zip(losses, black, strict=True)])) == share


@pytest.mark.parametrize("black", [True, False])
def test_a_colour_without_a_pixel_gives_no_number(black: bool) -> None:
    pixels = pixels_of([(1.0, black, True), (2.0, not black, False)])
    assert math.isnan(objective(pixels))
    assert math.isnan(right(pixels))


@pytest.mark.parametrize(("side", "expected"), [(14, 0.54), (80, 0.51)])
def test_a_landscape_that_knows_nothing_of_its_mask_has_a_little_more_than_half_right(
    side: int, expected: float
) -> None:
    """The numbers of docs/capacity.md: the cut is chosen after the losses are known."""
    random = np.random.default_rng(side)
    masks, losses = random.random((40, side, side)) < 0.5, random.normal(size=(40, side, side))
    everywhere, accuracy = np.ones((side, side), bool), np.full((side, side), 0.3)
    found = [right(Pixels(mask, everywhere, loss, accuracy, 2.5)) for mask, loss in zip(masks, losses, strict=True)]
    assert np.mean(found) == pytest.approx(expected, abs=0.005)
