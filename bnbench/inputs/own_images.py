"""A user's own images: a folder of image files or of IDX files, or a ``.npz`` file, checked, split and shuffled."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bnbench.inputs.formats import FORMATS, find_files, missing_files
from bnbench.inputs.image_files import MOST, Arrays, DataError
from bnbench.inputs.image_folders import read_image_folders
from bnbench.inputs.npz_files import read_npz
from bnbench.inputs.seeds import seed_sequence
from bnbench.protocol.datasets import DATASETS, OWN

_TEST_SHARE = 5  # where there is no test set, one image in so many of each class becomes one
_MOST_CLASSES = 10_000


def read_own_images(path: Path | None) -> tuple[Arrays, Arrays]:
    """Return a user's own training and test set, in an order that is random and always the same.

    Files lie in the order of their classes, and what is measured or held out is the first or last images of a set:
    so both are shuffled, keyed by their number alone. Where there is no test set, one image in five of each class, at
    least one, becomes the test set.

    Args:
        path: a ``.npz`` file (:func:`bnbench.inputs.npz_files.read_npz`), or a folder of the four IDX files of MNIST's
            format or of images (:func:`bnbench.inputs.image_folders.read_image_folders`).

    Returns:
        Twice pixels 0 to 255, shape (N, C, H, W), and labels from 0 on, shape (N,).

    Raises:
        DataError: nothing is there that is read, or its labels are not those of at least two classes from 0 on.
    """
    if path is None:
        raise DataError("--dataset own: give --data-folder, the folder or the .npz file of your images.")
    train, test = _read(path)
    _check_labels(path, train[1])
    if test is None:
        train, test = _split(path, *train)
    return _shuffled(*train, part=1), _shuffled(*test, part=2)


def _read(path: Path) -> tuple[Arrays, Arrays | None]:
    if not os.path.lexists(path):
        known = [name for name in DATASETS if name != OWN]
        raise DataError(
            f"--data {path}: there is no such folder or file, and no data set is called so; give a folder of images, a "
            f".npz file, or {', '.join(known[:-1])} or {known[-1]}."
        )
    if path.suffix.lower() == ".npz" and not path.is_dir():
        return read_npz(path)
    try:
        names = sorted(entry.name for entry in path.iterdir())
        layout = FORMATS["idx"]
        if found := find_files(layout.files, [path, path / "raw"]):
            if missing := missing_files(layout, found):
                raise DataError(f"--data {path} has no {missing[0]}, only {', '.join(names[:4])}; add it.")
            return _checked(path, layout.read(found))
        if images := read_image_folders(path):
            return images
    except OSError as error:
        reason = "it is no folder and no .npz file" if isinstance(error, NotADirectoryError) else error.strerror
        raise DataError(f"--data {path} cannot be read ({reason}); give one that can.") from error
    raise DataError(
        f"--data {path} holds {', '.join(names[:4]) or 'nothing'}, and no images that are read; give a folder with one "
        "folder of images for each class, four IDX files such as train-images-idx3-ubyte, or a .npz file."
    )


def _checked(path: Path, sets: tuple[Arrays, Arrays]) -> tuple[Arrays, Arrays]:
    """Refuse IDX files of more numbers than memory should hold; of other files that is known before they are read."""
    if (count := max(pixels.size for pixels, _ in sets)) > MOST:
        raise DataError(
            f"--data {path}: a set of {count:,} numbers is more than memory should hold; give fewer images."
        )
    return sets


def _check_labels(path: Path, labels: NDArray[np.int64]) -> None:
    """Refuse labels that are not 0, 1 and so on: a network would have outputs that nothing trains."""
    if labels.min() < 0 or labels.max() >= _MOST_CLASSES:
        odd = labels.min() if labels.min() < 0 else labels.max()
        raise DataError(f"--data {path}: the label {odd} is none; give whole numbers from 0 on, one for each class.")
    counts = np.bincount(labels)
    if len(counts) < 2:
        raise DataError(f"--data {path}: every training image has the label 0; give at least two classes.")
    if not counts.all():
        raise DataError(
            f"--data {path}: labels go up to {len(counts) - 1}, and no training image has the label "
            f"{int(np.argmin(counts))}; number the classes from 0 without a gap."
        )


def _split(path: Path, pixels: NDArray[np.uint8], labels: NDArray[np.int64]) -> tuple[Arrays, Arrays]:
    """Take one image in five of each class for the test set, the first ones in a fixed random order."""
    order = _order(len(labels), 0)
    is_test = np.zeros(len(labels), bool)
    for label, count in enumerate(np.bincount(labels)):
        if count < 2:
            raise DataError(f"--data {path}: class {label} has one image; give two, for training and for the test set.")
        of_class = order[labels[order] == label]
        is_test[of_class[: max(1, count // _TEST_SHARE)]] = True
    return (pixels[~is_test], labels[~is_test]), (pixels[is_test], labels[is_test])


def _shuffled(pixels: NDArray[np.uint8], labels: NDArray[np.int64], *, part: int) -> Arrays:
    order = _order(len(labels), part)
    return pixels[order], labels[order]


def _order(count: int, part: int) -> NDArray[np.int64]:
    """Return places of so many images in random order: raw words of PCG64, whose stream is fixed, are sorted."""
    return np.argsort(np.random.PCG64(seed_sequence("split", 0, part)).random_raw(count), kind="stable")
