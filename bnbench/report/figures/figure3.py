"""Figure 3 of the paper: a mask beside the landscapes that the arms were bent to."""

from __future__ import annotations

import io
import math
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colorbar import Colorbar
from matplotlib.colors import Colormap, ListedColormap, LogNorm, Normalize
from matplotlib.figure import Figure as Drawing
from matplotlib.image import imsave
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator
from numpy.typing import NDArray

from bnbench.report.arms import arm_labels, arm_order
from bnbench.report.figures.figure import Figure, NarrowDrawing
from bnbench.report.figures.landscapes import pixels_of, pixels_table
from bnbench.report.figures.style import DOUBLE, INK, SINGLE, new_drawing

_PANEL = 3.6 / 2.54  # widest panel, in inches
_SMALL = 6  # panels beside each other from which their titles are wider than they are
OUTER = 0.01  # share of pixels at either end that may lie beyond the colour scale
LOSS_COLOURS, ACCURACY_COLOURS = "mako", "rocket_r"  # of seaborn: dark is low loss and high accuracy
_EXTEND = {(False, False): "neither", (True, False): "min", (False, True): "max", (True, True): "both"}
_LOSS_TICKS = (0.01, 0.03, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100, 1000)


class Colours(NamedTuple):
    """A colour map and the values that it spans: what all panels of a row share."""

    map: Colormap
    norm: Normalize
    extend: str = "neither"  # which ends of the scale have pixels beyond them, in matplotlib's words


class Scales(NamedTuple):
    """The colours of both quantities."""

    loss: Colours
    accuracy: Colours


MASK_COLOURS = Colours(ListedColormap(["white", "black"]), Normalize(0, 1))


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
    return Figure("figure3", draw, _caption(shown, p, seed, threshold, split), table, draw)


def _draw(
    shown: pd.DataFrame, p: float, seed: int, scales: Scales, threshold: float, split: str, *, narrow: bool = False
) -> Drawing:
    rows, columns = picture_of(shown[shown["arm"] == shown["arm"].iloc[0]], "black").shape
    drawing, grid = _grid(1 + shown["arm"].nunique(), rows / columns, narrow=narrow)
    draw_landscapes(grid, shown, scales, threshold, split)
    grid[0, 0].set_title("")
    is_crowded = not narrow and len(grid[0]) > _SMALL
    size = grid[0, 1].title.get_fontsize()
    grid[0, 0].set_title(f"mask, p = {p:g}, seed {seed}", loc="left" if is_crowded else "center", fontsize=size)
    return drawing


def draw_landscapes(
    grid: NDArray[np.object_], shown: pd.DataFrame, scales: Scales, threshold: float, split: str
) -> None:
    """Draw the mask, and each arm's loss above its accuracy, with the scales that all arms share.

    Args:
        grid: axes, shape (2, 1 + number of arms).
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
        grid[0, column].set_title(labels[arm])
    if len(arms) >= _SMALL and grid[0, 0].get_subplotspec().rowspan == grid[0, 1].get_subplotspec().rowspan:
        longest = max(len(labels[arm]) for arm in arms)
        for axes in grid[0, 1:]:  # beside each other, each as wide as its panel
            axes.title.set_fontsize(min(axes.title.get_fontsize(), 72 * DOUBLE / (len(arms) + 2) / (0.64 * longest)))
    grid[1, 0].set_axis_off()
    _key(grid[1, 0], threshold)
    drawing = grid[0, 0].get_figure(root=True)
    loss_bar(drawing, grid[0], loss_colours, threshold, split)
    colour_bar(drawing, grid[1], accuracy_colours).set_label(f"{split} accuracy")


def _grid(panels: int, tall: float, *, narrow: bool) -> tuple[Drawing, NDArray[np.object_]]:
    """Return an empty figure, and its axes in a row for the loss and one for the accuracy: beside each other if narrow.

    Args:
        panels: in each row.
        tall: height of a panel as a multiple of its width.
        narrow: for one column of print.
    """
    if narrow:
        panel = (SINGLE - 0.15) / 2
        drawing = new_drawing(SINGLE, panels * (tall * panel + 0.2) + 0.6)
        return drawing, drawing.subplots(panels, 2, squeeze=False).T
    panel = min(_PANEL, (DOUBLE - 0.75) / panels)
    drawing = new_drawing(panel * panels + 0.75, 2 * tall * panel + 0.5)
    return drawing, drawing.subplots(2, panels, squeeze=False)


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


def scales_of(landscapes: pd.DataFrame, threshold: float) -> Scales:
    """Return one scale for each quantity, on all images, so that a colour means the same in every picture of a page.

    Args:
        landscapes: a row per pixel of all fits: ``test_loss, test_accuracy``, and on training images where they are.
        threshold: cross-entropy that white pixels are pushed to.
    """

    def on_all_images(quantity: str) -> pd.Series:
        names = (f"test_{quantity}", f"train_{quantity}")
        values: pd.Series = pd.concat([landscapes[name] for name in names if name in landscapes])
        return values

    return Scales(loss_scale(on_all_images("loss"), threshold), accuracy_scale(on_all_images("accuracy")))


def loss_scale(losses: pd.Series, threshold: float) -> Colours:
    """Return the scale of losses, dark where low, so that a well-bent landscape looks like its mask.

    A few extremes do not take the scale.
    """
    values = losses.to_numpy()
    usual = values[np.isfinite(values) & (values > 0)]
    low, high = (_quantile(usual, share) for share in (OUTER, 1 - OUTER)) if usual.size else (threshold, threshold)
    low, high = min(low, 0.9 * threshold), max(high, 1.1 * threshold)
    extend = _EXTEND[bool((values < low).any()), bool((values > high).any())]
    return Colours(_with_gaps(sns.color_palette(LOSS_COLOURS, as_cmap=True)), LogNorm(low, high), extend)


def _quantile(values: NDArray[np.floating[Any]], share: float) -> float:
    """Return NumPy's quantile of values as float64, without a copy of them all; they are put into another order."""
    place = share * (len(values) - 1)
    below = math.floor(place)
    ends = [below, min(below + 1, len(values) - 1)]
    values.partition(ends)
    return float(np.quantile(values[ends].astype(float), place - below))


def accuracy_scale(accuracies: pd.Series) -> Colours:
    """Return the scale of accuracies, dark where high, from 0 to just above the highest one."""
    high = max(float(accuracies.max()), 0.1) if accuracies.notna().any() else 1.0
    return Colours(
        _with_gaps(sns.color_palette(ACCURACY_COLOURS, as_cmap=True)), Normalize(0, math.ceil(20 * high) / 20)
    )


def _with_gaps(colours: Colormap) -> Colormap:
    """Return a colour map in which a loss that is not a number is grey."""
    return colours.with_extremes(bad="#9a9aa0")


def colour_bar(drawing: Drawing, row: NDArray[np.object_], colours: Colours, *, below: bool = False) -> Colorbar:
    """Put a scale beside a row of axes, or below them if they are a column or ``below`` says so."""
    mappable = ScalarMappable(colours.norm, colours.map)
    is_column = len(row) > 1 and row[0].get_subplotspec().colspan == row[1].get_subplotspec().colspan
    place = "bottom" if is_column or below else "right"
    look: dict[str, Any] = {
        "location": place,
        "aspect": 16,
        "pad": 0.08 if below and not is_column else 0.02,
        "extendfrac": 0.04,
    }
    bar = drawing.colorbar(mappable, ax=list(row), extend=colours.extend, **look)
    bar.outline.set_linewidth(0.5)
    return bar


def loss_bar(
    drawing: Drawing, row: NDArray[np.object_], colours: Colours, threshold: float, split: str, *, below: bool = False
) -> None:
    """Put the scale of the loss beside a row of axes or below, with the threshold marked."""
    bar = colour_bar(drawing, row, colours, below=below)
    bar.set_label(f"{split} loss (log)")
    low, high = float(colours.norm.vmin or 0), float(colours.norm.vmax or 1)
    ticks = [tick for tick in _LOSS_TICKS if low <= tick <= high and abs(math.log(tick / threshold)) > 0.25]
    if len(ticks) < 2:  # A narrow range: its own ends, rounded inwards enough to lie on the bar.
        ticks = [float(f"{end:.2g}") for end in (1.03 * low, 0.97 * high) if abs(math.log(end / threshold)) > 0.05]
    bar.long_axis.set_major_locator(FixedLocator([*ticks, threshold]))
    bar.long_axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    bar.long_axis.set_minor_locator(NullLocator())
    mark = bar.ax.axhline if bar.orientation == "vertical" else bar.ax.axvline
    mark(threshold, color="#ff5a36", linewidth=1.4)


def _key(axes: Axes, threshold: float) -> None:
    lines = ["black: low loss wanted", "white: high loss wanted", f"red line: threshold {threshold:g}"]
    axes.text(0.0, 1.0, "\n".join(lines), transform=axes.transAxes, fontsize=6, color=INK, va="top", linespacing=1.5)


def _caption(shown: pd.DataFrame, p: float, seed: int, threshold: float, split: str) -> str:
    """Return the caption, with each shown fit's own means."""
    texts = []
    for arm in arm_order(shown["arm"]):
        mine = shown[shown["arm"] == arm]
        black, white = (mine.loc[mine["black"] == colour, "test_accuracy"].mean() for colour in (True, False))
        texts.append(f"{arm} {black:.3f} on black and {white:.3f} on white pixels")
    return (
        f"Figure 3. The mask of p = {p:g}, seed {seed}, and the landscapes bent to it; "
        "one pixel is one weight vector of the plane. "
        f"Above, or left: {split} loss, one logarithmic scale for all fits, the threshold {threshold:g} marked; "
        "arrows: the 1 % of all pixels beyond either end. "
        f"Below, or right: {split} accuracy: {'; '.join(texts)}. "
        "Dark is low loss and high accuracy: a well-bent landscape looks like its mask."
    )
