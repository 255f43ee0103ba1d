"""Pictures become masks whatever their format, colours and size; what is none is refused in a sentence."""

from __future__ import annotations

import io
import re
import zlib
from collections.abc import Callable
from contextlib import chdir
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray
from PIL import Image

from bnbench.cli import main
from bnbench.inputs import pictures
from bnbench.inputs.asked_picture import scaled_from
from bnbench.inputs.pictures import PictureError, otsu_level, read_picture

_CROSS = np.zeros((12, 16), bool)
_CROSS[5:7, 2:14] = _CROSS[2:10, 7:9] = True
_GREY = np.where(_CROSS, 20, 230).astype(np.uint8)
_RGB = np.stack([_GREY, _GREY // 2, _GREY], -1)


def _image(mode: str) -> Image.Image:
    grey = Image.fromarray(_GREY)
    if mode == "I;16":
        return Image.fromarray(_GREY.astype(np.uint16) * 257)
    if mode in ("LA", "RGBA"):  # black everywhere, and the cross alone is opaque
        black = Image.new(mode, grey.size)
        black.putalpha(Image.fromarray(np.where(_CROSS, 255, 0).astype(np.uint8)))
        return black
    if mode == "palette with transparency":
        image = Image.fromarray(_CROSS.astype(np.uint8), "P")
        image.putpalette([0, 0, 0, 10, 10, 10])
        image.info["transparency"] = 0
        return image
    return grey.convert(mode, dither=Image.Dither.NONE)


@pytest.mark.parametrize(
    ("suffix", "mode"),
    [
        *(("png", mode) for mode in ("1", "L", "LA", "P", "RGB", "RGBA", "I;16", "palette with transparency")),
        *(("jpg", mode) for mode in ("L", "RGB", "CMYK")),
        *(("gif", mode) for mode in ("L", "P", "palette with transparency")),
        *(("webp", mode) for mode in ("L", "RGB", "RGBA")),
    ],
)
def test_a_picture_of_every_format_and_colour_is_its_mask(tmp_path: Path, suffix: str, mode: str) -> None:
    path = tmp_path / f"cross.{suffix}"
    options = {"quality": 95} if suffix == "jpg" else {"lossless": True} if suffix == "webp" else {}
    _image(mode).save(path, **options)
    assert np.array_equal(read_picture(path), _CROSS)
    assert np.array_equal(read_picture(path, invert=True), ~_CROSS)


@pytest.mark.parametrize(
    ("shape", "size", "expected"),
    [((120, 160), 16, (12, 16)), ((200, 100), 50, (50, 25)), ((6, 9), 50, (6, 9)), ((7, 500), 60, None)],
)
def test_the_longer_side_has_the_size_asked_for_at_most(
    tmp_path: Path, shape: tuple[int, int], size: int, expected: tuple[int, int] | None
) -> None:
    grey = np.full(shape, 255, np.uint8)
    grey[: shape[0] // 2] = 0
    Image.fromarray(grey).save(tmp_path / "half.png")
    if expected is None:
        with pytest.raises(PictureError, match=r"half\.png .*3×3"):
            read_picture(tmp_path / "half.png", size)
    else:
        mask = read_picture(tmp_path / "half.png", size)
        assert mask.shape == expected
        assert mask[0].all()
        assert not mask[-1].any()


def test_a_picture_is_turned_as_its_camera_was_held(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # a quarter turn clockwise
    Image.fromarray(_RGB).save(tmp_path / "turned.jpg", exif=exif, quality=95)
    assert np.array_equal(read_picture(tmp_path / "turned.jpg"), np.rot90(_CROSS, -1))


def test_a_photo_of_a_phone_with_a_preview_is_its_first_picture(tmp_path: Path) -> None:
    preview = Image.new("RGB", (8, 6), "white")
    Image.fromarray(_RGB).save(tmp_path / "photo.jpg", "MPO", quality=95, save_all=True, append_images=[preview])
    assert np.array_equal(read_picture(tmp_path / "photo.jpg"), _CROSS)


def _memory(patched: pytest.MonkeyPatch, at_once: int, largest: int) -> None:
    patched.setattr(pictures, "AT_ONCE", at_once)
    patched.setattr(pictures, "_LARGEST", largest)
    patched.setattr(Image, "MAX_IMAGE_PIXELS", 1_000)


def test_a_huge_jpeg_is_scaled_while_it_is_decoded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    grey = np.kron(_GREY, np.ones((100, 100), np.uint8))  # 1,200×1,600
    Image.fromarray(grey).save(tmp_path / "huge.jpg")
    Image.fromarray(grey).save(tmp_path / "huge.png")
    Image.fromarray(grey).save(tmp_path / "progressive.jpg", progressive=True)
    with monkeypatch.context() as patched:
        _memory(patched, 10_000, 100_000)
        assert np.array_equal(read_picture(tmp_path / "huge.jpg", 16), _CROSS)
        for name in ("huge.png", "progressive.jpg"):  # the decoder keeps all of either
            with pytest.raises(PictureError, match=rf"{re.escape(name)} .*1,600×1,200"):
                read_picture(tmp_path / name, 16)
        assert Image.MAX_IMAGE_PIXELS == 1_000


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "I;16", "palette with transparency"])
def test_a_large_picture_is_scaled_band_by_band(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mode: str) -> None:
    image = _image(mode)
    enlarged = image.resize((1_000, 750), Image.Resampling.NEAREST)
    if "palette" in mode:
        enlarged.info["transparency"] = 0
    enlarged.save(tmp_path / "large.png")
    with monkeypatch.context() as patched:
        _memory(patched, 20_000, 4_000_000)
        assert np.array_equal(read_picture(tmp_path / "large.png", 16), _CROSS)


def test_a_large_picture_is_turned_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # a quarter turn clockwise
    Image.fromarray(_RGB).resize((1_000, 750), Image.Resampling.NEAREST).save(tmp_path / "turned.png", exif=exif)
    with monkeypatch.context() as patched:
        _memory(patched, 20_000, 4_000_000)
        assert np.array_equal(read_picture(tmp_path / "turned.png", 16), np.rot90(_CROSS, -1))


def test_a_picture_that_was_scaled_down_tells_its_size(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # a quarter turn clockwise
    Image.fromarray(_RGB).resize((40, 30)).save(tmp_path / "turned.png", exif=exif)
    (tmp_path / "drawn.svg").write_text("<svg xmlns='http://www.w3.org/2000/svg'/>")
    mask = np.zeros((30, 22), bool)
    found = [scaled_from(path, mask) for path in (tmp_path / "turned.png", tmp_path / "drawn.svg", None)]
    assert found == [(40, 30), None, None]
    assert scaled_from(tmp_path / "turned.png", np.zeros((40, 30), bool)) is None


def test_twenty_thousand_pixels_a_side_are_read(tmp_path: Path) -> None:
    side = 20_000
    black, white = (b"\0" + one * (side // 8) for one in (b"\0", b"\xff"))  # a row, after its filter
    half = zlib.compress(black * (side // 2) + white * (side // 2), 1)
    chunk = b"IDAT" + half
    content = _png(side, side)
    data, end = content.index(b"IDAT") - 4, content.index(b"IEND") - 4
    whole = content[:data] + len(half).to_bytes(4, "big") + chunk + zlib.crc32(chunk).to_bytes(4, "big") + content[end:]
    (tmp_path / "huge.png").write_bytes(whole)
    mask = read_picture(tmp_path / "huge.png", 20)
    assert mask.shape == (20, 20)
    assert mask[:10].all()
    assert not mask[10:].any()


def _png(width: int, height: int) -> bytes:
    """The head of a PNG of any size, without its pixels."""
    file = io.BytesIO()
    Image.new("1", (8, 8)).save(file, "PNG")
    content = bytearray(file.getvalue())
    content[16:24] = width.to_bytes(4, "big") + height.to_bytes(4, "big")
    content[29:33] = zlib.crc32(content[12:29]).to_bytes(4, "big")
    return bytes(content)


def _animation(kind: str) -> bytes:
    file = io.BytesIO()
    frames = [Image.fromarray(np.roll(_GREY, shift, 1)) for shift in range(3)]
    frames[0].save(file, kind, save_all=True, append_images=frames[1:])
    return file.getvalue()


def _saved(image: Image.Image, kind: str = "PNG") -> bytes:
    file = io.BytesIO()
    image.save(file, kind)
    return file.getvalue()


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (lambda: b"", "empty"),
        (lambda: b"no picture at all", "none of PNG"),
        (lambda: b'<!DOCTYPE svg [<!ENTITY a "a">]><svg xmlns="http://www.w3.org/2000/svg"/>', "SVG"),
        (lambda: _saved(Image.fromarray(_GREY), "BMP"), "none of PNG"),
        (lambda: _saved(Image.fromarray(_GREY))[:60], "damaged"),
        (lambda: _saved(Image.fromarray(_RGB), "JPEG")[:-200], "damaged"),
        (lambda: _saved(Image.new("L", (1, 1))), "1×1"),
        (lambda: _saved(Image.new("RGB", (9, 9), "teal")), "one colour"),
        (lambda: _saved(Image.new("RGBA", (9, 9), (0, 0, 0, 0))), "one colour"),
        (lambda: _png(40_000, 20_000), "40,000×20,000"),
        (lambda: _animation("GIF"), "animated"),
        (lambda: _animation("WEBP"), "animated"),
        (lambda: _animation("PNG"), "animated"),
        (lambda: _animation("TIFF"), "none of PNG"),
        (lambda: _animation("GIF")[:60], "damaged"),
    ],
)
def test_what_is_no_picture_to_bend_to_is_refused_by_name(
    tmp_path: Path, content: Callable[[], bytes], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "given.png"
    path.write_bytes(content())
    for command in (["bend", str(path)], ["run", "--mask", str(path)]):
        with chdir(tmp_path), pytest.raises(SystemExit) as ended:
            main(command)
        (sentence,) = [line for line in capsys.readouterr().err.splitlines() if not line.startswith("loading torch")]
        assert ended.value.code == 2
        assert re.search(rf"given\.png .*{said}", sentence)
        assert [*tmp_path.iterdir()] == [path]


def test_files_that_are_none_are_refused_by_name(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "nowhere.png"):
        with pytest.raises(PictureError, match=str(path)):
            read_picture(path)


def test_a_threshold_of_ones_own_and_one_that_leaves_one_colour(tmp_path: Path) -> None:
    Image.fromarray(np.tile(np.arange(60, 200, 14, dtype=np.uint8), (5, 1))).save(tmp_path / "ramp.png")
    assert read_picture(tmp_path / "ramp.png", level=100 / 255).sum() == 5 * 3
    with pytest.raises(PictureError, match=r"ramp\.png .*0\.24.*0\.73"):
        read_picture(tmp_path / "ramp.png", level=0.1)


def _otsu_by_loops(grey: NDArray[np.uint8]) -> set[int]:
    """Every grey up to which pixels may be dark, by the definition, in whole numbers."""
    values = [int(value) for value in grey.ravel()]
    found: dict[int, float] = {}
    for cut in range(255):
        dark, light = [value for value in values if value <= cut], [value for value in values if value > cut]
        if dark and light:
            apart = sum(dark) / len(dark) - sum(light) / len(light)
            found[cut] = len(dark) * len(light) * apart**2
    return {cut for cut, value in found.items() if value >= max(found.values()) * (1 - 1e-9)}


@given(arrays(np.uint8, (4, 5)).filter(lambda grey: bool((grey != grey[0, 0]).any())))
def test_otsus_level_parts_the_greys_best(grey: NDArray[np.uint8]) -> None:
    cuts, level = _otsu_by_loops(grey), otsu_level(grey)
    assert min(cuts) < level * 255 < max(cuts) + 1


@given(st.integers(0, 250), st.integers(1, 5))
def test_otsus_level_lies_between_two_colours(dark: int, apart: int) -> None:
    level = otsu_level(np.array([[dark, dark, dark + apart]], np.uint8))
    assert dark < level * 255 < dark + apart
    assert level * 255 == pytest.approx(dark + apart / 2)
