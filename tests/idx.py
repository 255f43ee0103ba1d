"""Tiny data sets in the formats that people have them in, written into a folder."""

from __future__ import annotations

import gzip
import pickle
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

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


def write_cifar(folder: Path, seed: int = 0) -> Path:
    """A tiny set in the format of CIFAR-10's Python version."""
    folder.mkdir(parents=True, exist_ok=True)
    random = np.random.default_rng(seed)
    for name in (*(f"data_batch_{number}" for number in range(1, 6)), "test_batch"):
        pixels = random.integers(256, size=(20, 3072), dtype=np.uint8)
        batch = {"data": pixels, "labels": [number % 10 for number in range(20)], "filenames": []}
        (folder / name).write_bytes(pickle.dumps(batch, protocol=2))
    return folder
