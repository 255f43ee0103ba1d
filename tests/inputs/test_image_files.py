"""Folders of a data set's files: read however people have them, fetched whole, and what is wrong is named."""

from __future__ import annotations

import gzip
import os
import pickle
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.io import loadmat, savemat

from bnbench.inputs import datasets
from bnbench.inputs.data import DataError, load_data
from bnbench.inputs.datasets import DATASETS_FOLDER, read_dataset
from bnbench.protocol.datasets import DATASETS
from bnbench.protocol.sections import DataProtocol, MeasurementProtocol
from tests.idx import idx, tiny, write_cifar, write_cifar100, write_emnist, write_idx, write_svhn

TRAIN = "train-images-idx3-ubyte"
TEST, TEST_LABELS = "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"
MEASURED = MeasurementProtocol(test_images=0, train_images=100)

Write = Callable[[Path], object]


def dotted(folder: Path) -> None:
    for path in write_idx(folder).iterdir():
        path.rename(path.with_name(path.name.replace("-idx", ".idx")))


def kaggle(folder: Path) -> None:
    """Unpacked by Kaggle: each file beside a folder of its name that holds it again."""
    for path in sorted(write_idx(folder).iterdir()):
        beside = folder / path.name.replace("-idx", ".idx")
        path.rename(beside)
        (folder / path.name).mkdir()
        shutil.copy(beside, folder / path.name / path.name)


def misnamed(folder: Path) -> None:
    """Packed, whatever the name says, as a browser leaves it."""
    for path in write_idx(folder, packed=True).iterdir():
        path.rename(path.with_suffix(""))


def unpacked_under_gz(folder: Path) -> None:
    for path in write_idx(folder).iterdir():
        path.rename(path.with_name(f"{path.name}.gz"))


def half_packed(folder: Path) -> None:
    write_idx(folder)
    for path in sorted(folder.iterdir())[:2]:
        path.with_name(f"{path.name}.gz").write_bytes(gzip.compress(path.read_bytes()))
        path.unlink()


def both(folder: Path) -> None:
    write_idx(folder / "FashionMNIST" / "raw", seed=7)
    write_idx(folder / "MNIST" / "raw")


def linked(folder: Path) -> None:
    write_idx(folder.parent / "elsewhere")
    (folder / "MNIST").symlink_to(folder.parent / "elsewhere")


@pytest.mark.parametrize(
    "write",
    [
        write_idx,
        lambda folder: write_idx(folder, packed=True),
        lambda folder: write_idx(folder / "raw"),
        lambda folder: write_idx(folder / "raw", packed=True),
        lambda folder: write_idx(folder / "MNIST" / "raw"),
        lambda folder: write_idx(folder / "MNIST" / "raw", packed=True),
        lambda folder: write_idx(folder / "MNIST"),
        lambda folder: write_idx(folder / "mnist", packed=True),
        lambda folder: write_idx(folder / "mnist" / "raw"),
        lambda folder: (write_idx(folder), write_idx(folder, packed=True)),
        lambda folder: (write_idx(folder), (folder / "processed").mkdir()),
        dotted,
        kaggle,
        misnamed,
        unpacked_under_gz,
        half_packed,
        both,
        linked,
    ],
)
def test_a_folder_of_images_is_read_however_people_have_it(write: Write, tmp_path: Path) -> None:
    folder = tmp_path / "images"
    folder.mkdir()
    write(folder)
    found = read_dataset("mnist", folder)
    assert found.digest == read_dataset("mnist", write_idx(tmp_path / "plain")).digest
    assert found.train[0].shape == (40, 1, 8, 8)
    assert found.test[1].tolist() == [*range(10), *range(10)]


@pytest.mark.parametrize("below", ["", "fashion-mnist"])
def test_debians_folder_is_found_and_may_be_given(below: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = write_idx(tmp_path / "fashion-mnist", packed=True)
    monkeypatch.setenv(DATASETS_FOLDER, str(tmp_path))
    assert read_dataset("fashion-mnist").digest == read_dataset("fashion-mnist", tmp_path / below).digest
    assert folder.is_dir()


@pytest.mark.parametrize("below", ["", "cifar-10-batches-py", "CIFAR10/cifar-10-batches-py", "cifar10"])
def test_a_folder_of_cifar10_is_read(below: str, tmp_path: Path) -> None:
    write_cifar(tmp_path / below)
    (pixels, labels), (_, test_labels), _ = read_dataset("cifar10", tmp_path)
    batch = pickle.loads((tmp_path / below / "data_batch_2").read_bytes())
    assert pixels.shape == (100, 3, 32, 32)
    assert pixels[20:40].reshape(20, -1).tolist() == batch["data"].tolist()
    assert labels[20:40].tolist() == batch["labels"]
    assert len(test_labels) == 20


@pytest.mark.parametrize("below", ["", "raw", "EMNIST/raw", "emnist"])
@pytest.mark.parametrize("packed", [False, True])
def test_emnists_balanced_split_is_read(below: str, packed: bool, tmp_path: Path) -> None:
    write_emnist(tmp_path / below, packed=packed)
    assert read_dataset("emnist", tmp_path).digest == read_dataset("mnist", write_idx(tmp_path / "plain")).digest


def test_kmnist_is_read_beside_mnist(tmp_path: Path) -> None:
    write_idx(tmp_path / "MNIST" / "raw", seed=1)
    write_idx(tmp_path / "KMNIST" / "raw", seed=2)
    found = {name: read_dataset(name, tmp_path).train[0] for name in ("mnist", "kmnist")}
    assert found["kmnist"][:, 0].tolist() == tiny(seed=2)[TRAIN].tolist()
    assert found["mnist"][:, 0].tolist() == tiny(seed=1)[TRAIN].tolist()


@pytest.mark.parametrize("below", ["", "cifar-100-python", "CIFAR100/cifar-100-python"])
def test_a_folder_of_cifar100_is_read_with_its_fine_labels(below: str, tmp_path: Path) -> None:
    write_cifar100(tmp_path / below)
    (pixels, labels), (_, test_labels), _ = read_dataset("cifar100", tmp_path)
    written = pickle.loads((tmp_path / below / "train").read_bytes())
    assert pixels.reshape(100, -1).tolist() == written["data"].tolist()
    assert labels.tolist() == test_labels.tolist() == [*range(100)]


@pytest.mark.parametrize("below", ["", "SVHN", "svhn"])
def test_svhn_is_read_and_its_tens_are_zeros(below: str, tmp_path: Path) -> None:
    write_svhn(tmp_path / below)
    (pixels, labels), (test_pixels, _), _ = read_dataset("svhn", tmp_path)
    written = loadmat(tmp_path / below / "train_32x32.mat")["X"]
    assert (pixels.shape, len(test_pixels)) == ((40, 3, 8, 6), 20)
    assert pixels[7, 2].tolist() == written[:, :, 2, 7].tolist()
    assert labels.tolist() == [*range(1, 10), 0] * 4


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_a_batch_that_was_pickled_anew_is_read(protocol: int, tmp_path: Path) -> None:
    before = read_dataset("cifar10", write_cifar(tmp_path)).digest
    for path in tmp_path.iterdir():
        found = pickle.loads(path.read_bytes())
        for known in (found["labels"], np.array(found["labels"], np.uint8)):
            path.write_bytes(pickle.dumps({**found, "labels": known}, protocol))
    assert read_dataset("cifar10", tmp_path).digest == before


def cut(name: str, length: int) -> Write:
    return lambda folder: (write_idx(folder) / name).write_bytes((folder / name).read_bytes()[:length])


def holds(name: str, content: bytes) -> Write:
    return lambda folder: (write_idx(folder) / name).write_bytes(content)


def cut_archive(folder: Path) -> None:
    path = write_idx(folder, packed=True) / f"{TRAIN}.gz"
    path.write_bytes(path.read_bytes()[:200])


def letters(folder: Path) -> None:
    for path in write_idx(folder, packed=True).iterdir():
        path.rename(path.with_name(f"emnist-letters-{path.name}"))


def svhn(**other: Any) -> Write:
    """SVHN's files, the one of the training images with other arrays."""
    return lambda folder: savemat(write_svhn(folder) / "train_32x32.mat", other)


class Evil:
    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (Path("evil"),)


def in_place(make: Callable[[Path], Any]) -> Write:
    """Something else where the training images should be."""

    def write(folder: Path) -> None:
        path = write_idx(folder) / TRAIN
        path.unlink()
        make(path)

    return write


def labels(made: Callable[[Any], Any]) -> Write:
    """A batch of CIFAR-10 with other labels."""

    def write(folder: Path) -> None:
        path = write_cifar(folder) / "data_batch_3"
        found = pickle.loads(path.read_bytes())
        path.write_bytes(pickle.dumps({**found, "labels": made(found["labels"])}, protocol=4))

    return write


def batch(content: bytes) -> Write:
    return lambda folder: (write_cifar(folder) / "data_batch_3").write_bytes(content)


@pytest.mark.parametrize(
    ("dataset", "write", "names"),
    [
        ("mnist", cut(TRAIN, 1000), (TRAIN, "984", "2,560")),
        ("mnist", cut(TRAIN, 9), (TRAIN, "head")),
        ("mnist", cut(TRAIN, 0), (TRAIN, "nothing")),
        ("mnist", holds(TRAIN, b"<!DOCTYPE html>"), (TRAIN, "3c 21 44 4f")),
        ("mnist", holds(TRAIN, idx(np.zeros((0, 8, 8), np.uint8))), (TRAIN, "0×8×8")),
        ("mnist", holds(TRAIN, b"\0\0\x0d\x03" + bytes(12)), (TRAIN, "00 00 0d 03")),
        ("mnist", holds(TEST_LABELS, idx(np.zeros(7, np.uint8))), ("20 images", "7")),
        (
            "mnist",
            holds(TEST_LABELS, idx(np.zeros((20, 1, 1), np.uint8))),
            (TEST_LABELS, "1 dim"),
        ),
        (
            "mnist",
            holds(TEST_LABELS, idx(np.full(20, 11, np.uint8))),
            ("label 11",),
        ),
        (
            "mnist",
            holds(TEST, idx(np.zeros((20, 4, 4), np.uint8))),
            ("4×4", "8×8"),
        ),
        ("mnist", cut_archive, (".gz", "Compressed file ended")),
        ("mnist", lambda folder: (write_idx(folder) / TRAIN).unlink(), (TRAIN, "t10k-images")),
        ("mnist", letters, ("balanced",)),
        ("emnist", letters, ("balanced",)),
        ("mnist", write_emnist, ("EMNIST", "emnist")),
        ("mnist", write_svhn, ("SVHN", "svhn")),
        ("svhn", lambda folder: (write_svhn(folder) / "test_32x32.mat").unlink(), ("test_32x32.mat",)),
        ("svhn", lambda folder: (write_svhn(folder) / "train_32x32.mat").write_bytes(b"no"), ("train_32x32.mat",)),
        ("svhn", svhn(y=np.ones(3)), ("train_32x32.mat", "SVHN")),
        ("svhn", svhn(X=np.zeros((4, 4, 3, 2), np.uint8), y=np.array([1, 11], np.uint8)), ("SVHN", "1 to 10")),
        ("svhn", svhn(X=np.zeros((4, 4, 3, 2), np.uint8), y=np.ones(3, np.uint8)), ("2 images", "3 labels")),
        ("cifar100", lambda folder: (write_cifar100(folder) / "test").unlink(), ("no test",)),
        ("cifar100", lambda folder: (write_cifar(folder) / "data_batch_1").rename(folder / "train"), ("no test",)),
        ("mnist", lambda folder: (folder / "mnist.npz").touch(), ("mnist.npz", "--data")),
        ("mnist", lambda folder: (folder / "archive.zip").touch(), ("archive.zip", "unpack")),
        ("mnist", lambda folder: (folder / "train.csv").touch(), ("train.csv",)),
        ("mnist", lambda folder: write_idx(folder / "FashionMNIST" / "raw"), ("FashionMNIST",)),
        ("cifar10", lambda folder: (folder / "cifar-10-python.tar.gz").touch(), ("unpack",)),
        ("cifar10", lambda folder: (folder / "cifar-100-python").mkdir(), ("CIFAR-100", "cifar100")),
        ("cifar10", lambda folder: (folder / "cifar-10-batches-bin").mkdir(), ("Python version",)),
        (
            "mnist",
            in_place(lambda path: path.symlink_to("/nowhere/disk")),
            (TRAIN, "link"),
        ),
        ("mnist", in_place(lambda path: path.symlink_to(path.name)), (TRAIN, "Too many levels")),
        ("mnist", in_place(os.mkfifo), (TRAIN, "named pipe")),
        ("mnist", lambda folder: (folder.rmdir(), folder.touch()), ("images", "folder")),
        ("mnist", lambda folder: write_idx(folder, classes=1), ("label 0",)),
        ("cifar10", labels(lambda known: [[label] for label in known]), ("data_batch_3", "CIFAR-10")),
        ("cifar10", labels(lambda known: [-1, *known[1:]]), ("data_batch_3", "CIFAR-10")),
        ("cifar10", labels(lambda known: np.zeros(0, int)), ("data_batch_3", "CIFAR-10")),
        ("cifar10", batch(b""), ("data_batch_3", "Ran out of input")),
        ("cifar10", batch(b"\x80\x02}q\x00"), ("data_batch_3", "damaged")),
        ("cifar10", batch(b"garbage"), ("data_batch_3", "damaged")),
        ("cifar10", batch(pickle.dumps(Evil())), ("data_batch_3", "touch")),
        ("cifar10", batch(pickle.dumps([1, 2])), ("data_batch_3", "CIFAR-10")),
        (
            "cifar10",
            batch(pickle.dumps({"data": np.zeros((2, 9), np.uint8), "labels": [1, 2]}, 2)),
            ("data_batch_3", "CIFAR-10"),
        ),
    ],
)
def test_what_is_wrong_with_a_folder_is_named_and_nothing_is_fetched(
    dataset: str, write: Write, names: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With --download, too: what is there is neither fetched again nor written over."""
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "images"
    folder.mkdir()
    write(folder)
    before = {path: path.lstat().st_mtime_ns for path in folder.rglob("*")}
    monkeypatch.setattr(datasets, "_fetch", lambda dataset, folder: None)
    for download in (False, True):
        with pytest.raises(DataError) as refusal:
            load_data(DataProtocol(dataset, pool=1, held_out=0), replace(MEASURED, train_images=5), folder, download)
        assert all(name in str(refusal.value) for name in names)
        assert len(str(refusal.value).splitlines()) == 1
        assert "this machine" not in str(refusal.value), "it is there"
    assert {path: path.lstat().st_mtime_ns for path in folder.rglob("*")} == before
    assert not (tmp_path / "evil").exists()


def fetched(folder: Path, *, cut_off: bool = False) -> Callable[..., None]:
    """Torchvision's downloader, with a tiny set for the real one."""

    def download(root: str, *, download: bool) -> None:
        assert download
        write_idx(Path(root) / "MNIST" / "raw")
        if cut_off:
            raise RuntimeError("Tried two addresses:\nno route\n to host\n")

    return download


def test_a_download_appears_whole_and_only_where_nothing_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    torchvision = pytest.importorskip("torchvision")
    monkeypatch.setattr(torchvision.datasets, "MNIST", fetched(tmp_path, cut_off=True))
    with pytest.raises(DataError, match=f"{tmp_path / 'new'} .*no route to host\\)"):
        read_dataset("mnist", tmp_path / "new", download=True)
    assert list((tmp_path / "new").iterdir()) == []
    monkeypatch.setattr(torchvision.datasets, "MNIST", fetched(tmp_path))
    found = read_dataset("mnist", tmp_path / "new", download=True)
    assert found.digest == read_dataset("mnist", tmp_path / "new" / "MNIST").digest
    damaged = tmp_path / "new" / "MNIST" / "raw" / TRAIN
    damaged.write_bytes(b"cut off")
    with pytest.raises(DataError, match=TRAIN):
        read_dataset("mnist", tmp_path / "new", download=True)
    assert damaged.read_bytes() == b"cut off"


@pytest.mark.parametrize(
    ("dataset", "write", "asked"),
    [
        ("emnist", lambda root, split: write_emnist(root / "EMNIST" / "raw"), ["balanced"]),
        ("svhn", lambda root, split: write_svhn(root), ["train", "test"]),
    ],
)
def test_what_torchvision_fetches_in_parts_is_found_again(
    dataset: str, write: Callable[[Path, str], Path], asked: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    torchvision = pytest.importorskip("torchvision")
    splits: list[str] = []

    def download(root: str, *, split: str, download: bool) -> None:
        assert download
        splits.append(split)
        write(Path(root), split)

    monkeypatch.setattr(torchvision.datasets, DATASETS[dataset].torchvision, download)
    monkeypatch.setenv(DATASETS_FOLDER, str(tmp_path / "unasked"))
    for folder in (tmp_path / "given", None):
        splits.clear()
        fetched = read_dataset(dataset, folder, download=True)
        assert splits == asked
        assert read_dataset(dataset, folder).digest == fetched.digest
        assert read_dataset(dataset, folder, download=True).digest == fetched.digest
        assert splits == asked


def test_images_of_another_known_set_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    digest = read_dataset("mnist", write_idx(tmp_path)).digest
    monkeypatch.setitem(DATASETS, "fashion-mnist", replace(DATASETS["fashion-mnist"], digest=digest))
    with pytest.raises(DataError, match="--dataset fashion-mnist"):
        read_dataset("mnist", tmp_path)
    assert read_dataset("fashion-mnist", tmp_path).digest == digest


def test_a_folder_that_cannot_be_read_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_idx(tmp_path)
    real = os.open

    def refused(path: Any, *arguments: Any, **more: Any) -> int:
        if Path(path).name == TRAIN:
            raise PermissionError(13, "Permission denied", str(path))
        return real(path, *arguments, **more)

    monkeypatch.setattr(os, "open", refused)
    with pytest.raises(DataError, match=rf"{TRAIN} .*\(Permission denied\)"):
        read_dataset("mnist", tmp_path)
