"""How soon: the pixels that are right, the objective and the difference at the steps that were measured on the way."""

from __future__ import annotations

from functools import partial

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Drawing
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, NullFormatter

from bnbench.report.arms import arm_labels, arm_order, of_arms
from bnbench.report.figures.axes import MANY_FITS, draw_nine_tenths, legend_above
from bnbench.report.figures.figure import Figure, NarrowDrawing
from bnbench.report.figures.style import DOUBLE, INK, PAPER, SINGLE, arm_colours, arm_markers, new_drawing
from bnbench.report.tables import Table, sorted_by_arm
from bnbench.stats.speed import LEVEL
from bnbench.wording import counted, percent

# What is drawn, in this order, where fits have it: the measure's name, and what its axis says.
_PANELS = {
    "right": "share of pixels right",
    "objective": "objective J (nats)",
    "difference": "accuracy, black − white",
}
_FIT = ["p", "seed"]


def measured_on_the_way(courses: pd.DataFrame) -> Figure | None:
    """Draw a panel for each measure; None where nothing was measured.

    A thin line is a fit, of many there is a band, and a thick line is their mean.

    Args:
        courses: a row per fit and step, over trained pixels: ``arm, p, seed, step`` and measures.
    """
    shown = [name for name in _PANELS if name in courses and courses[name].notna().any()]
    if not shown or courses["step"].nunique() < 2:
        return None
    draw: NarrowDrawing = partial(_draw, courses, shown)
    return Figure("measured_on_the_way", draw, _caption(courses, shown), _table(courses, shown), draw)


def means(courses: pd.DataFrame, value: str) -> pd.DataFrame:
    """Return mean and deviation over each arm's fits at every step that all of them have.

    Args:
        courses: as :func:`measured_on_the_way` takes them.
        value: the column to average.

    Returns:
        A row per arm and step, sorted: ``arm, step, fits, mean, sd``; ``sd`` (ddof = 1) is NaN for a single fit.
    """
    known = courses.dropna(subset=[value])
    groups = known.groupby(["arm", "step"])[value]
    table = groups.agg(fits="size", mean="mean", sd="std").reset_index()
    fits = courses[["arm", *_FIT]].drop_duplicates().groupby("arm").size()
    whole = table[table["fits"] == table["arm"].map(fits)]
    return sorted_by_arm(whole.reset_index(drop=True))


def _table(courses: pd.DataFrame, shown: list[str]) -> Table:
    """Return the thick lines: a row per measure, arm and step."""
    frame = pd.concat([means(courses, name).assign(measure=name) for name in shown], ignore_index=True)
    note = (
        "Trained pixels, on the images that the protocol measures on, under the headline's BN policy: mean and "
        "deviation (ddof = 1) over the arm's fits, at the steps that all of them were measured at"
    )
    return Table(
        "measured_on_the_way",
        "Measured on the way",
        note,
        frame[["measure", "arm", "step", "fits", "mean", "sd"]],
    )


def _draw(courses: pd.DataFrame, shown: list[str], *, narrow: bool = False) -> Drawing:
    rows, columns = (len(shown), 1) if narrow else (1, len(shown))
    drawing = new_drawing(DOUBLE if columns > 1 else SINGLE, 5.6 / 2.54 * rows + 0.2)
    grid = drawing.subplots(rows, columns, squeeze=False, sharex=True).ravel()
    order = arm_order(courses["arm"])
    for letter, axes, name in zip("abc", grid, shown, strict=False):
        _draw_measure(axes, courses, name, order)
        axes.set_ylabel(_PANELS[name])
        axes.set_title(letter, loc="left", fontweight="bold")
    for axes in grid[-columns:]:
        axes.set_xlabel("training step")
    colours, labels, markers = arm_colours(order), arm_labels(order), arm_markers(order)
    handles = [
        Line2D([], [], color=colours[arm], marker=markers[arm], markeredgecolor=PAPER, label=labels[arm])
        for arm in order
    ]
    legend_above(drawing, handles)
    return drawing


def _draw_measure(axes: Axes, courses: pd.DataFrame, name: str, order: list[str]) -> None:
    colours, markers = arm_colours(order), arm_markers(order)
    many = _number(courses) > MANY_FITS
    for arm in order:
        mine = courses[courses["arm"] == arm].dropna(subset=[name])
        if many:
            draw_nine_tenths(axes, mine, "step", name, color=colours[arm], alpha=0.25)
        for _, fit in () if many else mine.groupby(_FIT):
            fit = fit.sort_values("step")
            axes.plot(fit["step"], fit[name], color=colours[arm], linewidth=0.4, alpha=0.45)
    thick = means(courses, name)
    for arm in order:
        mine = thick[thick["arm"] == arm]
        axes.plot(mine["step"], mine["mean"], color=PAPER, linewidth=2.6)
        axes.plot(
            mine["step"],
            mine["mean"],
            color=colours[arm],
            linewidth=1.3,
            marker=markers[arm],
            markeredgecolor=PAPER,
            markeredgewidth=0.4,
        )
    if name == "right":
        axes.axhline(LEVEL, color=INK, linewidth=0.6, linestyle=(0, (4, 3)), zorder=0)
        axes.set_ylim(0.5, 1.01)
    axes.set_xscale("log")
    axes.xaxis.set_major_formatter(FuncFormatter(lambda step, _: f"{step:,.0f}"))
    if np.log10(courses["step"].max() / courses["step"].min()) >= 1:
        axes.xaxis.set_minor_formatter(NullFormatter())
    else:  # less than a decade: hardly a power of ten is among the ticks
        axes.xaxis.set_minor_formatter(FuncFormatter(lambda step, _: f"{step:,.0f}"))
    axes.grid(axis="y", color=INK, alpha=0.1, linewidth=0.5)
    axes.set_axisbelow(True)


def _number(courses: pd.DataFrame) -> int:
    """Return the number of fits."""
    return courses.groupby(["arm", *_FIT]).ngroups


def _caption(courses: pd.DataFrame, shown: list[str]) -> str:
    fits = courses[["arm", *_FIT]].drop_duplicates()
    counts = fits["arm"].value_counts()
    numbers = of_arms(
        counts[arm_order(counts.index)].to_dict(), lambda arm: f"{arm} {counted(int(counts[arm]), 'fit')}"
    )
    probs = ", ".join(f"{p:g}" for p in sorted(fits["p"].unique()))
    what = {
        "right": "the share of trained pixels on their side of the best cut through the losses (the cut is chosen "
        f"afterwards, so that losses without any picture give more than ½, too), dashed: {percent(LEVEL)}",
        "objective": "the objective J of eq. 3, lower is better",
        "difference": "the difference in accuracy, black − white",
    }
    single = "Band: nine tenths of the fits" if _number(courses) > MANY_FITS else "Thin: single fits"
    panels = "; ".join(f"({letter}) {what[name]}" for letter, name in zip("abc", shown, strict=False))
    return (
        f"Fits measured on the way, on the images that the protocol measures on, against steps: {panels}. "
        f"{single}; thick: their mean, with a marker at each measured step ({numbers}; p = {probs})."
    )
