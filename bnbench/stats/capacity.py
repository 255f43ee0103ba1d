"""How large a random mask an arm bends to in a fixed number of steps: its capacity. Tables in, tables out.

The reading is *right*, the share of pixels on their side of the best cut through the losses, balanced over the colours:
1 for a mask that is there whole, ½ for one that is not there at all. Against the side of the mask it is fitted as a
logistic curve (:mod:`bnbench.stats.falling_curve`), whose side of 90 % follows from all sizes together, so that the
noise of a single size weighs little; ``isotonic`` beside it is the crossing of the falling means joined by straight
lines, which assumes no form, and ``misfit`` says how far the means lie off the curve.

The replicate is the seed. The interval is log side ± t · se, with se from a bootstrap over whole seeds, the same draws
for every arm, times √(n / (n − 1)), and t of n − 1 degrees of freedom. The quantiles of the draws themselves would be
too narrow: of 5 seeds they cover some 84 % where they claim 95 %. Where the curve of the means, or of any draw, has
fewer than two sizes on its falling part, it falls between two sizes and these fits do not say where: then the interval
also holds the sizes on both sides of the crossing, however near each other the draws lie.

Letters: S sizes, n seeds.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy import stats

from bnbench.stats.differences import CONFIDENCE
from bnbench.stats.drawn_curves import DrawnCurves, drawn_curves, half_width
from bnbench.stats.falling_curve import (
    LEVEL,
    Floats,
    fit_curves,
    isotonic_side,
    log_sides_at,
    right_at,
)

LEVELS = (0.95, 0.75, 0.6)  # shares of right pixels that ratios are told at beside 90 %, which is a convention
FEWEST_SIZES = 3  # a curve of two numbers through two sizes says nothing of its fit
_RATIO = ("ratio", "low", "high")
INSIDE, ABOVE, BELOW = "inside", "above the largest size", "below the smallest size"


def mask_bits(pixels: ArrayLike, p: float) -> Floats:
    """Return the bits of a random mask: pixels · H(p), H(p) = −p log₂ p − (1 − p) log₂(1 − p)."""
    entropy = -p * math.log2(p) - (1 - p) * math.log2(1 - p)
    bits: Floats = np.asarray(pixels, dtype=float) * entropy
    return bits


def square_bits(side: ArrayLike, p: float, frame: int = 0) -> Floats:
    """Return the bits of a square mask: those of its (side − 2 · frame)² random pixels, none where the frame is all.

    Args:
        side: in pixels, any shape.
        p: the fill probability.
        frame: how many pixels at each edge are drawn alike in every mask.
    """
    return mask_bits(np.maximum(np.asarray(side, dtype=float) - 2 * frame, 0.0) ** 2, p)


def complete_seeds(fits: pd.DataFrame) -> pd.DataFrame:
    """Keep the fits of the seeds that every arm has at every size: others would shift a mean by who is missing.

    Args:
        fits: a row per fit of one fill probability: ``arm, side, seed, right`` and more.
    """
    wanted = fits["arm"].nunique() * fits["side"].nunique()
    kept: pd.DataFrame = fits[fits.groupby("seed")["right"].transform("count") == wanted]
    return kept


def per_size(fits: pd.DataFrame) -> pd.DataFrame:
    """Return mean and deviation of right over the seeds of each arm and size: ``arm, side, n, mean, sd`` (ddof = 1)."""
    groups = fits.groupby(["arm", "side"], sort=True)["right"]
    return groups.agg(n="size", mean="mean", sd="std").reset_index()


def capacities(fits: pd.DataFrame, p: float, trained_numbers: Mapping[str, int], frame: int = 0) -> pd.DataFrame:
    """Return the side at which an arm has 90 % right, and the bits of a mask of that side.

    Args:
        fits: a row per fit of one fill probability: ``arm, side, seed, right``; ``side`` is √(rows · columns). Every
            arm has every seed at every one of at least three sizes, see :func:`complete_seeds`.
        p: the fill probability.
        trained_numbers: of each arm how many numbers a fit trains, 3n + 1 of a network of n weights: origin, two
            directions and the scale. An arm that is not there has no bits per 1,000 numbers.
        frame: how many pixels at each edge of a mask hold no random bit.

    Returns:
        A row per arm, by name: ``arm, seeds, crossing, side, low, high, bits, bits_low, bits_high, numbers,
        bits_per_1000_numbers, curve_side, slope, misfit, isotonic, between_sizes``. ``crossing`` is :data:`INSIDE`,
        :data:`ABOVE` or :data:`BELOW`. The two latter have no side (``curve_side`` is that of the curve all the
        same), and their interval begins at the largest size, or ends at the smallest, at which the 95 % t interval of
        right lies on the other side of 90 %. An end beyond the sizes is 0 or infinite. One seed has no interval.
        ``between_sizes`` says that the curve falls between two sizes, and that the interval was widened to those around
        the side.

    Raises:
        ValueError: fewer than three sizes, or an arm lacks a seed at a size.
    """
    arms, sides, right = _arrays(fits)
    rows = []
    for place, (arm, (log_side, slope), drawn) in enumerate(
        zip(arms, _curves(sides, right), drawn_curves(sides, right), strict=True)
    ):
        values = right[place].mean(axis=0)
        crossing = _crossing(math.exp(log_side), sides)
        between = crossing == INSIDE and drawn.is_steep
        if crossing == INSIDE:
            low, high = _interval(log_side, drawn, sides, right.shape[1])
        else:
            low, high = _known_of_what_lies_beyond(crossing, sides, right[place])
        side = math.exp(log_side) if crossing == INSIDE else math.nan
        bits, bits_low, bits_high = (float(square_bits(end, p, frame)) for end in (side, low, high))
        numbers = trained_numbers.get(arm)
        misfit = np.sqrt(np.mean((values - right_at(sides, math.exp(log_side), slope)) ** 2))
        rows.append(
            {
                "arm": arm,
                "seeds": right.shape[1],
                "crossing": crossing,
                "side": side,
                "low": low,
                "high": high,
                "bits": bits,
                "bits_low": bits_low,
                "bits_high": bits_high,
                "numbers": math.nan if numbers is None else numbers,
                "bits_per_1000_numbers": math.nan if numbers is None else 1000 * bits / numbers,
                "curve_side": math.exp(log_side),
                "slope": slope,
                "misfit": float(misfit),
                "isotonic": isotonic_side(sides, values),
                "between_sizes": between,
            }
        )
    return pd.DataFrame(rows)


def capacity_gaps(fits: pd.DataFrame, order: Sequence[str], level: float = LEVEL) -> pd.DataFrame:
    """Return by what factor the side of one arm is that of another, paired over seeds.

    Args:
        fits: as :func:`capacities` takes them.
        order: the arms, the first of each two first.
        level: share of right pixels that the sides are of, between ½ and 1.

    Returns:
        A row per two arms that both have their side inside the sizes: ``first, second, seeds, log_gap, log_low,
        log_high, ratio, low, high, isotonic, level``; ``log_gap`` is log side(first) − log side(second), ``ratio`` its
        exponential, each with the 95 % interval; ``isotonic`` is the ratio by straight lines between the means. Where
        an arm's curve falls between two sizes, it also holds the ratios that the intervals of both sides allow. The
        ratio of bits of masks without a frame is the square of that of sides.
    """
    arms, sides, right = _arrays(fits)
    found = {arm: float(log_sides_at(level, *one)) for arm, one in zip(arms, _curves(sides, right), strict=True)}
    drawn = {arm: one.at(level) for arm, one in zip(arms, drawn_curves(sides, right), strict=True)}
    straight = {arm: isotonic_side(sides, own.mean(axis=0), level) for arm, own in zip(arms, right, strict=True)}
    inside = [arm for arm in order if arm in found and _crossing(math.exp(found[arm]), sides) == INSIDE]
    rows = []
    for first, second in itertools.combinations(inside, 2):
        gap = found[first] - found[second]
        half = half_width(drawn[first].log_sides - drawn[second].log_sides, right.shape[1])
        low, high = gap - half, gap + half
        if drawn[first].is_steep or drawn[second].is_steep:
            with np.errstate(divide="ignore"):
                ends = [np.log(_interval(found[arm], drawn[arm], sides, right.shape[1])) for arm in (first, second)]
            low, high = min(low, float(ends[0][0] - ends[1][1])), max(high, float(ends[0][1] - ends[1][0]))
        logs = {"log_gap": gap, "log_low": low, "log_high": high}
        ratios = {name: math.exp(value) for name, value in zip(_RATIO, logs.values(), strict=True)}
        isotonic = straight[first] / straight[second]
        rows.append({"first": first, "second": second, "seeds": right.shape[1], **logs, **ratios, "isotonic": isotonic})
    columns = ["first", "second", "seeds", "log_gap", "log_low", "log_high", *_RATIO, "isotonic"]
    return pd.DataFrame(rows, columns=columns).assign(level=level)


def _arrays(fits: pd.DataFrame) -> tuple[list[str], Floats, Floats]:
    """Return the arms by name, the sizes rising, and right of shape (arms, n, S)."""
    table = fits.pivot(index=["arm", "seed"], columns="side", values="right")
    arms = sorted(fits["arm"].unique())
    if table.shape[1] < FEWEST_SIZES:
        raise ValueError(f"right is known at {table.shape[1]} sizes; a curve takes {FEWEST_SIZES}.")
    if len(table) != len(arms) * fits["seed"].nunique() or table.isna().to_numpy().any():
        raise ValueError("an arm lacks a seed at a size; keep the seeds that are complete.")
    return arms, table.columns.to_numpy(float), table.to_numpy(float).reshape(len(arms), -1, table.shape[1])


def _curves(sides: Floats, right: Floats) -> list[tuple[float, float]]:
    """Fit log side and slope of each arm to its means: every size has as many seeds, so to its fits as well."""
    log_sides, slopes = fit_curves(sides, right.mean(axis=1))
    return list(zip(log_sides.tolist(), slopes.tolist(), strict=True))


def _interval(log_side: float, drawn: DrawnCurves, sides: Floats, n: int) -> tuple[float, float]:
    """Return the 95 % interval of a side within the sizes; it holds those around it where the curve is too steep."""
    half = half_width(drawn.log_sides, n)
    low, high = math.exp(log_side - half), math.exp(log_side + half)
    if drawn.is_steep and n > 1:
        side = math.exp(log_side)
        low, high = min(low, sides[sides <= side].max()), max(high, sides[sides >= side].min())
    return _within(low, high, sides)


def _crossing(side: float, sides: Floats) -> str:
    return BELOW if side < sides[0] else ABOVE if side > sides[-1] else INSIDE


def _within(low: float, high: float, sides: Floats) -> tuple[float, float]:
    """Open an end of an interval that lies beyond the sizes."""
    return 0.0 if low < sides[0] else low, math.inf if high > sides[-1] else high


def _known_of_what_lies_beyond(crossing: str, sides: Floats, right: Floats) -> tuple[float, float]:
    """Return the interval of a side beyond the sizes, from the last size whose t interval says so; right (n, S)."""
    n = len(right)
    if n < 2:
        return math.nan, math.nan
    half = stats.t.ppf((1 + CONFIDENCE) / 2, n - 1) * right.std(axis=0, ddof=1) / math.sqrt(n)
    if crossing == ABOVE:
        surely = sides[right.mean(axis=0) - half >= LEVEL]
        return float(surely.max(initial=0.0)), math.inf
    surely = sides[right.mean(axis=0) + half < LEVEL]
    return 0.0, float(surely.min(initial=math.inf))
