"""How large a random mask each arm bends to: right against the bits of the mask, and the crossing of 90 %."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Drawing
from matplotlib.lines import Line2D
from matplotlib.ticker import NullLocator, PercentFormatter

from bnbench.report.arms import arm_labels, arm_order, of_arms
from bnbench.report.figures.axes import MANY_FITS, WHISKER, legend_above
from bnbench.report.figures.figure import Figure, NarrowDrawing
from bnbench.report.figures.figure4 import deviations
from bnbench.report.figures.style import DOUBLE, INK, SINGLE, arm_colours, arm_markers, new_drawing
from bnbench.report.tables import Table, sorted_by_arm
from bnbench.stats import capacity
from bnbench.stats.falling_curve import LEVEL, right_at
from bnbench.wording import counted

_APART, _FAR_APART = 0.13, 0.26  # numbers below a panel as wide as the figure, and below one of several, as its share
_TOGETHER = 3  # arms in one panel: of more, neither whiskers nor crossings can be told apart
_COLUMNS, _NARROW_COLUMNS = 4, 2  # of panels
_Y_WORDS = "trained pixels right"


def capacity_figure(name: str, fits: pd.DataFrame, found: pd.DataFrame, p: float, frame: int = 0) -> Figure:
    """Draw right against the bits of the mask for every arm, with its curve and where that crosses 90 %.

    Args:
        name: of its files.
        fits: a row per fit at one fill probability: ``arm, seed, size, side, bits, right``.
        found: what :func:`bnbench.stats.capacity.capacities` says of the arms that have a curve; it may be empty.
        p: the fill probability.
        frame: how many pixels at each edge of a mask hold no random bit.
    """
    sizes = _sizes_table(name, fits, found, p)
    if fits["arm"].nunique() <= _TOGETHER:
        return Figure(name, partial(_draw, fits, found, p, frame), _caption(fits, found, p, apart=False), sizes)
    draw: NarrowDrawing = partial(_draw_apart, fits, found, p, frame)
    return Figure(name, draw, _caption(fits, found, p, apart=True), sizes, draw)


def _sizes_table(name: str, fits: pd.DataFrame, found: pd.DataFrame, p: float) -> Table:
    groups = fits.groupby(["arm", "side", "size", "bits"], sort=True)["right"]
    frame = groups.agg(n="size", mean="mean", sd="std").reset_index()
    curves = found.set_index("arm")[["curve_side", "slope"]] if len(found) else pd.DataFrame()
    frame["fitted"] = [
        float(right_at(side, *curves.loc[arm])) if arm in curves.index else np.nan
        for arm, side in zip(frame["arm"], frame["side"], strict=True)
    ]
    frame.insert(0, "p", p)
    note = (
        "Right: share of trained pixels on their side of the best cut through the losses, balanced over the colours; "
        "mean and deviation (ddof = 1) over n seeds; fitted: the arm's logistic curve"
    )
    return Table(f"{name}_sizes", "Right at every mask size", note, sorted_by_arm(frame))


def _draw(fits: pd.DataFrame, found: pd.DataFrame, p: float, frame: int) -> Drawing:
    """Draw all arms in one panel, shifted to be told apart."""
    drawing = new_drawing(SINGLE, 7.0 / 2.54)
    axes = drawing.subplots()
    order = arm_order(fits["arm"])
    colours, markers, labels = arm_colours(order), arm_markers(order), arm_labels(order)
    _label(axes, fits, _APART)
    axes.set_xlabel(_x_words(p))
    axes.set_ylabel(_Y_WORDS)
    unit = (fits["bits"].max() / fits["bits"].min()) ** 0.0175
    rows = {row["arm"]: row for row in found.to_dict("records")}
    for place, arm in enumerate(order):
        from_middle = place - (len(order) - 1) / 2  # whiskers of several arms stand side by side
        _draw_fits(axes, fits, arm, unit**from_middle)
        if arm in rows:
            _draw_curve(axes, rows[arm], fits["side"], p, frame, color=colours[arm], zorder=2)
            _draw_crossing(axes, rows[arm], LEVEL - 0.011 * from_middle, colours[arm])
    handles = [Line2D([], [], color=colours[arm], marker=markers[arm], label=labels[arm]) for arm in order]
    legend_above(drawing, handles)
    return drawing


def _draw_apart(fits: pd.DataFrame, found: pd.DataFrame, p: float, frame: int, *, narrow: bool = False) -> Drawing:
    """Draw a panel for each arm, with the curves of the others behind its own."""
    order = arm_order(fits["arm"])
    colours, labels = arm_colours(order), arm_labels(order)
    columns = _NARROW_COLUMNS if narrow else _COLUMNS
    rows = -(-len(order) // columns)
    drawing = new_drawing(SINGLE if narrow else DOUBLE, (3.9 * rows + 1.0) / 2.54)
    panels = drawing.subplots(rows, columns, squeeze=False, sharex=True, sharey=True).ravel()
    for axes in panels[len(order) :]:
        axes.set_visible(False)
    curves = {row["arm"]: row for row in found.to_dict("records")}
    for axes, arm in zip(panels, order, strict=False):
        _label(axes, fits, _FAR_APART)
        axes.set_title(labels[arm].strip(), loc="left")
        for other in (name for name in order if name in curves and name != arm):
            _draw_curve(axes, curves[other], fits["side"], p, frame, color=INK, alpha=0.22, linewidth=0.5, zorder=1.5)
        _draw_fits(axes, fits, arm, 1.0)
        if arm in curves:
            _draw_curve(axes, curves[arm], fits["side"], p, frame, color=colours[arm], zorder=2)
            _draw_crossing(axes, curves[arm], LEVEL, colours[arm])
    for axes in panels[max(0, len(order) - columns) : len(order)]:
        axes.tick_params(labelbottom=True)
    drawing.supxlabel(_x_words(p), fontsize=7)
    drawing.supylabel(_Y_WORDS, fontsize=7)
    return drawing


def _draw_fits(axes: Axes, fits: pd.DataFrame, arm: str, shift: float) -> None:
    """Draw an arm's fits as dots, and their mean and deviation at every size, ``shift`` times as far to the right."""
    own = fits[fits["arm"] == arm]
    table = capacity.per_size(own)
    order = arm_order(fits["arm"])
    look: dict[str, Any] = {"color": arm_colours(order)[arm], "marker": arm_markers(order)[arm]}
    dots = look | {"linestyle": "", "alpha": 0.35, "markersize": 2, "markeredgewidth": 0}
    axes.plot(own["bits"] * shift, own["right"], rasterized=len(fits) > MANY_FITS, **dots)
    bits = own.groupby("side", sort=True)["bits"].mean().to_numpy() * shift
    axes.errorbar(bits, table["mean"], deviations(table), linestyle="", **look, **WHISKER)


def _draw_curve(axes: Axes, row: dict[Any, Any], sides: pd.Series, p: float, frame: int, **look: Any) -> None:
    shown = np.geomspace(sides.min() * 0.93, sides.max() * 1.07, 200)
    shown = shown[shown > 2 * frame]
    bits = capacity.square_bits(shown, p, frame)
    axes.plot(bits, right_at(shown, row["curve_side"], row["slope"]), **look)


def _draw_crossing(axes: Axes, row: dict[Any, Any], height: float, colour: str) -> None:
    """Draw where the curve crosses 90 %, with its interval as far as the sizes tell it."""
    if not np.isfinite(row["bits"]):
        return
    edges = np.sort(axes.get_xlim())
    ends = np.clip([row["bits_low"], row["bits_high"]], *edges) if np.isfinite(row["low"]) else [row["bits"]] * 2
    axes.plot(ends, [height] * 2, color=colour, linewidth=2.6, alpha=0.45, solid_capstyle="butt", zorder=3)
    axes.plot(row["bits"], height, "|", color=colour, markersize=7, markeredgewidth=1.4, zorder=4)


def _x_words(p: float) -> str:
    return f"bits of the mask, and its size   (p = {p:g})"


def _label(axes: Axes, fits: pd.DataFrame, apart: float) -> None:
    """Give axes their scales, the line at 90 %, and below numbers of sizes that are this share of the width apart."""
    axes.set_xscale("log")
    sizes = fits.drop_duplicates("size").sort_values("side")
    bits = sizes["bits"].to_numpy()
    span = np.log10(bits[-1] / bits[0])
    places = np.log10(bits / bits[0]) / span
    chosen = [len(bits) - 1]
    for place in range(len(bits) - 2, -1, -1):
        has_room = places[chosen[-1]] - places[place] >= apart
        if has_room and (place == 0 or places[place] >= apart):  # the smallest size has one
            chosen.append(place)
    ticks = [f"{bits[place]:,.0f}\n{sizes['size'].iloc[place].replace('x', '×')}" for place in chosen]
    axes.set_xticks(bits[chosen], ticks)
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_xlim(bits[0] / 10 ** (0.06 * span), bits[-1] * 10 ** (0.06 * span))
    axes.set_ylim(0.485, 1.015)
    axes.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0, symbol=" %"))
    axes.grid(axis="y", color=INK, alpha=0.1, linewidth=0.5)
    axes.set_axisbelow(True)
    axes.axhline(LEVEL, color=INK, linewidth=0.6, linestyle=(0, (4, 2)), zorder=1)


def _caption(fits: pd.DataFrame, found: pd.DataFrame, p: float, *, apart: bool) -> str:
    """Return the caption; ``apart``: each arm has a panel of its own."""
    counts = fits.groupby("arm")["seed"].nunique()
    arms = of_arms(counts[arm_order(counts.index)].to_dict(), lambda arm: f"{arm} {counted(int(counts[arm]), 'seed')}")
    text = (
        "Share of trained pixels on their side of the best cut through the losses, balanced over the colours, against "
        f"the bits of a random mask of p = {p:g} ({arms}). Marker: mean over seeds ± one standard deviation (ddof = 1)"
        f"{'' if apart else ' and shifted sideways to be told apart'}; dot: a fit."
    )
    if len(found):
        seeds = counted(int(found["seeds"].iloc[0]), "seed")
        text += (
            f" Line: logistic curve in the logarithm of the side, from 1 to ½{'; grey: of the other arms' * apart}. "
            f"Tick and bar {'at' if apart else 'near'} 90 %: its crossing and the 95 % interval over {seeds} "
            f"(bootstrap, t quantiles){'' if apart else ', shifted up and down to be told apart'}."
        )
    return text
