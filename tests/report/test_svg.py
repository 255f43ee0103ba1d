"""An SVG on a page is drawn as the one that was saved, in fewer letters."""

from __future__ import annotations

import re
from collections.abc import Iterator
from xml.etree import ElementTree

import numpy as np
import pytest

from bnbench.report.figures import style
from bnbench.report.page.svg import inline_svg, lightened

_ARGUMENTS = {"M": 2, "L": 2, "Q": 4, "C": 6}
_PLACE = re.compile(r"translate\((\S+) (\S+)\)$")
_NUMBER = re.compile(r"-?\b\d+(?:\.\d+)?")
_HREF = "{http://www.w3.org/1999/xlink}href"


@pytest.fixture(scope="module")
def saved() -> str:
    """Letters, ticks, lines, points of one style, clear points, and a point that the page's script opens."""
    random = np.random.default_rng(0)
    with style.print_style():
        drawing = style.new_drawing(style.SINGLE, 3)
        axes = drawing.subplots()
        axes.plot(np.arange(40), random.normal(size=40), color="#0077bb")
        axes.scatter(np.arange(30), random.normal(size=30), color="#cc3311")
        axes.plot(np.arange(9), random.normal(size=9), "s", color="#009e73", alpha=0.4)
        axes.plot(3, 0.5, "o", gid="fit-difference-0-0.5-1")
        axes.set_title("Pixels, αβ")
        text = style.as_files(drawing, ["svg"])["svg"].decode()
    return text[text.index("<svg") :]


def steps(path: str) -> Iterator[str]:
    """Yield a path's commands and numbers, with each command whether it is written or not."""
    found, command = re.findall(r"[A-Za-z]|[^\sA-Za-z]+", path), ""
    while found:
        if found[0].isalpha():
            command = found.pop(0)
        arguments = _ARGUMENTS.get(command, 0)
        yield from (command, *found[:arguments])
        del found[:arguments]
        command = "L" if command == "M" else command


def drawn(text: str) -> list[str]:
    """Return what is drawn, in its order: of each path its groups' transforms, its style, its clip, place and steps."""
    root = ElementTree.fromstring(text)
    named = {element.get("id", ""): element for element in root.iter()}

    def below(parent: ElementTree.Element, look: dict[str, str], moved: str) -> Iterator[str]:
        for element in parent:
            tag = element.tag.rpartition("}")[2]
            said = dict(part.split(": ") for part in element.get("style", "").split("; ") if part)
            # A group is made clear as a whole: that is not the same as making each element so.
            mine = look | {f"{name} {tag}" if name == "opacity" else name: value for name, value in said.items()}
            transform = element.get("transform", "")
            if clip := element.get("clip-path"):
                mine["clip"] = " ".join(named[clip[5:-1]][0].get(name, "") for name in ("x", "y", "width", "height"))
            words = f"{moved} {sorted(mine.items())}"
            if tag == "use":
                target = named[element.get("href", element.get(_HREF, "#"))[1:]]
                place = _PLACE.match(transform)
                x, y = place.groups() if place else (element.get("x", "0"), element.get("y", "0"))
                yield from (words, target.get("transform", ""), x, y, *steps(target.get("d", "")))
            elif tag == "path":
                yield from (words, transform, *steps(element.get("d", "")))
            if tag not in ("defs", "metadata"):
                yield from below(element, mine, moved + transform)

    return list(below(root, {}, ""))


def test_it_looks_the_same_in_fewer_letters(saved: str) -> None:
    light = lightened(saved)
    (words, numbers), (light_words, light_numbers) = (
        (_NUMBER.sub("n", " ".join(found)), [float(number) for number in _NUMBER.findall(" ".join(found))])
        for found in (drawn(saved), drawn(light))
    )
    assert light_words == words
    np.testing.assert_allclose(light_numbers, numbers, atol=0.0101)
    assert len(light) < 0.6 * len(saved)
    assert "<g>" not in light


def test_identifiers_are_the_figures_own_and_a_fit_keeps_its_own(saved: str) -> None:
    text = inline_svg(saved, "figure4 a", "title")
    names = re.findall(r'\bid="([^"]*)"', text)
    assert len(names) == len(set(names))
    assert set(re.findall(r'(?:href="#|url\(#)([^")]*)', text)) <= set(names)
    assert all(name.startswith("figure4-a-") for name in names)
    assert [name for name in names if "fit-" in name] == ["figure4-a-fit-difference-0-0.5-1"]
