"""What a call from Python gives about a picture, read as the command line reads its text."""

from __future__ import annotations

from bnbench.errors import RequestError
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
