"""The strip for print: the picture beside the landscapes that were bent to it, one colour scale for each quantity."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Colormap, ListedColormap, LogNorm, Normalize
from matplotlib.figure import Figure as Drawing
from matplotlib.image import AxesImage
from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator, NullLocator
from numpy.typing import NDArray

from bnbench.bending.files import Bent
from bnbench.inputs.masks import Mask
from bnbench.report.arms import arm_labels

ACCURACY = "test_accuracy"
_LOSSES = "mako"  # of seaborn: dark is a low loss
_ACCURACIES = "rocket_r"  # dark is a high accuracy
_OUTER = 0.01  # share of pixels at either end that may lie beyond the scale of a loss
_FURTHEST = 300.0  # times the threshold, or a part of it, where a scale of losses ends: beyond, all are alike
_TICKS = (1, 10, 100, 0.1, 1_000, 0.01, 0.001, 10_000, 3, 30, 0.3, 300, 0.03)  # the first are wanted most
_ENOUGH = 3  # numbers at a bar, so that one sees how its scale runs
_PANEL = 1.32  # inches: one picture's longer side
_TITLE, _BAR, _EDGE, _GAP, _BETWEEN = 0.24, 0.40, 0.10, 0.06, 0.16  # inches
_LETTER = 0.06  # inches that a letter of a number below a bar takes, and the space between two numbers at least


class Scale(NamedTuple):
    """A quantity's colours, shared by all arms."""

    map: Colormap
    norm: Normalize


@dataclass(frozen=True)
class Quantity:
    """What a group of the strip's pictures shows.

    Attributes:
        name: its column in a landscape.
        title: what stands above it.
        is_loss: whether it is drawn on a logarithmic scale, dark where it is low.
    """

    name: str
    title: str
    is_loss: bool


def quantities(split: str) -> tuple[Quantity, ...]:
    """Return what a strip shows, in its order; ``split`` names the images that were measured on."""
    return (
        Quantity("train_loss", "train loss, log", True),
        Quantity("test_loss", f"{split} loss, log", True),
        Quantity(ACCURACY, f"{split} accuracy", False),
    )


def draw_strip(mask: Mask, bents: Sequence[Bent], threshold: float, split: str = "test") -> Drawing:
    """Draw mask | train loss, log | test loss, log | test accuracy; several arms stand beside each other in each part.

    Args:
        mask: True where black, shape (rows, columns).
        bents: one for each arm, all of that mask.
        threshold: cross-entropy that white pixels are pushed to; marked on the scales of the losses.
        split: the images that were measured on, for the titles.
    """
    shown = quantities(split)
    width, height = panel_size(mask)
    group = len(bents) * width + (len(bents) - 1) * _GAP
    total = 2 * _EDGE + width + len(shown) * (_BETWEEN + group)
    drawing = Drawing(figsize=(total, _TITLE + height + _BAR + (0.16 if len(bents) > 1 else 0)))
    show_mask(_axes(drawing, _EDGE, width, height), mask).set_title("picture", pad=3)
    labels = arm_labels([bent.arm for bent in bents])
    left = _EDGE + width
    for quantity in shown:
        left += _BETWEEN
        scale = scale_of(quantity, bents, threshold)
        for number, bent in enumerate(bents):
            axes = _axes(drawing, left + number * (width + _GAP), width, height)
            show(axes, bent.picture(quantity.name), scale)
            if len(bents) > 1:
                axes.set_title(labels[bent.arm], pad=3)
            elif number == 0:
                axes.set_title(quantity.title, pad=3)
        if len(bents) > 1:
            place = (left + group / 2) / total, 1 - 0.13 / drawing.get_figheight()
            drawing.text(*place, quantity.title, ha="center", va="center", fontsize=7.5)
        _bar(drawing, left, group, scale, threshold if quantity.is_loss else None)
        left += group
    return drawing


def panel_size(mask: Mask) -> tuple[float, float]:
    """Return width and height of every picture of a strip, in inches."""
    rows, columns = mask.shape
    return _PANEL * columns / max(mask.shape), _PANEL * rows / max(mask.shape)


def scale_of(quantity: Quantity, bents: Sequence[Bent], threshold: float) -> Scale:
    """Return the colours of a quantity, over all arms.

    The outermost hundredth of losses may lie beyond the scale, and what is far from the threshold.
    """
    if not quantity.is_loss:
        return accuracy_scale(max(float(bent.landscape[quantity.name].max()) for bent in bents))
    values = np.concatenate([bent.landscape[quantity.name].to_numpy(float) for bent in bents])
    usual = values[np.isfinite(values) & (values > 0)]
    low, high = np.quantile(usual, [_OUTER, 1 - _OUTER]) if usual.size else (threshold, threshold)
    low, high = max(low, threshold / _FURTHEST), min(high, threshold * _FURTHEST)
    norm = LogNorm(min(low, 0.9 * threshold), max(high, 1.1 * threshold), clip=True)
    return Scale(sns.color_palette(_LOSSES, as_cmap=True), norm)


def accuracy_scale(highest: float) -> Scale:
    """Return the colours of accuracies, from 0 to the next twentieth above the highest."""
    return Scale(sns.color_palette(_ACCURACIES, as_cmap=True), Normalize(0, math.ceil(20 * max(highest, 0.1)) / 20))


def show(axes: Axes, picture: NDArray[np.floating], scale: Scale) -> AxesImage:
    """Show one picture, a square for each pixel."""
    image = axes.imshow(picture, cmap=scale.map, norm=scale.norm, interpolation="nearest", origin="upper")
    axes.set(xticks=[], yticks=[])
    for spine in axes.spines.values():
        spine.set(visible=True, linewidth=0.5)
    return image


def show_mask(axes: Axes, mask: Mask) -> Axes:
    """Show the picture that was asked for, in black and white."""
    show(axes, mask.astype(np.float64), Scale(ListedColormap(["white", "black"]), Normalize(0, 1)))
    return axes


def _axes(drawing: Drawing, left: float, width: float, height: float) -> Axes:
    """Return axes for one picture, in inches from the left."""
    total, tall = drawing.get_size_inches()
    return drawing.add_axes((left / total, _BAR / tall, width / total, height / tall))


def _bar(drawing: Drawing, left: float, width: float, scale: Scale, threshold: float | None) -> None:
    """Draw a colour bar below a group of pictures; a mark shows the threshold."""
    total, tall = drawing.get_size_inches()
    within = min(width, 1.8)  # a bar as long as six pictures says no more
    place = ((left + (width - within) / 2) / total, (_BAR - 0.13) / tall, within / total, 0.07 / tall)
    axes = drawing.add_axes(place)
    bar = drawing.colorbar(ScalarMappable(scale.norm, scale.map), cax=axes, orientation="horizontal")
    bar.outline.set_linewidth(0.5)
    axes.tick_params(pad=1.5, length=2)
    if threshold is None:
        bar.long_axis.set_major_locator(MaxNLocator(4))
        bar.long_axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        return
    bar.long_axis.set_major_locator(FixedLocator(loss_ticks(scale, threshold, within)))
    bar.long_axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    bar.long_axis.set_minor_locator(NullLocator())
    axes.axvline(threshold, color="#ff5a36", linewidth=1.4)


def loss_ticks(scale: Scale, threshold: float, width: float) -> list[float]:
    """Return where a loss's bar has numbers: at the threshold, and elsewhere wherever another one has room.

    Args:
        scale: logarithmic.
        threshold: cross-entropy that white pixels are pushed to.
        width: of the bar, inches.
    """
    low, high = float(scale.norm.vmin or 0), float(scale.norm.vmax or 1)
    ticks = [threshold]
    between = map(float, MaxNLocator(6).tick_values(low, high))  # where a scale is short, as after few steps
    for tick in (*_TICKS, *between):
        is_wanted = tick in _TICKS or len(ticks) < _ENOUGH
        if (
            is_wanted
            and low <= tick <= high
            and all(
                width * abs(math.log(tick / other)) / math.log(high / low)
                >= _LETTER * (1 + len(f"{tick:g}{other:g}") / 2)
                for other in ticks
            )
        ):
            ticks.append(tick)
    return ticks
