"""The authors' own figure 4, laid behind ours where both are of the same images."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import cycle
from pathlib import Path
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from bnbench.protocol.protocol import Protocol
from bnbench.report.arms import arm_order
from bnbench.report.figures.style import INK, arm_colours, arm_markers
from bnbench.report.tables import Table

AUTHORS_NOTE = (
    "Pale dashed lines with an arm's marker, hollow: the authors' own figure 4, read off their published plot "
    "(± 0.005), 30×30 masks and their protocol"
)
_NAME = "authors' figure 4"
_LINE: dict[str, Any] = {
    "linewidth": 0.7,
    "markersize": 2.8,
    "markerfacecolor": "none",
    "markeredgewidth": 0.5,
    "alpha": 0.5,
}
_DASHES = ((0, (4, 2)), (0, (4, 1.5, 1, 1.5)), (0, (2, 1.5)))  # one arm after another: colour alone tells some nothing


def authors_figure4() -> pd.DataFrame:
    """Read the authors' own figure 4, taken off their published plot (± 0.005).

    Returns:
        A row per arm and p: ``arm, p, black, white, difference``.
    """
    return pd.read_csv(Path(__file__).with_name("authors.csv"))


def has_their_images(protocol: Protocol) -> bool:
    """Say whether a protocol is of the authors' own images: only then are their curves shown."""
    return (protocol.data.dataset, protocol.content) == ("fashion-mnist", "")


def authors_of(protocol: Protocol, fits: pd.DataFrame) -> pd.DataFrame | None:
    """Return the authors' curves, where they are of the same images and of an arm that was fitted."""
    authors = authors_figure4()
    return authors if has_their_images(protocol) and set(authors["arm"]) & set(fits["arm"]) else None


def authors_table(authors: pd.DataFrame) -> Table:
    """Return the numbers of their curves, for the report."""
    return Table("authors", "The authors' figure 4", "Read off their published plot (± 0.005)", authors)


def draw_authors(axes: Axes, fits: pd.DataFrame, authors: pd.DataFrame | None, values: Sequence[str]) -> None:
    """Draw their curves of some values, for the arms that were fitted, each with its arm's colour and marker."""
    if authors is None:
        return
    colours, markers = arm_colours(fits["arm"]), arm_markers(fits["arm"])
    for arm, dashes in zip(arm_order(set(fits["arm"]) & set(authors["arm"])), cycle(_DASHES), strict=False):
        curve = authors[authors["arm"] == arm]
        look = {"color": colours[arm], "marker": markers[arm], "linestyle": dashes, **_LINE}
        for value in values:
            axes.plot(curve["p"], curve[value], zorder=2, **look)


def authors_handles(fits: pd.DataFrame, authors: pd.DataFrame | None) -> list[Line2D]:
    """Return what a legend shows for their curves, where one of them is shown beside these fits."""
    shown = authors is not None and bool(set(fits["arm"]) & set(authors["arm"]))
    return [Line2D([], [], color=INK, label=_NAME, linestyle=_DASHES[0], **_LINE)] if shown else []


def shown_probabilities(fits: pd.DataFrame, authors: pd.DataFrame | None) -> pd.Series:
    """Return every p that a panel shows, the authors' included."""
    theirs = [] if authors is None else [authors.loc[authors["arm"].isin(set(fits["arm"])), "p"]]
    places: pd.Series = pd.concat([fits["p"], *theirs])
    return places
