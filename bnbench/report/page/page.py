"""index.html of a report, and of each protocol where there are several: each opens offline."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined, Template
from markupsafe import Markup

from bnbench.report.chapters.chapter import Chapter
from bnbench.report.chapters.comparison import Comparison
from bnbench.report.chapters.section import Section
from bnbench.report.figures.figure import Figure
from bnbench.report.figures.style import page_colours
from bnbench.report.tables import Table

_TIED = re.compile(
    r"(?<=\d) (?=%)|(?<=±) (?=\w)|(?<=[=<≤]) (?=[\d.−])|(?<=\w) (?=[=<≤] [\d.−])|"
    r"(?<=\bJ) (?=[+−\d])|(?<=\d) (?=× \d)|(?<=\d ×) (?=\d)"
)
_LONG_NAME = 20  # letters from which on what a row is about may take two lines on a phone


@dataclass(frozen=True)
class Picture:
    """A figure on the page.

    Attributes:
        figure: what it shows.
        links: its files, each as a word and an address relative to the page.
        drawings: fit to stand inside HTML; a second one is for narrow screens, and the first needs both columns.
    """

    figure: Figure
    links: list[tuple[str, str]]
    drawings: list[Markup]


@dataclass(frozen=True)
class Part:
    """One section as its page shows it.

    Attributes:
        section: what it says.
        slug: what its anchors begin with.
        pictures: its figures by name, those that the page shows.
        explorer: what the explorer needs, see :func:`bnbench.report.page.explorer.explorer_data`; None without fits.
    """

    section: Section
    slug: str
    pictures: Mapping[str, Picture]
    explorer: dict[str, Any] | None


@dataclass(frozen=True)
class Entry:
    """A protocol in the index: its section, and the address of its page."""

    section: Section
    address: str


def render(
    parts: Sequence[Part],
    index: Sequence[Entry],
    comparison: Comparison | None,
    overlay: Picture | None,
    across: Sequence[Chapter],
    drawn_across: Mapping[str, Picture],
    broken: Sequence[str],
    formats: Collection[str],
) -> str:
    """Fill the template for a report's own page; every text is escaped, whatever an arm is called.

    Args:
        parts: the only protocol; none where there are several, which have pages of their own.
        index: those pages, where there are several.
        comparison: the overlay of all of them, if asked for.
        overlay: its figure, if there is one.
        across: chapters that go across protocols.
        drawn_across: their figures by name.
        broken: folders that could not be read at all.
        formats: what is written beside the page.
    """
    page = _template().render(
        parts=parts,
        index=index,
        home="",
        comparison=comparison,
        overlay=overlay,
        across=across,
        drawn_across=drawn_across,
        broken=broken,
        formats=formats,
        colours=page_colours(),
    )
    return page + "\n"


def render_part(part: Part, formats: Collection[str]) -> str:
    """Fill the template for the page of one protocol of several, in a folder below the index."""
    nothing: dict[str, Any] = {"index": [], "comparison": None, "overlay": None, "across": [], "drawn_across": {}}
    page = _template().render(
        parts=[part], home="../index.html", broken=[], formats=formats, colours=page_colours(), **nothing
    )
    return page + "\n"


@cache
def _template() -> Template:
    """Compile the template with what it includes, once in a process."""
    loader = FileSystemLoader(Path(__file__).parent)
    environment = Environment(
        loader=loader,
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_keep_together,
    )
    environment.globals |= {"column_kinds": column_kinds, "listed": listed, "in_words": in_words}
    return environment.get_template("template.html")


def column_kinds(table: Table) -> list[str]:
    """Return how each column looks: ``number``; ``named``, what a row is about, maybe ``long``; or as any text."""
    kinds = ["number" if is_number else "" for is_number in table.numeric]
    if "" in kinds:
        named = kinds.index("")
        is_long = any(len(row[named]) > _LONG_NAME for row in table.page_rows)
        kinds[named] = "named long" if is_long else "named"
    return kinds


def listed(text: str) -> Markup:
    """Return a text whose lines may end after a comma: a list of numbers without blanks breaks nowhere else."""
    return Markup.escape(text).replace(",", Markup(",<wbr>"))


def in_words(command: str) -> Markup:
    """Return a command whose lines may end after a word or a comma, and not at a hyphen: an option stays whole."""
    parts = re.split(r"(\s+)|(?<=,)(?=\S)", command)
    return Markup("").join(Markup("<span>{}</span>").format(part) if part.strip() else part for part in parts if part)


def _keep_together(value: Any) -> Any:
    """Tie a number to its sign and its unit in a text, so that no line ends between them; markup stays as it is."""
    return _TIED.sub("\N{NO-BREAK SPACE}", value) if isinstance(value, str) and not isinstance(value, Markup) else value
