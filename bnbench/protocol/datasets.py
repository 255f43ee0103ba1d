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
        format: how its files are laid out, a name in :data:`bnbench.inputs.formats.FORMATS`; empty of a user's own.
        torchvision: class of ``torchvision.datasets`` that fetches it; empty for one that comes with a package.
        splits: the parts that torchvision fetches one by one, where it does so.
        shape: channels and rows of its square images; None of a user's own, which their files tell.
        classes: number of its classes.
        digest: of all its images and labels (:func:`bnbench.inputs.datasets.digest_of`), where they are known here.
            Results on these very images carry no digest; on any others, and where none is known, they do.
        debian: Debian's package of its files, if there is one.
    """

    test_images: int
    format: str
    torchvision: str = ""
    splits: tuple[str, ...] = ()
    shape: tuple[int, int] | None = (1, 28)
    classes: int = 10
    digest: str = ""
    debian: str = ""


OWN = "own"  # a user's own images, wherever --data or --data-folder says they are

DATASETS = {
    "digits": KnownDataSet(500, "scikit-learn", shape=(1, 8), digest="5609e85cd69f"),
    "fashion-mnist": KnownDataSet(10_000, "idx", "FashionMNIST", digest="27b6bba8f7f0", debian="dataset-fashion-mnist"),
    "mnist": KnownDataSet(10_000, "idx", "MNIST"),
    "kmnist": KnownDataSet(10_000, "idx", "KMNIST"),
    "emnist": KnownDataSet(18_800, "emnist", "EMNIST", splits=("balanced",), classes=47),
    "cifar10": KnownDataSet(10_000, "cifar", "CIFAR10", shape=(3, 32)),
    "cifar100": KnownDataSet(10_000, "cifar100", "CIFAR100", shape=(3, 32), classes=100),
    "svhn": KnownDataSet(26_032, "svhn", "SVHN", splits=("train", "test"), shape=(3, 32)),
    OWN: KnownDataSet(0, "", shape=None),
}


def asked_as(dataset: str) -> str:
    """Return how a data set is asked for: ``--dataset NAME``, and ``--data`` where it is a user's own."""
    return "--data" if dataset == OWN else f"--dataset {dataset}"
