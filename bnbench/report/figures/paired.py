"""The paired difference of two arms over the fill probabilities, each p with its own interval."""

from __future__ import annotations

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
from bnbench.report.figures.style import INK, SINGLE, new_drawing
from bnbench.report.tables import Table
from bnbench.stats import differences
from bnbench.wording import counted, interval_words, signed

_WIDE = 1.5  # Intervals of few pairs are huge: from this multiple of the pairs' spread on the frame cuts them.
_PAIR: dict[str, Any] = {
    "linestyle": "",
    "marker": "o",
    "color": INK,
    "markersize": 2.2,
    "alpha": 0.5,
    "markeredgewidth": 0,
}
_MEAN: dict[str, Any] = {"color": INK, "linewidth": 0.8, "linestyle": (0, (4, 2))}


def paired(compared: ComparedArms) -> Figure:
    """Show the gap of two arms over trained pixels at every p with its 95 % t interval, and the mean over all p."""
    return Figure("paired", partial(_draw, *compared), _caption(*compared), paired_table(compared))


def paired_table(compared: ComparedArms) -> Table:
    """Draw the paired difference at every p, with its test."""
    note = (
        "Over trained pixels. Mean over n pairs with the 95 % t interval, df = n − 1; t, p value: paired t test; holm: "
        "the same corrected for all p by Holm's method"
    )
    title = f"Paired difference {compared.gap_name} at every p (exploratory)"
    return Table("paired", title, note, differences.paired_per_p(compared.pairs))


def _draw(pairs: pd.DataFrame, first: str, second: str) -> Drawing:
    drawing = new_drawing(SINGLE, 6.4 / 2.54)
    legend_above(drawing, draw_pairs(drawing.subplots(), pairs, first, second))
    return drawing


def draw_pairs(axes: Axes, pairs: pd.DataFrame, first: str, second: str) -> list[Any]:
    """Draw every gap of two arms, the mean at each p with its 95 % t interval, and the mean over all p.

    Args:
        axes: where to.
        pairs: what :func:`bnbench.stats.differences.paired` gives, at least one row.
        first: the arm that is counted positive.
        second: the arm that is subtracted.

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
    axes.set_ylabel(f"{labels[first].strip()} − {labels[second].strip()}, paired difference")
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
    if np.isfinite(half).any() and np.nanmax(half) > _WIDE * (spread := float(np.ptp(shown))):
        axes.set_ylim(min(shown) - spread, max(shown) + spread)
    axes.errorbar(per_p["p"], per_p["mean"], half, fmt="D", color=INK, capsize=1.6, linewidth=0.9, markersize=3)
    return per_p


def _caption(pairs: pd.DataFrame, first: str, second: str) -> str:
    """Return the caption of the paired difference."""
    whole = differences.overall(pairs)
    head = (
        f"Paired difference {first} − {second} of black − white accuracy over trained pixels: both arms on one mask "
        "and data order. "
    )
    if pairs.groupby("p").size().max() == 1:
        return head + f"One pair at each p, so there is no interval; dashed line: mean {signed(whole.mean)}."
    head += (
        "Diamonds: mean at each p; whiskers: 95 % t interval, df = n − 1, where there are at least "
        f"{LEAST_SEEDS} pairs (with few they may run out of the frame; the table has all of them); "
        "small points: every pair. "
    )
    mean = f"mean over p of {counted(whole.pairs, 'pair')}, {signed(whole.mean)}"
    if whole.df == 0:
        return f"{head}Dashed line: {mean}, without an interval while a p has a single pair."
    return (
        f"{head}Dashed line and band: {mean}, and its 95 % interval "
        f"{interval_words(whole.low, whole.high, sign=True)} (variance within each p, df = {whole.df:.3g})."
    )
