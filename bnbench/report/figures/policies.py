"""The gap of two arms under every choice of batch-norm statistics."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure as Drawing
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from bnbench.bn_policy import NO_BN
from bnbench.report.arms import arm_labels, arm_order
from bnbench.report.figures.axes import legend_above
from bnbench.report.figures.figure import Figure
from bnbench.report.figures.style import INK, PAPER, SINGLE, arm_colours, arm_markers, new_drawing
from bnbench.report.tables import Table
from bnbench.stats import differences
from bnbench.wording import counted, signed

NAME = "policies"
OWN_IMAGES = "as the fit"  # measured on the images of the fit's own summary
_VALUES = ["black", "white", "difference"]
_NOTE = "Means over n fits, all pixels; on: the images that the fits were measured on, or others, by bnbench evaluate"
_GAP_NOTE = (
    "; gap: mean over pairs of {reference}'s difference − the arm's, each under its own row's statistics "
    "and on the same images; low, high: its 95 % t interval, variance within each p"
)


def policies(table: Table, reference: str | None) -> Figure | None:
    """Draw the paired gap to an arm with its 95 % t interval, a row for each arm with BN, images and policy.

    Args:
        table: what :func:`policies_table` returns.
        reference: the arm that is subtracted from.

    Returns:
        The figure; None where fewer than two rows have a gap.
    """
    if reference is None:
        return None
    shown = table.frame[table.frame["policy"] != str(NO_BN)].dropna(subset=["gap"])
    if len(shown) < 2:
        return None
    return Figure(NAME, partial(_draw, shown, reference), _caption(shown, reference), table)


def policies_table(measured: pd.DataFrame, reference: str | None) -> Table:
    """Return means under every policy and the paired gap to an arm: a row per arm, images and policy.

    Args:
        measured: ``arm, p, seed, on, policy, headline, black, white, difference``.
        reference: the arm to subtract from, without batch normalization; None leaves the gap out.
    """
    title = f"The gap {reference} − arm under every policy" if reference else "Every policy"
    note = _NOTE + (_GAP_NOTE.replace("{reference}", reference) if reference else "")
    rows = []
    for arm in arm_order(measured["arm"]):
        mine = measured[measured["arm"] == arm]
        for (where, policy), chosen in mine.groupby(["on", "policy"], sort=False):
            row: dict[str, Any] = {"arm": arm, "on": where, "policy": policy}
            row |= {"headline": "yes" if chosen["headline"].any() else "", "n": len(chosen)}
            row |= {name: differences.mean_over_p(chosen, name) for name in _VALUES}
            if reference is not None:
                base = measured[(measured["arm"] == reference) & (measured["on"] == where)]
                row |= _gap(base, chosen, reference, arm)
            rows.append(row)
    return Table(NAME, title, note, pd.DataFrame(rows))


def _gap(base: pd.DataFrame, chosen: pd.DataFrame, reference: str, arm: str) -> dict[str, float]:
    pairs = differences.paired(pd.concat([base, chosen]), reference, arm) if arm != reference else pd.DataFrame()
    if pairs.empty:
        return {"pairs": 0, **dict.fromkeys(("gap", "low", "high"), np.nan)}
    whole = differences.overall(pairs)
    return {"pairs": whole.pairs, "gap": whole.mean, "low": whole.low, "high": whole.high}


def statistics_name(row: dict[Any, Any]) -> str:
    """Name a row's policy, and its images where they are not those of the fit's own summary."""
    return str(row["policy"]) if row["on"] == OWN_IMAGES else f"{row['policy']} on {row['on']}"


def _draw(table: pd.DataFrame, reference: str) -> Drawing:
    drawing = new_drawing(SINGLE, (1.7 + 0.52 * len(table)) / 2.54)
    axes = drawing.subplots()
    arms = arm_order(table["arm"])
    colours, markers, labels = arm_colours(arms), arm_markers(arms), arm_labels(arms)
    axes.axvline(0, color=INK, linewidth=0.7)
    for place, row in enumerate(table.to_dict("records")):
        half = np.nan_to_num(row["high"] - row["gap"])
        filling = colours[row["arm"]] if row["headline"] else PAPER
        look: dict[str, Any] = {"color": colours[row["arm"]], "marker": markers[row["arm"]], "markerfacecolor": filling}
        axes.errorbar(row["gap"], place, xerr=half, capsize=1.6, linewidth=0.9, markersize=3.4, **look)
    axes.set_yticks(range(len(table)), [statistics_name(row) for row in table.to_dict("records")])
    axes.set_ylim(len(table) - 0.4, -0.6)
    axes.xaxis.set_major_locator(MaxNLocator(nbins=5, steps=[1, 2, 5, 10]))
    axes.grid(axis="x", color=INK, alpha=0.1, linewidth=0.5)
    axes.set_axisbelow(True)
    whisker = ", 95 % interval" if table["low"].notna().any() else ""
    axes.set_xlabel(f"gap {reference} − {labels[arms[0]].strip() if len(arms) == 1 else 'arm'}{whisker}")
    if len(arms) > 1:
        handles = [
            Line2D([], [], color=colours[arm], marker=markers[arm], linestyle="", label=labels[arm]) for arm in arms
        ]
        legend_above(drawing, handles)
    return drawing


def _caption(shown: pd.DataFrame, reference: str) -> str:
    low, high = int(shown["pairs"].min()), int(shown["pairs"].max())
    pairs = counted(high, "pair") if low == high else f"{low} to {high} pairs"
    has_whisker = shown["low"].notna()
    some = "" if has_whisker.all() else ", where there is one yet,"
    whisker = f" with its 95 % t interval{some}" if has_whisker.any() else ""
    return (
        f"Mean paired gap {reference} − arm in difference (black − white accuracy, all pixels){whisker} "
        f"over {pairs}, under {counted(len(shown), 'choice')} of statistics and images. Filled: the headline's choice. "
        f"Lowest {signed(shown['gap'].min())}, highest {signed(shown['gap'].max())}."
    )
