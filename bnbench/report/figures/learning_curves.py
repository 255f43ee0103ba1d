"""Were the fits still moving when they stopped, and what did they cost? Learning curves and wall time."""

from __future__ import annotations

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from bnbench.report.figures.axes import legend_above
from bnbench.report.figures.style import DOUBLE, INK, PAPER, SINGLE, arm_colours, arm_labels, arm_order, new_figure
from bnbench.stats.settling import gap_course, smooth
from bnbench.wording import counted


def learning_curves(traces: pd.DataFrame, *, narrow: bool = False) -> Figure:
    """A panel of thin lines for each arm.

    Args:
        traces: as :func:`bnbench.stats.settling.smooth` takes them.
        narrow: for one column of print, with the panels below each other.
    """
    table = smooth(traces)
    order = arm_order(table["arm"])
    colours, labels = arm_colours(order), arm_labels(order)
    columns = 1 if narrow else 2 if len(order) in (2, 4) else min(len(order), 3)
    rows = -(-len(order) // columns)
    figure = new_figure(DOUBLE if columns > 1 else SINGLE, 5.4 / 2.54 * rows + 0.2)
    grid = figure.subplots(rows, columns, squeeze=False, sharex=True, sharey=True).ravel()
    for axes in grid[len(order) :]:
        axes.set_visible(False)
    for axes, arm in zip(grid, order, strict=False):
        mine = table[table["arm"] == arm]
        _draw_fits(axes, mine, colours[arm])
        axes.set_title(f"{labels[arm].strip()}, {counted(mine.groupby(['p', 'seed']).ngroups, 'fit')}", loc="left")
    grid[0].set_ylim(0, 1)
    for axes in grid[0 : len(order) : columns]:
        axes.set_ylabel("minibatch accuracy")
    for axes in grid[max(0, len(order) - columns) : len(order)]:
        axes.set_xlabel("training step")
        axes.tick_params(labelbottom=True)
    legend_above(figure, _handles(order))
    return figure


def difference_over_steps(traces: pd.DataFrame, arms: tuple[str, str] | None = None, *, narrow: bool = False) -> Figure:
    """How far every arm was bent at each step of training and, where two are compared, the gap between them.

    Args:
        traces: as :func:`bnbench.stats.settling.smooth` takes them.
        arms: the two arms of the gap, first − second; None leaves its panel out.
        narrow: for one column of print, with the panels below each other.
    """
    table = smooth(traces)
    course = gap_course(table, *arms) if arms else pd.DataFrame()
    panels = 1 + bool(len(course))
    rows, columns = (panels, 1) if narrow else (1, panels)
    figure = new_figure(DOUBLE if columns > 1 else SINGLE, 6.0 / 2.54 * rows)
    grid = figure.subplots(rows, columns, squeeze=False, sharex=True).ravel()
    _draw_differences(grid[0], table)
    if arms and len(course):
        _draw_gap(grid[1], course, *arms)
    last = table["step"].max()
    for axes in grid:
        axes.axvspan(0.75 * last, last, color=INK, alpha=0.05, linewidth=0)
    for axes in grid[-columns:]:
        axes.set_xlabel("training step (shaded: the last quarter)")
    order = arm_order(table["arm"])
    colours, labels = arm_colours(order), arm_labels(order)
    legend_above(figure, [Line2D([], [], color=colours[arm], label=labels[arm]) for arm in order])
    return figure


def wall_time(fits: pd.DataFrame) -> Figure:
    """Minutes that each fit took, a point per fit and the median as a bar.

    Args:
        fits: a row per fit: ``arm, wall_seconds``.
    """
    order = arm_order(fits["arm"])
    labels, colours = arm_labels(order), arm_colours(order)
    figure = new_figure(SINGLE, (1.6 + 0.9 * len(order)) / 2.54)
    axes = figure.subplots()
    table = fits.assign(minutes=fits["wall_seconds"] / 60)
    sns.stripplot(
        table,
        x="minutes",
        y="arm",
        hue="arm",
        order=order,
        hue_order=order,
        palette=colours,
        legend=False,
        size=2.6,
        alpha=0.6,
        jitter=False,
        ax=axes,
    )
    medians = table.groupby("arm")["minutes"].median()
    for place, arm in enumerate(order):
        axes.plot([medians[arm]] * 2, [place - 0.3, place + 0.3], color=INK, linewidth=1, zorder=1)
    counts = table.groupby("arm").size()
    axes.set_yticks(range(len(order)), [f"{labels[arm].strip()}\nn = {counts[arm]}" for arm in order])
    axes.set(xlabel="minutes per fit (bar: median)", ylabel="", xlim=(0, None))
    return figure


def _draw_fits(axes: Axes, fits: pd.DataFrame, colour: str) -> None:
    for _, fit in fits.groupby(["p", "seed"]):
        axes.plot(fit["step"], fit["black_accuracy"], color=colour, linewidth=0.3, alpha=0.35)
        axes.plot(fit["step"], fit["white_accuracy"], color=INK, linewidth=0.3, alpha=0.25)
    mean = fits.groupby("window")[["step", "black_accuracy", "white_accuracy"]].mean()
    axes.plot(mean["step"], mean["black_accuracy"], color=PAPER, linewidth=2.4)
    axes.plot(mean["step"], mean["black_accuracy"], color=colour, linewidth=1.2)
    axes.plot(mean["step"], mean["white_accuracy"], color=PAPER, linewidth=2.4)
    axes.plot(mean["step"], mean["white_accuracy"], color=INK, linewidth=1.2, linestyle=(0, (1, 1.2)))


def _draw_differences(axes: Axes, table: pd.DataFrame) -> None:
    colours = arm_colours(table["arm"])
    for arm in arm_order(table["arm"]):
        groups = table[table["arm"] == arm].groupby("window")
        step, mean, sd = groups["step"].mean(), groups["difference"].mean(), groups["difference"].std().fillna(0.0)
        axes.fill_between(step, mean - sd, mean + sd, color=colours[arm], alpha=0.14, linewidth=0)
        axes.plot(step, mean, color=colours[arm], linewidth=1.2)
    axes.set_ylabel("minibatch accuracy, black − white")
    axes.set_ylim(*_limits(table["difference"].to_numpy(dtype=float)))


def _draw_gap(axes: Axes, course: pd.DataFrame, first: str, second: str) -> None:
    axes.axhline(0, color=INK, linewidth=0.7)
    axes.fill_between(course["step"], course["low"], course["high"], color=INK, alpha=0.14, linewidth=0)
    axes.plot(course["step"], course["mean"], color=INK, linewidth=1.2)
    labels = arm_labels([first, second])
    axes.set_ylabel(f"{labels[first].strip()} − {labels[second].strip()}, mean of pairs")


def _limits(values: np.ndarray) -> tuple[float, float]:
    finite = values[np.isfinite(values)]
    low, high = (float(finite.min()), float(finite.max())) if finite.size else (0.0, 1.0)
    return min(low, 0.0) - 0.02, max(high, 0.1) + 0.02


def _handles(order: list[str]) -> list[Line2D]:
    colours, labels = arm_colours(order), arm_labels(order)
    handles = [Line2D([], [], color=colours[arm], label=f"{labels[arm].strip()}, black pixels") for arm in order]
    return [*handles, Line2D([], [], color=INK, linestyle=(0, (1, 1.2)), label="white pixels")]
