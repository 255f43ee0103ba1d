"""The arms of a report: their order, their short names, and the two that it compares."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from itertools import combinations
from typing import Any, NamedTuple

import pandas as pd

from bnbench.protocol.protocol import BUILT_IN
from bnbench.stats import differences

_LONGEST_LABEL = 24
MOST_NAMED = 3  # arms whose values a sentence lists; of more it names the ends, since a table has all
_CONTRAST = "difference_trained"  # over the pixels that the objective, too, is read over


class ComparedArms(NamedTuple):
    """Two arms and their pairs in accuracy contrast over trained pixels; at least one pair.

    The pairs are as :func:`bnbench.stats.differences.paired` gives them.
    """

    pairs: pd.DataFrame
    first: str
    second: str

    @property
    def gap_name(self) -> str:
        """Return what is subtracted from what: ``plain − bn``."""
        return f"{self.first} − {self.second}"


def compared_arms(fits: pd.DataFrame) -> ComparedArms | None:
    """Choose the two arms that the report compares: plain and bn, else the first two that share a pair.

    Args:
        fits: a row per fit: ``arm, p, seed, difference_trained``.
    """
    for first, second in combinations(arm_order(fits["arm"]), 2):
        if len(pairs := differences.paired(fits, first, second, _CONTRAST)):
            return ComparedArms(pairs, first, second)
    return None


def arm_order(arms: Iterable[str]) -> list[str]:
    """Return the distinct arms: the built-in ones in their order, then foreign ones by name."""
    distinct = set(arms.unique() if isinstance(arms, pd.Series) else arms)  # a row per pixel makes millions
    return [arm for arm in BUILT_IN if arm in distinct] + sorted(distinct - set(BUILT_IN))


def of_arms(values: Mapping[Any, float], said: Callable[[str], str], separator: str = ", ") -> str:
    """Say something of each arm; of more than three, of those with the least and the largest value alone.

    Args:
        values: of each arm that there is something to say of, at least one.
        said: says it.
        separator: between two arms of a few.
    """
    if len(values) <= MOST_NAMED:
        return separator.join(map(said, values))
    least, most = min(values, key=values.__getitem__), max(values, key=values.__getitem__)
    if values[least] == values[most]:
        return f"{said(least)}, as much as each of the {len(values)} arms"
    return f"{said(least)} and {said(most)}, the least and the most of {len(values)} arms"


def arm_labels(arms: Iterable[str]) -> dict[str, str]:
    """Return names that every font can draw: ``package.module:factory`` becomes ``factory`` where that is unique."""
    order = arm_order(arms)
    short = [arm.rpartition(":")[2] for arm in order]
    labels = {}
    for arm, name in zip(order, short, strict=True):
        text = name if name and short.count(name) == 1 else arm
        text = "".join(letter if letter.isascii() and letter.isprintable() else "?" for letter in text)
        text = text if len(text) <= _LONGEST_LABEL else "..." + text[3 - _LONGEST_LABEL :]
        labels[arm] = f" {text}" if text.startswith("_") else text  # matplotlib leaves out labels that start with _
    return labels
