"""Files of images and labels as arrays: IDX as MNIST's, the batches of CIFAR-10 and CIFAR-100, and SVHN's."""

from __future__ import annotations

import gzip
import io
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bnbench.errors import RequestError
from bnbench.process.reading import read_file, reason_of

MOST = 2**29  # numbers of a user's own set of images; on their way to a network each takes some sixteen bytes
_UNSIGNED_BYTES = 8
_GZIP = b"\x1f\x8b"
# What a batch of CIFAR is pickled with; a file that names anything else is not run.
_PICKLED = {
    *((f"numpy.{core}.multiarray", "_reconstruct") for core in ("core", "_core")),
    *((f"numpy.{core}.numeric", "_frombuffer") for core in ("core", "_core")),
    *(("numpy", name) for name in ("ndarray", "dtype")),
    ("_codecs", "encode"),
}

Arrays = tuple[NDArray[np.uint8], NDArray[np.int64]]


class DataError(RequestError):
    """A data set is not there or does not fit the protocol; the message says how to get it."""


def read_idx(images: Path, labels: Path) -> Arrays:
    """Return the images and labels of two IDX files, packed by gzip or not, whatever they are called.

    Returns:
        Pixels 0 to 255, shape (N, 1, H, W), and labels, shape (N,).

    Raises:
        DataError: a file cannot be read or is not whole, or the two do not belong together.
    """
    pixels, classes = _read(images, lambda content: _idx(content, 3)), _read(labels, lambda content: _idx(content, 1))
    return _matching(images, pixels[:, None], labels, classes.astype(np.int64))


def read_cifar_batch(path: Path, labels_name: str = "labels") -> Arrays:
    """Return the images and labels of one pickled batch of CIFAR; of what a pickle may run, arrays alone are made.

    Args:
        path: which file.
        labels_name: what its labels are called: ``labels`` in CIFAR-10, ``fine_labels`` in CIFAR-100.

    Returns:
        Pixels 0 to 255, shape (N, 3, 32, 32), and labels, shape (N,).

    Raises:
        DataError: it cannot be read, or is something else.
    """
    entry = _read(path, lambda content: _Batch(io.BytesIO(content), encoding="latin1").load())
    try:
        pixels, labels = np.asarray(entry["data"]), np.asarray(entry[labels_name])
        if pixels.dtype != np.uint8 or pixels.shape[1:] != (3 * 32 * 32,):
            raise ValueError
        if labels.dtype.kind not in "iu" or labels.ndim != 1 or labels.min() < 0:  # of none there is no smallest one
            raise ValueError
    except (KeyError, TypeError, IndexError, ValueError):
        name = "CIFAR-10" if labels_name == "labels" else "CIFAR-100"
        raise DataError(f"{path} is no batch of {name} (bytes of shape (N, 3072) and N {labels_name}).") from None
    return _matching(path, pixels.reshape(-1, 3, 32, 32), path, labels.astype(np.int64))


def read_svhn(path: Path) -> Arrays:
    """Return the images and labels of one of SVHN's two MATLAB files, in which the label of a zero is 10.

    Returns:
        Pixels 0 to 255, shape (N, 3, H, W), and labels, shape (N,), a zero's 0.

    Raises:
        DataError: it cannot be read, or is something else.
    """
    from scipy.io import loadmat

    def decode(content: bytes) -> Any:
        file: Any = io.BytesIO(content)  # scipy's stubs know of paths alone
        return loadmat(file, variable_names=("X", "y"))

    entry = _read(path, decode)
    pixels, labels = np.asarray(entry.get("X")), np.asarray(entry.get("y")).reshape(-1)
    is_whole = pixels.dtype == np.uint8 and pixels.ndim == 4 and pixels.shape[2] == 3 and pixels.size
    if not is_whole or labels.dtype.kind not in "iu" or not ((labels >= 1) & (labels <= 10)).all():
        raise DataError(f"{path} is no file of SVHN (X, bytes of shape (H, W, 3, N), and y, N labels from 1 to 10).")
    return _matching(path, pixels.transpose(3, 2, 0, 1), path, labels.astype(np.int64) % 10)


def _read(path: Path, decode: Callable[[bytes], Any]) -> Any:
    """Return a file's content; whatever is wrong with it is named, and nothing is fetched in its place."""
    try:
        content = read_file(path)
    except OSError as error:
        raise DataError(f"{path} cannot be read ({reason_of(error)}); give a file that can.") from error
    try:
        return decode(gzip.decompress(content) if content.startswith(_GZIP) else content)
    except Exception as error:  # damaged bytes may make an unpickler raise anything
        raise DataError(
            f"{path} is damaged ({reason_of(error)}); take it away and put a whole copy there, or let --download fetch "
            "the set anew into an empty folder."
        ) from error


def _idx(content: bytes, dimensions: int) -> NDArray[np.uint8]:
    """Return the values of an IDX file: two zeros, a type, a number of dimensions, each size in four bytes, values."""
    kind, found = (content[2], content[3]) if content[:2] == b"\0\0" and len(content) > 4 else (0, 0)
    if (kind, found) != (_UNSIGNED_BYTES, dimensions):
        raise ValueError(
            f"it begins with {content[:4].hex(' ') or 'nothing'}, and an IDX file of bytes in {dimensions} dimensions "
            f"with 00 00 08 0{dimensions}"
        )
    start = 4 + 4 * dimensions
    shape = tuple(np.frombuffer(content[4:start].ljust(start - 4, b"\0"), ">u4").astype(int).tolist())
    if 0 in shape:
        raise ValueError(f"its head promises {'×'.join(map(str, shape))} values: none")
    expected, there = int(np.prod(shape)), len(content) - start
    if there != expected:
        raise ValueError(f"it holds {max(there, 0):,} values, and its head promises {expected:,}")
    return np.frombuffer(content, np.uint8, offset=start).reshape(shape).copy()


class _Batch(pickle.Unpickler):
    """Reads arrays and plain values; whatever else a pickle asks for is refused."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in _PICKLED:
            raise pickle.UnpicklingError(f"it asks for {module}.{name}, which no batch of images needs")
        return super().find_class(module, name)


def _matching(images: Path, pixels: NDArray[np.uint8], labels: Path, classes: NDArray[np.int64]) -> Arrays:
    if len(pixels) != len(classes):
        raise DataError(f"{images} has {len(pixels):,} images and {labels} has {len(classes):,} labels; give a pair.")
    return np.ascontiguousarray(pixels), classes
