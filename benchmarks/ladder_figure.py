"""The figure of ladder.py: what each difference of the authors' code does by itself, and all of them together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd
from ladder_table import FIRST, LAST
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from rungs import READINGS, Rung

from bnbench.report.figures.style import DOUBLE, INK, arm_colours, arm_markers, new_drawing

_PANELS = {"difference": "contrast", "objective": "J, nats: lower is better", "right": "share of right pixels"}
_AUTHORS: dict[str, Any] = {"ls": "--", "lw": 0.8}
_APART = 0.18  # of a rung's height, between an arm and the middle


def draw_ladder(fits: pd.DataFrame, ladder: Sequence[Rung], authors: Mapping[str, float]) -> Figure:
    """Each rung's paired change from the first one, a panel for each reading: seeds small, their mean large.

    Args:
        fits: what ``ladder_fits`` returns; of fits that were measured twice, the first measurement is drawn.
        ladder: which rungs, from the top to the bottom; the first one, from which changes are counted, has no row.
        authors: the contrast of the authors' figure by arm; a dashed line shows how far it lies from the first rung.
    """
    fits = fits.drop_duplicates(["rung", "arm", "seed"])
    shown = [rung for rung in ladder if rung.name != FIRST]
    figure = new_drawing(DOUBLE, 0.32 * len(shown) + 0.8)
    panels = figure.subplots(1, len(READINGS), sharey=True)
    for letter, axes, reading in zip("abc", panels, READINGS, strict=True):
        _changes(axes, fits, shown, reading)
        axes.set_title(f"({letter}) {_PANELS[reading]}")
        axes.set_xlabel(f"change from {ladder[0].protocol.profile}")
    first = fits[fits["rung"] == FIRST].groupby("arm")["difference"].mean()
    for arm, level in first.items():
        if str(arm) in authors:
            panels[0].axvline(authors[str(arm)] - level, color=arm_colours([str(arm)])[str(arm)], **_AUTHORS)
    panels[0].set_yticks(range(len(shown)), [_said(rung) for rung in shown])
    panels[0].set_ylim(len(shown) - 0.5, -0.5)
    handles, _ = panels[-1].get_legend_handles_labels()
    dashed = [Line2D([], [], color=INK, label="the authors' level, in (a)", **_AUTHORS)] if authors else []
    panels[-1].legend(handles=[*handles, *dashed], loc="best")
    return figure


def _changes(axes: Axes, fits: pd.DataFrame, shown: Sequence[Rung], reading: str) -> None:
    arms = list(dict.fromkeys(arm for rung in shown for arm in rung.arms))
    colours, markers = arm_colours(arms), arm_markers(arms)
    heights = {rung.name: height for height, rung in enumerate(shown)}
    axes.axvline(0, color=INK, lw=0.6)
    if LAST in heights:
        axes.axhline(heights[LAST] - 0.5, color=INK, lw=0.4, ls=":")
    for number, arm in enumerate(arms):
        own = fits[(fits["arm"] == arm) & fits["rung"].isin(heights)].dropna(subset=f"{reading}_change")
        height = own["rung"].map(heights).astype(float) + _APART * (2 * number - len(arms) + 1)
        axes.scatter(own[f"{reading}_change"], height, s=5, color=colours[arm], alpha=0.45, lw=0)
        means = own[f"{reading}_change"].groupby(height).mean()
        axes.plot(means, means.index, ls="none", color=colours[arm], marker=markers[arm], label=arm)


def _said(rung: Rung) -> str:
    """A rung by its change, the last one by how many it has."""
    return "all of them" if rung.name == LAST else str(rung).partition(": ")[2]
