"""What a chapter is."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from bnbench.report.figures.figure import Figure
from bnbench.report.tables import Table


@dataclass(frozen=True)
class Chapter:
    """A question with what the fits say to it: sentences, then figures, then tables."""

    name: str
    title: str
    sentences: list[str]
    figures: list[Figure]
    tables: list[Table]


def drawable(figures: Iterable[Figure | None]) -> list[Figure]:
    """Leave out the figures that these fits do not allow."""
    return [figure for figure in figures if figure is not None]
