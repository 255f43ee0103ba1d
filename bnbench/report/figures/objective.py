"""What the objective says at every fill probability: the share of pixels that are right, and J, over trained pixels."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from itertools import starmap

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Drawing

from bnbench.report.arms import arm_order, of_arms
from bnbench.report.figures.axes import legend_above, probability_axis
from bnbench.report.figures.captions import of_all_arms, whisker_words
from bnbench.report.figures.figure import Figure
from bnbench.report.figures.figure4 import PANEL, arm_handles, draw_arms, rows_of_legends, seed_counts
from bnbench.report.figures.style import DOUBLE, INK, SINGLE, new_drawing
from bnbench.report.tables import Table, sorted_by_arm
from bnbench.stats import differences
from bnbench.wording import plain_number

_LABELS = {"right_trained": "pixels right, share", "objective_trained": "objective J (nats, lower is better)"}
_VALUES = ("right", "objective", "right_trained", "objective_trained")


def objective(fits: pd.DataFrame, threshold: float, authors: pd.DataFrame | None = None) -> list[Figure]:
    """Return right and J against p across two columns for print, then each by itself; nothing where fits lack them.

    Args:
        fits: a row per fit: ``arm, p, seed`` and the two measures over all and over trained pixels.
        threshold: the protocol's loss from which a white pixel is left alone, nats.
        authors: the curves that figure 4 has beside these, or None.
    """
    if not set(_VALUES) <= set(fits) or fits[list(_LABELS)].isna().all(axis=None):
        return []
    table = _table(fits)
    draws = {"": _draw_both} | {
        ending: partial(_draw_one, value, authors) for ending, value in zip(("_right", "_j"), _LABELS, strict=True)
    }
    shown = {"": tuple(_LABELS)} | {ending: (value,) for ending, value in zip(("_right", "_j"), _LABELS, strict=True)}
    return [
        Figure(
            f"objective{ending}",
            partial(draws[ending], fits, threshold),
            _caption(fits, threshold, values),
            table,
            on_page=bool(ending),
        )
        for ending, values in shown.items()
    ]


def _table(fits: pd.DataFrame) -> Table:
    parts = []
    for value in _VALUES:
        table = differences.per_p(fits, value).rename(columns={"mean": f"{value}_mean", "sd": f"{value}_sd"})
        parts.append(table.set_index(["arm", "p", "n"]))
    note = (
        "Means over n seeds, over all pixels and over trained pixels alone; sd: standard deviation (ddof = 1); "
        "objective: J, in nats"
    )
    frame = sorted_by_arm(pd.concat(parts, axis=1).reset_index())
    return Table("objective", "The objective at every fill probability", note, frame)


def _draw_both(fits: pd.DataFrame, threshold: float) -> Drawing:
    drawing = new_drawing(DOUBLE, PANEL)
    for axes, value, letter in zip(drawing.subplots(1, 2), _LABELS, "ab", strict=True):
        _draw_panel(axes, fits, value, threshold)
        axes.set_title(letter, loc="left", fontweight="bold")
    legend_above(drawing, arm_handles(fits))
    return drawing


def _draw_one(value: str, authors: pd.DataFrame | None, fits: pd.DataFrame, threshold: float) -> Drawing:
    drawing = new_drawing(SINGLE, PANEL)
    _draw_panel(drawing.subplots(), fits, value, threshold)
    beside = dict(zip(_LABELS, rows_of_legends(drawing, fits, authors), strict=True))
    legend_above(drawing, arm_handles(fits), beside[value])
    return drawing


def _draw_panel(axes: Axes, fits: pd.DataFrame, value: str, threshold: float) -> None:
    """Draw mean ± deviation over seeds, every seed as a point; dashed: the best there is, and what says nothing."""
    ends = (0.5, 1.0) if value == "right_trained" else (-threshold, 0.0)
    for end in ends:
        axes.axhline(end, color=INK, linewidth=0.6, linestyle=(0, (4, 2)), alpha=0.6, zorder=1)
    draw_arms(axes, fits, value, "-")
    margin = 0.05 * (ends[1] - ends[0])
    low, high = fits[value].min(), fits[value].max()
    axes.set_ylim(min(ends[0], low) - margin, max(ends[1], high) + margin)
    axes.set_ylabel(_LABELS[value])
    probability_axis(axes, seed_counts(fits), fits["p"], "seed")


def _caption(fits: pd.DataFrame, threshold: float, values: Sequence[str]) -> str:
    """Return the caption of a panel, or of both, which stand in one figure with letters."""
    shared, over = of_all_arms(fits)
    said = {
        "right_trained": (
            "Right: share of pixels on their colour's side of the best cut through the losses, both colours weighing "
            "the same; dashed: all of them, and ½, the least that there is."
        ),
        "objective_trained": (
            f"J, what eq. 3 minimizes: mean black loss minus the mean of min(white loss, {threshold:g}); dashed: "
            f"−{threshold:g}, the least that there is, and 0."
        ),
    }
    letters = ("(a) ", "(b) ") if len(values) > 1 else ("",)
    words = " ".join(f"{letter}{said[value]}" for letter, value in zip(letters, values, strict=True))
    of_arm: dict[str, dict[str, float]] = {}
    for arm in arm_order(fits["arm"]):
        mine = shared[shared["arm"] == arm]
        of_arm[arm] = {value: differences.mean_over_p(mine, value) for value in values}
    first = {arm: means[values[0]] for arm, means in of_arm.items()}

    def mean_of(arm: str) -> str:
        return f"Mean of {arm}{over}: {', '.join(starmap(_mean_words, of_arm[arm].items()))}"

    return (
        f"The objective against the fill probability p, over trained pixels. {words} {whisker_words(fits)} "
        f"{of_arms(first, mean_of, '. ')}."
    )


def _mean_words(value: str, mean: float) -> str:
    return f"right {mean:.3f}" if value == "right_trained" else f"J {plain_number(mean)}"
