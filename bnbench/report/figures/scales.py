"""Colours of pictures: one scale for a quantity, and the bar that says what each colour means."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.cm import ScalarMappable
from matplotlib.colorbar import Colorbar
from matplotlib.colors import Colormap, ListedColormap, LogNorm, Normalize
from matplotlib.figure import Figure as Drawing
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator
from numpy.typing import NDArray

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
