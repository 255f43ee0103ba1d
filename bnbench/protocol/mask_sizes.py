"""Mask sizes as text: one, or several with commas between them, and the names of their folders."""

from __future__ import annotations

from bnbench.errors import RequestError
from bnbench.protocol.written_numbers import whole_number
from bnbench.wording import shown

Size = tuple[int, int]  # rows and columns
_MOST = 100
LARGEST_SIDE = 10_000  # a landscape of so many rows and columns has 10⁸ pixels


def parse_size(text: str, option: str = "--mask-size") -> Size:
    """Read rows and columns: ``30`` or ``30x20``.

    Raises:
        RequestError: not one or two whole numbers from 3 to 10,000.
    """
    sides = [whole_number(side) or 0 for side in text.split("x")]
    if len(sides) > 2 or min(sides) < 3 or text.strip() != "".join(text.split()):
        raise RequestError(
            f"{option} {shown(text)} is not a mask size; give rows and columns of at least 3, such as 30 or 30x20."
        )
    if max(sides) > LARGEST_SIDE:
        raise RequestError(f"{option} {shown(text)} is too large; give rows and columns of at most {LARGEST_SIDE:,}.")
    return sides[0], sides[-1]


def parse_sizes(text: str, option: str = "--mask-size") -> tuple[Size, ...]:
    """Read one mask size or several: ``30``, ``30x20`` or ``14,20,30x20``; a comma separates sizes.

    Raises:
        RequestError: a part is no size, a size stands there twice, or there are more than 100.
    """
    parts = text.split(",")
    if len(parts) > _MOST:
        raise RequestError(f"{option} names {len(parts):,} sizes; give at most {_MOST}, such as 14,20,28.")
    if len(parts) > 1 and not all(part.strip() for part in parts):
        raise RequestError(
            f"{option} {shown(text)} has an empty size; give sizes separated by single commas, as 14,20,28."
        )
    sizes = tuple(parse_size(part, option) for part in parts)
    for place, size in enumerate(sizes):
        if size in sizes[:place]:
            raise RequestError(f"{option} {shown(text)} names {size_name(size)} twice; give each size once.")
    return sizes


def frame_of(kind: str) -> int:
    """Return how many pixels at each edge of a mask hold no random bit: of a framed one two."""
    return 2 if kind == "framed" else 0


def size_name(size: Size) -> str:
    """Return a size as rows and columns, ``30x20``, which is also the name of its folder."""
    return f"{size[0]}x{size[1]}"
