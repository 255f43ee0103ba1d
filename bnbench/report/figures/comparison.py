"""Figure 4a of several sweeps in one."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import pandas as pd
from matplotlib.figure import Figure as Drawing
from matplotlib.lines import Line2D

from bnbench.report.arms import arm_labels, arm_order
from bnbench.report.figures.authors import (
    authors_beside,
    authors_handles,
    authors_note,
    draw_authors,
    shown_probabilities,
)
from bnbench.report.figures.axes import WHISKER, dodge_unit, legend_above, probability_axis
from bnbench.report.figures.captions import seeds_words
from bnbench.report.figures.figure import Figure, NarrowDrawing
from bnbench.report.figures.figure4 import deviations, per_p_table
from bnbench.report.figures.style import DOUBLE, INK, SINGLE, arm_colours, new_drawing
from bnbench.report.tables import Table, over_trained
from bnbench.stats import differences
from bnbench.wording import counted

# A sweep's line and marker: one cycle is not a multiple of the other, so 20 sweeps look different.
_SWEEP_LINES: tuple[Any, ...] = ("-", (0, (5, 1.5)), (0, (1, 1.2)), "-.")
_SWEEP_MARKERS = ("o", "s", "^", "D", "v")
_LEGEND_BESIDE = 24  # letters: a longer name leaves no room for the axes beside it


def comparison(
    sweeps: Sequence[tuple[str, pd.DataFrame]], elsewhere: Sequence[str], authors: pd.DataFrame | None
) -> Figure:
    """Overlay figure 4a of several sweeps: an arm keeps its colour, a sweep has its kind of line and marker.

    As figure 4a of each, it is over trained pixels.

    Args:
        sweeps: name and fits of each sweep.
        elsewhere: the names of those that were not measured on test images.
        authors: their curves, or None.
    """
    shown = [(name, over_trained(fits)) for name, fits in sweeps]
    draw: NarrowDrawing = partial(_draw, shown, authors)
    caption = _caption(shown, elsewhere, authors_note(authors_beside(pd.concat([fits for _, fits in shown]), authors)))
    return Figure("comparison", draw, caption, _table(sweeps), draw)


def _table(sweeps: Sequence[tuple[str, pd.DataFrame]]) -> Table:
    frames = [per_p_table(fits).frame.assign(protocol=name) for name, fits in sweeps]
    note = "Means over n seeds; sd: standard deviation (ddof = 1)"
    return Table("comparison", "All protocols at every fill probability", note, pd.concat(frames, ignore_index=True))


def _draw(sweeps: Sequence[tuple[str, pd.DataFrame]], authors: pd.DataFrame | None, *, narrow: bool = False) -> Drawing:
    drawing = new_drawing(SINGLE if narrow else DOUBLE, 8.4 / 2.54)
    axes = drawing.subplots()
    everything = pd.concat([fits for _, fits in sweeps])
    unit, colours, labels = dodge_unit(everything["p"]), arm_colours(everything["arm"]), arm_labels(everything["arm"])
    draw_authors(axes, everything, authors, ("difference",))
    handles: list[Any] = [Line2D([], [], color=colours[arm], label=labels[arm]) for arm in labels]
    for number, (name, fits) in enumerate(sweeps):
        look: dict[str, Any] = {
            "linestyle": _SWEEP_LINES[number % len(_SWEEP_LINES)],
            "marker": _SWEEP_MARKERS[number % len(_SWEEP_MARKERS)],
        }
        handles.append(Line2D([], [], color=INK, label=name, **look))
        for arm in arm_order(fits["arm"]):
            table = differences.per_p(fits[fits["arm"] == arm])
            place = table["p"] + 0.5 * unit * ((number + 0.5) / len(sweeps) - 0.5)
            axes.errorbar(place, table["mean"], deviations(table), color=colours[arm], **look, **WHISKER)
    axes.set_ylabel("accuracy, black − white")
    probability_axis(axes, {}, shown_probabilities(everything, authors), "seed")
    handles += authors_handles(everything, authors)
    if narrow or max(len(name) for name, _ in sweeps) > _LEGEND_BESIDE:
        legend_above(drawing, handles)
    else:
        drawing.legend(handles=handles, loc="outside right upper")
    return drawing


def _caption(sweeps: Sequence[tuple[str, pd.DataFrame]], elsewhere: Sequence[str], theirs: str) -> str:
    """Return the caption of figure 4a of several sweeps.

    Args:
        sweeps: each one's name and fits.
        elsewhere: those not measured on test images.
        theirs: what the authors' curves are; empty where none is shown.
    """
    counts = [f"{name}: {counted(len(fits), 'fit')}, {seeds_words(fits)}" for name, fits in sweeps]
    text = (
        "Figure 4a of all protocols. Colour: arm; marker and kind of line: protocol. "
        f"Over trained pixels. Mean over seeds ± one standard deviation (ddof = 1). {'; '.join(counts)}."
    )
    if elsewhere:
        text += f" On held-out training images, not on test images: {'; '.join(elsewhere)}."
    if theirs:
        text += f" {theirs}{', on test images' if elsewhere else ''}."
    return text
