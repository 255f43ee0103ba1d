"""The paired difference of two arms over the fill probabilities, each p with its own interval."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from bnbench.report.figures.axes import dodge_unit, legend_above, probability_axis
from bnbench.report.figures.figure4 import AUTHORS_LINE, AUTHORS_NAME
from bnbench.report.figures.style import INK, SINGLE, arm_labels, new_figure
from bnbench.stats import differences

_WIDE = 1.5  # Intervals of two pairs are huge: from this multiple of the pairs' spread on the frame cuts them.
_PAIR: dict[str, Any] = {
    "linestyle": "",
    "marker": "o",
    "color": INK,
    "markersize": 2.2,
    "alpha": 0.5,
    "markeredgewidth": 0,
}
_MEAN: dict[str, Any] = {"color": INK, "linewidth": 0.8, "linestyle": (0, (4, 2))}


def paired_figure(pairs: pd.DataFrame, first: str, second: str, authors: pd.DataFrame | None = None) -> Figure:
    """The gap ``first − second`` over p with its 95 % t intervals, and the mean over all pairs as a band.

    Args:
        pairs: a row per (p, seed): ``p, seed, gap``.
        first: the arm counted positive.
        second: the arm subtracted.
        authors: their curves, of which the same gap is drawn behind; None leaves it out.
    """
    figure = new_figure(SINGLE, 6.4 / 2.54)
    axes = figure.subplots()
    theirs = _their_gap(authors, first, second)
    several = bool(pairs.groupby("p").size().max() > 1)
    axes.axhline(0, color=INK, linewidth=0.7)
    axes.plot(theirs.index, theirs, color=INK, **AUTHORS_LINE)
    if several:
        axes.plot(pairs["p"] - 0.16 * dodge_unit(pairs["p"]), pairs["gap"], **_PAIR)
    per_p = _draw_means(axes, pairs, theirs)
    labels = arm_labels([first, second])
    axes.set_ylabel(f"{labels[first].strip()} − {labels[second].strip()}, paired difference")
    places: pd.Series = pd.concat([pairs["p"], theirs.index.to_series()])
    probability_axis(axes, {"pairs": per_p.set_index("p")["n"]}, places, "pair")
    handles: list[Any] = [Line2D([], [], label="a pair", **_PAIR)] if several else []
    name = "mean, 95 % interval" if several else "a pair"
    handles.append(Line2D([], [], color=INK, marker="D", markersize=3, linestyle="", label=name))
    handles.append(Line2D([], [], label="all pairs", **_MEAN))
    if len(theirs):
        handles.append(Line2D([], [], color=INK, label=AUTHORS_NAME, **AUTHORS_LINE))
    legend_above(figure, handles)
    return figure


def _draw_means(axes: Axes, pairs: pd.DataFrame, theirs: pd.Series) -> pd.DataFrame:
    """The mean at every p and over all, with their intervals; a frame that shows the pairs whatever those are."""
    per_p, whole = differences.paired_per_p(pairs), differences.overall(pairs)
    if whole.df > 0:
        axes.axhspan(whole.low, whole.high, color=INK, alpha=0.1, linewidth=0)
    axes.axhline(whole.mean, **_MEAN)
    half = (per_p["high"] - per_p["mean"]).to_numpy()
    shown = [0, *pairs["gap"], *theirs]
    if np.isfinite(half).any() and np.nanmax(half) > _WIDE * (spread := float(np.ptp(shown))):
        axes.set_ylim(min(shown) - spread, max(shown) + spread)
    axes.errorbar(per_p["p"], per_p["mean"], half, fmt="D", color=INK, capsize=1.6, linewidth=0.9, markersize=3)
    return per_p


def _their_gap(authors: pd.DataFrame | None, first: str, second: str) -> pd.Series:
    """The authors' gap over p; empty where they lack an arm."""
    if authors is None or not {first, second} <= set(authors["arm"]):
        return pd.Series(dtype=float)
    curves = authors.pivot_table(index="p", columns="arm", values="difference")
    return curves[first] - curves[second]
