"""Letters of a few pixels: set by their font's own hints, which place each stroke on whole pixels."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import matplotlib
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from bnbench.inputs.masks import Mask

BOLD = "DejaVuSans-Bold.ttf"  # matplotlib brings both along
_REGULAR = "DejaVuSans.ttf"
SMALL = 16  # pixels of an em; letters that come out smaller by scaling are drawn by hints
_SIZES = range(8, 21)  # pixels of an em; from 8 on letters can be told apart
_HEAVY = 10  # pixels of an em, below which bold strokes fill a letter
_NEARLY = 0.75  # of the largest em: bold letters that are no smaller are preferred to thin ones
_LARGE = 256  # pixels of an em, at which every letter has its parts and holes


class Lettering(NamedTuple):
    """A text in one font at one size.

    Attributes:
        em: pixels of an em.
        is_bold: which of the fonts.
        mask: True where black, with a margin of one pixel, shape (rows, columns).
    """

    em: int
    is_bold: bool
    mask: Mask


def font_path(name: str = BOLD) -> Path:
    """Return where a font of matplotlib's lies."""
    return Path(matplotlib.get_data_path()) / "fonts" / "ttf" / name


def legible_letterings(text: str) -> list[Lettering]:
    """Return a text at every small size at which it has as many parts and holes as it has at a large one.

    Letters that touch each other, or that have lost a hole or a dot, are left out. Nothing is left of a symbol whose
    details are finer than small sizes show.
    """
    found = []
    for name in (BOLD, _REGULAR):
        wanted = _parts_and_holes(_set_by_hints(text, name, _LARGE))
        sizes = [Lettering(em, name == BOLD, _set_by_hints(text, name, em)) for em in _SIZES]
        found += [one for one in sizes if _parts_and_holes(one.mask) == wanted]
    return found


def largest(found: list[Lettering], size: int) -> Mask | None:
    """Return the largest text of at most ``size`` pixels with white around it up to them, bold where that is readable.

    Args:
        found: as :func:`legible_letterings` gives it.
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
    font = ImageFont.truetype(str(font_path(name)), em, layout_engine=ImageFont.Layout.BASIC)
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
