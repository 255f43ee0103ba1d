"""The gap of two arms over the fill probabilities, by each reading, each p with its own interval."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Drawing
from matplotlib.lines import Line2D

from bnbench.report.arms import ComparedArms, arm_labels
from bnbench.report.figures.axes import MANY_FITS, dodge_unit, legend_above, probability_axis
from bnbench.report.figures.captions import LEAST_SEEDS
from bnbench.report.figures.figure import Figure
from bnbench.report.figures.style import DOUBLE, INK, SINGLE, new_drawing
from bnbench.report.tables import Table
from bnbench.stats import differences
from bnbench.wording import counted, interval_words, signed

_WIDE = 1.5  # Intervals of few pairs are huge: from this multiple of the pairs' spread on the frame cuts them.
_NARROW = 0.01  # half of the frame where every gap is 0
_PAIR: dict[str, Any] = {
    "linestyle": "",
    "marker": "o",
    "color": INK,
    "markersize": 2.2,
    "alpha": 0.5,
    "markeredgewidth": 0,
}
_HEIGHT = 6.4 / 2.54
# Readings of the objective, and what a panel's axis and its caption call them.
_OBJECTIVE = {
    "right_trained": ("gap in right pixels", "right, the share of pixels on their colour's side, above 0 better for"),
    "objective_trained": ("gap in J (nats)", "J, below 0 better for"),
}
_MEAN: dict[str, Any] = {"color": INK, "linewidth": 0.8, "linestyle": (0, (4, 2))}


def paired(compared: ComparedArms) -> Figure:
    """Show the gap of two arms over trained pixels at every p with its 95 % t interval, and the mean over all p."""
    return Figure("paired", partial(_draw, *compared), _caption(*compared), paired_table(compared))


def paired_objective(fits: pd.DataFrame, compared: ComparedArms) -> list[Figure]:
    """Show the gaps in right and in J as :func:`paired` shows those in contrast; nothing where no two pairs have both.

    Args:
        fits: a row per fit, see :func:`bnbench.report.tables.fits_table`.
        compared: the arms to compare.
    """
    _, first, second = compared
    if not set(_OBJECTIVE) <= set(fits):
        return []
    there = fits.dropna(subset=[*_OBJECTIVE])
    pairs = {name: differences.paired(there, first, second, name) for name in _OBJECTIVE}
    if len(pairs["right_trained"]) < 2:
        return []
    draw = partial(_draw_objective, pairs, first, second)
    parts = [differences.paired_per_p(found).assign(reading=name) for name, found in pairs.items()]
    frame = pd.concat(parts, ignore_index=True)
    note = "Over trained pixels, for each reading as the table of the paired difference has it for accuracy contrast"
    title = f"The gap {compared.gap_name} in right and in J at every p (exploratory)"
    table = Table("paired_objective", title, note, frame[["reading", *frame.columns.drop("reading")]])
    return [Figure("paired_objective", draw, _caption_of_objective(pairs, first, second), table, draw)]


def paired_table(compared: ComparedArms) -> Table:
    """Draw the paired difference at every p, with its test."""
    note = (
        "Over trained pixels. Mean over n pairs with the 95 % t interval, df = n − 1; t, p value: paired t test; holm: "
        "the same corrected for all p by Holm's method"
    )
    title = f"Paired difference {compared.gap_name} at every p (exploratory)"
    return Table("paired", title, note, differences.paired_per_p(compared.pairs))


def _draw(pairs: pd.DataFrame, first: str, second: str) -> Drawing:
    drawing = new_drawing(SINGLE, _HEIGHT)
    legend_above(drawing, draw_pairs(drawing.subplots(), pairs, first, second))
    return drawing


def _draw_objective(pairs: Mapping[str, pd.DataFrame], first: str, second: str, *, narrow: bool = False) -> Drawing:
    drawing = new_drawing(SINGLE, 2 * _HEIGHT) if narrow else new_drawing(DOUBLE, _HEIGHT)
    panels = drawing.subplots(2, 1) if narrow else drawing.subplots(1, 2)
    for axes, (name, found), letter in zip(panels, pairs.items(), "ab", strict=True):
        handles = draw_pairs(axes, found, first, second, _OBJECTIVE[name][0])
        axes.set_title(letter, loc="left", fontweight="bold")
    legend_above(drawing, handles)
    return drawing


def draw_pairs(axes: Axes, pairs: pd.DataFrame, first: str, second: str, what: str = "paired difference") -> list[Any]:
    """Draw every gap of two arms, the mean at each p with its 95 % t interval, and the mean over all p.

    Args:
        axes: where to.
        pairs: what :func:`bnbench.stats.differences.paired` gives, at least one row.
        first: the arm that is counted positive.
        second: the arm that is subtracted.
        what: words for the axis, after the two arms.

    Returns:
        The handles of its legend.
    """
    several = bool(pairs.groupby("p").size().max() > 1)
    axes.axhline(0, color=INK, linewidth=0.7)
    if several:
        places = pairs["p"] - 0.16 * dodge_unit(pairs["p"])
        axes.plot(places, pairs["gap"], rasterized=2 * len(pairs) > MANY_FITS, **_PAIR)
    per_p = _draw_means(axes, pairs)
    labels = arm_labels([first, second])
    axes.set_ylabel(f"{labels[first].strip()} − {labels[second].strip()}, {what}")
    probability_axis(axes, {"pairs": per_p.set_index("p")["n"]}, pairs["p"], "pair")
    handles: list[Any] = [Line2D([], [], label="a pair", **_PAIR)] if several else []
    name = "mean, 95 % interval" if several else "a pair"
    handles.append(Line2D([], [], color=INK, marker="D", markersize=3, linestyle="", label=name))
    handles.append(Line2D([], [], label="all pairs", **_MEAN))
    return handles


def _draw_means(axes: Axes, pairs: pd.DataFrame) -> pd.DataFrame:
    """Draw the mean at every p and over all, with their intervals; a frame that shows the pairs whatever those are."""
    per_p, whole = differences.paired_per_p(pairs), differences.overall(pairs)
    if whole.df > 0:
        axes.axhspan(whole.low, whole.high, color=INK, alpha=0.1, linewidth=0)
    axes.axhline(whole.mean, **_MEAN)
    half = (per_p["high"] - per_p["mean"]).where(per_p["n"] >= LEAST_SEEDS).to_numpy()
    shown = [0, *pairs["gap"]]
    spread = float(np.ptp(shown))
    if spread == 0:
        axes.set_ylim(-_NARROW, _NARROW)
    elif np.isfinite(half).any() and np.nanmax(half) > _WIDE * spread:
        axes.set_ylim(min(shown) - spread, max(shown) + spread)
    axes.errorbar(per_p["p"], per_p["mean"], half, fmt="D", color=INK, capsize=1.6, linewidth=0.9, markersize=3)
    return per_p


def _caption(pairs: pd.DataFrame, first: str, second: str) -> str:
    """Return the caption of the paired difference."""
    head = (
        f"Paired difference {first} − {second} of black − white accuracy over trained pixels: both arms on one mask "
        "and data order. "
    )
    return f"{head}{_marks_words(pairs)}: {_mean_words(pairs)}."


def _caption_of_objective(pairs: Mapping[str, pd.DataFrame], first: str, second: str) -> str:
    """Return the caption of the gaps in right and in J."""
    panels = "; ".join(f"({letter}) {_OBJECTIVE[name][1]} {first}" for letter, name in zip("ab", pairs, strict=True))
    means = "; ".join(f"({letter}) {_mean_words(found)}" for letter, found in zip("ab", pairs.values(), strict=True))
    said = "by the objective over trained pixels, both arms on one mask and data order"
    head = f"Gaps {first} − {second} {said}: {panels}. "
    return f"{head}{_marks_words(pairs['right_trained'])}: {means}."


def _marks_words(pairs: pd.DataFrame) -> str:
    """Say what the marks of a panel are, up to the number that the dashed line stands at."""
    if pairs.groupby("p").size().max() == 1:
        return "One pair at each p, so there is no interval; dashed line"
    said = (
        "Diamonds: mean at each p; whiskers: 95 % t interval, df = n − 1, where there are at least "
        f"{LEAST_SEEDS} pairs (with few they may run out of the frame; the table has all of them); "
        "small points: every pair. Dashed line"
    )
    return said if differences.overall(pairs).df == 0 else f"{said} and band"


def _mean_words(pairs: pd.DataFrame) -> str:
    """Say the mean over p, with its interval where there is one."""
    whole = differences.overall(pairs)
    if pairs.groupby("p").size().max() == 1:
        return f"mean {signed(whole.mean)}"
    mean = f"mean over p of {counted(whole.pairs, 'pair')}, {signed(whole.mean)}"
    if whole.df == 0:
        return f"{mean}, without an interval while a p has a single pair"
    return (
        f"{mean}, and its 95 % interval {interval_words(whole.low, whole.high, sign=True)} (variance within each p, "
        f"df = {whole.df:.3g})"
    )
