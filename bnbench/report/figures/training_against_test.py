"""Training images against test images, pixel by pixel."""

from __future__ import annotations

from functools import partial

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Drawing
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator
from numpy.typing import NDArray

from bnbench.report.arms import arm_labels, arm_order, of_arms
from bnbench.report.figures.figure import Figure, NarrowDrawing
from bnbench.report.figures.landscapes import pixels_of, pixels_table
from bnbench.report.figures.style import DOUBLE, INK, SINGLE, arm_colours, new_drawing
from bnbench.wording import signed

_ARMS_IN_A_COLUMN = 2  # whose panels one column of print has room for, side by side
_ARMS_IN_A_ROW = 5  # of whose axes every number and label has room; with more, the rows go on below
_MANY_POINTS = 1000  # with more pixels they are an image, whose colours are those of light pages


def training_against_test(landscapes: pd.DataFrame, p: float, seed: int, split: str = "test") -> Figure:
    """Set every pixel of a (p, seed) on training images against the same pixel on test images: loss and accuracy.

    Arguments and the error are those of :func:`bnbench.report.figures.figure3.figure3`.
    """
    shown = pixels_of(landscapes, p, seed)
    draw: NarrowDrawing = partial(_draw, shown, split)
    is_wide = shown["arm"].nunique() > _ARMS_IN_A_COLUMN
    table = pixels_table(landscapes, p, seed, split)
    return Figure("training_against_test", draw, _caption(shown, p, seed, split), table, draw if is_wide else None)


def _draw(shown: pd.DataFrame, split: str, *, narrow: bool = False) -> Drawing:
    arms = arm_order(shown["arm"])
    labels, colours = arm_labels(arms), arm_colours(arms)
    if narrow:
        drawing = new_drawing(SINGLE, 4.2 / 2.54 * len(arms))
        grid = drawing.subplots(len(arms), 2, squeeze=False, sharex="col", sharey="col").T
    else:
        drawing, grid = _wide(len(arms))
    grid[0, 0].set(xscale="log", yscale="log")
    for axis in (grid[0, 0].xaxis, grid[0, 0].yaxis):
        steps: tuple[int, ...] = (1, 2, 5)
        if axis is grid[0, 0].xaxis:  # whose numbers stand beside each other
            steps = (1,) if _spans_decades(shown["train_loss"]) else (1, 3)
        axis.set_major_locator(LogLocator(subs=steps, numticks=5))
        axis.set_minor_locator(NullLocator())
    for row, value in zip(grid, ("loss", "accuracy"), strict=True):
        for axes, arm in zip(row, arms, strict=True):
            _scatter(axes, shown[shown["arm"] == arm], value, colours[arm], as_image=len(shown) > _MANY_POINTS)
            axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
            axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        places = [axes.get_subplotspec() for axes in row]
        below = {(place.rowspan.start, place.colspan.start) for place in places}
        for axes, place in zip(row, places, strict=True):
            if (place.rowspan.stop, place.colspan.start) not in below:
                axes.set_xlabel(f"training {value}")
                axes.tick_params(labelbottom=True)
            if narrow or place.is_first_col():
                axes.set_ylabel(f"{split} {value}")
    goes_on_below = not narrow and len(arms) > _ARMS_IN_A_ROW
    for row in grid if goes_on_below else grid[:1]:
        for axes, arm in zip(row, arms, strict=True):
            axes.set_title(labels[arm])
    return drawing


def _wide(arms: int) -> tuple[Drawing, NDArray[np.object_]]:
    """Return a drawing with its axes in a row for the loss and one for the accuracy, either on as many lines as needed.

    Axes of a row share their scales.
    """
    lines = -(-arms // _ARMS_IN_A_ROW)
    columns = -(-arms // lines)
    drawing = new_drawing(DOUBLE if arms > _ARMS_IN_A_COLUMN else SINGLE, 8.4 * lines / 2.54)
    places = drawing.add_gridspec(2 * lines, columns)
    rows = []
    for first in (0, lines):
        row: list[Axes] = []
        for number in range(arms):
            line, column = divmod(number, columns)
            shared = row[0] if row else None
            row.append(drawing.add_subplot(places[first + line, column], sharex=shared, sharey=shared))
            row[-1].tick_params(labelleft=column == 0, labelbottom=number + columns >= arms)
        rows.append(row)
    return drawing, np.array(rows, dtype=object)


def _spans_decades(values: pd.Series) -> bool:
    """Say whether values above 0 span more than two decades, so that powers of ten are ticks enough."""
    above = values[np.isfinite(values) & (values > 0)]
    return bool(len(above)) and above.max() > 100 * above.min()


def _scatter(axes: Axes, fit: pd.DataFrame, value: str, colour: str, *, as_image: bool) -> None:
    """Draw one fit's pixels filled where black, and the line where training and test agree."""
    for black, face in ((False, "none"), (True, colour)):
        pixels = fit[fit["black"] == black]
        places = pixels[f"train_{value}"], pixels[f"test_{value}"]
        axes.plot(
            *places,
            "o",
            markerfacecolor=face,
            markeredgecolor=colour,
            markersize=2.4,
            alpha=0.6,
            mew=0.6,
            rasterized=as_image,
        )
    both = fit[[f"train_{value}", f"test_{value}"]].to_numpy(dtype=float)
    both = both[np.isfinite(both) & (both > 0)]
    if both.size:
        ends = [both.min(), both.max()]
        axes.plot(ends, ends, color=INK, linewidth=0.6, linestyle=(0, (4, 2)), zorder=1)


def _caption(shown: pd.DataFrame, p: float, seed: int, split: str) -> str:
    """Return the caption of training against test, with what every shown arm loses from one to the other."""
    texts, lost = {}, {}
    for arm in arm_order(shown["arm"]):
        mine = shown[shown["arm"] == arm]
        apart = (mine["train_accuracy"] - mine["test_accuracy"]).groupby(mine["black"]).mean()
        texts[arm] = f"{arm} {signed(apart[True])} on black and {signed(apart[False])} on white pixels"
        lost[arm] = float(apart[True])
    return (
        f"Training against {split} images, p = {p:g}, seed {seed}; a point is a pixel of figure 3, filled where black, "
        "hollow where white; dashed line: equal. Mean loss, on logarithmic axes, and accuracy. "
        f"Mean accuracy, training − {split}: {of_arms(lost, texts.__getitem__, '; ')}."
    )
