"""Figure 4 of the paper: the difference black − white, and both accuracies, against the fill probability."""

from __future__ import annotations

from functools import partial
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Drawing
from matplotlib.lines import Line2D

from bnbench.report.arms import arm_labels, arm_order
from bnbench.report.figures.authors import authors_handles, draw_authors, shown_probabilities
from bnbench.report.figures.axes import MANY_FITS, WHISKER, dodge_unit, legend_above, legend_rows, probability_axis
from bnbench.report.figures.captions import LEAST_SEEDS, figure4_caption
from bnbench.report.figures.figure import Figure
from bnbench.report.figures.style import DOUBLE, INK, PAPER, SINGLE, arm_colours, arm_markers, new_drawing
from bnbench.report.tables import Table, over_trained, sorted_by_arm
from bnbench.stats import differences

_DODGE = 0.28  # distance between arms, in units of dodge_unit
PANEL = 5.8 / 2.54  # height of a panel by itself


def figure4(fits: pd.DataFrame, authors: pd.DataFrame | None = None, split: str = "test") -> list[Figure]:
    """Return figure 4 across two columns for print, then its panels a and b, which a narrow screen can stack.

    It is over trained pixels: the authors measure those alone, and the objective beside it is read over them.

    Args:
        fits: a row per fit: ``arm, p, seed, black, white, difference``, and those three over trained pixels, such as
            ``difference_trained``.
        authors: their curves, or None to leave them out.
        split: the images that were measured on, for the labels.
    """
    shown, table = over_trained(fits), per_p_table(fits)
    draws = {"ab": _draw_both, "a": _draw_panel_a, "b": _draw_panel_b}
    return [
        Figure(
            name=f"figure4{panels if len(panels) == 1 else ''}",
            draw=partial(draw, shown, authors, split),
            caption=figure4_caption(shown, split, panels, pixels="trained", authors=authors),
            table=table,
            on_page=len(panels) == 1,
        )
        for panels, draw in draws.items()
    ]


def figure4_all_pixels(fits: pd.DataFrame, split: str = "test") -> Figure:
    """Return figure 4 over all pixels, without the authors' curves: what a switch on the page shows."""
    return Figure(
        name="figure4_all",
        draw=partial(_draw_both, fits, None, split),
        caption=figure4_caption(fits, split, "ab", pixels="all"),
        table=per_p_table(fits),
        narrow=partial(_draw_stacked, fits, split),
    )


def per_p_table(fits: pd.DataFrame) -> Table:
    """Return mean and deviation over seeds of black, white and their difference: a row per arm and p.

    All pixels come first, then trained pixels alone where the table of fits has them.
    """
    values = ("black", "white", "difference", "black_trained", "white_trained", "difference_trained")
    parts = []
    for value in (value for value in values if value in fits):
        table = differences.per_p(fits, value).rename(columns={"mean": f"{value}_mean", "sd": f"{value}_sd"})
        parts.append(table.set_index(["arm", "p", "n"]))
    frame = sorted_by_arm(pd.concat(parts, axis=1).reset_index())
    note = "Means over n seeds, over all pixels and over trained pixels alone; sd: standard deviation (ddof = 1)"
    return Table("per_p", "Every fill probability", note, frame)


def _draw_stacked(fits: pd.DataFrame, split: str, *, narrow: bool = False) -> Drawing:
    """Draw both panels below each other, for a narrow screen."""
    drawing = new_drawing(SINGLE, 2 * PANEL)
    top, bottom = drawing.subplots(2, 1)
    draw_difference(top, fits, None, split)
    draw_colours(bottom, fits, None, split)
    _letter(top, bottom)
    legend_above(drawing, _handles(fits, None))
    return drawing


def _draw_both(fits: pd.DataFrame, authors: pd.DataFrame | None, split: str) -> Drawing:
    drawing = new_drawing(DOUBLE, PANEL)
    left, right = drawing.subplots(1, 2)
    draw_difference(left, fits, authors, split)
    draw_colours(right, fits, authors, split)
    _letter(left, right)
    legend_above(drawing, _handles(fits, authors))
    return drawing


def _letter(*panels: Axes) -> None:
    """Name panels that one caption tells apart; a panel by itself, which has its own caption, has no letter."""
    for axes, letter in zip(panels, "ab", strict=True):
        axes.set_title(letter, loc="left", fontweight="bold")


def _draw_panel_a(fits: pd.DataFrame, authors: pd.DataFrame | None, split: str) -> Drawing:
    drawing = new_drawing(SINGLE, PANEL)
    draw_difference(drawing.subplots(), fits, authors, split)
    legend_above(drawing, [*arm_handles(fits), *authors_handles(fits, authors)])
    return drawing


def _draw_panel_b(fits: pd.DataFrame, authors: pd.DataFrame | None, split: str) -> Drawing:
    drawing = new_drawing(SINGLE, PANEL)
    draw_colours(drawing.subplots(), fits, authors, split)
    legend_above(drawing, _handles(fits, authors))
    return drawing


def draw_difference(axes: Axes, fits: pd.DataFrame, authors: pd.DataFrame | None, split: str) -> None:
    """Draw panel a: mean ± standard deviation over seeds of black − white, every seed as a point."""
    draw_authors(axes, fits, authors, ("difference",), _asides(fits))
    draw_arms(axes, fits, "difference", "-")
    axes.set_ylabel(f"{split} accuracy, black − white")
    probability_axis(axes, seed_counts(fits), shown_probabilities(fits, authors), "seed")


def draw_colours(axes: Axes, fits: pd.DataFrame, authors: pd.DataFrame | None, split: str) -> None:
    """Draw panel b: the mean accuracy over black pixels (solid) and over white pixels (dotted)."""
    draw_authors(axes, fits, authors, ("black", "white"), _asides(fits))
    draw_arms(axes, fits, "black", "-")
    draw_arms(axes, fits, "white", (0, (1, 1.3)))
    axes.set_ylabel(f"{split} accuracy")
    probability_axis(axes, seed_counts(fits), shown_probabilities(fits, authors), "seed")


def draw_arms(axes: Axes, fits: pd.DataFrame, value: str, line: Any) -> None:
    """Draw each arm's mean of a value at every p, its deviation over seeds, and every seed as a point."""
    order = arm_order(fits["arm"])
    unit, colours, markers, asides = dodge_unit(fits["p"]), arm_colours(order), arm_markers(order), _asides(fits)
    for number, arm in enumerate(order):
        mine = fits[fits["arm"] == arm]
        table = differences.per_p(mine, value)
        place = table["p"] + asides[arm]
        if table["n"].max() > 1:
            seeds = mine["p"] + asides[arm] - min(0.13, 0.3 / len(order)) * unit
            look: dict[str, Any] = {"color": colours[arm], "markersize": 1.9, "alpha": 0.6, "markeredgewidth": 0}
            places, named = seeds, mine[["p", "seed", value]]
            if len(fits) > MANY_FITS:  # one image, and a name for each mean: it opens the first seed there
                axes.plot(seeds, mine[value], "o", zorder=3, rasterized=True, **look)
                named = mine.groupby("p", as_index=False)["seed"].min().assign(**{value: table["mean"]})
                places = place
            for (p, seed, fit), at in zip(named.itertuples(index=False), places, strict=True):
                # By this name the page opens its landscapes.
                axes.plot(at, fit, "o", zorder=3, gid=f"fit-{value}-{number}-{p:g}-{seed}", **look)
        bars = axes.errorbar(
            place, table["mean"], deviations(table), color=colours[arm], marker=markers[arm], zorder=4, **WHISKER
        )
        bars.lines[0].set_linestyle(line)


def _asides(fits: pd.DataFrame) -> dict[str, float]:
    """Return how far from p each arm stands, so that arms can be told apart."""
    order = arm_order(fits["arm"])
    apart = min(_DODGE, 0.7 / len(order)) * dodge_unit(fits["p"])
    return {arm: apart * (number - (len(order) - 1) / 2) for number, arm in enumerate(order)}


def deviations(table: pd.DataFrame) -> pd.Series:
    """Return the whiskers of a table per p: the deviation over seeds, none where fewer than three seeds tell it."""
    return table["sd"].where(table["n"] >= LEAST_SEEDS)


def _handles(fits: pd.DataFrame, authors: pd.DataFrame | None) -> list[Any]:
    """Return the legend of figure 4, and of its panel b."""
    return [*arm_handles(fits), *_colour_handles(), *authors_handles(fits, authors)]


def rows_of_legends(drawing: Drawing, fits: pd.DataFrame, authors: pd.DataFrame | None) -> tuple[int, int]:
    """Return how many rows the legends of panels a and b have: what stands beside one has as many, and its axes."""
    of_panel_a = [*arm_handles(fits), *authors_handles(fits, authors)]
    return legend_rows(drawing, of_panel_a), legend_rows(drawing, _handles(fits, authors))


def arm_handles(fits: pd.DataFrame) -> list[Any]:
    """Return what a legend shows for each arm."""
    order = arm_order(fits["arm"])
    colours, markers, labels = arm_colours(order), arm_markers(order), arm_labels(order)
    style: dict[str, Any] = {"markeredgecolor": PAPER, "markeredgewidth": 0.4}
    return [Line2D([], [], color=colours[arm], marker=markers[arm], label=labels[arm], **style) for arm in order]


def _colour_handles() -> list[Any]:
    return [
        Line2D([], [], color=INK, label="black pixels"),
        Line2D([], [], color=INK, linestyle=(0, (1, 1.3)), label="white pixels"),
    ]


def seed_counts(fits: pd.DataFrame) -> dict[str, pd.Series]:
    """Return the number of seeds at each p, for each arm's label."""
    labels = arm_labels(fits["arm"])
    return {labels[arm].strip(): fits[fits["arm"] == arm].groupby("p").size() for arm in arm_order(fits["arm"])}
