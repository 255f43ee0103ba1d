"""A picture as text, such as a protocol holds it: its name, and which of its pixels are black."""

from __future__ import annotations

import base64
import re
from contextlib import suppress

from bnbench.errors import RequestError

_NAME = re.compile(r"[\w.-]{1,60}")


def picture_text(name: str, bits: bytes) -> str:
    """Return a picture as ``NAME:BITS``.

    Args:
        name: what it is called; what may not stand in the name of a folder becomes a hyphen.
        bits: one for each pixel in reading order, 1 where black, eight to a byte, the first one highest.
    """
    plain = re.sub(r"[^\w.-]+", "-", name).strip("-.")[:60] or "picture"
    return f"{plain}:{base64.urlsafe_b64encode(bits).decode()}"


def picture_name(text: str) -> str:
    """Return the name in ``NAME:BITS``; of no picture, nothing."""
    return text.partition(":")[0]


def picture_bits(text: str, option: str = "--picture") -> bytes:
    """Return the bits in ``NAME:BITS``; of no picture, nothing.

    Raises:
        RequestError: it is no such text.
    """
    if not text:
        return b""
    name, colon, code = text.partition(":")
    with suppress(ValueError):  # letters that are no base64, or not ASCII: refused below like any other text
        if colon and _NAME.fullmatch(name) and name.strip("."):
            return base64.b64decode(code.encode(), altchars=b"-_", validate=True)
    raise RequestError(f"{option} {text[:40]}: give a picture as --mask writes it, NAME:BITS; or give --mask FILE.")


def check_picture(text: str, size: tuple[int, int], kind: str) -> None:
    """Refuse a picture of one colour, or whose pixels are not those of a mask's size, or beside random masks of a kind.

    Raises:
        RequestError: as it says; or the text is no picture.
    """
    if not text:
        return
    rows, columns = size
    bits = picture_bits(text)
    pixels, spare = int.from_bytes(bits), 8 * len(bits) - rows * columns
    if not 0 <= spare < 8:
        raise RequestError(
            f"--picture {picture_name(text)} has another size than --mask-size {rows}x{columns}; give --mask FILE, "
            "which sets both."
        )
    if pixels & ((1 << spare) - 1):  # of which the hash would make another picture
        raise RequestError(f"--picture {picture_name(text)} has bits behind its last pixel; give --mask FILE.")
    if pixels in (0, ((1 << rows * columns) - 1) << spare):
        raise RequestError(f"--picture {picture_name(text)} has one colour; give a picture of black and white.")
    if kind != "random":
        raise RequestError(f"--mask-kind {kind} is of random masks, and here is a picture; leave it out.")
