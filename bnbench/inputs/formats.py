"""How files of data sets are laid out: what they are called, where they are, and what reads them as two sets."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from bnbench.inputs.digits import read_digits
from bnbench.inputs.image_files import Arrays, read_cifar_batch, read_idx, read_svhn

_CIFAR_FOLDER = "cifar-10-batches-py"
_CIFAR100_FOLDER = "cifar-100-python"


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


def _read_cifar100_files(found: Mapping[str, Path]) -> tuple[Arrays, Arrays]:
    train, test = (read_cifar_batch(found[name], "fine_labels") for name in ("train", "test"))
    return train, test


def _read_svhn_files(found: Mapping[str, Path]) -> tuple[Arrays, Arrays]:
    train, test = (read_svhn(found[name]) for name in FORMATS["svhn"].files)
    return train, test


def _idx_names(prefix: str = "") -> dict[str, tuple[str, ...]]:
    """Return the four files of MNIST's format, each with its two spellings."""
    return {
        f"{part}-{kind}": tuple(f"{prefix}{part}-{spelt}-ubyte" for spelt in (kind, kind.replace("-idx", ".idx")))
        for part in ("train", "t10k")
        for kind in ("images-idx3", "labels-idx1")
    }


def _emnist_names() -> dict[str, tuple[str, ...]]:
    """Return EMNIST's four files of the split "balanced", which call the test set ``test``."""
    return {
        name: tuple(spelt.replace("-t10k-", "-test-") for spelt in names)
        for name, names in _idx_names("emnist-balanced-").items()
    }


FORMATS = {
    "scikit-learn": Format(lambda _: read_digits(), {}),
    "idx": Format(_read_idx_files, _idx_names(), "four files train-images-idx3-ubyte and so on, .gz or not"),
    "emnist": Format(
        _read_idx_files,
        _emnist_names(),
        "four files emnist-balanced-train-images-idx3-ubyte and so on, .gz or not",
    ),
    "cifar": Format(
        _read_cifar_files,
        {name: (name,) for name in (*(f"data_batch_{number}" for number in range(1, 6)), "test_batch")},
        f"six files of {_CIFAR_FOLDER}",
        _CIFAR_FOLDER,
    ),
    "cifar100": Format(
        _read_cifar100_files,
        {name: (name,) for name in ("train", "test")},
        f"two files of {_CIFAR100_FOLDER}",
        _CIFAR100_FOLDER,
    ),
    "svhn": Format(
        _read_svhn_files,
        {name: (name,) for name in ("train_32x32.mat", "test_32x32.mat")},
        "two files train_32x32.mat and test_32x32.mat",
    ),
}


def find_files(wanted: Mapping[str, tuple[str, ...]], places: Iterable[Path]) -> dict[str, Path]:
    """Return which files the first place has that has any of them; ``.gz`` may follow each spelling of a name."""
    for place in places:
        found = {
            name: path
            for name, names in wanted.items()
            for path in [next(filter(is_meant, _spellings(place, names)), None)]
            if path
        }
        if found:
            return found
    return {}


def missing_files(layout: Format, found: Mapping[str, Path]) -> list[str]:
    """Return the usual names of the files that were not found."""
    return [names[0] for name, names in layout.files.items() if name not in found]


def is_meant(path: Path) -> bool:
    """Say whether anything but a folder has this name, if only a link that leads nowhere: reading it tells why."""
    return os.path.lexists(path) and not path.is_dir()


def _spellings(place: Path, names: tuple[str, ...]) -> list[Path]:
    return [place / f"{name}{ending}" for ending in ("", ".gz") for name in names]
