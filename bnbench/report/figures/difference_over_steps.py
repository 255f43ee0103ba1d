"""How far the arms were bent at each step of training, and the gap between two of them."""

from __future__ import annotations

from functools import partial

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Drawing
from matplotlib.lines import Line2D

from bnbench.report.arms import ComparedArms, arm_labels, arm_order, of_arms
from bnbench.report.figures.axes import legend_above
from bnbench.report.figures.figure import Figure, NarrowDrawing
from bnbench.report.figures.style import DOUBLE, INK, SINGLE, arm_colours, new_drawing
from bnbench.report.tables import Table, sorted_by_arm
from bnbench.stats import differences
from bnbench.stats.settling import gap_course, smooth
from bnbench.wording import counted

_MOST_BANDS = 4  # of more arms they lie on each other, and none can be told from another


def difference_over_steps(traces: pd.DataFrame, compared: ComparedArms | None = None) -> Figure | None:
    """Draw how far every arm was bent at each step and, where two are compared, their gap; None without traces.

    Args:
        traces: as :func:`bnbench.stats.settling.smooth` takes them.
        compared: the two arms of the gap; None leaves its panel out.
    """
    if "step" not in traces:
        return None
    table = smooth(traces)
    course = gap_course(table, compared.first, compared.second) if compared else pd.DataFrame()
    draw: NarrowDrawing = partial(_draw, table, course, compared)
    caption = _caption(table, compared)
    return Figure("difference_over_steps", draw, caption, _table(table, course, compared), draw if compared else None)


def _table(table: pd.DataFrame, course: pd.DataFrame, compared: ComparedArms | None) -> Table:
    """Return the lines with their bands: a row per arm and window, then the gap's."""
    groups = table.groupby(["arm", "window"])
    means = groups.agg(
        step=("step", "mean"), fits=("step", "size"), mean=("difference", "mean"), sd=("difference", "std")
    )
    frame = sorted_by_arm(means.reset_index().drop(columns="window"))
    if compared:
        course = course.assign(arm=f"gap {compared.gap_name}", fits=len(compared.pairs))
        frame = pd.concat([frame, course], ignore_index=True)
    note = (
        "Minibatch accuracy, black − white: mean and deviation over the arm's fits in each window of steps; the gap of "
        "two arms over their pairs (fits) with its 95 % t interval, variance within each p"
    )
    return Table("difference_over_steps", "Mean difference against steps", note, frame)


def _draw(table: pd.DataFrame, course: pd.DataFrame, compared: ComparedArms | None, *, narrow: bool = False) -> Drawing:
    panels = 1 + bool(len(course))
    rows, columns = (panels, 1) if narrow else (1, panels)
    drawing = new_drawing(DOUBLE if columns > 1 else SINGLE, 6.0 / 2.54 * rows)
    grid = drawing.subplots(rows, columns, squeeze=False, sharex=True).ravel()
    _draw_differences(grid[0], table)
    if compared and len(course):
        _draw_gap(grid[1], course, compared)
    last = table["step"].max()
    for axes in grid:
        axes.axvspan(0.75 * last, last, color=INK, alpha=0.05, linewidth=0)
    for axes in grid[-columns:]:
        axes.set_xlabel("training step (shaded: the last quarter)")
    order = arm_order(table["arm"])
    colours, labels = arm_colours(order), arm_labels(order)
    legend_above(drawing, [Line2D([], [], color=colours[arm], label=labels[arm]) for arm in order])
    return drawing


def _draw_differences(axes: Axes, table: pd.DataFrame) -> None:
    colours, order = arm_colours(table["arm"]), arm_order(table["arm"])
    for arm in order:
        groups = table[table["arm"] == arm].groupby("window")
        step, mean, sd = groups["step"].mean(), groups["difference"].mean(), groups["difference"].std().fillna(0.0)
        if len(order) <= _MOST_BANDS:
            axes.fill_between(step, mean - sd, mean + sd, color=colours[arm], alpha=0.14, linewidth=0)
        axes.plot(step, mean, color=colours[arm], linewidth=1.2)
    axes.set_ylabel("minibatch accuracy, black − white")
    axes.set_ylim(*_limits_around(table["difference"].to_numpy(dtype=float)))


def _draw_gap(axes: Axes, course: pd.DataFrame, compared: ComparedArms) -> None:
    axes.axhline(0, color=INK, linewidth=0.7)
    axes.fill_between(course["step"], course["low"], course["high"], color=INK, alpha=0.14, linewidth=0)
    axes.plot(course["step"], course["mean"], color=INK, linewidth=1.2)
    labels = arm_labels([compared.first, compared.second])
    axes.set_ylabel(f"{labels[compared.first].strip()} − {labels[compared.second].strip()}, mean of pairs")


def _limits_around(values: np.ndarray) -> tuple[float, float]:
    finite = values[np.isfinite(values)]
    low, high = (float(finite.min()), float(finite.max())) if finite.size else (0.0, 1.0)
    return min(low, 0.0) - 0.02, max(high, 0.1) + 0.02


def _caption(table: pd.DataFrame, compared: ComparedArms | None) -> str:
    fits = table[["arm", "p", "seed"]].drop_duplicates()["arm"].value_counts()
    counts = of_arms(fits[arm_order(fits.index)].to_dict(), lambda arm: f"{arm} {counted(int(fits[arm]), 'fit')}")
    text = (
        "Difference, black − white accuracy on training minibatches, against steps: "
        f"mean{' ± one standard deviation' if len(fits) <= _MOST_BANDS else ''} over fits, all p and seeds ({counts})."
    )
    if compared:
        text += f" Right, or below: mean paired gap {compared.gap_name} over {counted(len(compared.pairs), 'pair')}"
        has_interval = differences.overall(compared.pairs).df > 0
        text += " with its 95 % t interval, variance within each p, at each step by itself." if has_interval else "."
    return text
