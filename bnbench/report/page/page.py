"""index.html: one file that opens without a network."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from bnbench.protocol.protocol import Protocol
from bnbench.report.chapters.headline import Answer
from bnbench.report.figures.style import css_colours
from bnbench.report.tables import Table

_PIXELS_PER_POINT = 2.4  # print's 7 pt letters are read at 17 px at most


@dataclass(frozen=True)
class Picture:
    """A figure on the page.

    Attributes:
        name: of its files, without the ending.
        caption: what it shows.
        links: its files, each as a word and an address relative to the page.
        table: the table that holds its numbers.
        drawings: fit to stand inside HTML; a second one is for narrow screens, and the first needs both columns.
    """

    name: str
    caption: str
    links: list[tuple[str, str]]
    table: str
    drawings: list[Markup]


@dataclass(frozen=True)
class Chapter:
    """A question with what the fits say to it: sentences, then figures, then tables."""

    name: str
    title: str
    sentences: list[str]
    pictures: list[Picture]
    tables: list[Table]


@dataclass(frozen=True)
class Section:
    """One protocol's part of the page: everything the template shows of it; ``folder`` holds its files."""

    slug: str
    folder: str
    name: str
    protocol: Protocol
    answer: Answer
    caution: str
    diverged: str
    missing: str
    facts: list[tuple[str, str]]
    figure4: Picture | None
    panels: list[Picture]
    explorer: dict[str, Any] | None
    pictures: list[Picture]
    chapters: list[Chapter]
    tables: list[Table]
    long_tables: list[Table]
    departures: list[tuple[str, str, str, str]]
    knobs: list[tuple[str, str]]
    provenance: Table
    failures: Table
    broken: list[str]
    commands: list[str]

    @property
    def all_pictures(self) -> list[Picture]:
        """Every figure, figure 4 first."""
        in_chapters = [picture for chapter in self.chapters for picture in chapter.pictures]
        return [*([self.figure4] if self.figure4 else []), *self.panels, *self.pictures, *in_chapters]

    @property
    def all_tables(self) -> list[Table]:
        """Every table of numbers that the page holds, in its order."""
        in_chapters = [table for chapter in self.chapters for table in chapter.tables]
        return [*in_chapters, *self.tables, *self.long_tables]

    @property
    def tables_shown(self) -> set[str]:
        """Names of the tables that the page itself holds."""
        return {table.name for table in self.all_tables}


@dataclass(frozen=True)
class Comparison:
    """All protocols in one figure, and its numbers; or a sentence that says why there is none."""

    sentence: str
    picture: Picture | None = None
    table: Table | None = None


def render(
    sections: Sequence[Section],
    comparison: Comparison | None,
    broken: Sequence[str],
    formats: Collection[str],
) -> str:
    """Fill the template; every text is escaped, whatever an arm is called.

    Args:
        sections: one for each protocol, at least one.
        comparison: the overlay of all of them, if asked for.
        broken: folders that could not be read at all.
        formats: what is written beside the page.
    """
    loader = FileSystemLoader(Path(__file__).parent)
    environment = Environment(
        loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    template = environment.get_template("template.html")
    return template.render(sections=sections, comparison=comparison, broken=broken, formats=formats) + "\n"


def inline_svg(text: str, name: str, title: str) -> Markup:
    """A saved SVG as a part of HTML: it scales, and its colours are the page's, so that it follows dark mode.

    Identifiers get the figure's name in front: two figures on one page may share them otherwise.

    Args:
        text: what ``style.as_files`` gave.
        name: of this figure alone on its page.
        title: what a screen reader says.
    """
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>|<!--.*?-->", "", text, flags=re.DOTALL)
    text = re.sub(r'(<svg[^>]*?) width="[^"]*"| height="[^"]*pt"', lambda match: match[1] or "", text, count=2)
    prefix = re.sub(r"\W", "-", name)
    text = re.sub(r'(\bid="|href="#|url\(#)', rf"\g<1>{prefix}-", text)
    for colour, name in css_colours().items():
        text = text.replace(colour, f"var({name})")
    points = float(re.search(r'viewBox="0 0 ([\d.]+)', text)[1])  # type: ignore[index]  # every saved SVG has one
    style = f"max-width: {_PIXELS_PER_POINT * points:.0f}px"
    label = Markup.escape(title)
    return Markup(text.replace("<svg", f'<svg role="img" aria-label="{label}" style="{style}"', 1).strip())
