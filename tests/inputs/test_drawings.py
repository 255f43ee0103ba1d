"""Drawings (SVG) become masks, by the extra ``svg``; what costs too much or reaches beyond the file is refused."""

from __future__ import annotations

from contextlib import chdir
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from bnbench.inputs import drawings
from bnbench.inputs.pictures import PictureError, read_picture, read_pictures

MISSING = "the extra svg is not installed: NO drawing is drawn; pip install resvg_py"
_HEAD = '<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" '
_BN = '<text y="35" font-size="40" font-family="{}">BN</text>'
_LEFT = '<rect width="5" height="20"/></svg>'


def test_a_drawing_is_its_mask_whatever_its_units(tmp_path: Path) -> None:
    pytest.importorskip("resvg_py", reason=MISSING)
    expected = np.zeros((20, 10), bool)
    expected[:, :5] = True
    (tmp_path / "left.svg").write_text(f'{_HEAD} width="10pt" height="20pt" viewBox="0 0 10 20">{_LEFT}')
    (name, mask), *others = read_pictures(tmp_path, 20).items()
    assert (name, others) == ("left", [])
    assert np.array_equal(mask, expected)


def test_letters_of_a_drawing_are_set_in_the_font_that_is_everywhere(tmp_path: Path) -> None:
    pytest.importorskip("resvg_py", reason=MISSING)
    masks = []
    for family in ("Arial", "DejaVu Sans"):
        path = tmp_path / f"{family}.svg"
        path.write_text(
            f'{_HEAD} viewBox="0 0 60 40"><text y="35" font-size="40" font-family="{family}">BN</text></svg>'
        )
        masks.append(read_picture(path, 60))
    assert masks[0].any()
    assert np.array_equal(masks[0], masks[1])


def test_without_the_extra_a_drawing_is_refused_by_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(drawings, "find_spec", lambda name: None)
    (tmp_path / "left.svg").write_text(f'{_HEAD} width="10" height="20">{_LEFT}')
    with pytest.raises(PictureError, match=r"left\.svg .*bnbench\[svg\].*PNG"):
        read_picture(tmp_path / "left.svg")


@pytest.mark.parametrize(
    ("drawing", "named"),
    [
        (f'<!DOCTYPE svg [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;">]>{_HEAD} width="9" height="9">&b;</svg>', "&a;"),
        (f'{_HEAD} width="9" height="9"><image href="own.png" width="9" height="9"/></svg>', r"own\.png"),
        (f'{_HEAD} width="9" height="9"><image xlink:href="http://a.b/c.png"/></svg>', "http://a.b/c.png"),
        (f'{_HEAD} width="9" height="9"><use href="other.svg#a"/></svg>', r"other\.svg#a"),
        (f'{_HEAD} width="9" height="9"><image href="data:image/svg+xml;base64,AA"/></svg>', r"data:image/svg\+xml"),
        (f'{_HEAD} width="9"><g>', "damaged"),
        ("a text that is none", "damaged"),
        (f'{_HEAD} width="9" height="9"><text>{"a" * 2**24}</text></svg>', "16 MiB"),
    ],
    ids=["entities", "file", "address", "use", "nested", "unclosed", "none", "long"],
)
def test_a_drawing_is_refused_before_it_is_drawn(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, drawing: str, named: str
) -> None:
    monkeypatch.setattr(drawings, "find_spec", lambda name: True)
    monkeypatch.setattr("subprocess.run", lambda *_, **__: pytest.fail("the drawing reached the reader"))
    (tmp_path / "given.svg").write_text(drawing)
    with pytest.raises(PictureError, match=rf"given\.svg .*{named}.*PNG"):
        read_picture(tmp_path / "given.svg")


@pytest.mark.parametrize("path", ["#own.png", "DATA:image/png/own.png"])
def test_no_path_of_a_drawing_leads_to_a_file(tmp_path: Path, path: str) -> None:
    """Each begins as something that is within the file."""
    pytest.importorskip("resvg_py", reason=MISSING)
    (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.zeros((9, 9), np.uint8)).save(tmp_path / path)
    image = f'<image href="{path}" width="5" height="9"/></svg>'
    (tmp_path / "given.svg").write_text(f'{_HEAD} width="10" height="9">{image}')
    with chdir(tmp_path), pytest.raises(PictureError, match="one colour"):
        read_picture(tmp_path / "given.svg", 10)


@pytest.mark.parametrize("name", ["given.png", "given.svg"])
def test_a_png_that_holds_its_drawing_as_a_comment_is_a_png(tmp_path: Path, name: str) -> None:
    comment = PngInfo()
    comment.add_text("source", f"{_HEAD}>{_LEFT}")
    expected = np.arange(10) < np.full((20, 1), 4)
    image = Image.fromarray(np.where(expected, 0, 255).astype(np.uint8))
    image.save(tmp_path / name, "PNG", pnginfo=comment)
    assert np.array_equal(read_picture(tmp_path / name, 20), expected)


def test_a_link_in_a_drawing_shows_nothing_and_is_left_alone(tmp_path: Path) -> None:
    pytest.importorskip("resvg_py", reason=MISSING)
    (tmp_path / "link.svg").write_text(f'{_HEAD} width="10" height="20"><a href="http://a.b/"><g/></a>{_LEFT}')
    assert read_picture(tmp_path / "link.svg", 20).shape == (20, 10)


@pytest.mark.parametrize(
    ("drawing", "named"),
    [
        (f'{_HEAD} width="1" height="1000000">{_LEFT}', "3×3"),
        (f'{_HEAD} width="1e30" height="1e30">{_LEFT}', "one colour"),
        (f'{_HEAD} width="0" height="0">{_LEFT}', "cannot be drawn"),
        (f'{_HEAD} width="9" height="9">{"<g>" * 50_000}{"</g>" * 50_000}</svg>', "memory"),
    ],
    ids=["thin", "huge", "nothing", "deep"],
)
def test_a_drawing_that_is_too_much_costs_a_process_of_its_own(tmp_path: Path, drawing: str, named: str) -> None:
    pytest.importorskip("resvg_py", reason=MISSING)
    (tmp_path / "given.svg").write_text(drawing)
    with pytest.raises(PictureError, match=rf"given\.svg .*{named}"):
        read_picture(tmp_path / "given.svg", 20)
