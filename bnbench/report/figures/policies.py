"""The gap of two arms by each reading under every choice of batch-norm statistics."""

from __future__ import annotations

from functools import partial
from itertools import product
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Drawing
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from bnbench.bn_policy import NO_BN
from bnbench.measures.registry import READING_NAMES
from bnbench.report.arms import arm_labels, arm_order
from bnbench.report.figures.axes import legend_above
from bnbench.report.figures.figure import Figure
from bnbench.report.figures.style import DOUBLE, INK, PAPER, SINGLE, arm_colours, arm_markers, new_drawing
from bnbench.report.tables import Table
from bnbench.stats import differences
from bnbench.wording import counted, signed

NAME = "policies"
OWN_IMAGES = "as the fit"  # measured on the images of the fit's own summary
_AXES = {"difference": "gap in contrast", "right": "gap in right", "objective": "gap in J (nats)"}
_VALUES = ("black", "white", *READING_NAMES)
_NOTE = (
    "Means over n fits, every p weighing the same; difference: accuracy contrast, objective: J, in nats; on: the "
    "images that the fits were measured on, or others, by bnbench evaluate"
)
_GAP_NOTE = (
    "; gap: mean over pairs of {reference}'s value − the arm's, each under its own row's statistics and on the same "
    "images; low, high: its 95 % t interval, variance within each p; headline gap: that of the same masks under the "
    "headline's statistics and on its images"
)
_PIXELS = ("trained", "all")


def policies(table: Table, reference: str | None) -> Figure | None:
    """Draw the paired gap to an arm with its 95 % t interval, a row for each arm with BN, images and policy.

    Args:
        table: what :func:`policies_table` returns; its trained pixels are drawn, a panel for each reading.
        reference: the arm that is subtracted from.

    Returns:
        The figure; None where fewer than two rows have a gap.
    """
    if reference is None:
        return None
    shown = compared_rows(table.frame)
    if (shown["reading"] == "difference").sum() < 2:
        return None
    draw = partial(_draw, shown, reference)
    return Figure(NAME, draw, _caption(shown, reference), table, draw if shown["reading"].nunique() > 1 else None)


def compared_rows(table: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of normalized arms that have a gap, over trained pixels, by a reading.

    What files older than right and J tell of them under the headline's policy alone compares no policies: left out.
    """
    is_compared = (
        (table["policy"] != str(NO_BN)) & (table["pixels"] == "trained") & table["reading"].isin(READING_NAMES)
    )
    shown = table[is_compared].dropna(subset=["gap"])
    is_alone = shown.groupby(["arm", "reading"])["gap"].transform("size") == 1
    return shown[~is_alone | (shown["reading"] == "difference")]


def policies_table(measured: pd.DataFrame, reference: str | None) -> Table:
    """Return means under every policy and the paired gap to an arm: a row per pixels, arm, images, policy and reading.

    Args:
        measured: ``arm, p, seed, on, policy, headline, pixels`` and the measures black, white, difference, right and
            objective, which are not numbers where a file is older than they are.
        reference: the arm to subtract from, without batch normalization; None leaves the gap out.
    """
    title = f"The gap {reference} − arm under every policy" if reference else "Every policy"
    note = _NOTE + (_GAP_NOTE.replace("{reference}", reference) if reference else "")
    rows = []
    for pixels, arm in product(_PIXELS, arm_order(measured["arm"])):
        of_pixels = measured[measured["pixels"] == pixels]
        mine = of_pixels[of_pixels["arm"] == arm]
        for (where, policy), chosen in mine.groupby(["on", "policy"], sort=False):
            base = of_pixels[(of_pixels["arm"] == reference) & (of_pixels["on"] == where)]
            for reading in _VALUES:
                known = chosen.dropna(subset=reading)
                if known.empty:
                    continue
                row: dict[str, Any] = {"pixels": pixels, "arm": arm, "on": where, "policy": policy, "reading": reading}
                row |= {"headline": "yes" if chosen["headline"].any() else "", "n": len(known)}
                row["mean"] = differences.mean_over_p(known, reading)
                if reference is not None:
                    headline = of_pixels[of_pixels["headline"] & (of_pixels["on"] == OWN_IMAGES)]
                    row |= _gap(pd.concat([base, known]), headline, (reference, arm), reading)
                rows.append(row)
    return Table(NAME, title, note, pd.DataFrame(rows))


def _gap(chosen: pd.DataFrame, headline: pd.DataFrame, arms: tuple[str, str], reading: str) -> dict[str, float]:
    """Return the gap of the pairs that are there, and that of the same masks as the fits' own headlines have it."""
    found: dict[str, float] = {"pairs": 0, **dict.fromkeys(("gap", "low", "high", "headline gap"), np.nan)}
    if arms[0] == arms[1]:
        return found
    pairs, usual = (differences.paired(of.dropna(subset=reading), *arms, reading) for of in (chosen, headline))
    if pairs.empty:
        return found
    whole = differences.overall(pairs)
    found |= {"pairs": whole.pairs, "gap": whole.mean, "low": whole.low, "high": whole.high}
    same = usual.merge(pairs[["p", "seed"]], on=["p", "seed"])
    return found | ({"headline gap": differences.mean_over_p(same, "gap")} if len(same) == len(pairs) else {})


def statistics_name(row: dict[Any, Any]) -> str:
    """Name a row's policy, and its images where they are not those of the fit's own summary."""
    return str(row["policy"]) if row["on"] == OWN_IMAGES else f"{row['policy']} on {row['on']}"


def _draw(table: pd.DataFrame, reference: str, *, narrow: bool = False) -> Drawing:
    shown = [reading for reading in READING_NAMES if (table["reading"] == reading).any()]
    choices = table[["arm", "on", "policy"]].drop_duplicates(ignore_index=True)
    stacked = narrow or len(shown) == 1
    height = (1.7 + 0.52 * len(choices)) / 2.54
    drawing = new_drawing(SINGLE, height * len(shown)) if stacked else new_drawing(DOUBLE, height)
    panels = drawing.subplots(*((len(shown), 1) if stacked else (1, len(shown))), sharey=True, squeeze=False).ravel()
    arms = arm_order(table["arm"])
    for axes, reading in zip(panels, shown, strict=True):
        _draw_panel(axes, choices, table[table["reading"] == reading], arms)
        arm = arm_labels(arms)[arms[0]].strip() if len(arms) == 1 else "arm"
        axes.set_xlabel(f"{_AXES[reading]}, {reference} − {arm}")
    names = [statistics_name(row) for row in choices.to_dict("records")]
    for axes in panels if stacked else panels[:1]:
        axes.set_yticks(range(len(choices)), names)
    panels[0].set_ylim(len(choices) - 0.4, -0.6)
    if len(arms) > 1:
        colours, markers, labels = arm_colours(arms), arm_markers(arms), arm_labels(arms)
        handles = [
            Line2D([], [], color=colours[arm], marker=markers[arm], linestyle="", label=labels[arm]) for arm in arms
        ]
        legend_above(drawing, handles)
    return drawing


def _draw_panel(axes: Axes, choices: pd.DataFrame, table: pd.DataFrame, arms: list[str]) -> None:
    colours, markers = arm_colours(arms), arm_markers(arms)
    axes.axvline(0, color=INK, linewidth=0.7)
    most = table.groupby("arm")["pairs"].max()
    for place, row in enumerate(choices.merge(table, how="left").to_dict("records")):
        if np.isnan(row["gap"]):
            continue
        half = np.nan_to_num(row["high"] - row["gap"])
        filling = colours[row["arm"]] if row["headline"] else PAPER
        look: dict[str, Any] = {"color": colours[row["arm"]], "marker": markers[row["arm"]], "markerfacecolor": filling}
        if row["pairs"] < most[row["arm"]]:
            axes.plot(row["headline gap"], place, marker="|", markersize=9, color=INK, gid="the same masks")
        axes.errorbar(row["gap"], place, xerr=half, capsize=1.6, linewidth=0.9, markersize=3.4, **look)
    axes.xaxis.set_major_locator(MaxNLocator(nbins=4, steps=[1, 2, 5, 10]))
    axes.grid(axis="x", color=INK, alpha=0.1, linewidth=0.5)
    axes.set_axisbelow(True)


def _caption(shown: pd.DataFrame, reference: str) -> str:
    has_whisker = shown["low"].notna()
    some = "" if has_whisker.all() else ", where there is one yet,"
    whisker = f" with its 95 % t interval{some}" if has_whisker.any() else ""
    said = []
    for reading, rows in ((name, shown[shown["reading"] == name]) for name in READING_NAMES):
        if len(rows):
            low, high = int(rows["pairs"].min()), int(rows["pairs"].max())
            pairs = counted(high, "pair") if low == high else f"{low} to {high} pairs"
            lowest, highest = signed(rows["gap"].min()), signed(rows["gap"].max())
            said.append(f"{READING_NAMES[reading]} {lowest} to {highest} ({pairs})")
    choices = counted(len(shown[["arm", "on", "policy"]].drop_duplicates()), "choice")
    fewer = shown["pairs"] < shown.groupby(["arm", "reading"])["pairs"].transform("max")
    same = (
        " Upright lines: where a choice has fewer pairs, the gap of their masks in the headline." if fewer.any() else ""
    )
    return (
        f"Mean paired gap {reference} − arm over trained pixels{whisker}, under {choices} of statistics and images. "
        f"Filled: the headline's choice.{same} From lowest to highest: {'; '.join(said)}."
    )
