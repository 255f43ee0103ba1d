"""The figure of tuning.py: where each arm's search has been, and how low J is there."""

from __future__ import annotations

from typing import Any

import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator
from rungs import ARMS
from tuning_table import TUNED, best_trials

from bnbench.report.figures.style import DOUBLE, INK, PAPER, arm_colours, arm_markers, new_drawing
from bnbench.wording import plain_number

_NAMES = dict(zip(TUNED, ("learning rate", "initial scale s"), strict=True))


def draw_search(means: pd.DataFrame, usual: str) -> Figure:
    """Each trial at its rate and scale, a panel for each arm; colour and number: its mean J on the seeds that choose.

    A ring marks the arm's best trial, a white dot the profile's own values; a trial without all of its fits is hollow.

    Args:
        means: what ``means_table`` returns.
        usual: the trial of the profile's own values.
    """
    whole = means[means["fits"] == means["wanted"]]
    colours = Normalize(whole["objective"].min(), whole["objective"].max()) if len(whole) else Normalize(0, 1)
    figure = new_drawing(DOUBLE, 3)
    panels, best, of_arm = (
        figure.subplots(1, len(ARMS), sharex=True, sharey=True),
        best_trials(means),
        arm_colours(ARMS),
    )
    for letter, axes, arm in zip("abc", panels, ARMS, strict=False):
        axes.set(xscale="log", yscale="log")
        own = means[means["arm"] == arm]
        _draw_trials(axes, arm, own, colours)
        _mark(axes, own[own["trial"] == best.get(arm)], "best", s=130, facecolors="none", edgecolors=of_arm[arm])
        _mark(axes, own[own["trial"] == usual], "usual", s=10, facecolors=PAPER, edgecolors=INK)
        axes.set_title(f"({letter}) {arm}: mean J of each trial, nats")
        axes.set_xlabel(_NAMES[TUNED[0]])
    panels[0].set_ylabel(_NAMES[TUNED[1]])
    return figure


def _draw_trials(axes: Axes, arm: str, trials: pd.DataFrame, colours: Normalize) -> None:
    is_whole = trials["fits"] == trials["wanted"]
    whole, begun = trials[is_whole], trials[~is_whole]
    look: dict[str, Any] = {"marker": arm_markers(ARMS)[arm], "s": 40, "edgecolors": INK, "linewidths": 0.4}
    shades: dict[str, Any] = {"cmap": sns.color_palette("viridis_r", as_cmap=True), "norm": colours}
    rate, scale = TUNED
    axes.scatter(whole[rate], whole[scale], c=whole["objective"], gid="trials", **shades, **look)
    axes.scatter(begun[rate], begun[scale], facecolors="none", gid="begun", **look)
    for number, row in enumerate(whole.sort_values(TUNED[0]).to_dict("records")):
        place, above = (row[TUNED[0]], row[TUNED[1]]), number % 2 == 0  # those of neighbours seldom meet
        text: dict[str, Any] = {"textcoords": "offset points", "size": 6, "color": INK, "ha": "center", "va": "center"}
        axes.annotate(plain_number(row["objective"]), place, (0, 11 if above else -11), **text)
    axes.margins(0.12)
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axis.set_minor_locator(NullLocator())


def _mark(axes: Axes, rows: pd.DataFrame, name: str, **look: Any) -> None:
    rate, scale = TUNED
    axes.scatter(rows[rate], rows[scale], gid=name, marker="o", **look)
