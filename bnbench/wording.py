"""Numbers in words, for the command line and the report alike."""

from __future__ import annotations

import math
import os
import shlex
import unicodedata
from collections.abc import Mapping
from datetime import datetime, timedelta

_ZERO = 1e-6  # What is nearer to zero than this is rounding.
_SHOWN = 60  # letters of a text that an error repeats
_UNSEEN = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})  # kinds of letters that steer a terminal, end a line or are no text


def counted(number: int, word: str) -> str:
    """Write a number with its word: ``1 arm``, ``2 arms``, ``9 probabilities``; a letter such as p stays as it is."""
    if number == 1 or len(word) == 1:
        return f"{number:,} {word}"
    return f"{number:,} {word[:-1]}ies" if word.endswith("y") else f"{number:,} {word}s"


def duration(seconds: float) -> str:
    """Write a duration as people say it: ``40 s``, ``12 min``, ``3 h 10 min``, ``5 days 2 h``, ``10 years``."""
    if not math.isfinite(seconds):
        return "an unknown time"
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    if minutes < 90:
        return f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    if hours < 48:
        return f"{hours} h {minutes} min"
    days, hours = divmod(hours, 24)
    return f"{days} days {hours} h" if days < 730 else f"{days / 365.25:.0f} years"


def plan_time(seconds: float | None) -> str:
    """Say how long a plan takes and until when: ``about 3 h 10 min, until 17:40``; beyond a day with the date."""
    if seconds is None:
        return "how long it takes is measured when it runs"
    if not seconds < 2 * 365 * 86_400:
        return f"about {duration(seconds)}"
    end = datetime.now() + timedelta(seconds=seconds)
    return f"about {duration(seconds)}, until {end:%H:%M}" + (f" on {end:%d %B}" if seconds > 72_000 else "")


def signed(value: float) -> str:
    """Write three decimals, with the sign written out; what rounds to zero has a plus."""
    return f"{value:+z.3f}".replace("-", "−")


def plain_number(value: float) -> str:
    """Write three decimals, with a true minus sign; what rounds to zero has none."""
    return f"{value:z.3f}".replace("-", "−")


def readings_words(measures: Mapping[str, float]) -> str:
    """Write both readings of a fit: ``contrast 0.459 (black 0.810, white 0.351), right 0.999, J −1.984``.

    Args:
        measures: ``black, white``, mean accuracies in [0, 1]; ``right`` and ``objective`` (nats) where they are known.
    """
    black, white = float(measures["black"]), float(measures["white"])
    text = f"contrast {plain_number(black - white)} (black {plain_number(black)}, white {plain_number(white)})"
    later = {"right": "right", "objective": "J"}
    known = {word: float(measures.get(name, math.nan)) for name, word in later.items()}
    return text + "".join(f", {word} {plain_number(value)}" for word, value in known.items() if not math.isnan(value))


def interval_words(low: float, high: float, *, sign: bool = False) -> str:
    """Write an interval's ends, ``−0.0002 to 0.175``: three decimals, or as many as show on which side of 0 an end is.

    Args:
        low: the lower end.
        high: the upper end.
        sign: whether a plus is written, too.
    """
    return f"{_end(low, sign)} to {_end(high, sign)}"


def _end(value: float, sign: bool) -> str:
    write = signed if sign else plain_number
    if not _ZERO < abs(value) < 0.0005:
        return write(value)
    places = math.ceil(-math.log10(abs(value)))
    return f"{value:{'+' if sign else ''}.{places}f}".replace("-", "−")


def probability(value: float) -> str:
    """Write a p-value after its p: ``= 0.125``, or ``< 0.0001``."""
    return "< 0.0001" if value < 0.0001 else f"= {value:.3g}"


def percent(share: float) -> str:
    """Write a share as whole percents, with a decimal where it is near none or all."""
    return f"{100 * share:.0f} %" if 0.05 <= share <= 0.95 or share in (0, 1) else f"{100 * share:.1f} %"


def percent_tenths(share: float) -> str:
    """Write a share as percents with one decimal, for shares that stand beside each other."""
    return f"{100 * share:.1f} %"


def shown(value: object) -> str:
    """Return a value as an error repeats it: whole, or its beginning where it is long."""
    try:
        text = str(value)
    except ValueError:  # Python writes out no whole number of more than some thousand digits
        return "a number of thousands of digits"
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"


def on_one_line(text: object) -> str:
    """Return a sentence with what a name may hide in it written out, such as the end of a line or a terminal's code."""
    return "".join(ascii(letter)[1:-1] if _is_unseen(letter) else letter for letter in str(text))


def shell_word(name: object) -> str:
    """Return a name as one word of a command that a shell takes back from its line, whatever hides in the name.

    What cannot be seen needs ``$'…'``, which bash, zsh and ksh know.
    """
    text = str(name)
    if not any(map(_is_unseen, text)):
        return shlex.quote(text)
    quoted = text.replace("\\", r"\\").replace("'", r"\'")
    return f"$'{''.join(_as_bytes(letter) if _is_unseen(letter) else letter for letter in quoted)}'"


def _is_unseen(letter: str) -> bool:
    return unicodedata.category(letter) in _UNSEEN


def _as_bytes(letter: str) -> str:
    return "".join(rf"\x{byte:02x}" for byte in os.fsencode(letter))
