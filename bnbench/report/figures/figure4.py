"""Figure 4 of the paper and its companions: differences and accuracies against the fill probability.

Everything here takes plain tables and returns a figure; draw and save inside ``style.print_style``.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from bnbench.report.figures.axes import dodge_unit, legend_above, legend_rows, probability_axis
from bnbench.report.figures.style import (
    DOUBLE,
    INK,
    PAPER,
    SINGLE,
    arm_colours,
    arm_labels,
    arm_markers,
    arm_order,
    new_figure,
)
from bnbench.stats import differences

AUTHORS_NAME = "authors' figure 4"
AUTHORS_IMAGES = ("fashion-mnist", "")  # data set and content
_DODGE = 0.28  # distance between arms, in units of dodge_unit
# A sweep's line and marker: one cycle is not a multiple of the other, so 20 sweeps look different.
_SWEEP_LINES: tuple[Any, ...] = ("-", (0, (5, 1.5)), (0, (1, 1.2)), "-.")
_SWEEP_MARKERS = ("o", "s", "^", "D", "v")
_PANEL = 7.2 / 2.54  # height of a panel of figure 4 by itself
_LEGEND_BESIDE = 24  # letters: a longer name leaves no room for the axes beside it


def authors_figure4() -> pd.DataFrame:
    """The authors' own figure 4, read off their published plot (± 0.005).

    Returns:
        A row per arm and p: ``arm, p, black, white, difference``.
    """
    return pd.read_csv(Path(__file__).with_name("authors.csv"))


def figure4(fits: pd.DataFrame, authors: pd.DataFrame | None = None, split: str = "test") -> Figure:
    """Both panels of figure 4 across two columns.

    Args:
        fits: a row per fit: ``arm, p, seed, black, white, difference``.
        authors: their curves, or None to leave them out.
        split: the images that were measured on, for the labels.
    """
    figure = new_figure(DOUBLE, 7.2 / 2.54)
    left, right = figure.subplots(1, 2)
    draw_difference(left, fits, authors, split)
    draw_colours(right, fits, authors, split)
    for axes, letter in ((left, "a"), (right, "b")):
        axes.set_title(letter, loc="left", fontweight="bold")
    legend_above(figure, _handles(fits, authors))
    return figure


def figure4a(fits: pd.DataFrame, authors: pd.DataFrame | None = None, split: str = "test") -> Figure:
    """The difference black − white alone, for one column; arguments as :func:`figure4`."""
    figure = new_figure(SINGLE, _PANEL)
    handles = [*_arm_handles(fits), *_authors_handle(fits, authors)]
    rows = legend_rows(figure, _handles(fits, authors))  # as panel b has: beside each other, both axes begin at once
    draw_difference(figure.subplots(), fits, authors, split)
    figure.axes[0].set_title("a", loc="left", fontweight="bold")
    legend_above(figure, handles, rows)
    return figure


def figure4b(fits: pd.DataFrame, authors: pd.DataFrame | None = None, split: str = "test") -> Figure:
    """Black and white accuracy alone, for one column; arguments as :func:`figure4`."""
    figure = new_figure(SINGLE, _PANEL)
    draw_colours(figure.subplots(), fits, authors, split)
    figure.axes[0].set_title("b", loc="left", fontweight="bold")
    legend_above(figure, _handles(fits, authors))
    return figure


def comparison_figure(
    sweeps: Sequence[tuple[str, pd.DataFrame]], authors: pd.DataFrame | None = None, *, narrow: bool = False
) -> Figure:
    """Figure 4a of several sweeps in one: an arm keeps its colour, a sweep has its kind of line and marker.

    Args:
        sweeps: name and fits of each sweep.
        authors: their curves, or None.
        narrow: for one column of print.
    """
    figure = new_figure(SINGLE if narrow else DOUBLE, 8.4 / 2.54)
    axes = figure.subplots()
    everything = pd.concat([fits for _, fits in sweeps])
    unit, colours, labels = dodge_unit(everything["p"]), arm_colours(everything["arm"]), arm_labels(everything["arm"])
    _draw_authors(axes, everything, authors, ("difference",))
    handles: list[Any] = [Line2D([], [], color=colours[arm], label=labels[arm]) for arm in labels]
    for number, (name, fits) in enumerate(sweeps):
        look: dict[str, Any] = {
            "linestyle": _SWEEP_LINES[number % len(_SWEEP_LINES)],
            "marker": _SWEEP_MARKERS[number % len(_SWEEP_MARKERS)],
        }
        handles.append(Line2D([], [], color=INK, label=name, **look))
        for arm in arm_order(fits["arm"]):
            table = differences.per_p(fits[fits["arm"] == arm])
            place = table["p"] + 0.5 * unit * ((number + 0.5) / len(sweeps) - 0.5)
            axes.errorbar(place, table["mean"], table["sd"], color=colours[arm], **look, **_WHISKER)
    axes.set_ylabel("accuracy, black − white")
    probability_axis(axes, {}, _places(everything, authors), "seed")
    handles += _authors_handle(everything, authors)
    if narrow or max(len(name) for name, _ in sweeps) > _LEGEND_BESIDE:
        legend_above(figure, handles)
    else:
        figure.legend(handles=handles, loc="outside right upper")
    return figure


def draw_difference(axes: Axes, fits: pd.DataFrame, authors: pd.DataFrame | None, split: str) -> None:
    """Panel a: mean ± standard deviation over seeds of black − white, every seed as a point."""
    _draw_authors(axes, fits, authors, ("difference",))
    _draw_arms(axes, fits, "difference", "-")
    axes.set_ylabel(f"{split} accuracy, black − white")
    probability_axis(axes, _counts(fits), _places(fits, authors), "seed")


def draw_colours(axes: Axes, fits: pd.DataFrame, authors: pd.DataFrame | None, split: str) -> None:
    """Panel b: the mean accuracy over black pixels (solid) and over white pixels (dotted)."""
    _draw_authors(axes, fits, authors, ("black", "white"))
    _draw_arms(axes, fits, "black", "-")
    _draw_arms(axes, fits, "white", (0, (1, 1.3)))
    axes.set_ylabel(f"{split} accuracy")
    probability_axis(axes, _counts(fits), _places(fits, authors), "seed")


_WHISKER: dict[str, Any] = {
    "capsize": 1.6,
    "elinewidth": 0.8,
    "capthick": 0.8,
    "markeredgecolor": PAPER,
    "markeredgewidth": 0.4,
}


def _draw_arms(axes: Axes, fits: pd.DataFrame, value: str, line: Any) -> None:
    order = arm_order(fits["arm"])
    unit, colours, markers = dodge_unit(fits["p"]), arm_colours(order), arm_markers(order)
    apart = min(_DODGE, 0.7 / len(order)) * unit
    for number, arm in enumerate(order):
        mine = fits[fits["arm"] == arm]
        table = differences.per_p(mine, value)
        place = table["p"] + apart * (number - (len(order) - 1) / 2)
        if table["n"].max() > 1:
            seeds = mine["p"] + apart * (number - (len(order) - 1) / 2) - min(0.13, 0.3 / len(order)) * unit
            axes.plot(
                seeds, mine[value], "o", color=colours[arm], markersize=1.9, alpha=0.6, markeredgewidth=0, zorder=3
            )
        bars = axes.errorbar(
            place, table["mean"], table["sd"], color=colours[arm], marker=markers[arm], zorder=4, **_WHISKER
        )
        bars.lines[0].set_linestyle(line)


def _draw_authors(axes: Axes, fits: pd.DataFrame, authors: pd.DataFrame | None, values: Sequence[str]) -> None:
    if authors is None:
        return
    colours = arm_colours(fits["arm"])
    for arm in arm_order(set(fits["arm"]) & set(authors["arm"])):
        curve = authors[authors["arm"] == arm]
        for value in values:
            axes.plot(curve["p"], curve[value], color=colours[arm], zorder=2, **AUTHORS_LINE)


AUTHORS_LINE: dict[str, Any] = {
    "linestyle": (0, (4, 2)),
    "linewidth": 0.7,
    "marker": "o",
    "markersize": 2.6,
    "markerfacecolor": "none",
    "markeredgewidth": 0.5,
    "alpha": 0.5,
}


def _handles(fits: pd.DataFrame, authors: pd.DataFrame | None) -> list[Any]:
    """The legend of figure 4, and of its panel b."""
    return [*_arm_handles(fits), *_colour_handles(), *_authors_handle(fits, authors)]


def _arm_handles(fits: pd.DataFrame) -> list[Any]:
    order = arm_order(fits["arm"])
    colours, markers, labels = arm_colours(order), arm_markers(order), arm_labels(order)
    style: dict[str, Any] = {"markeredgecolor": PAPER, "markeredgewidth": 0.4}
    return [Line2D([], [], color=colours[arm], marker=markers[arm], label=labels[arm], **style) for arm in order]


def _colour_handles() -> list[Any]:
    return [
        Line2D([], [], color=INK, label="black pixels"),
        Line2D([], [], color=INK, linestyle=(0, (1, 1.3)), label="white pixels"),
    ]


def _authors_handle(fits: pd.DataFrame, authors: pd.DataFrame | None) -> list[Any]:
    shown = authors is not None and bool(set(fits["arm"]) & set(authors["arm"]))
    return [Line2D([], [], color=INK, label=AUTHORS_NAME, **AUTHORS_LINE)] if shown else []


def _counts(fits: pd.DataFrame) -> dict[str, pd.Series]:
    """The number of seeds at each p, for each arm's label."""
    labels = arm_labels(fits["arm"])
    return {labels[arm].strip(): fits[fits["arm"] == arm].groupby("p").size() for arm in arm_order(fits["arm"])}


def _places(fits: pd.DataFrame, authors: pd.DataFrame | None) -> pd.Series:
    """Every p that a panel shows, the authors' included."""
    theirs = [] if authors is None else [authors.loc[authors["arm"].isin(set(fits["arm"])), "p"]]
    places: pd.Series = pd.concat([fits["p"], *theirs])
    return places
