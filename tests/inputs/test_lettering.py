"""Text is drawn as letters that can be read, or refused by a sentence that says what would do."""

from __future__ import annotations

import re

import numpy as np
import pytest

from bnbench.inputs.lettering import draw_text
from bnbench.inputs.masks import Mask
from bnbench.inputs.pictures import PictureError


def _holes(mask: Mask) -> int:
    """White regions that do not reach the border, 4-connected, by flooding."""
    left = {(int(row), int(column)) for row, column in np.argwhere(~mask)}
    count = 0
    while left:
        edge, is_inside = [left.pop()], True
        while edge:
            row, column = edge.pop()
            is_inside &= 0 < row < mask.shape[0] - 1 and 0 < column < mask.shape[1] - 1
            for there in ((row + 1, column), (row - 1, column), (row, column + 1), (row, column - 1)):
                if there in left:
                    left.remove(there)
                    edge.append(there)
        count += is_inside
    return count


@pytest.mark.parametrize(("text", "holes"), [("B", 2), ("O", 1), ("BN", 2), ("A\nB", 3), ("γ8", 2), ("I", 0)])
def test_text_has_its_letters_holes_and_a_margin(text: str, holes: int) -> None:
    mask = draw_text(text, 60)
    assert max(mask.shape) == 60
    assert _holes(mask) == holes
    assert not mask[[0, -1]].any()
    assert not mask[:, [0, -1]].any()
    assert np.array_equal(draw_text(text, 60, invert=True), ~mask)


@pytest.mark.parametrize("text", ["BN", "Hello", "A\nB", "g8", "ResNet"])
def test_small_text_keeps_its_holes_or_is_refused_with_the_size_that_would_do(text: str) -> None:
    holes, least = _holes(draw_text(text, 200)), 0
    for size in (6, 10, 14, 20, 28, 29, 36):
        try:
            mask = draw_text(text, size)
        except PictureError as refused:
            least = int(re.findall(r"--size (\d+)", str(refused))[0])
            assert size < least
            assert max(draw_text(text, least).shape) == least
        else:
            assert size >= least
            assert max(mask.shape) == size
            assert _holes(mask) == holes
            assert not mask[[0, -1]].any()
            assert not mask[:, [0, -1]].any()


def test_an_accent_may_be_a_letter_of_its_own() -> None:
    assert np.array_equal(draw_text("e\u0301", 30), draw_text("\u00e9", 30))


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("", "--text"),
        ("  ", "--text"),
        ("漢", "漢"),
        ("B\tN", r"\\t"),
        ("B" * 10_000, "10,000"),
        ("שלום", "right to left"),
        ("\u202eBN", "right to left"),
    ],
)
def test_text_that_shows_nothing_or_that_the_font_lacks_is_refused(text: str, named: str) -> None:
    with pytest.raises(PictureError, match=named):
        draw_text(text)


def test_text_is_laid_out_alike_where_raqm_is_and_where_it_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    here = draw_text("AVATo", 40)
    with monkeypatch.context() as patched:
        patched.setattr("PIL.ImageFont.core.HAVE_RAQM", False)
        assert np.array_equal(draw_text("AVATo", 40), here)
