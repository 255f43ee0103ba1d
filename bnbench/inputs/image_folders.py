"""Folders of image files, one for each class, as torchvision's ImageFolder lays them out."""

from __future__ import annotations

import io
import warnings
from collections.abc import Sequence
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from bnbench.inputs.image_files import MOST, Arrays, DataError
from bnbench.process.reading import read_file, reason_of
from bnbench.wording import counted

if TYPE_CHECKING:
    from PIL import Image

_ENDINGS = (".png", ".jpg", ".jpeg", ".ppm", ".pgm", ".bmp", ".tif", ".tiff", ".webp", ".gif")
_FORMATS = ("PNG", "JPEG", "PPM", "BMP", "TIFF", "WEBP", "GIF")  # of these endings, whatever a file's name is
_GREY = ("1", "L", "LA", "La")  # and the kinds of 16 bits, which begin with I
_CHANNELS = 3  # that each image counts as: which are grey is known last
_TEST = ("test", "val")  # names of the folder of test images, the first one there

Bytes = NDArray[np.uint8]


def read_image_folders(folder: Path) -> tuple[Arrays, Arrays | None] | None:
    """Return the training and the test set of a folder, or all of its images and None where it has no test set.

    It holds ``train/`` and ``test/`` (or ``val/``), each with a folder for each class, or these folders at once. A
    class is numbered by its name's place in the alphabet. Images are grey where all of them are, else in red, green and
    blue; what is transparent is white paper.

    Returns:
        Twice pixels 0 to 255, shape (N, C, H, W), and labels, shape (N,); None where it holds no image in a folder.

    Raises:
        DataError: an image cannot be read, has another size than the first, a class has no image, or the test set has a
            class that the training set lacks.
    """
    tops = _sets(folder)
    files = [_files(top) for top in tops]
    if not any(files[0].values()):
        return None
    for top, of_classes in zip(tops, files, strict=True):
        if empty := [name for name, paths in of_classes.items() if not paths]:
            raise DataError(f"--data {folder}: {top / empty[0]} holds no image ({', '.join(_ENDINGS)}); take it away.")
    classes = list(files[0])
    if len(classes) < 2:
        raise DataError(f"--data {folder} has one class, {classes[0]}; give a folder for each of at least two classes.")
    if unknown := sorted(files[-1].keys() - files[0].keys()):
        raise DataError(
            f"--data {folder}: {tops[-1]} has the class {unknown[0]}, which {tops[0]} lacks; give both the same."
        )
    if not all(files):
        raise DataError(f"--data {folder}: {tops[1]} holds no folder of a class; give one for each class.")
    pixels = _read_all(folder, list(chain.from_iterable(chain.from_iterable(one.values()) for one in files)))
    numbers = [[classes.index(name) for name, paths in one.items() for _ in paths] for one in files]
    train = len(numbers[0])
    first = pixels[:train], np.array(numbers[0], np.int64)
    return first, (pixels[train:], np.array(numbers[1], np.int64)) if len(tops) > 1 else None


def _sets(folder: Path) -> list[Path]:
    """Return the folders of the training and, if there is one, of the test set; a class may be called train, too."""
    if not _folders(folder / "train"):
        return [folder]
    return [folder / "train", *[folder / name for name in _TEST if (folder / name).is_dir()][:1]]


def _folders(top: Path) -> list[Path]:
    """Return the folders in a folder, in alphabetical order, without hidden ones; nothing has none."""
    if not top.is_dir():
        return []
    return sorted(path for path in top.iterdir() if path.is_dir() and not path.name.startswith("."))


def _files(top: Path) -> dict[str, list[Path]]:
    """Return each class in alphabetical order, with the image files below its folder, without hidden ones."""
    return {
        folder.name: sorted(
            path
            for path in folder.rglob("*")
            if path.suffix.lower() in _ENDINGS and not _is_hidden(path.relative_to(folder)) and not path.is_dir()
        )
        for folder in _folders(top)
    }


def _is_hidden(path: Path) -> bool:
    """Say whether a file, or a folder on the way to it, is hidden, such as the copies of notebooks."""
    return any(part.startswith(".") for part in path.parts)


def _read_all(folder: Path, paths: Sequence[Path]) -> Bytes:
    """Return all images of one size, shape (N, C, H, W); C is 1 where all of them are grey."""
    images: list[Bytes] = []
    for path in paths:
        image = _read(path, images[0].shape[:2] if images else None, paths[0], len(paths))
        images.append(image)
    channels = max(image.shape[2] for image in images)
    pixels = np.empty((len(images), channels, *images[0].shape[:2]), np.uint8)
    for number, image in enumerate(images):
        pixels[number] = image.transpose(2, 0, 1)  # a grey one among colours stands in each channel
    return pixels


def _read(path: Path, size: tuple[int, ...] | None, first: Path, count: int) -> Bytes:
    """Return one image, shape (H, W, 1 or 3)."""
    from PIL import Image

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of what is large or oddly written; what matters is checked here
            with Image.open(io.BytesIO(read_file(path)), formats=_FORMATS) as image:
                here = (image.height, image.width)
                if here == (size or here) and count * _CHANNELS * here[0] * here[1] <= MOST:
                    return _bytes(image)
    except Exception as error:  # damaged bytes may make a decoder raise anything
        raise DataError(
            f"--data: the image {path} cannot be read ({reason_of(error)}); mend it or take it away."
        ) from error
    if size and here != size:
        sizes = ("×".join(map(str, one)) for one in (here, size))
        raise DataError(
            f"--data: {path} has {next(sizes)} pixels, and {first} has {next(sizes)}; give images of one size."
        )
    raise DataError(
        f"--data: {counted(count, 'image')} of {here[0]}×{here[1]} pixels, such as {path}, are more than memory should "
        "hold; make them smaller."
    )


def _bytes(image: Image.Image) -> Bytes:
    """Return the pixels of an image of Pillow's, on white paper, bytes of shape (H, W, 1 or 3)."""
    frames = getattr(image, "n_frames", 1)
    if frames > 1 and image.format != "MPO":  # a JPEG of a phone, with a preview behind it
        raise ValueError(f"it holds {frames:,} pictures")
    if image.mode == "F":
        raise ValueError("its pixels are fractions, of which nothing says what is white")
    if image.mode.startswith("I"):  # 16 bits, or 32 that hold 16
        return np.round(np.clip(np.asarray(image, np.float64), 0, 65_535) / 257).astype(np.uint8)[..., None]
    if image.mode in _GREY and "transparency" not in image.info:
        grey = np.asarray(image.convert("LA"), np.float64)
        return _on_paper(grey)
    return _on_paper(np.asarray(image.convert("RGBA"), np.float64))


def _on_paper(values: NDArray[np.float64]) -> Bytes:
    """Return colours with opacity, 0 to 255, shape (H, W, C + 1), as they look on white paper."""
    opacity = values[..., -1:] / 255
    return np.round(values[..., :-1] * opacity + 255 * (1 - opacity)).astype(np.uint8)
