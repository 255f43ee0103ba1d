"""Text as masks: large letters scaled down, small ones by their font's hints, which set strokes on whole pixels."""

from __future__ import annotations

import unicodedata
from pathlib import Path
from typing import NamedTuple

import matplotlib
import numpy as np
from matplotlib.ft2font import FT2Font
from PIL import Image, ImageDraw, ImageFont

from bnbench.inputs.masks import Mask
from bnbench.inputs.pictures import AT_ONCE, SIZE, PictureError, mask_of_image, scaled

_BOLD = "DejaVuSans-Bold.ttf"  # matplotlib brings both along
_REGULAR = "DejaVuSans.ttf"
_SMALL = 16  # pixels of an em; letters that come out smaller by scaling are drawn by hints
_SIZES = range(8, 21)  # pixels of an em; from 8 on letters can be told apart
_HEAVY = 10  # pixels of an em, below which bold strokes fill a letter
_NEARLY = 0.75  # of the largest em: bold letters that are no smaller are preferred to thin ones
_FROM_THE_RIGHT = {"R", "AL", "RLE", "RLO", "RLI"}  # classes of Unicode; letters are set from the left, one by one
_LARGE = 256  # pixels of an em: every letter has its parts and holes, and it is scaled down from here
_MARGIN = 0.08  # of the text's longer side, white around it


class _Lettering(NamedTuple):
    """A text in one font at one size.

    Attributes:
        em: pixels of an em.
        is_bold: which of the fonts.
        mask: True where black, with a margin of one pixel, shape (rows, columns).
    """

    em: int
    is_bold: bool
    mask: Mask


def draw_text(text: str, size: int = SIZE, *, invert: bool = False) -> Mask:
    """Draw text as a mask, in black on white with a margin.

    Letters of few pixels are set by their font's hints, larger ones are scaled down from a large drawing.

    Args:
        text: letters of DejaVu Sans, which comes with matplotlib; a line break begins a new line.
        size: number of pixels of the longer side.
        invert: whether the letters are white, on black.

    Returns:
        True where black, shape (rows, columns).

    Raises:
        PictureError: there is nothing to be seen, the font lacks a letter, it is written from right to left, or it
            cannot be read in so few pixels.
    """
    text = unicodedata.normalize("NFC", text)  # a letter and its accent as one, where the font has it
    known = FT2Font(str(_font_path())).get_charmap()
    if lacking := sorted({letter for letter in text if letter != "\n" and ord(letter) not in known}):
        raise PictureError(
            f"--text {text!r}: the font DejaVu Sans has no {lacking[0]!r}; give other letters, or draw them as a PNG."
        )
    if any(unicodedata.bidirectional(letter) in _FROM_THE_RIGHT for letter in text):
        raise PictureError(f"--text {text!r} is written from right to left, which is not set; draw it as a PNG.")
    canvas = ImageDraw.Draw(Image.new("L", (1, 1)))
    font = ImageFont.truetype(str(_font_path()), _LARGE, layout_engine=ImageFont.Layout.BASIC)  # Raqm is not everywhere
    left, top, right, bottom = (round(edge) for edge in canvas.textbbox((0, 0), text, font))
    if not text.strip() or right <= left or bottom <= top:
        raise PictureError(f"--text {text!r} shows nothing; give letters, such as --text BN.")
    margin = round(_MARGIN * max(right - left, bottom - top))
    shape = right - left + 2 * margin, bottom - top + 2 * margin
    if shape[0] * shape[1] > 4 * AT_ONCE:
        raise PictureError(f"--text of {len(text):,} letters is too long; give a few.")
    if _LARGE * size / max(shape) < _SMALL and (found := _legible_letterings(text)):
        small = _largest(found, size)
        if small is None:
            least = min(max(one.mask.shape) for one in found)
            raise PictureError(
                f"--text {text!r} cannot be read in {size} pixels; give --size {least} or more, or fewer letters."
            )
        return ~small if invert else small
    image = Image.new("L", shape, 255)
    ImageDraw.Draw(image).text((margin - left, margin - top), text, 0, font)
    return mask_of_image(f"--text {text!r}", scaled(image, size), 0.5, invert=invert)


def _font_path(name: str = _BOLD) -> Path:
    """Return where a font of matplotlib's lies."""
    return Path(matplotlib.get_data_path()) / "fonts" / "ttf" / name


def _legible_letterings(text: str) -> list[_Lettering]:
    """Return a text at every small size at which it has as many parts and holes as it has at a large one.

    Letters that touch each other, or that have lost a hole or a dot, are left out. Nothing is left of a symbol whose
    details are finer than small sizes show.
    """
    found = []
    for name in (_BOLD, _REGULAR):
        wanted = _parts_and_holes(_set_by_hints(text, name, _LARGE))
        sizes = [_Lettering(em, name == _BOLD, _set_by_hints(text, name, em)) for em in _SIZES]
        found += [one for one in sizes if _parts_and_holes(one.mask) == wanted]
    return found


def _largest(found: list[_Lettering], size: int) -> Mask | None:
    """Return the largest text of at most ``size`` pixels with white around it up to them, bold where that is readable.

    Args:
        found: as :func:`_legible_letterings` gives it.
        size: pixels of the longer side.

    Returns:
        True where black, shape (rows, columns); None where no text is so small.
    """
    fitting = [one for one in found if max(one.mask.shape) <= size]
    if not fitting:
        return None
    em = max(one.em for one in fitting)
    mask = max(fitting, key=lambda one: (one.is_bold and one.em >= max(_HEAVY, _NEARLY * em), one.em, one.is_bold)).mask
    left = size - max(mask.shape)
    return np.pad(mask, (left // 2, left - left // 2))


def _set_by_hints(text: str, name: str, em: int) -> Mask:
    """Set a text in black or white pixels, none grey, with a margin of one pixel."""
    font = ImageFont.truetype(str(_font_path(name)), em, layout_engine=ImageFont.Layout.BASIC)
    canvas = ImageDraw.Draw(Image.new("1", (1, 1)))
    canvas.fontmode = "1"
    spacing = max(1, em // 6)
    left, top, right, bottom = (round(edge) for edge in canvas.textbbox((0, 0), text, font, spacing=spacing))
    image = Image.new("1", (right - left + 2 * em, bottom - top + 2 * em), 1)
    canvas = ImageDraw.Draw(image)
    canvas.fontmode = "1"
    canvas.text((em - left, em - top), text, 0, font, spacing=spacing)
    mask: Mask = ~np.asarray(image)
    rows, columns = (np.flatnonzero(mask.any(axis)) for axis in (1, 0))
    return np.pad(mask[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1], 1)


def _parts_and_holes(mask: Mask) -> tuple[int, int]:
    """Count black parts, joined at corners too, and white ones, joined at edges: the paper and each hole."""
    from scipy import ndimage  # where nothing small is drawn it need not be loaded

    return int(ndimage.label(mask, np.ones((3, 3)))[1]), int(ndimage.label(~mask)[1])
