"""Figures of your own: what the report draws, from plain tables, into matplotlib axes that you may give.

Each function takes a table and, if you like, axes; it draws what the report draws there and returns the axes, so that
labels, limits and colours are yours to change. Without axes it makes a figure with :mod:`matplotlib.pyplot`.
"""

from __future__ import annotations

from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from numpy.typing import ArrayLike, NDArray

from bnbench.compared import check_table, two_arms
from bnbench.errors import RequestError
from bnbench.report.figures.authors import authors_figure4, authors_handles
from bnbench.report.figures.figure3 import draw_landscapes, picture_of, show_pixels
from bnbench.report.figures.figure4 import arm_handles, draw_difference
from bnbench.report.figures.paired import draw_pairs
from bnbench.report.figures.scales import MASK_COLOURS, accuracy_scale, colour_bar, loss_bar, loss_scale, scales_of
from bnbench.report.tables import over_trained
from bnbench.stats import differences

__all__ = ["figure3", "figure4", "landscape", "paired"]

_FIT = ("arm", "p", "seed")
_PIXEL = (*_FIT, "row", "column", "black")
_SIZE = (5.0, 3.4)  # inches
_PANEL = 2.4  # inches


def figure4(
    fits: pd.DataFrame,
    axes: Axes | None = None,
    *,
    pixels: str = "trained",
    authors: bool = False,
    split: str = "test",
) -> Axes:
    """Draw figure 4a: the accuracy contrast, black − white, of each arm against the fill probability.

    A line is the mean over seeds, a whisker ± one standard deviation (ddof = 1), a small point a seed.

    Args:
        fits: a row per fit, ``arm, p, seed`` and ``difference``, or ``difference_trained`` with ``black_trained`` and
            ``white_trained``: such as :attr:`bnbench.SweepResult.fits`.
        axes: where to draw; by default those of a new figure.
        pixels: ``trained``, those that have a neighbour of the other colour, as the authors measure, where the table
            has their columns; or ``all``.
        authors: also draw the authors' own curves, which are of FashionMNIST and of trained pixels.
        split: the images that were measured on, for the label.

    Returns:
        The axes.

    Raises:
        RequestError: a column is missing, there is no fit, a row is a pixel, ``pixels`` is neither, or all pixels would
            stand beside the authors' curves.
    """
    shown = _over(fits, pixels)
    if authors and (pixels == "all" or "difference_trained" not in fits):
        raise RequestError(
            "authors: their curves are over trained pixels alone; give pixels='trained' and a table with "
            "difference_trained, such as tables/fits.csv of a report, or leave authors out."
        )
    curves = authors_figure4() if authors else None
    axes = _axes(axes)
    draw_difference(axes, shown, curves, split)
    axes.legend(handles=[*arm_handles(shown), *authors_handles(shown, curves)], frameon=False)
    return axes


def paired(
    fits: pd.DataFrame,
    axes: Axes | None = None,
    *,
    arms: tuple[str, str] | None = None,
    pixels: str = "trained",
) -> Axes:
    """Draw the paired difference of two arms in contrast at every fill probability, each with its 95 % t interval.

    Args:
        fits: as :func:`figure4` takes them.
        axes: where to draw; by default those of a new figure.
        arms: the arm that is counted positive, and the one that is subtracted, by name or as figures label them; by
            default as :func:`bnbench.gaps` takes them.
        pixels: ``trained`` or ``all``, see :func:`figure4`.

    Returns:
        The axes.

    Raises:
        RequestError: a column is missing, an arm is not there, no (p, seed) has both, or ``pixels`` is neither.
    """
    shown = _over(fits, pixels)
    first, second = two_arms(shown, arms)
    axes = _axes(axes)
    axes.legend(handles=draw_pairs(axes, differences.paired(shown, first, second), first, second), frameon=False)
    return axes


def landscape(fit: pd.DataFrame, axes: Axes | None = None, *, value: str = "test_loss", threshold: float = 2.5) -> Axes:
    """Draw the landscape of one fit: one number at every pixel, dark where a network is good.

    Args:
        fit: a row per pixel of one fit, ``arm, p, seed, row, column, black`` and ``value``: such as rows of what
            :func:`bnbench.load` returns.
        axes: where to draw; by default those of a new figure.
        value: ``test_loss`` or ``train_loss`` in nats, on a logarithmic scale; ``test_accuracy`` or
            ``train_accuracy``; or ``black``, the mask itself.
        threshold: cross-entropy that white pixels are pushed to; marked on the scale of a loss.

    Returns:
        The axes.

    Raises:
        RequestError: a column is missing, or there are several fits or none.
    """
    check_table(fit, (*_PIXEL, value), "fit")
    if (found := len(fit.drop_duplicates([*_FIT]))) != 1:
        raise RequestError(f"fit: the table has {found} fits; give the pixels of one, such as fit.query('seed == 1').")
    is_loss, picture = value.endswith("loss"), picture_of(fit, value)
    axes = _axes(axes, (_PANEL + 1.0, _PANEL * picture.shape[0] / picture.shape[1] + 0.3))
    if value == "black":
        show_pixels(axes, picture, MASK_COLOURS)
        return axes
    colours = loss_scale(fit[value], threshold) if is_loss else accuracy_scale(fit[value])
    show_pixels(axes, picture, colours)
    split, _, quantity = value.partition("_")
    drawing, row = axes.get_figure(root=True), np.array([axes], dtype=object)
    if drawing is None:
        raise RequestError("axes: these belong to no figure any more; give axes of a figure.")
    if is_loss:
        loss_bar(drawing, row, colours, threshold, split)
    else:
        colour_bar(drawing, row, colours).set_label(f"{split} {quantity}")
    return axes


def figure3(
    fit: pd.DataFrame, axes: ArrayLike | None = None, *, threshold: float = 2.5, split: str = "test"
) -> NDArray[np.object_]:
    """Draw figure 3: the mask, and the landscapes that the arms were bent to, loss above and accuracy below.

    Args:
        fit: a row per pixel of every arm at one (p, seed), ``arm, p, seed, row, column, black, test_loss,
            test_accuracy``: such as rows of what :func:`bnbench.load` returns.
        axes: where to draw, shape (2, 1 + number of arms); by default those of a new figure.
        threshold: cross-entropy that white pixels are pushed to; marked on the scale.
        split: the images that were measured on, for the labels.

    Returns:
        The axes, shape (2, 1 + number of arms).

    Raises:
        RequestError: a column is missing, there are several (p, seed) or none, or the axes have another shape.
    """
    check_table(fit, (*_PIXEL, "test_loss", "test_accuracy"), "fit")
    if (found := len(fit.drop_duplicates(["p", "seed"]))) != 1:
        raise RequestError(
            f"fit: the table has {found} (p, seed); give one, such as fit.query('p == 0.5 and seed == 1')."
        )
    shape = (2, 1 + fit["arm"].nunique())
    if axes is None:
        rows, columns = picture_of(fit[fit["arm"] == fit["arm"].iloc[0]], "black").shape
        size = (shape[1] * _PANEL + 1.0, 2 * _PANEL * rows / columns + 0.5)
        _, axes = plt.subplots(*shape, figsize=size, layout="constrained", squeeze=False)
    grid = np.asarray(axes, dtype=object)
    if grid.shape != shape:
        raise RequestError(
            f"axes of shape {grid.shape}: give {shape[0]}×{shape[1]} axes, a column for the mask and each arm."
        )
    draw_landscapes(grid, fit, scales_of(fit, threshold), threshold, split)
    return grid


def _over(fits: pd.DataFrame, pixels: str) -> pd.DataFrame:
    """Return the fits with ``difference`` over the pixels that are asked for."""
    if pixels not in ("trained", "all"):
        raise RequestError(f"pixels {pixels!r}: give trained or all.")
    values = [f"{name}_trained" for name in ("black", "white", "difference")]
    is_trained = pixels == "trained" and set(values) <= set(fits.columns)
    if {"row", "column"} <= set(fits.columns):
        raise RequestError(
            "fits: the table has a row per pixel, as bnbench.load returns it; give one with a row per fit, such as "
            "tables/fits.csv of a report, or the .fits of what bnbench.run returns, which computes what is left."
        )
    check_table(fits, (*_FIT, *(values if is_trained else ["difference"])), "fits")
    return over_trained(fits) if is_trained else fits


def _axes(axes: Axes | None, size: tuple[float, float] = _SIZE) -> Axes:
    """Return the axes that were given, or those of a new figure."""
    if axes is not None:
        return axes
    made: Any = plt.subplots(figsize=size, layout="constrained")[1]
    return made  # type: ignore[no-any-return]  # matplotlib's stub says one axes or an array of them
