"""How a sweep's curves lie to somebody else's: their level and their course over p. Tables in, tables out."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import pandas as pd
from scipy import stats as scipy_stats

from bnbench.stats import differences

_FEWEST = 3  # two points always rise or fall together


def against(fits: pd.DataFrame, reference: pd.DataFrame, arms: Sequence[str], values: Sequence[str]) -> pd.DataFrame:
    """Compare our mean curve of each arm with a published one, at the fill probabilities that both have.

    The level is the mean over p of x̄_ours(p) − x_theirs(p); the course is Spearman's ρ, the correlation of the
    ranks of both over p. No test goes with either: a published curve comes without the spread of its seeds, and
    neighbouring p are no independent draws.

    Args:
        fits: a row per fit: ``arm, p, seed`` and ``values``.
        reference: a row per arm and p: ``arm, p`` and ``values``.
        arms: which to compare, those that both have.
        values: columns to compare.

    Returns:
        A row per arm and value: ``arm, value, probabilities, ours, theirs, level, lowest, highest, rho``;
        ``lowest`` and ``highest`` are the extremes of ours − theirs over p; ``rho`` is NaN below three p or
        where a curve is constant.
    """
    rows = []
    for arm in arms:
        theirs = reference[reference["arm"] == arm].set_index("p")
        for value in values:
            ours = differences.per_p(fits[fits["arm"] == arm], value).set_index("p")["mean"]
            row = _compared(ours, theirs[value])
            rows.append({"arm": arm, "value": value, **row})
    return pd.DataFrame(rows)


def gap_against(pairs: pd.DataFrame, reference: pd.DataFrame, first: str, second: str, value: str) -> dict[str, Any]:
    """Compare the gap ``first − second`` in the same way: columns of :func:`against` from ``probabilities`` on."""
    theirs = reference.pivot_table(index="p", columns="arm", values=value)
    return _compared(pairs.groupby("p")["gap"].mean(), theirs[first] - theirs[second])


def _compared(ours: pd.Series, theirs: pd.Series) -> dict[str, Any]:
    both = pd.DataFrame({"ours": _rounded_to_thousandths(ours), "theirs": _rounded_to_thousandths(theirs)}).dropna()
    apart = both["ours"] - both["theirs"]
    varies = len(both) >= _FEWEST and bool((both.nunique() > 1).all())
    rho = float(scipy_stats.spearmanr(both["ours"], both["theirs"]).statistic) if varies else math.nan
    means = {"ours": both["ours"].mean(), "theirs": both["theirs"].mean(), "level": apart.mean()}
    return {"probabilities": len(both), **means, "lowest": apart.min(), "highest": apart.max(), "rho": rho}


def _rounded_to_thousandths(curve: pd.Series) -> pd.Series:
    """Round p to the thousandths that name a fill probability: 0.1 + 0.2 is 0.3."""
    return curve.set_axis(curve.index.astype(float).to_series().round(3))
