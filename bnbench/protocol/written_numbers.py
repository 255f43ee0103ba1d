"""How a number is written on the command line and in a file: in ASCII digits, and no more of them than make sense."""

from __future__ import annotations

import math
import re

from bnbench.errors import RequestError
from bnbench.wording import shown

LARGEST = 2**31 - 1  # no whole number that anybody wants is greater, and all of them fit 32 bits
HIGHEST = 1e300  # nor any other number: beyond, products of it would be infinite
_LONGEST_WAIT = 1e9  # seconds, some thirty years
_LONGEST = 40  # letters of a number
_WHOLE = re.compile(r"\s*([0-9]{1,10})\s*")
_NUMBER = re.compile(r"\s*([+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]{1,9})?)\s*")


def whole_number(text: str) -> int | None:
    """Read a whole number from 0 to 2³¹ − 1; None for anything else."""
    match = _WHOLE.fullmatch(text)
    number = int(match[1]) if match else LARGEST + 1
    return number if number <= LARGEST else None


def decimal_text(text: str) -> str | None:
    """Return a number's text without blanks, such as ``-0.5`` or ``5e-1``; None for anything else.

    What Python would take beside these is none: digits of other scripts, underscores, infinities.
    """
    match = _NUMBER.fullmatch(text)
    return match[1] if match and len(match[1]) <= _LONGEST else None


def parse_whole(text: str, option: str, least: int = 0, most: int = LARGEST) -> int:
    """Read a whole number within bounds: ``300``.

    Raises:
        RequestError: anything else.
    """
    number = whole_number(text)
    if number is None or not least <= number <= most:
        raise RequestError(f"{option} {shown(text)}: give a whole number from {least:,} to {most:,}.")
    return number


def parse_number(text: str, option: str) -> float:
    """Read a number: ``0.002``, ``2e-3``.

    Raises:
        RequestError: anything else.
    """
    plain = decimal_text(text)
    if plain is None:
        raise RequestError(f"{option} {shown(text)}: give a number, such as 0.002 or 2e-3.")
    return float(plain)


def parse_seconds(text: str, option: str) -> float:
    """Read a number of seconds: ``120`` or ``0.5``.

    Raises:
        RequestError: not a number above 0, or more than thirty years.
    """
    plain = decimal_text(text)
    seconds = float(plain) if plain else math.nan
    if seconds > _LONGEST_WAIT:
        raise RequestError(f"{option} {shown(text)}: give at most {_LONGEST_WAIT:,.0f} seconds, some thirty years.")
    if not seconds > 0:
        raise RequestError(f"{option} {shown(text)}: give a number of seconds above 0, such as 120.")
    return seconds


def parse_level(text: str, option: str) -> float | None:
    """Read a grey from 0 to 1, or ``auto``, for which None stands.

    Raises:
        RequestError: it is neither.
    """
    plain = decimal_text(text)
    level = float(plain) if plain else None
    if text.strip() != "auto" and (level is None or not 0 <= level <= 1):
        raise RequestError(f"{option} {shown(text)}: give a grey from 0 (dark) to 1 (light), or auto.")
    return level
