"""What a sentence names, for tests that hold its numbers and arms and leave its words free."""

from __future__ import annotations

import re
from collections.abc import Iterable


def numbers(text: str) -> list[str]:
    """Every number of a text in its order, with its sign and as it is written: ``−0.012``, ``1,000``."""
    return re.findall(r"(?<![\w.])[−+]?\d+(?:[.,]\d+)*", text)


def named(text: str, names: Iterable[str]) -> set[str]:
    """Those names that stand in a text as words of their own."""
    return {name for name in names if re.search(rf"(?<![\w:]){re.escape(name)}(?!\w|:\w)", text)}
