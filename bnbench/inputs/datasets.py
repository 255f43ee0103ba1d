"""Data sets on disk: where their files may lie, and the images and labels in them. Nothing is fetched unasked."""

from __future__ import annotations

import hashlib
import os
import re
import tempfile
from pathlib import Path
from typing import NamedTuple

import numpy as np

from bnbench.inputs.formats import FORMATS, find_files, is_meant, missing_files
from bnbench.inputs.image_files import Arrays, DataError
from bnbench.inputs.own_images import read_own_images
from bnbench.process.writers import remove_dead_scratch, scratch_prefix
from bnbench.protocol.datasets import DATASETS, OWN
from bnbench.wording import counted

DATASETS_FOLDER = "BNBENCH_DATASETS"  # names the only folder that is looked into unless --data-folder does
DEBIAN = Path("/usr/share/datasets")
_SHOWN = 4  # names of a folder's files in a sentence


class ImageArrays(NamedTuple):
    """A data set as its files hold it.

    Attributes:
        train: pixels 0 to 255, shape (N, C, H, W), and labels (N,).
        test: the same of the test set.
        digest: see :func:`digest_of`.
    """

    train: Arrays
    test: Arrays
    digest: str


def read_dataset(dataset: str, folder: Path | None = None, download: bool = False) -> ImageArrays:
    """Return the training and the test set as their files hold them.

    Args:
        dataset: its name.
        folder: where its files lie: in it, in ``raw/``, or in a folder of the data set's name with or without
            ``raw/``. By default Debian's packages, then ``~/.cache/bnbench``. Of ``own``, the images themselves, see
            :func:`bnbench.inputs.own_images.read_own_images`.
        download: let torchvision fetch it where none of its files is there; what is there is never replaced.

    Raises:
        DataError: it is not there, not whole or damaged.
    """
    if dataset == OWN:
        parts = read_own_images(folder)
        return ImageArrays(*parts, digest_of(parts))
    layout = FORMATS[DATASETS[dataset].format]
    if not layout.files:
        parts = layout.read({})
        return ImageArrays(*parts, digest_of(parts))
    found = find_files(layout.files, _places(dataset, folder))
    if not found and download and not (folder and is_meant(folder)):
        _fetch(dataset, folder or _default_folders(dataset)[-1])
        found = find_files(layout.files, _places(dataset, folder))
    if not found:
        raise DataError(_not_there(dataset, folder))
    if missing := missing_files(layout, found):
        here = next(iter(found.values())).parent
        raise DataError(
            f"--dataset {dataset}: {here} has no {missing[0]}, only {_listed(here)}; add it, "
            "or take the folder away and fetch all with --download."
        )
    parts = layout.read(found)
    digest = digest_of(parts)
    if other := next((name for name, known in DATASETS.items() if known.digest == digest and name != dataset), None):
        raise DataError(
            f"--dataset {dataset}: the images in {next(iter(found.values())).parent} are those of {other}; "
            f"give --dataset {other}, or another --data-folder."
        )
    return ImageArrays(*parts, digest)


def digest_of(parts: tuple[Arrays, Arrays]) -> str:
    """Return twelve hexadecimal digits over all images and labels as they were read, training set first.

    A quarter of a second for FashionMNIST, once per process: the price of knowing what a result was made on.
    """
    digest = hashlib.sha256()
    for pixels, labels in parts:
        digest.update(f"{pixels.shape} {labels.shape}".encode())
        digest.update(np.ascontiguousarray(pixels).data)
        digest.update(np.ascontiguousarray(labels, "<i8").data)
    return digest.hexdigest()[:12]


def _default_folders(dataset: str) -> list[Path]:
    """Return where a data set is looked for unasked; the last one is where it is fetched to."""
    if chosen := os.environ.get(DATASETS_FOLDER):
        return [Path(chosen)]
    try:
        return [DEBIAN, Path.home() / ".cache" / "bnbench"]
    except RuntimeError as error:
        if DEBIAN.is_dir():
            return [DEBIAN]
        raise DataError(
            f"--dataset {dataset}: this account has no home folder to look in; give --data-folder."
        ) from error


def _places(dataset: str, folder: Path | None) -> list[Path]:
    """Return where the files may lie: folders that bear the data set's name before the one that was given."""
    own = FORMATS[DATASETS[dataset].format].folder
    names = {_plain_name(name) for name in (dataset, own) if name}
    places: list[Path] = []
    for top in [folder] if folder else _default_folders(dataset):
        named = [path for path in _below(top) if _plain_name(path) in names]
        roots = [*named, top] if folder else named
        places += [root / inside for root in roots for inside in ("", "raw", own)]
    return places


def _plain_name(path: Path | str) -> str:
    return re.sub(r"[^a-z0-9]", "", Path(path).name.lower())


def _below(folder: Path) -> list[Path]:
    try:
        return sorted(folder.iterdir())
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        raise DataError(f"--data-folder {folder} cannot be read ({error.strerror}); give one that can.") from error


def _not_there(dataset: str, folder: Path | None) -> str:
    """Say in one sentence why nothing was found: nothing is there, or something that is not read."""
    known = DATASETS[dataset]
    debian = f"install Debian's package {known.debian}; " if known.debian else ""
    elsewhere = "" if known.debian else "use --profile smoke, whose digits come with scikit-learn; "
    if folder and is_meant(folder):
        return f"--data-folder {folder} is no folder; give the one that the data set's files lie in."
    if folder and _below(folder):
        return (
            f"--data-folder {folder} holds no files of {dataset} that are read, but {_listed(folder)}{_hint(folder)}; "
            f"give the folder of its {FORMATS[known.format].wanted}, or one that is empty, with --download."
        )
    here = folder or _default_folders(dataset)[-1]
    return (
        f"--dataset {dataset} is not on this machine: {debian}add --download to fetch it with torchvision; "
        f"{elsewhere}or give --data-folder, the folder that torchvision keeps it in (now {here})."
    )


def _listed(folder: Path) -> str:
    names = [path.name for path in _below(folder)]
    more = f" and {counted(len(names) - _SHOWN, 'other')}" if len(names) > _SHOWN else ""
    return f"{', '.join(names[:_SHOWN])}{more}"


_HINTS = (
    (r"\.(zip|tar|tgz|tar\.gz|7z|rar)$", "it is packed: unpack it first"),
    (r"\.npz$", "a NumPy file of images and labels is read as --data FILE"),
    (r"\.npy$", "NumPy's files are read as one .npz of images and labels, --data FILE"),
    (r"\.(csv|parquet|arrow)$", "tables are not read"),
    (r"\.pts?$", "torch's own files are not read"),
    (r"^emnist-(?!balanced)", "of EMNIST the split balanced is read, and its name is emnist"),
    (r"^emnist", "EMNIST is another data set, and its name is emnist"),
    (r"^cifar-?100", "CIFAR-100 is another data set, and its name is cifar100"),
    (r"_32x32\.mat$", "SVHN is another data set, and its name is svhn"),
    (r"^cifar-10-batches-bin", "of CIFAR-10 the Python version is read"),
)


def _hint(folder: Path) -> str:
    """Say what is known of the files that lie there instead."""
    there = [path.name.lower() for path in _below(folder)]
    hints = [word for pattern, word in _HINTS if any(re.search(pattern, name) for name in there)]
    return f" ({hints[0]})" if hints else ""


def _fetch(dataset: str, folder: Path) -> None:
    """Let torchvision fetch a data set: beside its place, so that a download cut off leaves nothing half there."""
    import torchvision  # takes two seconds to import

    known = DATASETS[dataset]
    fetch = getattr(torchvision.datasets, known.torchvision)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        remove_dead_scratch(folder, ".")
        with tempfile.TemporaryDirectory(prefix=f".{scratch_prefix()}", dir=folder) as fresh:
            for split in known.splits:
                fetch(fresh, split=split, download=True)
            if not known.splits:
                fetch(fresh, download=True)
            # torchvision lays some files into no folder of their own, and nobody would find them there again
            into = folder if any(path.is_dir() for path in Path(fresh).iterdir()) else folder / dataset
            into.mkdir(exist_ok=True)
            for path in sorted(Path(fresh).rglob("*")):
                target = into / path.relative_to(fresh)
                if path.is_dir():
                    target.mkdir(exist_ok=True)
                elif not target.exists():
                    path.replace(target)
    except (RuntimeError, OSError, EOFError, ValueError) as error:
        reason = " ".join(str(error).split())  # torchvision tells of each address on a line of its own
        raise DataError(
            f"--dataset {dataset} is not on this machine and could not be fetched into {folder} ({reason}); "
            "try again, or give --data-folder with its files."
        ) from error
