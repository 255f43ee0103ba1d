"""Images and labels in a ``.npz`` file of NumPy's, as Keras, MedMNIST and people's own scripts leave them."""

from __future__ import annotations

import io
import math
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bnbench.inputs.image_files import MOST, Arrays, DataError
from bnbench.process.reading import read_file, reason_of

_LARGEST = 2**32  # bytes of all arrays, unpacked, which may be float64
_AT_ONCE = 2**24  # numbers of them that are scaled at once
_SAVE = "save it with np.savez(file, images=…, labels=…)"
_IMAGES, _LABELS = ("x", "images", "data"), ("y", "labels", "targets")


def read_npz(path: Path) -> tuple[Arrays, Arrays | None]:
    """Return the training and the test set of a ``.npz`` file, or all of its images and None where it has no test set.

    Arrays are found by name, in capitals or not: ``x``, ``images`` or ``data`` and ``y``, ``labels`` or ``targets``,
    with ``_train`` and ``_test`` after or ``train_`` and ``test_`` before them where it has both sets. Where no number
    of either set is above 1, white is 1, and else 255.

    Returns:
        Twice pixels 0 to 255, shape (N, C, H, W), and labels, shape (N,).

    Raises:
        DataError: it cannot be read, holds pickled objects, lacks an array, or one of them is of another kind.
    """
    try:
        content = read_file(path)
    except OSError as error:
        raise DataError(
            f"--data {path} cannot be read ({reason_of(error)}); give a .npz file that you may read."
        ) from error
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as packed:
            unpacked = sum(entry.file_size for entry in packed.infolist())
        if unpacked > _LARGEST:
            raise ValueError(f"{unpacked / 2**30:.0f} GiB unpacked; give at most {_LARGEST >> 30} GiB")
        with np.load(io.BytesIO(content), allow_pickle=False) as file:
            pairs = {part: _pair(file.files, part) for part in ("train", "test", "")}
            wanted = {name for pair in pairs.values() if pair for name in pair}
            arrays = {name: file[name] for name in sorted(wanted)}
            names = file.files
    except Exception as error:  # whatever zipfile and NumPy make of damaged bytes
        reason = "it holds pickled objects" if "allow_pickle" in str(error) else reason_of(error)
        raise DataError(f"--data {path} is no .npz file of plain arrays ({reason}); {_SAVE}.") from error
    train = pairs["train"] or pairs[""]
    if not train:
        raise DataError(
            f"--data {path} has no arrays images and labels, nor x_train, y_train, x_test and y_test, but "
            f"{', '.join(names) or 'none at all'}; {_SAVE}."
        )
    test = pairs["test"] if pairs["train"] else None
    is_share = all(_is_share(arrays[images]) for images, _ in filter(None, (train, test)))
    first = _arrays(path, arrays, train, is_share=is_share)
    return first, _arrays(path, arrays, test, is_share=is_share) if test else None


def _pair(names: list[str], part: str) -> tuple[str, str] | None:
    """Return the names of a set's images and labels, if both are there."""
    known = {name.lower(): name for name in names}
    for images, labels in zip(_IMAGES, _LABELS, strict=True):
        others = [labels, *_LABELS]
        for before, after in ((f"{part}_", ""), ("", f"_{part}")) if part else (("", ""),):
            image = known.get(f"{before}{images}{after}")
            label = next((known[name] for other in others if (name := f"{before}{other}{after}") in known), None)
            if image and label:
                return image, label
    return None


def _is_share(values: NDArray[Any]) -> bool:
    """Say whether pixels run from 0 to 1: shares of white, truth values, or the whole numbers 0 and 1."""
    is_number = values.dtype.kind in "biuf" and values.size > 0
    return bool(is_number and 0 <= values.min() <= values.max() <= 1)


def _arrays(path: Path, arrays: Mapping[str, NDArray[Any]], pair: tuple[str, str], *, is_share: bool) -> Arrays:
    pixels = _pixels(path, pair[0], arrays[pair[0]], is_share=is_share)
    labels = _labels(path, pair[1], arrays[pair[1]])
    if len(pixels) != len(labels):
        found = f"{pair[0]} has {len(pixels):,} images and {pair[1]} {len(labels):,} labels"
        raise DataError(f"--data {path}: {found}; give a label for each image.")
    return pixels, labels


def _pixels(path: Path, name: str, values: NDArray[Any], *, is_share: bool) -> NDArray[np.uint8]:
    """Return pixels (N, C, H, W) as bytes, of grey images (N, H, W) or of channels first or last."""
    shape = values.shape
    if values.ndim == 3:
        values = values[:, None]
    elif values.ndim == 4 and shape[3] in (1, 3):
        values = values.transpose(0, 3, 1, 2)
    if values.ndim != 4 or values.shape[1] not in (1, 3) or not values.size:
        raise DataError(
            f"--data {path}: {name} has shape {shape}; give images as (N, rows, columns), grey, or with 1 or 3 "
            "channels, first or last."
        )
    if values.size > MOST:
        raise DataError(
            f"--data {path}: {name} has {len(values):,} images of {math.prod(values.shape[1:]):,} numbers, more than "
            "memory should hold; give fewer, or smaller ones."
        )
    if is_share:
        return _scaled(values)
    is_number = values.dtype.kind in "iuf"
    low, high = (values.min(), values.max()) if is_number else (0, 0)
    is_in_range = is_number and 0 <= low <= high <= 255
    pixels = np.ascontiguousarray(values.astype(np.uint8)) if is_in_range else np.zeros(0, np.uint8)
    if not is_in_range or (pixels != values).any():
        found = f"{values.dtype} from {low:g} to {high:g}" if is_number else str(values.dtype)
        raise DataError(
            f"--data {path}: {name} is {found}; give bytes from 0 to 255, or numbers from 0 to 1, in both sets alike."
        )
    return pixels


def _scaled(values: NDArray[Any]) -> NDArray[np.uint8]:
    """Return shares of white, shape (N, C, H, W), as bytes, some images at a time."""
    pixels = np.empty(values.shape, np.uint8)
    count = max(1, _AT_ONCE // math.prod(values.shape[1:]))
    for start in range(0, len(values), count):
        part = slice(start, start + count)
        pixels[part] = np.round(values[part].astype(np.float64) * 255)
    return pixels


def _labels(path: Path, name: str, values: NDArray[Any]) -> NDArray[np.int64]:
    if values.ndim == 2 and values.shape[1] == 1:
        values = values[:, 0]
    if values.ndim != 1 or values.dtype.kind not in "iub":
        raise DataError(
            f"--data {path}: {name} is {values.dtype} of shape {values.shape}; give a whole number for each image."
        )
    return values.astype(np.int64)
