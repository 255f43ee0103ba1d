"""Do two quantities put arms in the same order? Kendall's τ, with intervals over seeds. Tables in, tables out.

The interval is τ ± t · se, cut at ±1, with se from a bootstrap over whole seeds, the same draws for all arms, which
share them, times √(n / (n − 1)), and t of n − 1 degrees of freedom, as :mod:`bnbench.stats.capacity` has it. The
quantiles of the draws are no interval here: a draw adds its noise to that of the seeds, and noise moves τ towards 0, so
that they miss a τ far from 0 on the side of 0, and BCa's quantiles miss it, too. Of 8 arms and 5 seeds whose means lie
one deviation apart and whose τ is 1, the quantiles cover 54 % where they claim 95 %, and this interval 93 %. Where arms
lie closer than half a deviation it falls short as well: no order that seeds do not show can be covered.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import combinations

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import stats

from bnbench.stats.differences import CONFIDENCE

FEWEST_ARMS = 3
_MOST_TIED = 0.5  # of the pairs of arms; a reading that ties more of them hangs on the few arms that it does tell apart
_DECIMALS = 6  # of a reading's mean: what is equal but for float32's rounding is a tie
_RESAMPLES = 1_000


def complete_seeds(table: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of the seeds that every arm has.

    Args:
        table: a row per arm and seed: ``arm, seed`` and more.
    """
    arms = table["arm"].nunique()
    counts = table.groupby("seed")["arm"].nunique()
    return table[table["seed"].isin(counts.index[counts == arms])]


def agreement(
    table: pd.DataFrame, readings: Mapping[str, int], measures: Sequence[str], resamples: int = _RESAMPLES
) -> pd.DataFrame:
    """Return Kendall's τ_b over arms between readings of one kind and measures of another.

    An arm's value is its mean over seeds. The arms are fixed, and the interval says nothing of others. It has no width
    where every draw of the seeds puts the arms in the order of their means.

    Args:
        table: a row per arm and seed: ``arm, seed``, readings and measures.
        readings: column to 1, or −1 where its negative is meant.
        measures: columns.
        resamples: of the bootstrap, from a fixed stream.

    Returns:
        ``reading, measure, arms, seeds, tau, low, high``; τ is not a number with fewer than three arms, where a value
        is missing, where a reading ties more than half of the pairs of arms, or a measure all of them; there is no
        interval with a single seed.
    """
    complete = complete_seeds(table)
    seeds, arms = sorted(complete["seed"].unique()), sorted(complete["arm"].unique())
    drawn = np.random.default_rng(0).integers(max(1, len(seeds)), size=(resamples, len(seeds)))

    def means(column: str) -> NDArray[np.float64]:
        """Return means over the seeds, then over each resample of them, shape (1 + resamples, arms)."""
        values = complete.pivot(index="seed", columns="arm", values=column).to_numpy(float)
        return np.concatenate([values.mean(0, keepdims=True), values[drawn].mean(1)])

    rows = []
    enough = len(arms) >= FEWEST_ARMS and bool(seeds)
    found = {name: means(name) for name in (*readings, *measures)} if enough else {}
    for reading, sign in readings.items():
        read = np.round(found[reading], _DECIMALS) if enough else np.empty((1, 0))
        has_order = enough and _tied(read[0]) <= _MOST_TIED
        for measure in measures:
            taus = kendall(sign * read, found[measure]) if has_order else np.full(1, math.nan)
            low, high = _interval(taus[0], taus[1:], len(seeds))
            counts = {"arms": len(arms), "seeds": len(seeds)}
            rows.append({"reading": reading, "measure": measure, **counts, "tau": taus[0], "low": low, "high": high})
    return pd.DataFrame(rows)


def _tied(values: NDArray[np.float64]) -> float:
    """Return the share of pairs that have equal values."""
    return float(np.mean([one == other for one, other in combinations(values, 2)]))


def _interval(tau: float, drawn: NDArray[np.float64], n: int) -> tuple[float, float]:
    """Return τ ± t · se of n seeds, within −1 and 1, from the draws that have a τ; NaN of a single seed or of no τ."""
    spread = drawn[np.isfinite(drawn)]
    if n < 2 or len(spread) == 0 or not math.isfinite(tau):
        return math.nan, math.nan
    half = stats.t.ppf((1 + CONFIDENCE) / 2, n - 1) * math.sqrt(n / (n - 1)) * spread.std()
    return max(-1.0, tau - half), min(1.0, tau + half)


def kendall(one: NDArray[np.float64], other: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return τ_b of each row: (concordant − discordant pairs) / √(pairs untied in one · pairs untied in the other).

    Args:
        one: shape (R, A).
        other: shape (R, A).

    Returns:
        Shape (R,); not a number where a value is missing, or all of one are equal.
    """
    first, second = zip(*combinations(range(one.shape[1]), 2), strict=True)
    rises, others = (np.sign(values[:, first] - values[:, second]) for values in (one, other))
    untied = np.sqrt((rises**2).sum(1) * (others**2).sum(1))
    found: NDArray[np.float64] = np.divide(
        (rises * others).sum(1), untied, out=np.full(len(one), math.nan), where=untied > 0
    )
    return found
