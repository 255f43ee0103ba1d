"""The authors' own figure 4, laid behind ours where both are of the same images."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from numpy.typing import ArrayLike

from bnbench.protocol.protocol import Protocol
from bnbench.report.arms import arm_order
from bnbench.report.figures.style import INK, arm_colours
from bnbench.report.tables import Table

AUTHORS_NOTE = (
    "Pale dashed lines with hollow points: the authors' own figure 4, read off their published plot (± 0.005), "
    "30×30 masks and their protocol"
)
_NAME = "authors' figure 4"
_LINE: dict[str, Any] = {
    "linestyle": (0, (4, 2)),
    "linewidth": 0.7,
    "marker": "o",
    "markersize": 2.6,
    "markerfacecolor": "none",
    "markeredgewidth": 0.5,
    "alpha": 0.5,
}


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
    """Draw their curves of some values, for the arms that were fitted, each in its arm's colour."""
    if authors is None:
        return
    colours = arm_colours(fits["arm"])
    for arm in arm_order(set(fits["arm"]) & set(authors["arm"])):
        curve = authors[authors["arm"] == arm]
        for value in values:
            draw_authors_curve(axes, curve["p"], curve[value], colours[arm])


def draw_authors_curve(axes: Axes, p: ArrayLike, values: ArrayLike, colour: str) -> None:
    """Draw one of their curves, behind ours."""
    axes.plot(p, values, color=colour, zorder=2, **_LINE)


def authors_handle() -> Line2D:
    """Return what a legend shows for their curves."""
    return Line2D([], [], color=INK, label=_NAME, **_LINE)


def authors_handles(fits: pd.DataFrame, authors: pd.DataFrame | None) -> list[Line2D]:
    """Return the same, where a curve of theirs is shown beside these fits."""
    shown = authors is not None and bool(set(fits["arm"]) & set(authors["arm"]))
    return [authors_handle()] if shown else []


def shown_probabilities(fits: pd.DataFrame, authors: pd.DataFrame | None) -> pd.Series:
    """Return every p that a panel shows, the authors' included."""
    theirs = [] if authors is None else [authors.loc[authors["arm"].isin(set(fits["arm"])), "p"]]
    places: pd.Series = pd.concat([fits["p"], *theirs])
    return places
