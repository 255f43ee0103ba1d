"""A built report as a browser and a program would read it."""

from __future__ import annotations

import json
import re
from collections.abc import Collection
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure as Drawing

from bnbench.report.figures import style


class Page(HTMLParser):
    """What a browser would fetch, run and show."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.fetched: list[str] = []
        self.ids: list[str] = []
        self.addresses: list[str] = []
        self.scripts: dict[str, str] = {}
        self.script: str | None = None
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.script = dict(attributes).get("type", "text/javascript") if tag == "script" else None
        for name, value in ((name, value or "") for name, value in attributes):
            if name == "id":
                self.ids.append(value)
            if name == "href" and tag == "a":
                self.addresses.append(value)
            if name in ("src", "href", "xlink:href", "data", "srcset") and tag != "a" and not value.startswith("#"):
                self.fetched.append(value)

    def handle_endtag(self, tag: str) -> None:
        self.script = None

    def handle_data(self, data: str) -> None:
        if self.script:
            self.scripts[self.script] = self.scripts.get(self.script, "") + data
        else:
            self.text += data.replace("\N{NO-BREAK SPACE}", " ")


def page_of(out: Path) -> Page:
    return Page((out / "index.html").read_text(encoding="utf-8"))


def record_of(out: Path) -> dict[str, Any]:
    """What ``report.json`` says of the only protocol."""
    (protocol,) = json.loads((out / "report.json").read_text(encoding="utf-8"))["protocols"]
    return dict(protocol)


def first_screen(out: Path) -> str:
    """What stands above the explorer."""
    return Page(re.split(r'id="[^"]*-explorer"', (out / "index.html").read_text(encoding="utf-8"))[0]).text


EMPTY = b'<svg viewBox="0 0 10 10"></svg>'


def svg_alone(figure: Drawing, endings: Collection[str]) -> dict[str, bytes]:
    """SVG as the page needs it, and not laid out: by night every figure is, and drawn for print."""
    figure.set_layout_engine(None)
    return dict.fromkeys(endings, b"") | style.as_files(figure, {"svg"} & {*endings})
