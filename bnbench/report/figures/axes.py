"""The axis of fill probabilities and the legend that figures share."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Drawing
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from bnbench.report.figures.style import INK, PAPER

MANY_FITS = 400  # with more, none is a line or a shape of its own: an SVG with 5,000 lines takes 16 MB
_MOST_TICKS = 11
WHISKER: dict[str, Any] = {
    "capsize": 1.6,
    "elinewidth": 0.8,
    "capthick": 0.8,
    "markeredgecolor": PAPER,
    "markeredgewidth": 0.4,
}


def legend_above(drawing: Drawing, handles: list[Any], rows: int = 1) -> None:
    """Put the legend above the axes, in as many columns as the figure is wide; blanks fill it up to so many rows."""
    columns = _columns(drawing, handles)
    rows = max(rows, -(-len(handles) // columns))
    shown = []
    for part in np.array_split(np.array(handles, dtype=object), columns):  # matplotlib fills one column after another
        shown += [*part, *(Line2D([], [], linestyle="", label=" ") for _ in range(rows - len(part)))]
    drawing.legend(handles=shown, loc="outside upper center", ncols=columns)


def legend_rows(drawing: Drawing, handles: list[Any]) -> int:
    """Return how many rows :func:`legend_above` needs for these handles."""
    return -(-len(handles) // _columns(drawing, handles))


def _columns(drawing: Drawing, handles: list[Any]) -> int:
    """Return as many columns as fit into the figure's width, or fewer that need no more rows."""
    widths = [0.36 + 0.056 * len(handle.get_label()) for handle in handles]  # inches: handle, gaps, 6.5 pt letters
    fits = (
        columns
        for columns in range(len(handles), 0, -1)
        if sum(part.max() for part in np.array_split(widths, columns)) <= drawing.get_figwidth()  # as matplotlib fills
    )
    rows = -(-len(handles) // next(fits, 1))
    return -(-len(handles) // rows)


def draw_nine_tenths(axes: Axes, fits: pd.DataFrame, by: str, value: str, **look: Any) -> None:
    """Draw a band that holds nine tenths of many fits, in place of their lines.

    Args:
        axes: where to.
        fits: a row per fit and step: ``step``, ``by`` and ``value``.
        by: what rows have in common that stand above each other.
        value: the column that is drawn.
        look: of the band, as matplotlib takes it.
    """
    groups = fits.groupby(by)
    low, high = (groups[value].quantile(share) for share in (0.05, 0.95))
    axes.fill_between(groups["step"].mean(), low, high, linewidth=0, **look)


def dodge_unit(p: pd.Series) -> float:
    """Return the unit of dodging: the smallest distance between fill probabilities, or less where that is wide."""
    values = np.unique(p)
    return float(min(np.diff(values).min(), (values[-1] - values[0]) / 8)) if len(values) > 1 else 0.1


def probability_axis(axes: Axes, counts: dict[str, pd.Series], places: pd.Series, replicate: str) -> None:
    """Label p, and say n beside it, or from how many to how many: the caption and the table have the rest.

    Args:
        axes: what to label.
        counts: number of replicates at each p, for each arm; empty: say nothing.
        places: every p that is shown.
        replicate: what n counts.
    """
    margin = 0.7 * dodge_unit(places)
    axes.set_xlim(places.min() - margin, places.max() + margin)
    shown = sorted(places.unique())
    table = pd.DataFrame(counts).reindex(shown).fillna(0).astype(int)
    texts = [f"{p:g}" for p in shown]
    numbers = set(table.loc[table.any(axis=1)].to_numpy().ravel())
    label = "fill probability p"
    if len(numbers) == 1:
        n = numbers.pop()
        label += f"   (n = {n} {replicate}{'' if n == 1 else 's'})"
    elif numbers:
        label += f"   (n = {min(numbers)} to {max(numbers)})"
    if len(shown) <= _MOST_TICKS:
        axes.set_xticks(shown, texts)
    axes.set_xlabel(label)
    axes.yaxis.set_major_locator(MaxNLocator(nbins=7, steps=[1, 2, 5, 10]))
    axes.grid(axis="y", color=INK, alpha=0.1, linewidth=0.5)
    axes.set_axisbelow(True)
