"""Masks and the landscapes that they became, at three fill probabilities: what a report shows first."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import numpy as np
import pandas as pd
from matplotlib.figure import Figure as Drawing
from numpy.typing import NDArray

from bnbench.report.arms import arm_labels, arm_order
from bnbench.report.figures.figure import Figure, NarrowDrawing
from bnbench.report.figures.figure3 import picture_of, show_pixels
from bnbench.report.figures.landscapes import choose_pair
from bnbench.report.figures.scales import MASK_COLOURS, Colours, colour_bar, scales_of
from bnbench.report.figures.style import DOUBLE, SINGLE, new_drawing
from bnbench.report.tables import Table

_PROBABILITIES = (0.1, 0.5, 0.9)  # the nearest that were fitted are shown
_MOST_ARMS = 3  # beside a mask
_GAP = 0.3  # between the pictures of one p and of the next, in pictures


def strip(landscapes: pd.DataFrame, threshold: float, split: str = "test", first: Sequence[str] = ()) -> Figure:
    """Show the masks of three fill probabilities, each beside the accuracy of the arms, on one scale.

    Args:
        landscapes: a row per pixel, see :data:`bnbench.results.schemas.LANDSCAPE_SCHEMA`; at least one. All of
            them set the scale.
        threshold: cross-entropy that white pixels are pushed to.
        split: the images that were measured on, for the labels.
        first: arms that are shown before others, of which there may be more than there is room for.
    """
    shown = _shown(landscapes, first)
    there, drawn = landscapes["arm"].nunique(), shown["arm"].nunique()
    left_out = f" {drawn} of {there} arms are shown; the landscapes below have them all." if drawn < there else ""
    draw: NarrowDrawing = partial(_draw, shown, scales_of(landscapes, threshold).accuracy, split)
    pairs = ", ".join(f"p = {p:g} (seed {seed})" for p, seed in _pairs(shown))
    caption = (
        f"Masks of {pairs}, and the {split} accuracy of the networks at their pixels, one fit each. Dark: high, on one "
        "scale for the page. Networks are to classify well at black pixels and badly at white ones; trained are pixels "
        f"with a neighbour of the other colour.{left_out}"
    )
    return Figure("strip", draw, caption, _table(shown), draw)


def _shown(landscapes: pd.DataFrame, first: Sequence[str]) -> pd.DataFrame:
    """Return the pixels of the fits that are shown: at each p those of the first seed with most arms."""
    there = landscapes["p"].unique()
    nearest = dict.fromkeys(min(there, key=lambda p: (round(abs(p - wanted), 6), p)) for wanted in _PROBABILITIES)
    arms = list(dict.fromkeys([*first, *arm_order(landscapes["arm"])]))[:_MOST_ARMS]
    parts = []
    for p in sorted(nearest):
        at = landscapes[landscapes["p"] == p]
        some = at[at["arm"].isin(arms)]
        at = at if some.empty else some
        parts.append(at[at["seed"] == choose_pair(at)[1]])
    found: pd.DataFrame = pd.concat(parts)
    return found


def _pairs(shown: pd.DataFrame) -> list[tuple[float, int]]:
    return list(shown[["p", "seed"]].drop_duplicates().itertuples(index=False, name=None))


def _draw(shown: pd.DataFrame, colours: Colours, split: str, *, narrow: bool = False) -> Drawing:
    """Draw a group of mask and arms for each p: beside each other, or below each other for a narrow screen."""
    pairs, arms = _pairs(shown), arm_order(shown["arm"])
    first = shown[(shown["p"] == pairs[0][0]) & (shown["arm"] == shown["arm"].iloc[0])]
    rows, columns = picture_of(first, "black").shape
    per_row = 1 + len(arms)
    gaps = 0 if narrow else len(pairs) - 1  # between masks of different p
    across = per_row if narrow else per_row * len(pairs) + gaps
    width = SINGLE if narrow else DOUBLE
    panel = rows / columns * (width - 0.1) / (across - gaps * (1 - _GAP))
    height = (len(pairs) if narrow else 1) * (panel + 0.25) + 0.5
    drawing = new_drawing(width, height if gaps or narrow else height + 0.25 * panel)  # the bar is as large as pictures
    widths = [_GAP if gaps and number % (per_row + 1) == per_row else 1.0 for number in range(across)]
    lines = len(pairs) if narrow else 1
    grid: NDArray[np.object_] = drawing.subplots(lines, across, squeeze=False, width_ratios=widths)
    for axes in grid[0, per_row :: per_row + 1] if gaps else ():
        axes.set_axis_off()
    labels = arm_labels(arms)
    for number, (p, seed) in enumerate(pairs):
        group = grid[number] if narrow else grid[0, (per_row + 1) * number :][:per_row]
        at = shown[(shown["p"] == p) & (shown["seed"] == seed)]
        show_pixels(group[0], picture_of(at[at["arm"] == at["arm"].iloc[0]], "black"), MASK_COLOURS)
        group[0].set_title(f"p = {p:g}")
        for axes, arm in zip(group[1:], arms, strict=True):
            if (at["arm"] == arm).any():
                show_pixels(axes, picture_of(at[at["arm"] == arm], "test_accuracy"), colours)
                axes.set_title(labels[arm])
            else:
                axes.set_axis_off()
    colour_bar(drawing, grid.ravel(), colours, below=True).set_label(f"{split} accuracy")
    return drawing


def _table(shown: pd.DataFrame) -> Table:
    """Return the mean accuracies of the fits that are shown."""
    colour = shown["black"].map({True: "black", False: "white"})
    exact = shown.astype({"test_accuracy": float})
    means = exact.groupby(["arm", "p", "seed", colour])["test_accuracy"].mean().unstack("black")
    frame = means.reindex(columns=["black", "white"]).reset_index()
    frame.columns.name = None
    return Table("strip", "The fits of the first picture", "Mean accuracies over all pixels of a colour", frame)
