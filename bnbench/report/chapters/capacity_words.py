"""What a report says in words of how large a mask each arm bends to."""

from __future__ import annotations

import math
from typing import Any

import pandas as pd

from bnbench.report.arms import arm_order
from bnbench.stats import capacity
from bnbench.stats.falling_curve import LEVEL
from bnbench.wording import counted

_APART = 0.05  # of log side: from here on the text says that curve and means disagree
_FEW_ARMS = 3  # beyond these a table says more than a sentence for each
_FEW_PAIRS = 3  # of arms, likewise


def visits_words(fits: pd.DataFrame) -> str:
    """Say how much less a pixel of a large mask is trained than one of a small one."""
    ends = fits.sort_values("side").iloc[[0, -1]].to_dict("records")
    least, most = (f"{row['visits']:,.0f} times at {row['size'].replace('x', '×')}" for row in ends)
    return (
        f"A trained pixel is drawn about {least} and {most}: size and training per pixel change together, so that a "
        "difference on large masks may be one of speed."
    )


def sentences_at(
    p: float, fits: pd.DataFrame, used: pd.DataFrame, found: pd.DataFrame, every: pd.DataFrame
) -> list[str]:
    """Say the side of each arm at a fill probability, what two arms' sides come to, and what was left out.

    Args:
        p: the fill probability.
        fits: a row per fit.
        used: those of them that curves are made of.
        found: what :func:`bnbench.stats.capacity.capacities` says of them.
        every: what :func:`bnbench.stats.capacity.capacity_gaps` says of them at several levels.
    """
    gaps = every[every["level"] == LEVEL]
    inside = found[~found["crossing"].isin([capacity.ABOVE, capacity.BELOW])].sort_values("side")
    told, said, over = found, [], f"At p = {p:g}, over {counted(used['seed'].nunique(), 'seed')},"
    if len(inside) > _FEW_ARMS:
        least, most = inside.iloc[0], inside.iloc[-1]
        told = found.drop(inside.index)
        said.append(
            f"{over} the side at which 90 % are right is smallest for {least['arm']}, {least['side']:.1f}, and "
            f"largest for {most['arm']}, {most['side']:.1f}; the table has every arm with its interval."
        )
    said += [f"{over} {_crossing_words(row, used)}." for row in told.to_dict("records")]
    if len(gaps) > _FEW_PAIRS:
        apart = int(((gaps["low"] > 1) | (gaps["high"] < 1)).sum())
        said.append(f"Of {len(gaps)} pairs of arms {apart} have sides whose ratio's 95 % interval leaves 1 out.")
    else:
        for row in gaps.to_dict("records"):
            is_theirs = (every["first"] == row["first"]) & (every["second"] == row["second"])
            said += [_pair_words(row), *_elsewhere(row, every[is_theirs & (every["level"] != LEVEL)])]
    if lost := fits["seed"].nunique() - used["seed"].nunique():
        said.append(f"{counted(lost, 'seed')} that an arm lacks at some size {'is' if lost == 1 else 'are'} left out.")
    if missing := [arm for arm in arm_order(fits["arm"]) if arm not in set(used["arm"])]:
        said.append(f"Without a curve, for lack of a size: {', '.join(missing)}.")
    return said


def _pair_words(row: dict[Any, Any]) -> str:
    """Return how many times one arm's side is another's, as a sentence."""
    interval = "" if math.isnan(row["low"]) else f" (95 % interval {_ratio_words(row['low'], row['high'])})"
    holds_one = interval and row["low"] <= 1 <= row["high"]
    verdict = ", so these seeds do not tell which is larger" if holds_one else ""
    return f"The side of {row['first']} is {row['ratio']:.2f} times that of {row['second']}{interval}{verdict}."


def _elsewhere(row: dict[Any, Any], levels: pd.DataFrame) -> list[str]:
    """Say at which other levels the interval of two arms' ratio says something else than at 90 %."""

    def side_of_one(one: dict[Any, Any]) -> int:
        return int(one["low"] > 1) - int(one["high"] < 1)

    others = [one for one in levels.to_dict("records") if side_of_one(one) != side_of_one(row)]
    if not others:
        return []
    texts = [f"{one['ratio']:.2f} ({_ratio_words(one['low'], one['high'])}) where {one['level']:.0%}" for one in others]
    listed = _listed(texts).replace("%", " %")
    straight = _listed([f"{one['isotonic']:.2f}" for one in others])
    return [
        f"The 90 % is a convention, and another one says something else: that ratio is {listed} are right (by straight "
        f"lines between the means {straight})."
    ]


def _listed(texts: list[str]) -> str:
    return " and ".join([", ".join(texts[:-1]), texts[-1]] if len(texts) > 1 else texts)


def _ratio_words(low: float, high: float) -> str:
    """Return the ends of a ratio's interval, either of which may be open; each shows on which side of 1 it lies."""
    least = _beside_one(low) if low else "anything"
    return f"{least} to {_beside_one(high) if math.isfinite(high) else 'anything'}"


def _beside_one(ratio: float) -> str:
    texts = [f"{ratio:.{digits}f}" for digits in (2, 3, 4)]
    return next((text for text in texts if float(text) != 1), texts[0])


def _crossing_words(row: dict[Any, Any], used: pd.DataFrame) -> str:
    """Return what is known of one arm's side, as a clause."""
    arm, smallest, largest = row["arm"], used["side"].min(), used["side"].max()
    if row["crossing"] == capacity.ABOVE:
        known = "" if math.isnan(row["low"]) else f" (95 % interval {_least(row['low'])} to above the largest size)"
        return f"by its curve the side of {arm} lies above the largest size, {largest:.4g}{known}"
    if row["crossing"] == capacity.BELOW:
        known = "" if math.isnan(row["low"]) else f" (95 % interval below the smallest size to {_most(row['high'])})"
        return f"by its curve the side of {arm} lies below the smallest size, {smallest:.4g}{known}"
    interval = "" if math.isnan(row["low"]) else f" (95 % interval {_least(row['low'])} to {_most(row['high'])})"
    numbers = "" if math.isnan(row["numbers"]) else f", by {row['numbers']:,.0f} trained numbers"
    text = f"90 % of the pixels are right up to a side of {row['side']:.1f}{interval} for {arm}: "
    text += f"a mask of {row['bits']:,.0f} bits{numbers}"
    if row["between_sizes"]:
        text += "; its curve falls between two sizes, so the side is only known to lie around there"
    if abs(math.log(row["isotonic"] / row["side"])) > _APART:
        text += f"; straight lines between the means say {row['isotonic']:.1f}"
    return text


def _least(side: float) -> str:
    return "below the smallest size" if side == 0 else f"{side:.1f}"


def _most(side: float) -> str:
    return "above the largest size" if side == math.inf else f"{side:.1f}"
