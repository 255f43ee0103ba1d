"""The figure of ladder.py: what each difference of the authors' code does by itself, and all of them together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd
from ladder_table import FIRST, LAST
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from rungs import ARMS, READINGS, Rung

from bnbench.report.figures.axes import legend_above
from bnbench.report.figures.style import DOUBLE, INK, PAPER, arm_colours, arm_markers, new_drawing

_PANELS = {"difference": "contrast", "objective": "J, nats: lower is better", "right": "share of right pixels"}
_APART = 0.18  # of a rung's height, between an arm and the middle
_DASHES = {"plain": (0, (4, 2)), "bn": (0, (2, 1.5))}  # colour alone tells some nothing


def draw_ladder(fits: pd.DataFrame, ladder: Sequence[Rung], authors: Mapping[str, float]) -> Figure:
    """Each rung's paired change from the first one, a panel for each reading: seeds small, their mean large.

    Changes are those inside the frame; of rungs that have one, hollow means are those over all trained pixels.

    Args:
        fits: what ``ladder_fits`` returns; of fits that were measured twice, the first measurement is drawn.
        ladder: which rungs, from the top to the bottom; the first one, from which changes are counted, has no row.
        authors: the contrast of the authors' figure by arm; a dashed line shows how far it lies from the first rung's
            over all trained pixels.
    """
    fits = fits.drop_duplicates(["rung", "pixels", "arm", "seed"])
    shown = [rung for rung in ladder if rung.name != FIRST]
    figure = new_drawing(DOUBLE, 0.32 * len(shown) + 1)
    panels = figure.subplots(1, len(READINGS), sharey=True)
    base = ladder[0].protocol
    for letter, axes, reading in zip("abc", panels, READINGS, strict=True):
        _draw_changes(axes, fits, shown, reading)
        axes.set_title(f"({letter}) {_PANELS[reading]}")
    size = panels[0].xaxis.label.get_size()
    figure.supxlabel(f"change from {base.profile} at {base.training.steps:,} steps", fontsize=size)
    panels[0].set_yticks(range(len(shown)), ["all of them" if rung.name == LAST else rung.changed for rung in shown])
    panels[0].set_ylim(len(shown) - 0.5, -0.5)
    legend_above(figure, [*_arm_handles(), *_draw_authors(panels[0], fits, authors)])
    return figure


def _draw_changes(axes: Axes, fits: pd.DataFrame, shown: Sequence[Rung], reading: str) -> None:
    colours, markers = arm_colours(ARMS), arm_markers(ARMS)
    heights = {rung.name: height for height, rung in enumerate(shown)}
    framed = [rung.name for rung in shown if rung.protocol.mask.mask_kind == "framed"]
    axes.axvline(0, color=INK, lw=0.6)
    axes.axhline(heights[LAST] - 0.5, color=INK, lw=0.4, ls=":")
    for number, arm in enumerate(ARMS):
        own = fits[(fits["arm"] == arm) & fits["rung"].isin(heights)].dropna(subset=f"{reading}_change")
        own = own.assign(height=own["rung"].map(heights).astype(float) + _APART * (2 * number - len(ARMS) + 1))
        inside = own[own["pixels"] == "inside"]
        axes.scatter(inside[f"{reading}_change"], inside["height"], s=5, color=colours[arm], alpha=0.45, lw=0)
        for part, face in (
            (inside, colours[arm]),
            (own[(own["pixels"] == "trained") & own["rung"].isin(framed)], PAPER),
        ):
            means = part.groupby("height")[f"{reading}_change"].mean()
            look: dict[str, Any] = {"markerfacecolor": face, "markeredgewidth": 0.7}
            axes.plot(means, means.index, ls="none", color=colours[arm], marker=markers[arm], **look)


def _draw_authors(axes: Axes, fits: pd.DataFrame, authors: Mapping[str, float]) -> list[Line2D]:
    """How far the authors' contrast lies from the first rung, for arms that this rung has; returns what says so."""
    first = fits[(fits["rung"] == FIRST) & (fits["pixels"] == "trained")].groupby("arm")["difference"].mean()
    colours = arm_colours(ARMS)
    handles = []
    for arm in (arm for arm in ARMS if arm in authors and arm in first):
        look: dict[str, Any] = {"color": colours[arm], "linestyle": _DASHES[arm], "linewidth": 0.8}
        axes.axvline(authors[arm] - first[arm], **look)
        handles.append(Line2D([], [], label=f"{arm}: the authors' figure 4", **look))
    return handles


def _arm_handles() -> list[Line2D]:
    colours, markers = arm_colours(ARMS), arm_markers(ARMS)
    hollow = Line2D([], [], ls="none", color=INK, marker="o", mfc=PAPER, mew=0.7, label="with the frame's pixels")
    own = [Line2D([], [], ls="none", color=colours[arm], marker=markers[arm], label=arm) for arm in ARMS]
    return [*own, hollow]
