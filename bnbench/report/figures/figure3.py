"""Figure 3 of the paper: a mask beside the landscapes that the arms were bent to."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colorbar import Colorbar
from matplotlib.colors import Colormap, ListedColormap, LogNorm, Normalize
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, LogLocator, NullLocator
from numpy.typing import NDArray

from bnbench.report.figures.style import DOUBLE, INK, SINGLE, arm_colours, arm_labels, arm_order, new_figure

_PANEL = 3.6 / 2.54  # widest panel, in inches
ARMS_IN_A_COLUMN = 2  # whose panels one column of print has room for, side by side
_OUTER = 0.01  # share of pixels at either end that may lie beyond the colour scale
_EXTEND = {(False, False): "neither", (True, False): "min", (False, True): "max", (True, True): "both"}
_LOSS_TICKS = (0.01, 0.03, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100, 1000)


class Colours(NamedTuple):
    """A colour map and the values that it spans: what all panels of a row share."""

    map: Colormap
    norm: Normalize
    extend: str = "neither"  # which ends of the scale have pixels beyond them, in matplotlib's words


def choose(landscapes: pd.DataFrame, wanted: tuple[float, int] | None = None) -> tuple[float, int]:
    """The (p, seed) to show: the wanted one if it was fitted, else p nearest one half, first seed with most arms.

    Args:
        landscapes: a row per pixel: ``arm, p, seed`` and more; at least one.
        wanted: a (p, seed), or None.
    """
    fits = landscapes[["arm", "p", "seed"]].drop_duplicates()
    if wanted is not None and arms_at(fits, *wanted):
        return wanted
    p = min(fits["p"].unique(), key=lambda value: (round(abs(value - 0.5), 6), value))
    arms = fits[fits["p"] == p].groupby("seed").size()
    return float(p), int(arms.index[arms.to_numpy().argmax()])


def arms_at(landscapes: pd.DataFrame, p: float, seed: int) -> int:
    """How many arms were fitted at a (p, seed)."""
    return int(landscapes.loc[(landscapes["p"] == p) & (landscapes["seed"] == seed), "arm"].nunique())


def figure3(
    landscapes: pd.DataFrame, p: float, seed: int, threshold: float, split: str = "test", *, narrow: bool = False
) -> Figure:
    """Mask and landscapes: loss on a shared logarithmic scale above, accuracy below.

    Args:
        landscapes: a row per pixel: ``arm, p, seed, row, column, black, test_loss, test_accuracy``.
        p: fill probability.
        seed: replicate.
        threshold: cross-entropy that white pixels are pushed to; marked on the scale.
        split: the images that were measured on, for the labels.
        narrow: for one column of print, with the arms below each other.

    Raises:
        ValueError: no such fit.
    """
    shown = _shown(landscapes, p, seed)
    arms = arm_order(shown["arm"])
    mask = _picture(shown[shown["arm"] == arms[0]], "black").astype(float)
    loss_colours = _loss_colours(shown["test_loss"], threshold)
    accuracy_colours = _accuracy_colours(shown["test_accuracy"])
    figure, grid = _grid(1 + len(arms), mask.shape[0] / mask.shape[1], narrow=narrow)
    labels = arm_labels(arms)
    _show(grid[0, 0], mask, Colours(ListedColormap(["white", "black"]), Normalize(0, 1)))
    grid[0, 0].set_title(f"mask, p = {p:g}, seed {seed}")
    for column, arm in enumerate(arms, start=1):
        mine = shown[shown["arm"] == arm]
        _show(grid[0, column], _picture(mine, "test_loss"), loss_colours)
        _show(grid[1, column], _picture(mine, "test_accuracy"), accuracy_colours)
        grid[0, column].set_title(labels[arm])
    grid[1, 0].set_axis_off()
    _key(grid[1, 0], threshold)
    _loss_bar(figure, grid[0], loss_colours, threshold, split)
    _bar(figure, grid[1], accuracy_colours).set_label(f"{split} accuracy")
    return figure


def _grid(panels: int, tall: float, *, narrow: bool) -> tuple[Figure, NDArray[np.object_]]:
    """An empty figure, and its axes in a row for the loss and one for the accuracy: beside each other if narrow.

    Args:
        panels: in each row.
        tall: height of a panel as a multiple of its width.
        narrow: for one column of print.
    """
    if narrow:
        panel = (SINGLE - 0.15) / 2
        figure = new_figure(SINGLE, panels * (tall * panel + 0.2) + 0.6)
        return figure, figure.subplots(panels, 2, squeeze=False).T
    panel = min(_PANEL, (DOUBLE - 0.75) / panels)
    figure = new_figure(panel * panels + 0.75, 2 * tall * panel + 0.5)
    return figure, figure.subplots(2, panels, squeeze=False)


def training_against_test(
    landscapes: pd.DataFrame, p: float, seed: int, split: str = "test", *, narrow: bool = False
) -> Figure:
    """Every pixel of a (p, seed) on training images against the same pixel on test images: loss above, accuracy below.

    Arguments and the error are those of :func:`figure3`, with ``train_loss`` and ``train_accuracy``.
    """
    shown = _shown(landscapes, p, seed)
    arms = arm_order(shown["arm"])
    labels, colours = arm_labels(arms), arm_colours(arms)
    if narrow:
        figure = new_figure(SINGLE, 4.2 / 2.54 * len(arms))
        grid = figure.subplots(len(arms), 2, squeeze=False, sharex="col", sharey="col").T
    else:
        figure = new_figure(DOUBLE if len(arms) > ARMS_IN_A_COLUMN else SINGLE, 8.4 / 2.54)
        grid = figure.subplots(2, len(arms), squeeze=False, sharex="row", sharey="row")
    grid[0, 0].set(xscale="log", yscale="log")
    for axis in (grid[0, 0].xaxis, grid[0, 0].yaxis):
        axis.set_major_locator(LogLocator(subs=(1, 2, 5), numticks=5))
        axis.set_minor_locator(NullLocator())
    for row, value in zip(grid, ("loss", "accuracy"), strict=True):
        for axes, arm in zip(row, arms, strict=True):
            _scatter(axes, shown[shown["arm"] == arm], value, colours[arm])
            axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
            axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        for axes in row[-1:] if narrow else row:
            axes.set_xlabel(f"training {value}")
        for axes in row if narrow else row[:1]:
            axes.set_ylabel(f"{split} {value}")
    for axes, arm in zip(grid[0], arms, strict=True):
        axes.set_title(labels[arm])
    return figure


def _scatter(axes: Axes, fit: pd.DataFrame, value: str, colour: str) -> None:
    """One fit's pixels, filled where black, and the line where training and test agree."""
    for black, face in ((False, "none"), (True, colour)):
        pixels = fit[fit["black"] == black]
        places = pixels[f"train_{value}"], pixels[f"test_{value}"]
        axes.plot(*places, "o", markerfacecolor=face, markeredgecolor=colour, markersize=2.4, alpha=0.6, mew=0.6)
    both = fit[[f"train_{value}", f"test_{value}"]].to_numpy(dtype=float)
    both = both[np.isfinite(both) & (both > 0)]
    if both.size:
        ends = [both.min(), both.max()]
        axes.plot(ends, ends, color=INK, linewidth=0.6, linestyle=(0, (4, 2)), zorder=1)


def _shown(landscapes: pd.DataFrame, p: float, seed: int) -> pd.DataFrame:
    shown = landscapes[(landscapes["p"] == p) & (landscapes["seed"] == seed)]
    if shown.empty:
        raise ValueError(f"no fit has p={p:g} and seed {seed}; choose one that was run.")
    return shown


def _picture(fit: pd.DataFrame, value: str) -> NDArray[np.generic]:
    """One value of a fit's pixels as an array of shape (rows, columns)."""
    return fit.pivot_table(index="row", columns="column", values=value, aggfunc="first", dropna=False).to_numpy()


def _show(axes: Axes, picture: NDArray[np.generic], colours: Colours) -> None:
    within = np.clip(picture.astype(float), colours.norm.vmin, colours.norm.vmax)  # infinite is the lightest colour
    axes.imshow(within, cmap=colours.map, norm=colours.norm, interpolation="nearest", origin="upper")
    axes.set_xticks([])
    axes.set_yticks([])
    for spine in axes.spines.values():
        spine.set(visible=True, linewidth=0.5)


def _loss_colours(losses: pd.Series, threshold: float) -> Colours:
    """Dark = low, so that a well-bent landscape looks like its mask; a few extremes do not take the scale."""
    values = losses.to_numpy(dtype=float)
    usual = values[np.isfinite(values) & (values > 0)]
    low, high = np.quantile(usual, [_OUTER, 1 - _OUTER]) if usual.size else (threshold, threshold)
    low, high = min(low, 0.9 * threshold), max(high, 1.1 * threshold)
    extend = _EXTEND[bool((values < low).any()), bool((values > high).any())]
    return Colours(_with_gaps(sns.color_palette("mako", as_cmap=True)), LogNorm(low, high), extend)


def _accuracy_colours(accuracies: pd.Series) -> Colours:
    high = max(float(accuracies.max()), 0.1) if accuracies.notna().any() else 1.0
    return Colours(_with_gaps(sns.color_palette("rocket_r", as_cmap=True)), Normalize(0, math.ceil(20 * high) / 20))


def _with_gaps(colours: Colormap) -> Colormap:
    """A loss that is not a number shows in grey."""
    return colours.with_extremes(bad="#9a9aa0")


def _bar(figure: Figure, row: NDArray[np.object_], colours: Colours) -> Colorbar:
    mappable = ScalarMappable(colours.norm, colours.map)
    below = len(row) > 1 and row[0].get_subplotspec().colspan == row[1].get_subplotspec().colspan
    look: dict[str, Any] = {"location": "bottom" if below else "right", "aspect": 16, "pad": 0.02, "extendfrac": 0.04}
    bar = figure.colorbar(mappable, ax=list(row), extend=colours.extend, **look)
    bar.outline.set_linewidth(0.5)
    return bar


def _loss_bar(figure: Figure, row: NDArray[np.object_], colours: Colours, threshold: float, split: str) -> None:
    bar = _bar(figure, row, colours)
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
    for number, line in enumerate(lines):
        axes.text(0.0, 0.96 - 0.09 * number, line, transform=axes.transAxes, fontsize=6, color=INK)
