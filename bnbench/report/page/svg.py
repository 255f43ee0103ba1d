"""A saved SVG as a part of a page: its colours are the page's, and nothing that no browser needs is in it."""

from __future__ import annotations

import re
from itertools import count

from markupsafe import Markup

from bnbench.report.figures.style import css_colours

_FURTHER_DECIMALS = re.compile(r"(?<=\.\d\d)\d+")
_PIXELS_PER_POINT = 2.4  # print's 7 pt letters are read at 17 px at most
_LETTER = re.compile(r'(<use href="[^"]*") transform="translate\((\S+) (\S+)\)"/>')
_GROUP = re.compile(r"<g\b[^>]*>\n*|</g>\n*")
_ALIKE = re.compile(r'<use [^>]* style="([^"]*)"/>\n(?:<use [^>]* style="\1"/>\n)+')
_STEP = re.compile(r"[A-Za-z]|[^\sA-Za-z]+")


def inline_svg(text: str, name: str, title: str) -> Markup:
    """Return a saved SVG as a part of HTML: it scales, and its colours are the page's, so that it follows dark mode.

    Identifiers get the figure's name in front: two figures on one page may share them otherwise. What a browser does
    not need goes, see :func:`lightened`.

    Args:
        text: what ``style.as_files`` gave.
        name: of this figure alone on its page.
        title: what a screen reader says.
    """
    text = text[text.index("<svg") :]
    text = re.sub(r'(<svg[^>]*?) width="[^"]*"| height="[^"]*pt"', lambda match: match[1] or "", text, count=2)
    text = lightened(text)
    prefix = re.sub(r"\W", "-", name)
    text = re.sub(r'(\bid="|href="#|url\(#)', rf"\g<1>{prefix}-", text)
    for colour, name in css_colours().items():
        text = text.replace(colour, f"var({name})")
    points = float(re.search(r'viewBox="0 0 ([\d.]+)', text)[1])  # type: ignore[index]  # every saved SVG has one
    style = f"max-width: {_PIXELS_PER_POINT * points:.0f}px"
    label = Markup.escape(title)
    return Markup(text.replace("<svg", f'<svg role="img" aria-label="{label}" style="{style}"', 1).strip())


def lightened(text: str) -> str:
    """Return an SVG of matplotlib's that looks the same in half as many letters.

    Each letter of a text and each marker is an element of its own there, so a figure of many panels takes half a
    megabyte. What goes: comments, indents, identifiers that nothing names, groups that say nothing, decimals of a place
    beyond a hundredth of a point, what the steps of a path repeat, and the style of a marker that those beside it
    share. Identifiers become short, but for those of fits, which the page's script reads.
    """
    text = re.sub(r"<metadata>.*?</metadata>|<!--.*?-->", "", text, flags=re.DOTALL)
    text = re.sub(r"\n\s+", "\n", text).replace("xlink:href", "href")
    text = _LETTER.sub(_placed, text)
    text = re.sub(r'(?<= [xy]=")[^"]*', lambda match: _FURTHER_DECIMALS.sub("", match[0]), text)
    text = re.sub(r'(?<= d=")[^"]*', lambda match: _path(_FURTHER_DECIMALS.sub("", match[0])), text)
    return _ALIKE.sub(_with_one_style, _without_empty_groups(_with_short_names(text)))


def _placed(letter: re.Match[str]) -> str:
    """Return a letter of a text with its place as attributes, none where it is zero."""
    places = "".join(
        f' {axis}="{value}"' for axis, value in zip("xy", letter.groups()[1:], strict=True) if value != "0"
    )
    return f"{letter[1]}{places}/>"


def _path(steps: str) -> str:
    """Return the steps of a path without the commands and zeros that go without saying."""
    said, kept = "", []
    for step in _STEP.findall(steps):
        if not step.isalpha():
            kept.append(step.rstrip("0").rstrip(".") if "." in step else step)
        elif step != said:
            kept.append(step)
        if step.isalpha():
            said = "L" if step == "M" else step  # places after a move are lines
    return " ".join(kept)


def _with_short_names(text: str) -> str:
    named = dict.fromkeys(re.findall(r'(?:href="#|url\(#)([^")]*)', text))
    short = {name: f"{number:x}" for name, number in zip(named, count(), strict=False)}
    text = re.sub(r'((?:href="#|url\(#))([^")]*)', lambda match: match[1] + short[match[2]], text)

    def name_of(match: re.Match[str]) -> str:
        kept = short.get(match[1]) or ("fit-" in match[1] and match[1])
        return f' id="{kept}"' if kept else ""

    return re.sub(r' id="([^"]*)"', name_of, text)


def _without_empty_groups(text: str) -> str:
    """Return the text without the groups that have no attribute: their content stays."""
    kept: list[bool] = []

    def tag(match: re.Match[str]) -> str:
        if match[0].startswith("<g"):
            kept.append(not match[0].startswith("<g>"))
            return match[0] if kept[-1] else ""
        return match[0] if kept.pop() else ""

    return _GROUP.sub(tag, text)


def _with_one_style(markers: re.Match[str]) -> str:
    """Return markers that follow each other as a group that has their style; overlaps of clear ones would change."""
    style = markers[1]
    if re.search(r"(?<![-\w])opacity:", style):
        return markers[0]
    return f'<g style="{style}">\n' + markers[0].replace(f' style="{style}"', "") + "</g>\n"
