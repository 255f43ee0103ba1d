"""Masks and the landscapes that they became, at three fill probabilities: what a report shows first."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import numpy as np
import pandas as pd
from matplotlib.figure import Figure as Drawing
from numpy.typing import NDArray

from bnbench.report.arms import arm_labels, arm_order
from bnbench.report.figures.figure import Figure
from bnbench.report.figures.figure3 import fit_titles, picture_of, show_pixels
from bnbench.report.figures.landscapes import choose_pair
from bnbench.report.figures.scales import MASK_COLOURS, Colours, colour_bar, scales_of
from bnbench.report.figures.style import new_drawing
from bnbench.report.tables import Table

_PROBABILITIES = (0.1, 0.5, 0.9)  # the nearest that were fitted are shown
_WIDTH = 6 / 2.54  # it stands beside the page's first sentences
_MOST_ARMS = 3  # beside a mask


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
    draw = partial(_draw, shown, scales_of(landscapes, threshold).accuracy, split)
    pairs = _pairs(shown)
    seeds = {seed for _, seed in pairs}
    if len(seeds) == 1:
        masks = f"{', '.join(f'p = {p:g}' for p, _ in pairs)} (seed {min(seeds)})"
    else:
        masks = ", ".join(f"p = {p:g} (seed {seed})" for p, seed in pairs)
    caption = (
        f"Masks of {masks}, and the {split} accuracy of the networks at their pixels, one fit each; dark is high."
        f"{left_out}"
    )
    return Figure("strip", draw, caption, _table(shown))


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


def _draw(shown: pd.DataFrame, colours: Colours, split: str) -> Drawing:
    """Draw mask and arms of each p beside each other, and those of the next p below them."""
    pairs, arms = _pairs(shown), arm_order(shown["arm"])
    first = shown[(shown["p"] == pairs[0][0]) & (shown["arm"] == shown["arm"].iloc[0])]
    rows, columns = picture_of(first, "black").shape
    across = 1 + len(arms)
    panel = rows / columns * (_WIDTH - 0.1) / across
    drawing = new_drawing(_WIDTH, len(pairs) * (panel + 0.24) + 0.45)
    grid: NDArray[np.object_] = drawing.subplots(len(pairs), across, squeeze=False)
    labels = arm_labels(arms)
    for group, (p, seed) in zip(grid, pairs, strict=True):
        at = shown[(shown["p"] == p) & (shown["seed"] == seed)]
        show_pixels(group[0], picture_of(at[at["arm"] == at["arm"].iloc[0]], "black"), MASK_COLOURS)
        group[0].set_title(f"p = {p:g}")
        for axes, arm in zip(group[1:], arms, strict=True):
            if (at["arm"] == arm).any():
                show_pixels(axes, picture_of(at[at["arm"] == arm], "test_accuracy"), colours)
                axes.set_title(labels[arm])
            else:
                axes.set_axis_off()
    fit_titles(grid, max(len(label) for label in labels.values()))
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
