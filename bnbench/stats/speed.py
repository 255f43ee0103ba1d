"""How many steps until a landscape is right, and which of two arms is there first. Tables in, tables out.

A fit that never gets there has no number of steps: it took more than it was given. Nothing here drops such a fit or
counts its last step as if it had arrived.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import stats

from bnbench.stats.differences import CONFIDENCE

LEVEL = 0.9  # share of trained pixels right from which a mask counts as found
REACHED, AT_FIRST, NEVER = "reached", "at first", "never"
_FIT = ["arm", "p", "seed"]


@dataclass(frozen=True)
class Race:
    """Which of two arms is there first, over the pairs that both have measured.

    Attributes:
        pairs: number of (p, seed) pairs.
        first_sooner: pairs in which the first arm is known to have needed fewer steps.
        second_sooner: pairs in which the second is.
        undecided: pairs whose bounds hold a ratio of 1, so that they do not tell: neither arrived, both had at their
            first measurement, or both took as many steps.
        sign_p: two-sided p-value of the sign test over the pairs that tell; NaN without any.
        ratio: median over pairs of steps(first) / steps(second); NaN where it is only known to lie in a range.
        ratio_low: lower end of its interval of at least 95 %; 0 where nothing bounds it, NaN below six pairs.
        ratio_high: upper end; infinity where nothing bounds it.
    """

    pairs: int
    first_sooner: int
    second_sooner: int
    undecided: int
    sign_p: float
    ratio: float
    ratio_low: float
    ratio_high: float


def steps_until(courses: pd.DataFrame, value: str = "right", level: float = LEVEL) -> pd.DataFrame:
    """Find the step at which each fit's course first reaches a level, interpolated in the logarithm of the step.

    With v_k ≥ level the first such value, measured at step s_k, and v_{k−1} < level the one before:

        log s = log s_{k−1} + (level − v_{k−1}) / (v_k − v_{k−1}) · (log s_k − log s_{k−1})

    Args:
        courses: a row per fit and measured step: ``arm, p, seed, step`` and ``value``; missing values are left out.
        value: the column that has to reach the level.
        level: from which on a fit is there.

    Returns:
        A row per fit, sorted: ``arm, p, seed, steps, state, last``. ``state`` is ``reached``; ``at first``, where the
        first measurement is there already, so that ``steps``, that measurement's, is the most it can have taken; or
        ``never``, where ``steps`` is NaN: it took more than ``last``, the last step measured.
    """
    rows = []
    for key, course in courses.dropna(subset=[value]).groupby(_FIT, sort=True):
        ordered = course.sort_values("step")
        steps, values = (ordered[name].to_numpy(dtype=float) for name in ("step", value))
        rows.append((*key, *_first_reached(steps, values, level), int(steps[-1])))
    return pd.DataFrame(rows, columns=[*_FIT, "steps", "state", "last"])


def _first_reached(steps: NDArray[np.float64], values: NDArray[np.float64], level: float) -> tuple[float, str]:
    there = np.flatnonzero(values >= level)
    if not there.size:
        return math.nan, NEVER
    k = int(there[0])
    if k == 0:
        return float(steps[0]), AT_FIRST
    share = (level - values[k - 1]) / (values[k] - values[k - 1])
    return float(steps[k - 1] * (steps[k] / steps[k - 1]) ** share), REACHED


def per_arm(until: pd.DataFrame) -> pd.DataFrame:
    """Sum up what :func:`steps_until` returns for each arm.

    Returns:
        A row per arm: ``arm, fits, reached, least, median, greatest``; ``reached`` counts the fits that were there in
        the end. A fit that never was counts as longer than all others: ``median`` and ``greatest`` are infinite where
        such a fit would be the one.
    """
    rows = []
    for arm, mine in until.groupby("arm", sort=True):
        steps = np.sort(mine["steps"].fillna(math.inf).to_numpy())
        reached = int(np.isfinite(steps).sum())
        rows.append((arm, len(steps), reached, steps[0], _median(steps), steps[-1]))
    return pd.DataFrame(rows, columns=["arm", "fits", "reached", "least", "median", "greatest"])


def race(until: pd.DataFrame, first: str, second: str) -> Race:
    """Compare two arms pair by pair; a fit that has not arrived is known to have taken longer than its last step.

    Of each pair the ratio steps(first) / steps(second) is known, or known to lie between bounds: see :func:`race_of`.

    Args:
        until: what :func:`steps_until` returns.
        first: the arm whose steps are divided.
        second: the arm that they are divided by.

    Raises:
        ValueError: a fit occurs twice.
    """
    tables = [until[until["arm"] == arm].drop(columns="arm") for arm in (first, second)]
    pairs = tables[0].merge(tables[1], on=["p", "seed"], suffixes=("_first", "_second"), validate="one_to_one")
    (low_first, high_first), (low_second, high_second) = (_log_bounds(pairs, arm) for arm in ("first", "second"))
    return race_of(low_first - high_second, high_first - low_second)


def race_of(low: NDArray[np.float64], high: NDArray[np.float64]) -> Race:
    """Compare two arms whose ratios lie between bounds.

    A pair tells who is sooner where a ratio of 1 is outside its bounds. The interval of the median ratio is that of
    order statistics, free of any distribution: from the k-th smallest lower bound to the k-th greatest upper bound, k
    the largest number with P(Binomial(N, ½) < k) ≤ 2.5 %. So it covers the median at least 95 times in 100, and unknown
    steps make it wider.

    Args:
        low: lower bound of the logarithm of each pair's ratio, shape (N,).
        high: upper bound, same shape; equal to the lower one where both arms arrived.
    """
    low, high = np.sort(low), np.sort(high)
    second_sooner, first_sooner = int((low > 0).sum()), int((high < 0).sum())
    decided, count = first_sooner + second_sooner, len(low)
    ends = (_median(low), _median(high)) if count else (-math.inf, math.inf)
    k = int(stats.binom.ppf((1 - CONFIDENCE) / 2, count, 0.5)) if count else 0
    interval = (float(low[k - 1]), float(high[count - k])) if k else (math.nan, math.nan)
    return Race(
        pairs=count,
        first_sooner=first_sooner,
        second_sooner=second_sooner,
        undecided=count - decided,
        sign_p=float(stats.binomtest(first_sooner, decided).pvalue) if decided else math.nan,
        ratio=math.exp(ends[0]) if ends[0] == ends[1] else math.nan,
        ratio_low=math.exp(interval[0]),
        ratio_high=math.exp(interval[1]),
    )


def _log_bounds(pairs: pd.DataFrame, arm: str) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return between which bounds the logarithm of each pair's steps of one arm lies."""
    steps, state, last = (pairs[f"{name}_{arm}"] for name in ("steps", "state", "last"))
    never = (state == NEVER).to_numpy()
    known = np.log(np.where(never, last.astype(float), steps.astype(float)))
    low = np.where(state == AT_FIRST, -np.inf, known)
    return low, np.where(never, np.inf, known)


def _median(values: NDArray[np.float64]) -> float:
    """Return the median of sorted values, some perhaps infinite: of two in the middle that differ in sign, NaN."""
    with np.errstate(invalid="ignore"):
        return float((values[(len(values) - 1) // 2] + values[len(values) // 2]) / 2)
