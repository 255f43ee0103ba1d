"""What a call from Python gives about a picture, read as the command line reads its text."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from bnbench.errors import RequestError
from bnbench.inputs.masks import Mask
from bnbench.inputs.pictures import read_pictures
from bnbench.interactive.values import flag_of, folder_of
from bnbench.protocol.mask_request import check_mask_request
from bnbench.protocol.mask_sizes import Size
from bnbench.protocol.protocol import Protocol
from bnbench.protocol.written_numbers import LARGEST, parse_level, parse_whole
from bnbench.wording import shown


def level_of(level: str | float | None, name: str) -> float | None:
    """Return a grey from 0 to 1; None for ``auto``.

    Raises:
        RequestError: as :func:`bnbench.protocol.written_numbers.parse_level`.
    """
    return None if level is None else parse_level(shown(level), name)


def whole_of(number: int, name: str, least: int = 0, most: int = LARGEST) -> int:
    """Return a whole number within bounds.

    Raises:
        RequestError: as :func:`bnbench.protocol.written_numbers.parse_whole`.
    """
    return parse_whole(shown(number), name, least, most)


def text_of(text: str | None, name: str) -> str | None:
    """Return text.

    Raises:
        RequestError: it is none.
    """
    if text is not None and not isinstance(text, str):
        raise RequestError(f"{name} {text!r} is no text; give letters, such as {name}='BN'.")
    return text


def pictures_of(
    mask: str | Path | None,
    protocol: Protocol,
    sizes: Sequence[Size],
    grey_level: str | float,
    invert: bool,
    *,
    has_probs: bool,
) -> dict[str, Mask]:
    """Return the pictures that take the place of random masks, by name; none where they are random.

    Args:
        mask: a picture's file, a folder of them, or None.
        protocol: its mask's longer side is that of the pictures.
        sizes: where several are asked for, which pictures do not have.
        grey_level: what is darker is black.
        invert: whether it is white instead.
        has_probs: whether fill probabilities are asked for, which pictures do not have either.

    Raises:
        RequestError: a value is not accepted, or as :func:`bnbench.protocol.mask_request.check_mask_request`.
        PictureError: as :func:`bnbench.inputs.pictures.read_pictures`.
    """
    level, is_inverted = level_of(grey_level, "grey_level"), flag_of(invert, "invert")
    path = folder_of(mask, "mask")
    check_mask_request(path, sizes, level, invert=is_inverted, has_probs=has_probs)
    if path is None:
        return {}
    return read_pictures(path, max(protocol.mask.mask_size), level, invert=is_inverted)
