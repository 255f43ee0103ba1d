"""Tiny data sets in the formats that people have them in, written into a folder."""

from __future__ import annotations

import gzip
import pickle
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.io import savemat

PARTS = {"train": 40, "t10k": 20}


def idx(values: NDArray[np.uint8]) -> bytes:
    """An IDX file of bytes."""
    return bytes([0, 0, 8, values.ndim]) + b"".join(size.to_bytes(4, "big") for size in values.shape) + values.tobytes()


def tiny(seed: int = 0, size: int = 8, classes: int = 10) -> dict[str, NDArray[np.uint8]]:
    """Images and labels of a set in MNIST's format: file name to values."""
    random = np.random.default_rng(seed)
    values: dict[str, NDArray[np.uint8]] = {}
    for part, count in PARTS.items():
        values[f"{part}-images-idx3-ubyte"] = random.integers(256, size=(count, size, size), dtype=np.uint8)
        values[f"{part}-labels-idx1-ubyte"] = (np.arange(count) % classes).astype(np.uint8)
    return values


def write_idx(folder: Path, *, packed: bool = False, seed: int = 0, size: int = 8, classes: int = 10) -> Path:
    """A tiny set in MNIST's format, each file packed by gzip or not."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, values in tiny(seed, size, classes).items():
        content = idx(values)
        (folder / f"{name}{'.gz' if packed else ''}").write_bytes(gzip.compress(content) if packed else content)
    return folder


def write_emnist(folder: Path, *, packed: bool = False) -> Path:
    """A tiny set in the format of EMNIST's split balanced, which calls its test set so."""
    for path in sorted(write_idx(folder, packed=packed).iterdir()):
        path.rename(path.with_name(f"emnist-balanced-{path.name.replace('t10k', 'test')}"))
    return folder


def write_cifar100(folder: Path, classes: int = 100) -> Path:
    """A tiny set in the format of CIFAR-100's Python version, as many images as classes in each part."""
    folder.mkdir(parents=True, exist_ok=True)
    random = np.random.default_rng(0)
    for name in ("train", "test"):
        pixels = random.integers(256, size=(classes, 3072), dtype=np.uint8)
        batch = {"data": pixels, "fine_labels": [*range(classes)], "coarse_labels": [0] * classes, "filenames": []}
        (folder / name).write_bytes(pickle.dumps(batch, protocol=2))
    return folder


def write_svhn(folder: Path) -> Path:
    """A tiny set in the format of SVHN's cropped digits."""
    folder.mkdir(parents=True, exist_ok=True)
    random = np.random.default_rng(0)
    for part, count in (("train", 40), ("test", 20)):
        pixels = random.integers(256, size=(8, 6, 3, count), dtype=np.uint8)
        labels = (np.arange(count) % 10 + 1).astype(np.uint8)[:, None]
        savemat(folder / f"{part}_32x32.mat", {"X": pixels, "y": labels})
    return folder


def write_cifar(folder: Path, seed: int = 0) -> Path:
    """A tiny set in the format of CIFAR-10's Python version."""
    folder.mkdir(parents=True, exist_ok=True)
    random = np.random.default_rng(seed)
    for name in (*(f"data_batch_{number}" for number in range(1, 6)), "test_batch"):
        pixels = random.integers(256, size=(20, 3072), dtype=np.uint8)
        batch = {"data": pixels, "labels": [number % 10 for number in range(20)], "filenames": []}
        (folder / name).write_bytes(pickle.dumps(batch, protocol=2))
    return folder
