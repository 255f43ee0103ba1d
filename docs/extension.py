"""What the site needs beyond Sphinx: commands, galleries with thumbnails, formulas without scripts, cells as pages."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any

import click
from cells import as_markdown
from docutils import nodes
from docutils.utils.math.latex2mathml import tex2mathml
from myst_parser.parsers.sphinx_ import MystParser
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

from bnbench.cli.group import cli
from bnbench.protocol.knob_text import knob_text
from bnbench.protocol.profiles import PROFILES
from bnbench.protocol.protocol import SECTIONS


class Commands(SphinxDirective):
    """Every command with its arguments and options, in the words of its own help."""

    def run(self) -> list[nodes.Node]:
        text = "\n".join(line for name in cli.commands for line in described(name, cli.commands[name]))
        return self.parse_text_to_nodes(text, allow_section_headings=True)


def described(name: str, command: click.Command) -> Iterator[str]:
    """A command as Markdown; its options stand in the groups of its help, knobs of a protocol with all their values."""
    context = click.Context(command, info_name=f"bnbench {name}", help_option_names=["-h", "--help"])
    yield f"## bnbench {name}\n"
    yield f"```text\n{command.get_usage(context).removeprefix('Usage: ')}\n```\n"
    yield f"{as_text(inspect.cleandoc(command.help or ''))}\n"
    options = {one.opts[0]: one for one in command.params if isinstance(one, click.Option)}
    knobs = {knob.name for section in SECTIONS.values() for knob in fields(section)} if name == "run" else set()
    for panel in command.panels:
        shown = [options[option] for option in panel.options]
        yield from table(panel.name, shown, context, lambda option: values(option) if option in knobs else "")


def table(
    heading: str, options: Iterable[click.Option], context: click.Context, more: Callable[[str], str]
) -> Iterator[str]:
    """Options as a table of two columns, as the help writes them, with more about each."""
    yield f"| {heading} | |\n|---|---|"
    for option in options:
        spelled, meaning = option.get_help_record(context)
        cells = (cell.replace("|", r"\|") for cell in (f"`{spelled}`", as_text(meaning + more(option.name))))
        yield f"| {' | '.join(cells)} |"
    yield ""


def as_text(plain: str) -> str:
    """Words of a help text in Markdown: options as code, every other letter as itself."""
    return re.sub(r"(--[a-z-]+)", r"`\1`", re.sub(r"([*<_`])", r"\\\1", plain))


def values(name: str) -> str:
    """What a knob is in each profile: profiles that have the same value share it."""
    found: dict[str, list[str]] = {}
    for profile, protocol in PROFILES.items():
        found.setdefault(knob_text(name, dict(protocol.knobs())[name]) or "none", []).append(profile)
    if len(found) == 1:
        return f"  [{next(iter(found))}]"
    return "  [" + "; ".join(f"{', '.join(profiles)}: {value}" for value, profiles in found.items()) + "]"


class Gallery(SphinxDirective):
    """Thumbnails, then every figure with its caption: its argument is the folder that ``captions.md`` names them in.

    The folder is relative to the page; ``figures`` at its end says nothing about what it holds.
    """

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        folder = Path(self.arguments[0])
        captions = Path(self.get_source_info()[0]).parent / folder / "captions.md"
        self.env.note_dependency(str(captions))
        about = folder.parent.name if folder.name == "figures" else folder.name
        thumbnails = nodes.container(classes=["thumbnails"])
        figures: list[nodes.Node] = []
        captioned = dict(re.findall(r"\*\*(\w+)\*\*: (.*)", captions.read_text()))
        for name in without_single_panels(captioned):
            where, uri, said = f"{about}-{name}", f"{folder}/{name}.svg", first_sentence(captioned[name])
            thumbnails += nodes.reference("", "", nodes.image(uri=uri, alt=said), refid=where, reftitle=said)
            caption = nodes.caption(captioned[name], "", *self.parse_inline(captioned[name])[0])
            drawing = nodes.container("", nodes.image(uri=uri, alt=said), classes=["drawing"])  # scrolls by itself
            figures.append(nodes.figure("", drawing, caption, ids=[where]))
        return [thumbnails, *figures]


def without_single_panels(names: Iterable[str]) -> list[str]:
    """Names of figures but for the panels of one that is there whole, such as figure4a beside figure4."""
    there = list(names)
    panels = {f"{whole}{ending}" for whole in there for ending in ("a", "b", "_right", "_j")}
    return [name for name in there if name not in panels]


def first_sentence(caption: str) -> str:
    """What a caption says first, without the figure's number; a point within a number ends no sentence."""
    unnumbered = re.sub(r"^Figure \w+\.\s", "", caption)
    return re.split(r"\.(?:\s|$)", unnumbered)[0]


class CellsParser(MystParser):
    """A script in cells as a page."""

    supported = ("cells",)

    def parse(self, inputstring: str, document: nodes.document) -> None:
        super().parse(as_markdown(inputstring), document)


def visit_math(self: Any, node: nodes.math) -> None:
    self.body.append(tex2mathml(node.astext()))
    raise nodes.SkipNode


def visit_display_math(self: Any, node: nodes.math_block) -> None:
    self.body.append(f'<div class="formula">{tex2mathml(node.astext(), as_block=True)}</div>')
    raise nodes.SkipNode


def setup(app: Sphinx) -> dict[str, bool]:
    """Register all of it."""
    app.add_directive("commands", Commands)
    app.add_directive("gallery", Gallery)
    app.add_source_suffix(".py", "cells")
    app.add_source_parser(CellsParser)
    app.add_html_math_renderer("mathml", (visit_math, None), (visit_display_math, None))
    return {"parallel_read_safe": True, "parallel_write_safe": True}
