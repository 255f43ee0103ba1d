"""Pictures from files as masks: scaled, made grey on white paper, and cut into black and white."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from bnbench.errors import RequestError
from bnbench.inputs.drawings import DrawingError, draw_drawing, is_drawing
from bnbench.inputs.masks import Mask, OneColourError, picture_to_mask
from bnbench.process.reading import read_file, reason_of
from bnbench.protocol.picture_text import picture_name, picture_text

FORMATS = ("PNG", "JPEG", "GIF", "WEBP")  # as Pillow calls them
_ENDINGS = (".png", ".jpg", ".jpeg", ".gif", ".webp", ".svg")
SIZE = 50  # pixels of the longer side, as the paper's icons have
_LARGEST_FILE = 2**28  # bytes
_LARGEST = 2**29  # bytes of a decoded picture: 536 million grey pixels, or 134 million in colours
_BYTES = {"1": 1, "L": 1, "P": 1, "I;16": 2}  # that Pillow keeps of a pixel, four of any other kind
_ORIENTATION, _ON_ITS_SIDE = 0x0112, (5, 6, 7, 8)  # how EXIF says that a camera was turned by a quarter
AT_ONCE = 16_000_000  # pixels that are turned into colours and scaled at once; of larger pictures it is a band of rows


class PictureError(RequestError):
    """A picture that cannot be bent to; the message names it, says why, and what would do."""


def read_picture(path: Path, size: int = SIZE, level: float | None = None, *, invert: bool = False) -> Mask:
    """Read a picture's file as a mask.

    The picture is turned as its camera says, scaled down so that its longer side has ``size`` pixels (a smaller one
    stays as it is), and laid on white paper where it is transparent; what is darker than ``level`` is black. Memory is
    bounded: a JPEG is scaled while it is decoded, however large it is, unless it is progressive, when the decoder keeps
    two bytes of each colour of all its pixels; of that and of other formats half a gibibyte is decoded (20,000×20,000
    grey pixels of a PNG, or 11,500×11,500 in colours), then scaled band by band. A drawing (SVG), which needs the extra
    ``svg``, is drawn with a longer side of ``size`` pixels, as ``bnbench.inputs.drawings.draw_drawing`` says.

    Args:
        path: a PNG, JPEG, GIF, WebP or SVG in any colours.
        size: largest number of rows and columns.
        level: the grey between 0 (dark) and 1 (light) from which a pixel is white; None for :func:`otsu_level`.
        invert: whether dark pixels are white and light ones black.

    Returns:
        True where black, shape (rows, columns).

    Raises:
        PictureError: the file is no such picture, damaged, animated or too large, or the picture has fewer than three
            rows or columns, or one colour.
    """
    try:
        content = read_file(path, _LARGEST_FILE)
    except OSError as error:
        raise PictureError(f"{path} cannot be read ({reason_of(error)}); give a picture's file.") from error
    if not content:
        raise PictureError(f"{path} is empty; give a PNG, JPEG, GIF, WebP or SVG.")
    try:
        if is_drawing(path, content):
            content = draw_drawing(content, 4 * size)
        with _any_size(), Image.open(io.BytesIO(content), formats=FORMATS) as image:
            _check(path, image, size)
            picture = scaled(_turned(_reduced(image, size)), size)
    except PictureError:
        raise
    except DrawingError as error:
        raise PictureError(f"{path} {error}") from error
    except Exception as error:  # a decoder may raise anything over damaged bytes
        raise PictureError(f"{path} {_why_unread(error)}") from error
    return mask_of_image(str(path), picture, level, invert=invert)


def size_of_file(path: Path) -> tuple[int, int] | None:
    """Return the rows and columns of a picture's file as its camera was held; None of a drawing, which has none."""
    content = read_file(path, _LARGEST_FILE)
    if is_drawing(path, content):
        return None
    with _any_size(), Image.open(io.BytesIO(content), formats=FORMATS) as image:
        columns, rows = image.size
        return (columns, rows) if image.getexif().get(_ORIENTATION, 1) in _ON_ITS_SIDE else (rows, columns)


def read_pictures(path: Path, size: int = SIZE, level: float | None = None, *, invert: bool = False) -> dict[str, Mask]:
    """Read a picture, or every picture in a folder, by the name of its file without the ending.

    Args:
        path: a picture's file, or a folder of such files; what is hidden, and what has another ending, is left out.
        size: as in :func:`read_picture`.
        level: as there.
        invert: as there.

    Raises:
        PictureError: as :func:`read_picture`; or the folder holds no picture, or two of one name, in capitals or not.
    """
    if not path.is_dir():
        return {picture_name(picture_text(path.stem, b"")): read_picture(path, size, level, invert=invert)}
    found: dict[str, Mask] = {}
    for file in sorted(path.iterdir()):
        if file.suffix.lower() not in _ENDINGS or file.name.startswith("."):
            continue
        name = picture_name(picture_text(file.stem, b""))
        if name.casefold() in map(str.casefold, found):  # on some systems both would share a results folder
            raise PictureError(f"{path} holds two pictures that are called {name}; give each a name of its own.")
        found[name] = read_picture(file, size, level, invert=invert)
    if not found:
        raise PictureError(f"{path} holds no picture; give a folder of PNG, JPEG, GIF, WebP or SVG files.")
    return found


def otsu_level(grey: NDArray[np.uint8]) -> float:
    """Return the grey that parts a picture best by Otsu's rule (IEEE Trans. SMC 9, 62, 1979).

    It maximizes the variance between the two classes, w₀·w₁·(μ₀ − μ₁)², with w the share of their pixels and μ their
    mean greys; where several cuts do so alike, such as all those between two colours, it is the middle one.

    Args:
        grey: 0 (dark) to 255 (light), of any shape, with at least two different values.

    Returns:
        Between 0 and 1; darker pixels belong to the black class.
    """
    shares = np.bincount(grey.ravel(), minlength=256) / grey.size
    dark = shares.cumsum()[:-1]  # share of pixels up to each grey
    sums = (shares * np.arange(256)).cumsum()
    with np.errstate(invalid="ignore", divide="ignore"):
        between = (sums[-1] * dark - sums[:-1]) ** 2 / (dark * (1 - dark))
    between[(dark <= 0) | (dark >= 1)] = -1
    best = np.flatnonzero(between >= between.max() * (1 - 1e-12))
    return float(best.mean() + 0.5) / 255


def _check(path: Path, image: Image.Image, size: int) -> None:
    """Refuse what would not give a picture, and let a JPEG be decoded no larger than is needed."""
    frames = getattr(image, "n_frames", 1)
    if frames > 1 and image.format != "MPO":  # a JPEG of a phone, with a preview or a map of depth behind it
        raise PictureError(f"{path} is animated ({frames:,} pictures); save one of them, and give that.")
    columns, rows = image.size
    is_progressive = bool(image.info.get("progressive"))
    whole = 2 * len(image.getbands()) * columns * rows if is_progressive else 0
    image.draft(None, (4 * size, 4 * size))  # of JPEG alone: by a power of two, and never below what is asked for
    if (kept := max(whole, image.size[0] * image.size[1] * _BYTES.get(image.mode, 4))) > _LARGEST:
        kind = "progressive, " if is_progressive else ""
        raise PictureError(
            f"{path} has {columns:,}×{rows:,} pixels ({kind}{kept / 2**20:,.0f} MiB); {_LARGEST >> 20} MiB are read. "
            "Scale it down, or save it as a JPEG that is not progressive."
        )


def _reduced(image: Image.Image, size: int) -> Image.Image:
    """Scale a large picture down, band by band, to no less than four times the pixels that are asked for."""
    columns, rows = image.size
    factor = max(image.size) // (4 * size)
    if columns * rows <= AT_ONCE or factor < 2:
        return image
    is_grey = image.mode in ("1", "L") and "transparency" not in image.info
    mode = "I" if image.mode.startswith("I") else "L" if is_grey else "RGBA"
    reduced = Image.new(mode, (-(-columns // factor), -(-rows // factor)))
    together = factor * max(1, AT_ONCE // (columns * factor))  # rows of a band, whose edges are those of its pixels
    for top in range(0, rows, together):
        band = image.crop((0, top, columns, min(top + together, rows)))
        reduced.paste(band.convert(mode).reduce(factor), (0, top // factor))
    if "exif" in image.info:
        reduced.info["exif"] = image.info["exif"]  # how its camera was held
    return reduced


def _turned(image: Image.Image) -> Image.Image:
    """Return the picture as its camera was held, in 8 bits, with its opacity."""
    image = ImageOps.exif_transpose(image)
    if image.mode.startswith("I"):  # 16 bits, or 32 that hold 16
        return Image.fromarray((np.asarray(image).clip(0, 65_535) / 257).round().astype(np.uint8))
    if image.mode == "CMYK":
        image = image.convert("RGB")
    return image.convert("RGBA")


def scaled(image: Image.Image, size: int) -> Image.Image:
    """Return the picture with a longer side of ``size`` pixels at most, each the mean of those that it covers."""
    scale = min(1.0, size / max(image.size))
    columns, rows = (max(1, round(side * scale)) for side in image.size)
    return image.resize((columns, rows), Image.Resampling.BOX)


def mask_of_image(name: str, picture: Image.Image, level: float | None, *, invert: bool) -> Mask:
    """Return a picture as a mask, as :func:`read_picture` does; a refusal names it."""
    columns, rows = picture.size
    if min(rows, columns) < 3:
        raise PictureError(f"{name} comes out with {rows}×{columns} pixels; a mask needs at least 3×3.")
    paper = Image.new("RGBA", picture.size, "white")
    paper.alpha_composite(picture.convert("RGBA"))
    grey = np.asarray(paper.convert("L"))
    if (grey == grey[0, 0]).all():
        raise PictureError(f"{name} has one colour at {rows}×{columns} pixels; give a picture of dark and light.")
    try:
        mask = picture_to_mask(grey / 255, otsu_level(grey) if level is None else level)
    except OneColourError as error:
        raise PictureError(
            f"{name} has one colour at the grey level {level:g}: its greys run from {grey.min() / 255:.2f} to "
            f"{grey.max() / 255:.2f}; give one between them, or auto."
        ) from error
    return ~mask if invert else mask


@contextmanager
def _any_size() -> Iterator[None]:
    """Let Pillow open pictures of any size: it would refuse a JPEG that is scaled while it is decoded."""
    before = Image.MAX_IMAGE_PIXELS
    Image.MAX_IMAGE_PIXELS = None
    try:
        yield
    finally:
        Image.MAX_IMAGE_PIXELS = before


def _why_unread(error: Exception) -> str:
    if isinstance(error, UnidentifiedImageError):
        return "is none of PNG, JPEG, GIF, WebP and SVG, or its head is damaged; save the picture as one of them."
    return f"is damaged ({reason_of(error)}); save the picture anew."
