"""What a reader should know before one number for all p: where it is otherwise, and what its interval rests on."""

from __future__ import annotations

from collections.abc import Iterable

import pandas as pd

from bnbench.report.arms import ComparedArms
from bnbench.report.chapters.verdict import OPEN, TIE, Reading, better, reading
from bnbench.stats import differences
from bnbench.wording import counted, interval_words, signed

_FEWEST_P = 3  # With fewer, to leave one out is to leave out half of them.
_FEW_SEEDS = 5  # Flipping whole seeds gives p ≥ 2 / 2ⁿ: with fewer it is above 0.1.
# What each is called, and how it is in favour of an arm: a larger contrast by itself is no better one.
_READINGS = {
    "difference": ("accuracy contrast", "larger"),
    "objective": ("J", "better"),
    "right": ("the share of right pixels", "larger"),
}


def not_everywhere(fits: pd.DataFrame, compared: ComparedArms) -> list[str]:
    """Say where one number for all p hides something else.

    That is: at which p the arm that is ahead over all of them is behind, what it says with one p left out, and what
    all pixels say, where either is otherwise.

    Args:
        fits: a row per fit: ``arm, p, seed``, and of each reading what there is over trained and over all pixels.
        compared: the two arms.
    """
    notes = []
    for name, (title, favours) in _READINGS.items():
        over = {
            pixels: differences.paired(fits.dropna(subset=[column]), compared.first, compared.second, column)
            for pixels, column in (("trained", f"{name}_trained"), ("all", name))
            if column in fits
        }
        found = {pixels: reading(pairs, compared, name) for pixels, pairs in over.items() if len(pairs)}
        if "trained" in found:
            notes += _behind_at(over["trained"], found["trained"], name, compared)
            notes += _without_one_p(over["trained"], found["trained"], name, compared)
        if len(found) == 2 and found["all"].says != found["trained"].says:
            whole, says = found["all"].whole, found["all"].says
            interval = f", 95 % interval {interval_words(whole.low, whole.high, sign=True)}" if whole.df > 0 else ""
            notes.append(
                f"Over all pixels, also those that no step is trained on, {title} {_says_words(says, favours)} "
                f"(gap {signed(whole.mean)}{interval})."
            )
    return notes


def _behind_at(pairs: pd.DataFrame, one: Reading, name: str, compared: ComparedArms) -> list[str]:
    """Name the p whose mean gap has the other sign than that over all p; nothing with a single p."""
    means = pairs.groupby("p")["gap"].mean()
    behind = means.index[means * one.whole.mean < 0]
    if behind.empty:
        return []
    other, (title, favours) = better(-one.whole.mean, name, compared), _READINGS[name]
    return [
        f"{title[0].upper()}{title[1:]} is {favours} for {other} at p = {listed(behind)}, on the mean of the pairs."
    ]


def _without_one_p(pairs: pd.DataFrame, one: Reading, name: str, compared: ComparedArms) -> list[str]:
    """Say what a number says without the pairs of one p, where it then says something else.

    This shows how near the edge a verdict is, and nothing of these p: of one gap at all p, chance alone names some.
    What is open stays so, since of nine p left out in turn one may well tell; of few p nothing is left out.
    """
    values = sorted(pairs["p"].unique())
    if one.says == OPEN or len(values) < _FEWEST_P:
        return []
    at: dict[str, list[float]] = {}
    for p in values:
        at.setdefault(reading(pairs[pairs["p"] != p], compared, name).says, []).append(p)
    title, favours = _READINGS[name]
    return [
        f"With p = {listed(left, 'or')} left out{', one at a time' if len(left) > 1 else ''}, {title} "
        f"{_says_words(says, favours)}."
        for says, left in at.items()
        if says != one.says
    ]


def _says_words(says: str, favours: str) -> str:
    return {OPEN: "does not tell the arms apart", TIE: "finds a tie"}.get(says, f"is {favours} for {says}")


def limits_of_interval(pairs: pd.DataFrame) -> list[str]:
    """Say what a reader of an interval should know about the pairs behind it."""
    counts, seeds = pairs.groupby("p").size(), pairs["seed"].nunique()
    notes = []
    if counts.nunique() > 1:
        notes.append(
            f"There are {counts.min()} to {counts.max()} pairs at each p, and every p weighs the same in the mean."
        )
    if seeds < _FEW_SEEDS:
        notes.append(f"With {counted(seeds, 'seed')}, a test that flips whole seeds cannot say anything yet.")
    return notes


def listed(values: Iterable[float], word: str = "and") -> str:
    """Return fill probabilities in a sentence: ``0.1, 0.3 and 0.5``, with another word between the last two."""
    texts = [f"{value:g}" for value in sorted(values)]
    return texts[0] if len(texts) == 1 else f"{', '.join(texts[:-1])} {word} {texts[-1]}"
