"""Numbers in words, for the command line and the report alike."""

from __future__ import annotations

import math


def counted(number: int, word: str) -> str:
    """A number with its word: ``1 arm``, ``2 arms``, ``9 probabilities``; a letter such as p stays as it is."""
    if number == 1 or len(word) == 1:
        return f"{number:,} {word}"
    return f"{number:,} {word[:-1]}ies" if word.endswith("y") else f"{number:,} {word}s"


def duration(seconds: float) -> str:
    """A duration as people say it: ``40 s``, ``12 min``, ``3 h 10 min``, ``5 days 2 h``, ``10 years``."""
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
