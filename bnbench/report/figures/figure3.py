"""Figure 3 of the paper: a mask beside the landscapes that the arms were bent to."""

from __future__ import annotations

import io
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Drawing
from matplotlib.image import imsave
from numpy.typing import NDArray

from bnbench.report.arms import arm_labels, arm_order
from bnbench.report.figures.captions import figure3_caption
from bnbench.report.figures.figure import Figure, NarrowDrawing
from bnbench.report.figures.landscapes import pixels_of, pixels_table
from bnbench.report.figures.scales import MASK_COLOURS, Colours, Scales, colour_bar, loss_bar, scales_of
from bnbench.report.figures.style import DOUBLE, INK, SINGLE, new_drawing

_PANEL = 3.6 / 2.54  # widest panel, in inches
_ARMS_IN_A_ROW = 5  # beside each other; with more, a row goes on below
_LETTER = 0.64  # of a title's size: how wide one is at most, in the mean
_LEAST = 5.0  # points that a title's letters have at least


def figure3(landscapes: pd.DataFrame, p: float, seed: int, threshold: float, split: str = "test") -> Figure:
    """Show mask and landscapes: loss on a shared logarithmic scale above, accuracy below.

    Args:
        landscapes: a row per pixel: ``arm, p, seed, row, column, black, test_loss, test_accuracy`` and more. All of
            them set the scales.
        p: fill probability.
        seed: replicate.
        threshold: cross-entropy that white pixels are pushed to; marked on the scale.
        split: the images that were measured on, for the labels.

    Raises:
        ValueError: no such fit.
    """
    shown = pixels_of(landscapes, p, seed)
    draw: NarrowDrawing = partial(_draw, shown, p, seed, scales_of(landscapes, threshold), threshold, split)
    table = pixels_table(landscapes, p, seed, split)
    return Figure("figure3", draw, figure3_caption(shown, p, seed, threshold, split), table, draw)


def _draw(
    shown: pd.DataFrame, p: float, seed: int, scales: Scales, threshold: float, split: str, *, narrow: bool = False
) -> Drawing:
    rows, columns = picture_of(shown[shown["arm"] == shown["arm"].iloc[0]], "black").shape
    drawing, grid = _grid(shown["arm"].nunique(), rows / columns, narrow=narrow)
    draw_landscapes(grid, shown, scales, threshold, split)
    between = ",\n" if _goes_on_below(grid[0]) else ", "
    grid[0, 0].set_title(f"mask{between}p = {p:g}, seed {seed}", fontsize=grid[0, 1].title.get_fontsize())
    return drawing


def draw_landscapes(
    grid: NDArray[np.object_], shown: pd.DataFrame, scales: Scales, threshold: float, split: str
) -> None:
    """Draw the mask, and each arm's loss above its accuracy, with the scales that all arms share.

    Args:
        grid: axes, shape (2, 1 + number of arms); either row may go on below, and the arms are named in both then.
        shown: a row per pixel of each arm at one (p, seed): ``arm, row, column, black, test_loss, test_accuracy``.
        scales: of loss and accuracy, see :func:`scales_of`.
        threshold: cross-entropy that white pixels are pushed to; marked on the scale.
        split: the images that were measured on, for the labels.
    """
    arms = arm_order(shown["arm"])
    mask = picture_of(shown[shown["arm"] == arms[0]], "black").astype(float)
    loss_colours, accuracy_colours = scales
    labels = arm_labels(arms)
    show_pixels(grid[0, 0], mask, MASK_COLOURS)
    grid[0, 0].set_title("mask")
    for column, arm in enumerate(arms, start=1):
        mine = shown[shown["arm"] == arm]
        show_pixels(grid[0, column], picture_of(mine, "test_loss"), loss_colours)
        show_pixels(grid[1, column], picture_of(mine, "test_accuracy"), accuracy_colours)
        for axes in grid[:, column] if _goes_on_below(grid[0]) else grid[:1, column]:
            axes.set_title(labels[arm])
    fit_titles(grid, max(len(label) for label in labels.values()))
    grid[1, 0].set_axis_off()
    _key(grid[1, 0], threshold)
    drawing = grid[0, 0].get_figure(root=True)
    loss_bar(drawing, grid[0], loss_colours, threshold, split)
    colour_bar(drawing, grid[1], accuracy_colours).set_label(f"{split} accuracy")


def _goes_on_below(row: NDArray[np.object_]) -> bool:
    """Say whether axes stand in several rows and columns."""
    places = [axes.get_subplotspec() for axes in row]
    return len({place.rowspan.start for place in places}) > 1 < len({place.colspan.start for place in places})


def fit_titles(grid: NDArray[np.object_], longest: int) -> None:
    """Let no title of so many letters be wider than its panel's share of the figure.

    Where that would take letters of less than 5 points, long titles lose their beginning instead.
    """
    place = grid[0, 1].get_subplotspec()
    width = 72 * grid[0, 1].get_figure(root=True).get_figwidth() / (place.get_gridspec().ncols + 1)
    most = int(width / (_LETTER * _LEAST))
    for axes in grid[:, 1:].ravel():
        text, size = axes.get_title(), axes.title.get_fontsize()
        axes.set_title(text if len(text) <= most else f"…{text[1 - most :]}")
        axes.title.set_fontsize(min(size, max(_LEAST, width / (_LETTER * longest))))


def _grid(arms: int, tall: float, *, narrow: bool) -> tuple[Drawing, NDArray[np.object_]]:
    """Return an empty figure, and its axes in a row for the loss and one for the accuracy: beside each other if narrow.

    Either row goes on below, without a mask at its beginning, where there are many arms.

    Args:
        arms: how many there are.
        tall: height of a panel as a multiple of its width.
        narrow: for one column of print.
    """
    panels = 1 + arms
    if narrow:
        panel = (SINGLE - 0.15) / 2
        drawing = new_drawing(SINGLE, panels * (tall * panel + 0.2) + 0.6)
        return drawing, drawing.subplots(panels, 2, squeeze=False).T
    lines = -(-arms // _ARMS_IN_A_ROW)
    columns = 1 + -(-arms // lines)
    panel = min(_PANEL, (DOUBLE - 0.75) / columns)
    drawing = new_drawing(panel * columns + 0.75, 2 * lines * (tall * panel + 0.2 * (lines > 1)) + 0.5)
    grid = drawing.subplots(2 * lines, columns, squeeze=False)
    for axes in (*grid[1:lines, 0], *grid[lines + 1 :, 0]):
        axes.set_axis_off()
    rows = []
    for part in (grid[:lines], grid[lines:]):
        row = [part[0, 0], *part[:, 1:].ravel()]
        for axes in row[panels:]:
            axes.set_axis_off()
        rows.append(row[:panels])
    return drawing, np.array(rows, dtype=object)


def picture_of(fit: pd.DataFrame, value: str) -> NDArray[np.generic]:
    """Return one value of a fit's pixels as an array of shape (rows, columns)."""
    return fit.pivot_table(index="row", columns="column", values=value, aggfunc="first", dropna=False).to_numpy()


def show_pixels(axes: Axes, picture: NDArray[np.generic], colours: Colours) -> None:
    """Show one number for each pixel in axes without ticks."""
    axes.imshow(_within(picture, colours), cmap=colours.map, norm=colours.norm, interpolation="nearest", origin="upper")
    axes.set_xticks([])
    axes.set_yticks([])
    for spine in axes.spines.values():
        spine.set(visible=True, linewidth=0.5)


def pixels_as_png(picture: NDArray[np.generic], colours: Colours) -> bytes:
    """Return one number for each pixel as a PNG of as many pixels."""
    content = io.BytesIO()
    shares = colours.norm(np.ma.masked_invalid(_within(picture, colours)))
    imsave(content, colours.map(shares), format="png")
    return content.getvalue()


def _within(picture: NDArray[np.generic], colours: Colours) -> NDArray[np.floating[Any]]:
    """Return numbers with those beyond a scale at its ends: an infinite one has the lightest colour."""
    within: NDArray[np.floating[Any]] = np.clip(picture.astype(float), colours.norm.vmin, colours.norm.vmax)
    return within


def _key(axes: Axes, threshold: float) -> None:
    lines = ["black: low loss wanted", "white: high loss wanted", f"red line: threshold {threshold:g}"]
    axes.text(0.0, 1.0, "\n".join(lines), transform=axes.transAxes, fontsize=6, color=INK, va="top", linespacing=1.5)
