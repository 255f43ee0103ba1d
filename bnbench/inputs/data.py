"""Data sets as tensors in memory: loaded once per process, pooled, and standardized or left in [0, 1]."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from bnbench.inputs.datasets import read_dataset
from bnbench.inputs.image_files import DataError
from bnbench.inputs.masks import LUMINANCE
from bnbench.mpo.images import Images
from bnbench.protocol.datasets import DATASETS, asked_as
from bnbench.protocol.protocol import Protocol
from bnbench.protocol.sections import DataProtocol, MeasurementProtocol

__all__ = ["DataError", "DataSet", "Images", "load_data", "load_data_of"]


@dataclass(frozen=True)
class DataSet:
    """Images to train on, and images that the protocol measures on.

    Attributes:
        train: the training images, without the held-out ones.
        train_sample: the first few of them, to measure the training loss on.
        measured: images of the split that the protocol names.
        classes: number of classes.
        digest: of all images and labels as they were read, see :func:`bnbench.inputs.datasets.digest_of`.
        content: the digest where the images are not those that the data set is known for; else empty. It is
            the protocol's ``content``.
    """

    train: Images
    train_sample: Images
    measured: Images
    classes: int
    digest: str = ""
    content: str = ""

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """Return the channels, rows and columns of an image."""
        channels, rows, columns = self.train.pixels.shape[1:]
        return channels, rows, columns

    def to(self, device: str | torch.device) -> DataSet:
        """Return the whole data set on a device."""
        moved = {name: getattr(self, name).to(device) for name in ("train", "train_sample", "measured")}
        return replace(self, **moved)


@lru_cache(maxsize=2)
def load_data(
    data: DataProtocol, measurement: MeasurementProtocol, folder: Path | None = None, download: bool = False
) -> DataSet:
    """Load, pool, split and scale a data set; once per process.

    Images are made grey if ``data.grey`` says so, average-pooled by ``data.pool``, then standardized by mean and
    deviation (one number per channel) of the images trained on, or left in [0, 1], as ``data.inputs`` says. The last
    ``data.held_out`` training images are held out.

    Args:
        data: which data set, pooling and split.
        measurement: which images the accuracies are measured on, and how many.
        folder: where the files lie, see :func:`bnbench.inputs.datasets.read_dataset`.
        download: let torchvision download what is missing.

    Raises:
        DataError: the data set is missing, or the protocol asks for more than it has.
    """
    (train_pixels, train_labels), (test_pixels, test_labels), digest = read_dataset(data.dataset, folder, download)
    _check_parts(data.dataset, train_pixels, test_pixels, train_labels, test_labels)
    trained = len(train_labels) - data.held_out
    if trained < 2:
        raise DataError(
            f"--held-out {data.held_out} leaves no images to train on: {data.dataset} has {len(train_labels)}; "
            "give a smaller number."
        )
    pooled = [_pooled(_in_colours(pixels, data), data.pool) for pixels in (train_pixels, test_pixels)]
    exact = pooled[0][:trained].double()  # float32 sums depend on the number of threads
    mean = exact.mean((0, 2, 3), keepdim=True).float()
    deviation = exact.std((0, 2, 3), keepdim=True).float()
    if not deviation.all():
        channel = (deviation.flatten() == 0).nonzero()[0].item()
        raise DataError(
            f"{asked_as(data.dataset)}: channel {channel} of the images trained on is the same throughout; give images "
            "in which it varies, or --grey for images in colour."
        )
    if data.inputs == "unit":
        mean, deviation = torch.zeros_like(mean), torch.ones_like(deviation)
    train, test = (
        Images((pixels - mean) / deviation, torch.from_numpy(labels))
        for pixels, labels in zip(pooled, (train_labels, test_labels), strict=True)
    )
    held_out = train.part(trained)
    train = train.first(trained)
    measured = _first(
        test if measurement.split == "test" else held_out, measurement.test_images, "--test-images", measurement.split
    )
    sample = _first(train, measurement.train_images, "--train-images", "training")
    content = "" if digest == DATASETS[data.dataset].digest else digest
    return DataSet(train, sample, measured, int(train_labels.max()) + 1, digest, content)


def load_data_of(protocol: Protocol, folder: Path | None = None, download: bool = False) -> DataSet:
    """Return the data set of a protocol whose images are settled: those that its fits were made on, or will be.

    A protocol from before digests were kept has none: then they are the known images, or any where none are known.

    Args:
        protocol: which data set, its ``content``, and what is measured.
        folder: as in :func:`load_data`.
        download: as in :func:`load_data`.

    Raises:
        DataError: as :func:`load_data`, or the images here are others.
    """
    found = load_data(protocol.data, protocol.measurement, folder, download)
    if found.content != protocol.content and (protocol.content or DATASETS[protocol.data.dataset].digest):
        here = replace(protocol, content=found.content)
        raise DataError(
            f"{asked_as(protocol.data.dataset)}: the images here are {here.images}, those of the fits are "
            f"{protocol.images}; give --data-folder with those."
        )
    return found


def _first(images: Images, count: int, option: str, split: str) -> Images:
    if count > len(images) or len(images) < 2:
        raise DataError(
            f"{option} {count} is more than the {len(images)} {split} images that there are; give fewer (0 takes all)."
        )
    return images.first(count)


def _check_parts(dataset: str, *values: NDArray[Any]) -> None:
    """Refuse labels that nothing can be learnt from, and a test set that no network could be measured on."""
    train, test, train_labels, test_labels = values
    if train.shape[1:] != test.shape[1:]:
        colours = {1: "", 3: " in colour"} if train.shape[1] != test.shape[1] else {}
        shapes = ("×".join(map(str, pixels.shape[2:])) + colours.get(pixels.shape[1], "") for pixels in (test, train))
        raise DataError(
            "{}: its test images are {}, and its training images {}; give both alike.".format(
                asked_as(dataset), *shapes
            )
        )
    if train_labels.min() == train_labels.max():
        raise DataError(f"{asked_as(dataset)}: every training image has the label {train_labels[0]}; give two classes.")
    if test_labels.max() > train_labels.max():
        raise DataError(
            f"{asked_as(dataset)}: a test image has the label {test_labels.max()}, beyond the training labels, which "
            f"end at {train_labels.max()}; give test images of the classes trained on."
        )


def _in_colours(pixels: NDArray[np.uint8], data: DataProtocol) -> Tensor:
    """Return the pixels in [0, 1], shape (N, C, H, W), grey by ITU-R BT.601 where that is asked for."""
    images = torch.from_numpy(pixels).float() / 255
    if not data.grey:
        return images
    if images.shape[1] != len(LUMINANCE):
        raise DataError(f"--grey: the images of {data.dataset} are grey already; leave it out.")
    red, green, blue = (weight * images[:, channel] for channel, weight in enumerate(LUMINANCE.tolist()))
    grey: Tensor = red + green + blue
    return grey.unsqueeze(1)


def _pooled(images: Tensor, factor: int) -> Tensor:
    rows, columns = images.shape[2:]
    if rows % factor or columns % factor:
        raise DataError(f"--pool {factor} does not divide the {rows}×{columns} images; give a factor that does.")
    return F.avg_pool2d(images, factor) if factor > 1 else images
