"""How files of data sets are laid out: what they are called, and what reads them as a training and a test set."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from bnbench.inputs.digits import read_digits
from bnbench.inputs.image_files import Arrays, read_cifar_batch, read_idx

_CIFAR_FOLDER = "cifar-10-batches-py"


@dataclass(frozen=True)
class Format:
    """Files that make up a data set.

    Attributes:
        read: takes the path of each file by name; returns training and test set.
        files: each file's name to the spellings of it; none where the images come with a package.
        wanted: the files in words, for a message.
        folder: name of the folder that all such data sets are unpacked into, if there is one.
    """

    read: Callable[[Mapping[str, Path]], tuple[Arrays, Arrays]]
    files: Mapping[str, tuple[str, ...]]
    wanted: str = ""
    folder: str = ""


def _read_idx_files(found: Mapping[str, Path]) -> tuple[Arrays, Arrays]:
    train, test = (read_idx(found[f"{part}-images-idx3"], found[f"{part}-labels-idx1"]) for part in ("train", "t10k"))
    return train, test


def _read_cifar_files(found: Mapping[str, Path]) -> tuple[Arrays, Arrays]:
    batches = {name: read_cifar_batch(path) for name, path in found.items()}
    trained = [batches[name] for name in FORMATS["cifar"].files if name != "test_batch"]
    pixels, labels = (np.concatenate(values) for values in zip(*trained, strict=True))
    return (pixels, labels), batches["test_batch"]


FORMATS = {
    "scikit-learn": Format(lambda _: read_digits(), {}),
    "idx": Format(
        _read_idx_files,
        {
            f"{part}-{kind}": (f"{part}-{kind}-ubyte", f"{part}-{kind.replace('-idx', '.idx')}-ubyte")
            for part in ("train", "t10k")
            for kind in ("images-idx3", "labels-idx1")
        },
        "four files train-images-idx3-ubyte and so on, .gz or not",
    ),
    "cifar": Format(
        _read_cifar_files,
        {name: (name,) for name in (*(f"data_batch_{number}" for number in range(1, 6)), "test_batch")},
        f"six files of {_CIFAR_FOLDER}",
        _CIFAR_FOLDER,
    ),
}
