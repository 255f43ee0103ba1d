"""The one picture that is asked for, by a file or as text: its name, its mask and its folder."""

from __future__ import annotations

import re
from pathlib import Path

from bnbench.errors import RequestError
from bnbench.inputs.lettering import draw_text
from bnbench.inputs.masks import Mask
from bnbench.inputs.pictures import read_picture, size_of_file


def scaled_from(picture: Path | None, mask: Mask) -> tuple[int, int] | None:
    """Return the rows and columns of a picture's file that was scaled down to its mask; None of any other.

    Args:
        picture: a file that was read; None where there is text.
        mask: what was read from it.
    """
    size = size_of_file(picture) if picture else None
    return size if size and max(size) > max(mask.shape) else None


def picture_of(
    picture: Path | None, text: str | None, size: int, level: float | None, *, invert: bool
) -> tuple[str, Mask, Path]:
    """Return the name, the mask and the default folder of a picture's file, or of text.

    Args:
        picture: a file; None where there is text.
        text: letters to draw; None where there is a file.
        size: as in :func:`bnbench.inputs.pictures.read_picture`.
        level: the same; text is black on white, and needs none.
        invert: the same.

    Raises:
        RequestError: both are given, or none of them.
        PictureError: as :func:`bnbench.inputs.pictures.read_picture` and :func:`bnbench.inputs.lettering.draw_text`.
    """
    if (picture is None) == (text is None):
        raise RequestError("give one of PICTURE and --text: bnbench bend heart.png, or bnbench bend --text BN.")
    mask = read_picture(picture, size, level, invert=invert) if picture else draw_text(text or "", size, invert=invert)
    stem = picture.stem if picture else str(text)
    folder = re.sub(r"[^\w.-]+", "-", stem).strip(".-") or "picture"
    return picture.name if picture else " ".join(stem.split()), mask, Path("bent") / folder
