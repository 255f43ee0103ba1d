"""The data sets that a protocol may name, each with all that is particular to it.

This module imports no torch, as :mod:`bnbench.protocol.sections`. To add a data set, add a line to :data:`DATASETS`; if
its files are of a kind that is not read yet, also add what reads them to :data:`bnbench.inputs.formats.FORMATS`.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class KnownDataSet:
    """Says what is known of a data set before any of its files is opened.

    Attributes:
        test_images: number of images in its test set.
        shape: of an image: channels, rows and columns.
        format: how its files are laid out, a name in :data:`bnbench.inputs.formats.FORMATS`.
        torchvision: class of ``torchvision.datasets`` that fetches it; empty for one that comes with a package.
        digest: of all its images and labels (:func:`bnbench.inputs.datasets.digest_of`), where they are known here.
            Results on these very images carry no digest; on any others, and where none is known, they do.
        debian: Debian's package of its files, if there is one.
        classes: number of its classes.
    """

    test_images: int
    shape: tuple[int, int, int]
    format: str
    torchvision: str = ""
    digest: str = ""
    debian: str = ""
    classes: int = 10


DATASETS = {
    "digits": KnownDataSet(500, (1, 8, 8), "scikit-learn", digest="5609e85cd69f"),
    "fashion-mnist": KnownDataSet(10_000, (1, 28, 28), "idx", "FashionMNIST", "27b6bba8f7f0", "dataset-fashion-mnist"),
    "mnist": KnownDataSet(10_000, (1, 28, 28), "idx", "MNIST"),
    "cifar10": KnownDataSet(10_000, (3, 32, 32), "cifar", "CIFAR10"),
}
