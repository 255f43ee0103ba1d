"""Data sets as tensors in memory: loaded once per process, pooled and standardized."""

from __future__ import annotations

import gzip
import os
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from bnbench.errors import RequestError
from bnbench.sections import DataProtocol, MeasurementProtocol

DATASETS_FOLDER = "BNBENCH_DATASETS"  # names the folder of this machine's data sets, instead of those below
CACHE = Path.home() / ".cache" / "bnbench"
DEBIAN = Path("/usr/share/datasets")
_DIGITS_TRAINED = 1_297
_TORCHVISION = {"fashion-mnist": "FashionMNIST", "mnist": "MNIST", "cifar10": "CIFAR10"}

Arrays = tuple[NDArray[np.uint8], NDArray[np.int64]]


class DataError(RequestError):
    """A data set is not there or does not fit the protocol; the message says how to get it."""


@dataclass(frozen=True)
class Images:
    """Images with their classes.

    Attributes:
        pixels: standardized images, float, shape (N, C, H, W).
        labels: classes from 0, int64, shape (N,).
    """

    pixels: Tensor
    labels: Tensor

    def __len__(self) -> int:
        return len(self.labels)

    def first(self, count: int) -> Images:
        """The first ``count`` images; 0 means all."""
        return self if count == 0 else Images(self.pixels[:count], self.labels[:count])

    def to(self, device: str | torch.device, dtype: torch.dtype = torch.float32) -> Images:
        """The images on a device; labels stay whole numbers."""
        return Images(self.pixels.to(device, dtype), self.labels.to(device))


@dataclass(frozen=True)
class DataSet:
    """Images to train on, and images that the protocol measures on.

    Attributes:
        train: the training images, without the held-out ones.
        train_sample: the first few of them, to measure the training loss on.
        measured: images of the split that the protocol names.
        classes: number of classes.
    """

    train: Images
    train_sample: Images
    measured: Images
    classes: int

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """Channels, rows and columns of an image."""
        channels, rows, columns = self.train.pixels.shape[1:]
        return channels, rows, columns

    def to(self, device: str | torch.device) -> DataSet:
        """The whole data set on a device."""
        moved = {name: getattr(self, name).to(device) for name in ("train", "train_sample", "measured")}
        return replace(self, **moved)


@lru_cache(maxsize=2)
def load_data(
    data: DataProtocol, measurement: MeasurementProtocol, folder: Path | None = None, download: bool = False
) -> DataSet:
    """Load, pool, split and standardize a data set; once per process.

    Images are average-pooled by ``data.pool``, then standardized by mean and deviation (one number
    per channel) of the images trained on. The last ``data.held_out`` training images are held out.

    Args:
        data: which data set, pooling and split.
        measurement: which images the accuracies are measured on, and how many.
        folder: torchvision's folder of data sets; by default Debian's package, then ``~/.cache/bnbench``.
        download: let torchvision download what is missing.

    Raises:
        DataError: the data set is missing, or the protocol asks for more than it has.
    """
    (train_pixels, train_labels), (test_pixels, test_labels) = _read(data.dataset, folder, download)
    trained = len(train_labels) - data.held_out
    if trained < 2:
        raise DataError(
            f"--held-out {data.held_out} leaves no images to train on: {data.dataset} has {len(train_labels)}."
        )
    pooled = [_pooled(pixels, data.pool) for pixels in (train_pixels, test_pixels)]
    exact = pooled[0][:trained].double()  # float32 sums depend on the number of threads
    mean = exact.mean((0, 2, 3), keepdim=True).float()
    deviation = exact.std((0, 2, 3), keepdim=True).float()
    train, test = (
        Images((pixels - mean) / deviation, torch.from_numpy(labels))
        for pixels, labels in zip(pooled, (train_labels, test_labels), strict=True)
    )
    held_out = Images(train.pixels[trained:], train.labels[trained:])
    train = train.first(trained)
    measured = _first(
        test if measurement.split == "test" else held_out, measurement.test_images, "--test-images", measurement.split
    )
    sample = _first(train, measurement.train_images, "--train-images", "training")
    return DataSet(train, sample, measured, classes=int(train_labels.max()) + 1)


def _first(images: Images, count: int, option: str, split: str) -> Images:
    if count > len(images) or len(images) < 2:
        raise DataError(
            f"{option} {count} is more than the {len(images)} {split} images that there are; give fewer (0 takes all)."
        )
    return images.first(count)


def _pooled(pixels: NDArray[np.uint8], factor: int) -> Tensor:
    images = torch.from_numpy(pixels).float() / 255
    rows, columns = images.shape[2:]
    if rows % factor or columns % factor:
        raise DataError(f"--pool {factor} does not divide the {rows}×{columns} images; give a factor that does.")
    return F.avg_pool2d(images, factor) if factor > 1 else images


def _read(dataset: str, folder: Path | None, download: bool) -> tuple[Arrays, Arrays]:
    """Both parts as they come: pixels 0 to 255, shape (N, C, H, W), and labels."""
    if dataset == "digits":
        return _digits()
    here = _machine_folder() / "fashion-mnist"
    if dataset == "fashion-mnist" and folder is None and here.is_dir():
        try:
            return _debian(here, "train"), _debian(here, "t10k")
        except (OSError, EOFError, ValueError) as error:
            raise DataError(
                f"--dataset {dataset}: {here} cannot be read ({error}); install its package anew."
            ) from error
    folder = folder or CACHE
    try:
        return _torchvision(dataset, folder, True, download), _torchvision(dataset, folder, False, download)
    except (RuntimeError, OSError, EOFError, ValueError) as error:
        debian = "install Debian's package dataset-fashion-mnist; " if dataset == "fashion-mnist" else ""
        elsewhere = "" if dataset == "fashion-mnist" else "use --profile smoke, whose digits come with scikit-learn; "
        why = f" ({error})" if download else ""
        raise DataError(
            f"--dataset {dataset} is not on this machine{why}: {debian}add --download to fetch it with torchvision; "
            f"{elsewhere}or give --data-folder, the folder that torchvision keeps it in (now {folder})."
        ) from error


def _digits() -> tuple[Arrays, Arrays]:
    """Real 8×8 digits of scikit-learn; the last 500 come from other writers and are the test set."""
    from sklearn.datasets import load_digits  # takes a second to import

    bunch = load_digits()
    pixels = np.round(bunch.images * (255 / 16)).astype(np.uint8)[:, None]
    labels = bunch.target.astype(np.int64)
    return (pixels[:_DIGITS_TRAINED], labels[:_DIGITS_TRAINED]), (pixels[_DIGITS_TRAINED:], labels[_DIGITS_TRAINED:])


def _machine_folder() -> Path:
    """Where data sets are that this machine's packages have installed; a variable hides them from the tests."""
    return Path(os.environ.get(DATASETS_FOLDER) or DEBIAN)


def _debian(folder: Path, part: str) -> Arrays:
    """One part of Debian's FashionMNIST: IDX files, a header of 16 or 8 bytes before the values."""
    pixels, labels = (
        np.frombuffer(gzip.decompress((folder / f"{part}-{kind}-ubyte.gz").read_bytes()), np.uint8, offset=offset)
        for kind, offset in (("images-idx3", 16), ("labels-idx1", 8))
    )
    return pixels.reshape(-1, 1, 28, 28).copy(), labels.astype(np.int64)


def _torchvision(dataset: str, folder: Path, train: bool, download: bool) -> Arrays:
    import torchvision  # takes two seconds to import

    source = getattr(torchvision.datasets, _TORCHVISION[dataset])(folder, train=train, download=download)
    pixels = np.asarray(source.data)
    channels_first = pixels[:, None] if pixels.ndim == 3 else pixels.transpose(0, 3, 1, 2)
    return np.ascontiguousarray(channels_first), np.asarray(source.targets, np.int64)
