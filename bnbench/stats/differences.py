"""What the fits say: means, deviations, paired differences and their intervals. Tables in, tables out.

The replicate is the (p, seed) pair: mask, initial weights where shared, and data order are equal for
all arms of a pair. A pixel is never a replicate, so no function here sees a pixel.

Per fill probability there is a t interval and the t test that goes with it. With the usual 5 seeds a two-sided
Wilcoxon or sign-flip test cannot fall below 2/2⁵ = 0.0625, and a percentile bootstrap of 5 points covers about
84 % where it claims 95 % (stratified, of 9 × 5 points, about 91 %): neither is offered.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from bnbench.stats.significance import holm, sign_flip

CONFIDENCE = 0.95
_EQUAL = 1e-9  # as a share of their mean: values whose deviation is below differ by rounding


@dataclass(frozen=True)
class Overall:
    """The paired difference over all fill probabilities, and how sure it is.

    Attributes:
        pairs: number of (p, seed) pairs N.
        probabilities: number of fill probabilities among them.
        mean: mean gap d̄ = Σ_p d̄_p / P, in which each of the P fill probabilities weighs the same, however many of its
            pairs are there; the mean of all pairs where every p has as many.
        se: standard error of that mean, se² = Σ_p s_p² / n_p / P²; NaN while any p has a single pair.
        df: its degrees of freedom, (Σ_p 1/n_p)² / Σ_p 1/(n_p² (n_p − 1)): Σ_p (n_p − 1) where every p has as many
            pairs; 0 while any p has a single pair: then there is no interval.
        low: lower end of the 95 % t interval d̄ − t_df se.
        high: upper end.
        sign_flip: two-sided p-value of the sign-flip test over pairs, each weighted as it weighs in the mean.
        seed_flip: the same with the signs of whole seeds flipped together, should pairs of one seed be alike.
        d_z: Cohen's effect size, d̄ over the deviation of all gaps (ddof = 1).
        wins: pairs with a positive gap.
        losses: pairs with a negative gap.
    """

    pairs: int
    probabilities: int
    mean: float
    se: float
    df: float
    low: float
    high: float
    sign_flip: float
    seed_flip: float
    d_z: float
    wins: int
    losses: int


def per_p(fits: pd.DataFrame, value: str = "difference") -> pd.DataFrame:
    """Return mean x̄ = Σ x / n and deviation s = √(Σ (x − x̄)² / (n − 1)) over the seeds of each arm and p.

    Args:
        fits: a row per fit, columns ``arm, p, seed`` and ``value``.
        value: the column to average.

    Returns:
        A row per arm and p, sorted: ``arm, p, n, mean, sd``; ``sd`` is NaN where n = 1.
    """
    groups = fits.groupby(["arm", "p"], sort=True)[value]
    return groups.agg(n="size", mean="mean", sd="std").reset_index()


def paired(fits: pd.DataFrame, first: str = "plain", second: str = "bn", value: str = "difference") -> pd.DataFrame:
    """Pair two arms on (p, seed): the gap d = value(first) − value(second).

    A fit whose partner is missing is left out: it says nothing about the gap.

    Args:
        fits: a row per fit, columns ``arm, p, seed`` and ``value``.
        first: the arm that is counted positive.
        second: the arm that is subtracted.
        value: the column to compare.

    Returns:
        A row per pair, sorted: ``p, seed, first, second, gap``.

    Raises:
        ValueError: a fit occurs twice.
    """
    columns = {name: fits[name].to_numpy() for name in ("p", "seed", value)}
    places = [np.flatnonzero((fits["arm"] == arm).to_numpy(bool)) for arm in (first, second)]
    of_both = np.concatenate(places)
    p, seed = (columns[name][of_both] for name in ("p", "seed"))
    order = np.lexsort((seed, p)) if len(of_both) else of_both  # a fit of the first arm stands before its partner
    is_same = (p[order][1:] == p[order][:-1]) & (seed[order][1:] == seed[order][:-1])
    left, right = order[:-1][is_same], order[1:][is_same]
    if (left >= len(places[0])).any() or (right < len(places[0])).any():
        raise ValueError("a fit occurs twice, so that its partner is not certain.")
    one, other = (columns[value][of_both[side]] for side in (left, right))
    return pd.DataFrame({"p": p[left], "seed": seed[left], "first": one, "second": other, "gap": one - other})


def paired_per_p(pairs: pd.DataFrame) -> pd.DataFrame:
    """Return the mean gap at each p with its 95 % interval d̄ ± t_{n−1} s / √n and the paired t test, t = d̄ √n / s.

    The tests are exploratory: with few seeds each has little power, and ``holm`` holds the chance of one false
    finding among all p to its level, as no single ``p_value`` does.

    Args:
        pairs: what :func:`paired` returns.

    Returns:
        A row per p: ``p, n, mean, sd, low, high, t, p_value, holm``; all from ``sd`` on are NaN where n = 1, and all
        from ``t`` on where the gaps of a p are equal: shares of pixels are often so, and no t says how sure they are.
    """
    table = pairs.groupby("p", sort=True)["gap"].agg(n="size", mean="mean", sd="std").reset_index()
    mean, sd, n = (table[name].to_numpy() for name in ("mean", "sd", "n"))
    half = _half_width(sd / np.sqrt(n), n - 1)
    spread = np.where(sd > _EQUAL * np.abs(mean), sd, np.nan)
    t = mean * np.sqrt(n) / spread
    p_value = 2 * stats.t.sf(np.abs(t), np.where(n > 1, n - 1, np.nan))
    return table.assign(low=mean - half, high=mean + half, t=t, p_value=p_value, holm=holm(p_value))


def overall(pairs: pd.DataFrame) -> Overall:
    """Sum up all pairs: the mean gap with an interval on the variance within each p.

    The levels of the p are chosen, not drawn, so how the gap varies *between* p is no part of its error. Every p
    weighs the same in the mean, so that a sweep under way estimates what the whole one will, and brings its own
    variance; a p with a single pair has none to bring, and what other p have says nothing about it: until it has a
    second pair there is no interval.

    Args:
        pairs: what :func:`paired` returns, at least one row.

    Raises:
        ValueError: no pairs.
    """
    if pairs.empty:
        raise ValueError("no (p, seed) pair has both arms; run the missing fits.")
    gaps = pairs["gap"].to_numpy(dtype=float)
    mean, se, df = stratified(gaps, pairs["p"].to_numpy())
    sizes = pairs.groupby("p")["gap"].transform("size")
    weighted = pairs["gap"] * (sizes.max() / sizes)
    half = _half_width(se, np.array(df))
    low, high = float(mean - half), float(mean + half)
    spread = float(np.std(gaps, ddof=1)) if len(gaps) > 1 else float("nan")
    return Overall(
        pairs=len(gaps),
        probabilities=int(pairs["p"].nunique()),
        mean=float(mean),
        se=float(se),
        df=df,
        low=low,
        high=high,
        sign_flip=sign_flip(weighted.to_numpy(dtype=float)),
        seed_flip=sign_flip(weighted.groupby(pairs["seed"]).sum().to_numpy(dtype=float)),
        d_z=float(mean) / spread if spread > 0 else float("nan"),
        wins=int((gaps > 0).sum()),
        losses=int((gaps < 0).sum()),
    )


def mean_over_p(table: pd.DataFrame, value: str) -> float:
    """Return the mean of a column in which every p weighs the same: the mean over p of the mean at each p.

    Args:
        table: columns ``p`` and ``value``, a row per fit or per pair.
        value: the column to average.
    """
    return float(table.groupby("p")[value].mean().mean())


def stratified_interval(values: ArrayLike, strata: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the 95 % t interval of the mean in which each stratum weighs the same; see :func:`stratified`.

    Args:
        values: shape (..., N): each row is a sample of its own.
        strata: the stratum (here: fill probability) of each value, shape (N,).

    Returns:
        Lower and upper ends, each of shape (...); NaN while any stratum has a single value.
    """
    mean, se, df = stratified(np.asarray(values, dtype=float), np.asarray(strata))
    half = _half_width(se, np.array(df))
    return mean - half, mean + half


def stratified(
    values: NDArray[np.float64], strata: NDArray[np.generic]
) -> tuple[NDArray[np.float64], NDArray[np.float64], float]:
    """Return the mean over strata of the mean in each, its standard error and the degrees of freedom of that.

        mean = Σ_p x̄_p / P,  se² = Σ_p s_p² / n_p / P²,  df = (Σ_p 1/n_p)² / Σ_p 1/(n_p² (n_p − 1))

    The degrees of freedom are Satterthwaite's for strata of one variance. They take nothing from the data: with two to
    five values in a stratum, estimated variances make them a third of what they are, and intervals far too wide.

    Args:
        values: shape (..., N): each row is a sample of its own.
        strata: the stratum of each value, shape (N,).

    Returns:
        Mean and standard error, shape (...), and the degrees of freedom of all rows; NaN and 0 for the latter two
        while a stratum has a single value.
    """
    levels, codes = np.unique(strata, return_inverse=True)
    belongs = np.eye(len(levels))[codes]  # (N, strata)
    sizes = belongs.sum(axis=0)
    means = values @ belongs / sizes  # (..., strata)
    mean = means.mean(axis=-1)
    if not sizes.size or sizes.min() < 2:
        return mean, np.full_like(mean, np.nan), 0
    variances = (values - means @ belongs.T) ** 2 @ belongs / (sizes - 1)  # (..., strata)
    se = np.sqrt((variances / sizes).sum(axis=-1)) / len(levels)
    df = (1 / sizes).sum() ** 2 / (1 / (sizes**2 * (sizes - 1))).sum()
    return mean, se, round(float(df), 9)  # 36 and not 36.00000000000001


def _half_width(se: NDArray[np.float64], df: NDArray[Any]) -> NDArray[np.float64]:
    quantile = stats.t.ppf((1 + CONFIDENCE) / 2, np.maximum(df, 1))
    half: NDArray[np.float64] = np.where(df > 0, quantile * se, np.nan)
    return half
