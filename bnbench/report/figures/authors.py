"""The authors' own figure 4, laid behind ours where both are of the same images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
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

_NOTE = "the authors' own figure 4, read off their published plot (± 0.005), 30×30 masks and their protocol"
_NAME = "authors' figure 4"
_NEAR = 1e-6  # fill probabilities that differ by less are the same
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


def authors_beside(fits: pd.DataFrame, authors: pd.DataFrame | None) -> pd.DataFrame:
    """Return what of their curves a panel shows: the arms that were fitted, from the least p that was to the largest.

    Were all nine p shown beside fits of one, those would stand on a ninth of the panel.
    """
    if authors is None:
        return pd.DataFrame({"arm": [], "p": []})
    among = authors["p"].between(fits["p"].min() - _NEAR, fits["p"].max() + _NEAR)
    return authors[authors["arm"].isin(set(fits["arm"])) & among]


def authors_note(shown: pd.DataFrame) -> str:
    """Say what the curves are that :func:`authors_beside` returned; nothing where it returned none."""
    if shown.empty:
        return ""
    look = "Pale dashed lines with an arm's marker, hollow" if shown["p"].nunique() > 1 else "Pale hollow markers"
    return f"{look}: {_NOTE}"


def draw_authors(
    axes: Axes,
    fits: pd.DataFrame,
    authors: pd.DataFrame | None,
    values: Sequence[str],
    aside: Mapping[str, float] | None = None,
) -> None:
    """Draw their curves of some values, for the arms that were fitted, each with its arm's colour and marker.

    Args:
        axes: where to.
        fits: that they stand behind.
        authors: their curves, or None.
        values: the columns that are drawn.
        aside: how far from p each arm's fits stand; of a single p theirs stand there, too.
    """
    colours, markers = arm_colours(fits["arm"]), arm_markers(fits["arm"])
    shown = authors_beside(fits, authors)
    moved = aside if aside and shown["p"].nunique() == 1 else {}
    for arm, dashes in zip(arm_order(shown["arm"].unique()), cycle(_DASHES), strict=False):
        curve = shown[shown["arm"] == arm]
        look = {"color": colours[arm], "marker": markers[arm], "linestyle": dashes, **_LINE}
        for value in values:
            axes.plot(curve["p"] + moved.get(arm, 0.0), curve[value], zorder=2, **look)


def authors_handles(fits: pd.DataFrame, authors: pd.DataFrame | None) -> list[Line2D]:
    """Return what a legend shows for their curves, where one of them is shown beside these fits."""
    shown = authors_beside(fits, authors)
    look: dict[str, Any] = {"linestyle": _DASHES[0]} if shown["p"].nunique() > 1 else {"linestyle": "", "marker": "o"}
    return [] if shown.empty else [Line2D([], [], color=INK, label=_NAME, **look, **_LINE)]


def shown_probabilities(fits: pd.DataFrame, authors: pd.DataFrame | None) -> pd.Series:
    """Return every p that a panel shows, the authors' included."""
    places: pd.Series = pd.concat([fits["p"], authors_beside(fits, authors)["p"].astype(float)])
    return places
