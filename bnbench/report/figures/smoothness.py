"""Measures of smoothness along ordinary training, and held to how far landscapes bend."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial
from textwrap import fill
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Drawing
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator
from numpy.typing import NDArray

from bnbench.report.arms import arm_labels, arm_order
from bnbench.report.figures.axes import WHISKER, legend_above
from bnbench.report.figures.figure import Figure, NarrowDrawing
from bnbench.report.figures.style import DOUBLE, INK, SINGLE, arm_colours, arm_markers, new_drawing
from bnbench.report.tables import Table, sorted_by_arm
from bnbench.results.smoothness import MEASURES
from bnbench.wording import counted

_COLUMNS, _NARROW_COLUMNS = 3, 2  # of panels
_LETTERS, _NARROW_LETTERS = 36, 20  # that a line of a panel's title has room for
_NARROW = 50  # the largest over the smallest value from which on powers of ten are ticks enough
_SHIFT = 0.07  # of the distance of two steps, between two arms


class _Shown(NamedTuple):
    """How a reading is drawn: the figure's name, the axis's label, and the reading in words."""

    name: str
    axis: str
    words: str


_SHOWN = {
    "difference_trained": _Shown("smoothness_agreement", "accuracy contrast", "accuracy contrast over trained pixels"),
    "capacity": _Shown(
        "smoothness_capacity",
        "capacity (side, pixels)",
        "capacity (the side of which 90 % are right by the seed's own curve)",
    ),
}
DRAWN_READINGS = tuple(_SHOWN)


def along_training(networks: pd.DataFrame) -> Figure:
    """Draw each measure against the steps of training for every arm.

    Args:
        networks: ``arm, seed, step`` and the measures, a row per network and step.
    """
    frame = networks[["arm", "seed", "step", "loss", *MEASURES]]
    groups = frame.melt(["arm", "seed", "step"], var_name="measure").groupby(["measure", "arm", "step"], sort=False)
    numbers = groups["value"].agg(n="count", mean="mean", sd="std", lowest="min", highest="max").reset_index()
    note = "Of ordinary networks: mean, deviation (ddof = 1) and extremes over n seeds"
    table = Table("smoothness", "Smoothness along training", note, sorted_by_arm(numbers))
    counts = frame.groupby("arm")["seed"].nunique()
    caption = (
        "Measures of ordinary networks along ordinary training; the less, the smoother. Marker: mean over "
        f"seeds, whisker: from the lowest to the highest of {_counts(counts)}; arms are shifted sideways to be told "
        "apart. Step 0 has the initial weights. rescaled is plain's function at other weights: where it leaves plain, "
        "the measure depends on how a function is written down."
    )
    draw: NarrowDrawing = partial(_draw_along, frame)
    return Figure("smoothness", draw, caption, table, draw)


def bending_against_smoothness(values: pd.DataFrame, taus: pd.DataFrame, reading: str, step: int) -> Figure:
    """Draw how far landscapes bend against each measure, a point for each arm and seed.

    Args:
        values: ``arm, seed``, the reading and the measures at one step.
        taus: what :func:`bnbench.stats.rank_agreement.agreement` says of that step.
        reading: column, of :data:`DRAWN_READINGS`.
        step: of training.
    """
    name, axis, words = _SHOWN[reading]
    note = f"One row per arm and seed; {words}"
    title = f"{axis[0].upper()}{axis[1:]} and smoothness at step {step}"
    table = Table(name, title, note, sorted_by_arm(values), False)
    caption = (
        f"{words[0].upper()}{words[1:]} against each measure at step {step}: a pale point per arm and seed of "
        f"{_counts(values.groupby('arm')['seed'].nunique())}, a larger one for each arm's mean. τ: Kendall's over the "
        "arms' means, with 95 % interval over seeds (bootstrap, t quantiles); the arms are fixed. A measure that says "
        "what bending says has τ near 1."
    )
    draw: NarrowDrawing = partial(_draw_agreement, values, taus, reading)
    return Figure(name, draw, caption, table, draw)


def _counts(counts: pd.Series) -> str:
    numbers = sorted({int(number) for number in counts})
    seeds = counted(numbers[0], "seed") if len(numbers) == 1 else f"{numbers[0]} to {numbers[-1]} seeds"
    return f"{counted(len(counts), 'arm')} with {seeds}"


def _panels(names: Sequence[str], *, narrow: bool) -> tuple[Drawing, NDArray[np.object_]]:
    """Return a drawing with a panel for each name, in rows: shape (rows, columns); those left over are not drawn."""
    columns = _NARROW_COLUMNS if narrow else _COLUMNS
    rows = -(-len(names) // columns)
    height = 5.2 * rows + 2.4 if narrow else 4.3 * rows + 1.2  # cm
    drawing = new_drawing(SINGLE if narrow else DOUBLE, height / 2.54)
    panels = drawing.subplots(rows, columns, squeeze=False)
    for axes in panels.ravel()[len(names) :]:
        axes.set_axis_off()
    return drawing, panels


def _handles(order: Sequence[str]) -> list[Line2D]:
    colours, markers, labels = arm_colours(order), arm_markers(order), arm_labels(order)
    return [Line2D([], [], color=colours[arm], marker=markers[arm], label=labels[arm]) for arm in order]


def _title(measure: str, *more: str, narrow: bool) -> str:
    """Return a measure's title, and more lines, on as many lines as a panel needs."""
    parts = [*MEASURES.get(measure, measure).split(", ", 1), *more]
    return "\n".join(fill(part, _NARROW_LETTERS if narrow else _LETTERS) for part in parts)


def _draw_along(frame: pd.DataFrame, *, narrow: bool = False) -> Drawing:
    order, steps = arm_order(frame["arm"]), sorted(frame["step"].unique())
    colours, markers = arm_colours(order), arm_markers(order)
    drawing, panels = _panels([*MEASURES], narrow=narrow)
    for axes, measure in zip(panels.ravel(), MEASURES, strict=False):
        for place, arm in enumerate(order):
            groups = frame[frame["arm"] == arm].groupby("step")[measure].agg(["mean", "min", "max"]).reindex(steps)
            where = np.arange(len(steps)) + _SHIFT * (place - (len(order) - 1) / 2)
            ends = np.abs(groups[["min", "max"]].to_numpy().T - groups["mean"].to_numpy())
            axes.errorbar(
                where, groups["mean"], ends, color=colours[arm], marker=markers[arm], linewidth=0.7, **WHISKER
            )
        _value_scale(axes, frame[measure], "y")
        axes.set_xticks(range(len(steps)), [f"{step:,}" for step in steps])
        axes.set_title(_title(measure, narrow=narrow), loc="left")
    for axes in panels[-1]:
        axes.set_xlabel("training step")
    legend_above(drawing, _handles(order))
    return drawing


def _draw_agreement(values: pd.DataFrame, taus: pd.DataFrame, reading: str, *, narrow: bool = False) -> Drawing:
    order = arm_order(values["arm"])
    colours, markers = arm_colours(order), arm_markers(order)
    drawing, panels = _panels([*MEASURES], narrow=narrow)
    of_measure = taus[taus["reading"] == reading].set_index("measure")
    for axes, measure in zip(panels.ravel(), MEASURES, strict=False):
        for arm in order:
            own = values.loc[values["arm"] == arm, [measure, reading]]
            look: dict[str, Any] = {"color": colours[arm], "marker": markers[arm], "linestyle": ""}
            axes.plot(own[measure], own[reading], **look, alpha=0.35, markersize=3, markeredgewidth=0)
            axes.plot(*own.mean().to_numpy()[:, None], **look, markersize=5.5)
        _value_scale(axes, values[measure], "x")
        row = of_measure.loc[measure]
        interval = f"{_tau(row['low'])}\N{NO-BREAK SPACE}to\N{NO-BREAK SPACE}{_tau(row['high'])}"
        said = f"τ = {_tau(row['tau'])} ({interval})"
        axes.set_title(_title(measure, said, narrow=narrow), loc="left")
    for axes in panels[:, 0]:
        axes.set_ylabel(_SHOWN[reading].axis)
    legend_above(drawing, _handles(order))
    return drawing


def _tau(value: Any) -> str:
    return "none" if math.isnan(value) else f"{value:.2f}".replace("-", "−")


def _value_scale(axes: Axes, values: pd.Series, axis: str) -> None:
    """Give an axis the logarithm of its values, linear around 0 where some are not above it."""
    found = values[np.isfinite(values)]
    scale = axes.set_yscale if axis == "y" else axes.set_xscale
    shown = axes.yaxis if axis == "y" else axes.xaxis
    if len(found) and (found > 0).all():
        scale("log")
        is_narrow = found.max() < _NARROW * found.min()
        shown.set_major_locator(LogLocator(subs=(1, 2, 5) if is_narrow else (1,)))
    elif len(found) and (found != 0).any():
        scale("symlog", linthresh=float(found.abs().median()) or 1.0)
    shown.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}".replace("-", "−")))
    shown.set_minor_locator(NullLocator())
    axes.grid(axis="y", color=INK, alpha=0.1, linewidth=0.5)
    axes.set_axisbelow(True)
