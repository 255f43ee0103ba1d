"""index.html: one file that opens without a network."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from bnbench.report.captions import Answer
from bnbench.report.style import css_colours
from bnbench.report.tables import Table

_PIXELS_PER_POINT = 2.4  # print's 7 pt letters are read at 17 px at most


@dataclass(frozen=True)
class Picture:
    """A figure on the page.

    Attributes:
        name: of its files, without the ending.
        caption: what it shows.
        folder: where its files lie, relative to the page.
        svg: the drawing, fit to stand inside HTML.
        wide: whether it needs both columns of the page.
    """

    name: str
    caption: str
    folder: str
    svg: Markup
    wide: bool


@dataclass(frozen=True)
class Section:
    """One protocol's part of the page: everything the template shows of it."""

    slug: str
    name: str
    answer: Answer
    missing: str
    facts: list[tuple[str, str]]
    figure4: Picture | None
    panels: list[Picture]
    pictures: list[Picture]
    tables: list[Table]
    long_tables: list[Table]
    departures: list[tuple[str, str, str, str]]
    knobs: list[tuple[str, str]]
    provenance: Table
    failures: Table
    broken: list[str]
    commands: list[str]


def render(sections: Sequence[Section], comparison: Picture | None, broken: Sequence[str]) -> str:
    """Fill the template; every text is escaped, whatever an arm is called.

    Args:
        sections: one for each protocol, at least one.
        comparison: the overlay of all of them, if asked for.
        broken: folders that could not be read at all.
    """
    folder = FileSystemLoader(Path(__file__).parent)
    environment = Environment(
        loader=folder, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    template = environment.get_template("template.html")
    return template.render(sections=sections, comparison=comparison, broken=broken) + "\n"


def inline_svg(path: Path, name: str, title: str) -> Markup:
    """A saved SVG as a part of HTML: it scales, and its colours are the page's, so that it follows dark mode.

    Identifiers get the figure's name in front: two figures on one page may share them otherwise.

    Args:
        path: what ``style.save`` wrote.
        name: of this figure alone on its page.
        title: what a screen reader says.
    """
    text = path.read_text(encoding="utf-8")
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
