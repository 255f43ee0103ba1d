"""A figure before it is drawn: what draws it, its caption, and the table that holds its numbers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from bnbench.report.tables import Table

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Drawing


class NarrowDrawing(Protocol):
    """Draws a figure for a wide or a narrow place."""

    def __call__(self, *, narrow: bool = False) -> Drawing:
        """Draw it anew; with ``narrow``, for one column of print."""


@dataclass(frozen=True)
class Figure:
    """A figure of the report. It is drawn when a format that shows it is written, and not before.

    Attributes:
        name: of its files, without the ending.
        draw: draws it, inside ``style.print_style``.
        caption: what it shows, how many fits, and what its whiskers are.
        table: holds its numbers; the report writes it beside the figure.
        narrow: draws the same for a narrow screen, where ``draw`` needs both columns of a wide one; else None.
        on_page: whether the page shows it; if not, it is for print alone.
    """

    name: str
    draw: Callable[[], Drawing]
    caption: str
    table: Table
    narrow: NarrowDrawing | None = None
    on_page: bool = True
