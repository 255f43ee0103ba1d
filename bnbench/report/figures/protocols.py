"""The gaps of two arms under several protocols: a forest plot, a row for each protocol and a panel for each reading."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Drawing
from matplotlib.ticker import MaxNLocator

from bnbench.report.arms import ComparedArms
from bnbench.report.figures.figure import Figure, NarrowDrawing
from bnbench.report.figures.style import DOUBLE, INK, PAPER, SINGLE, new_drawing
from bnbench.report.tables import Table
from bnbench.stats import differences
from bnbench.wording import counted

# Each reading's column in a table of fits, and what its axis says.
_READINGS = {
    "difference_trained": ("contrast", "accuracy contrast"),
    "objective_trained": ("J", "J (nats, lower is better)"),
    "right_trained": ("right", "pixels right, share"),
}
_LETTERS = 34  # of a protocol's name in a line
_ROW, _LINE = 0.62, 0.3  # centimetres: of a protocol, and of each line of its name beyond the first


@dataclass(frozen=True)
class Protocol:
    """One row.

    Attributes:
        name: what tells it from the others, in words.
        fits: a row per fit, see :func:`bnbench.report.tables.fits_table`.
        compared: the arms whose gap is shown; None where no two have a pair.
        done: whether every fit that was asked for is there, or failed.
    """

    name: str
    fits: pd.DataFrame
    compared: ComparedArms | None
    done: bool


def protocols(shown: Sequence[Protocol]) -> Figure:
    """Show the mean paired gap of every protocol in accuracy contrast, J and right, with its 95 % t interval.

    Args:
        shown: at least one, in the order of the rows.
    """
    table = protocols_table(shown)
    draw: NarrowDrawing = partial(_draw, table.frame)
    return Figure("protocols", draw, _caption(table.frame), table, draw)


def protocols_table(shown: Sequence[Protocol]) -> Table:
    """Return a row per protocol: fits, the gap's arms, and of each reading pairs, gap and interval."""
    rows = []
    for one in shown:
        gap = one.compared.gap_name if one.compared else ""
        row: dict[str, object] = {"protocol": one.name, "fits": len(one.fits), "gap of": gap}
        row["state"] = "done" if one.done else "unfinished"
        for column, (name, _) in _READINGS.items():
            row |= {f"{name} {key}": value for key, value in _gap(one, column).items()}
        rows.append(row)
    frame = pd.DataFrame(rows).astype({f"{name} pairs": int for name, _ in _READINGS.values()})
    note = (
        "Over trained pixels: mean paired gap over p, every p weighing the same, with its 95 % t interval, variance "
        "within each p; J: what eq. 3 minimizes, lower is better; right: share of pixels on their side of the best cut"
    )
    return Table("protocols", "The gap under every protocol", note, frame)


def _gap(one: Protocol, column: str) -> dict[str, float]:
    known = one.compared is not None and column in one.fits
    pairs = pd.DataFrame()
    if known and one.compared:
        pairs = differences.paired(one.fits.dropna(subset=[column]), one.compared.first, one.compared.second, column)
    if pairs.empty:
        return {"pairs": 0, **dict.fromkeys(("gap", "low", "high"), math.nan)}
    whole = differences.overall(pairs)
    return {"pairs": whole.pairs, "gap": whole.mean, "low": whole.low, "high": whole.high}


def _draw(frame: pd.DataFrame, *, narrow: bool = False) -> Drawing:
    """Draw the panels beside each other, or below each other with the names at each."""
    names = [_label(row, one_gap=frame["gap of"].nunique() == 1) for row in frame.to_dict("records")]
    heights = [_ROW + _LINE * name.count("\n") for name in names]
    tall = (sum(heights) + 1.4) / 2.54
    rows, columns = (len(_READINGS), 1) if narrow else (1, len(_READINGS))
    drawing = new_drawing(SINGLE if narrow else DOUBLE, rows * tall)
    grid = drawing.subplots(rows, columns, squeeze=False).ravel()
    middles = [sum(heights[:place]) + height / 2 for place, height in enumerate(heights)]
    for number, (axes, (name, title)) in enumerate(zip(grid, _READINGS.values(), strict=True)):
        _draw_panel(axes, frame, name, middles)
        axes.set_ylim(sum(heights), 0)
        axes.set_yticks(middles, names if narrow or number == 0 else [""] * len(names))
        axes.set_xlabel(f"gap in {title}" if number == 0 else title)
    return drawing


def _draw_panel(axes: Axes, frame: pd.DataFrame, name: str, middles: Sequence[float]) -> None:
    axes.axvline(0, color=INK, linewidth=0.7)
    for middle, row in zip(middles, frame.to_dict("records"), strict=True):
        gap, low, high = (row[f"{name} {key}"] for key in ("gap", "low", "high"))
        if math.isnan(gap):
            continue
        if math.isfinite(low):
            axes.plot([low, high], [middle] * 2, color=INK, linewidth=1.1)
        filling = INK if row["state"] == "done" else PAPER
        axes.plot(gap, middle, "D", color=INK, markerfacecolor=filling, markersize=3.4, markeredgewidth=0.9)
    axes.xaxis.set_major_locator(MaxNLocator(nbins=5, steps=[1, 2, 5, 10]))
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
    axes.grid(axis="x", color=INK, alpha=0.1, linewidth=0.5)
    axes.set_axisbelow(True)


def _label(row: dict[Any, Any], *, one_gap: bool) -> str:
    """Return a protocol's name on as many lines as it needs, and how many pairs there are of what."""
    pairs = int(row["contrast pairs"])
    what = counted(pairs, "pair") if one_gap or not pairs else f"{row['gap of']}, {counted(pairs, 'pair')}"
    state = "" if row["state"] == "done" else ", unfinished"
    return "\n".join([*textwrap.wrap(str(row["protocol"]), _LETTERS), f"{what if pairs else 'no pair'}{state}"])


def _caption(frame: pd.DataFrame) -> str:
    gaps = [gap for gap in frame["gap of"].unique() if gap]
    what = f"Gap {gaps[0]}" if len(gaps) == 1 else "Gap of two arms"
    unfinished = int((frame["state"] != "done").sum())
    hollow = f" Hollow: unfinished ({counted(unfinished, 'protocol')})." if unfinished else ""
    return (
        f"{what} under each of {counted(len(frame), 'protocol')}, over trained pixels: accuracy contrast (black − "
        "white), J and the share of pixels that are right. Diamond: mean over pairs of (p, seed), every p weighing "
        "the same; line: its 95 % t interval, where every p has two pairs or more. Of J less is better: left of zero "
        f"it is better for the first arm.{hollow}"
    )
