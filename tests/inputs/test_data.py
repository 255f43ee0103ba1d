"""Data sets as tensors: splits, pooling, standardization, and what is missing."""

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
import torch
from scipy.io import loadmat, savemat
from sklearn.datasets import load_digits

from bnbench.inputs import datasets, digits
from bnbench.inputs.data import DataError, load_data
from bnbench.inputs.datasets import DATASETS_FOLDER, read_dataset
from bnbench.inputs.formats import FORMATS
from bnbench.protocol.datasets import DATASETS, OWN, KnownDataSet
from bnbench.protocol.sections import DataProtocol, MeasurementProtocol
from tests.idx import idx, tiny, write_cifar, write_cifar100, write_emnist, write_idx, write_svhn

DIGITS = DataProtocol(dataset="digits", pool=1, held_out=200)
TRAIN = "train-images-idx3-ubyte"
TEST, TEST_LABELS = "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"
MEASURED = MeasurementProtocol(test_images=0, train_images=100)


def test_digits_are_split_and_standardized_by_what_is_trained_on() -> None:
    data = load_data(DIGITS, MEASURED)
    images, labels = load_digits(return_X_y=True)
    assert (len(data.train), len(data.measured), len(data.train_sample)) == (1097, 500, 100)
    assert data.image_shape == (1, 8, 8)
    assert data.classes == 10
    assert data.measured.labels.tolist() == labels[-500:].tolist()
    assert data.train.pixels.mean().item() == pytest.approx(0, abs=1e-5)
    assert data.train.pixels.std().item() == pytest.approx(1, abs=1e-5)
    slope = (data.measured.pixels[0].max() - data.measured.pixels[0].min()).item()
    assert slope == pytest.approx((images[-500].max() - images[-500].min()) / images[:1097].std(), rel=0.01)


@pytest.mark.parametrize("pool", [1, 2])
def test_unit_inputs_are_the_files_bytes_over_255_averaged_over_squares(tmp_path: Path, pool: int) -> None:
    values = tiny(seed=3)
    asked = DataProtocol("mnist", pool=pool, inputs="unit", held_out=5)
    data = load_data(asked, replace(MEASURED, train_images=5), write_idx(tmp_path, seed=3))
    for found, name in ((data.train, "train-images-idx3-ubyte"), (data.measured, "t10k-images-idx3-ubyte")):
        for image, pixels in zip(found.pixels[:, 0].tolist(), values[name].tolist(), strict=False):
            for row, column in np.ndindex(len(image), len(image[0])):
                square = [line[pool * column : pool * (column + 1)] for line in pixels[pool * row : pool * (row + 1)]]
                assert image[row][column] == pytest.approx(sum(map(sum, square)) / pool**2 / 255, abs=1e-6)


def test_held_out_images_are_the_last_training_images() -> None:
    data = load_data(DIGITS, replace(MEASURED, split="held-out"))
    labels = load_digits().target
    assert data.measured.labels.tolist() == labels[1097:1297].tolist()
    assert data.train.labels.tolist() == labels[:1097].tolist()


def test_pooling_averages_squares() -> None:
    whole = load_data(DIGITS, MEASURED).measured.pixels
    pooled = load_data(replace(DIGITS, pool=2), MEASURED).measured.pixels
    by_hand = (whole[:, :, ::2, ::2] + whole[:, :, 1::2, ::2] + whole[:, :, ::2, 1::2] + whole[:, :, 1::2, 1::2]) / 4
    assert pooled.shape == (500, 1, 4, 4)
    correlation = torch.corrcoef(torch.stack([pooled.flatten(), by_hand.flatten()]))[0, 1]
    assert correlation.item() == pytest.approx(1, abs=1e-6)


def test_a_number_of_test_images_takes_the_first() -> None:
    few = load_data(DIGITS, replace(MEASURED, test_images=30))
    assert few.measured.labels.tolist() == load_data(DIGITS, MEASURED).measured.labels[:30].tolist()


def test_a_data_set_is_loaded_once_per_process() -> None:
    assert load_data(DIGITS, MEASURED) is load_data(DIGITS, MEASURED)


def test_images_of_files_are_pooled_and_standardized_like_any_others(tmp_path: Path) -> None:
    values = tiny(seed=3)
    data = load_data(
        DataProtocol("mnist", pool=1, held_out=5), replace(MEASURED, train_images=5), write_idx(tmp_path, seed=3)
    )
    trained = values["train-images-idx3-ubyte"][:35] / 255
    expected = (values["t10k-images-idx3-ubyte"] / 255 - trained.mean()) / trained.std(ddof=1)
    assert data.measured.pixels[:, 0].numpy() == pytest.approx(expected, abs=1e-4)
    assert data.measured.labels.tolist() == values["t10k-labels-idx1-ubyte"].tolist()


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


def test_every_data_set_has_a_format_and_a_way_to_get_it() -> None:
    for known in [known for name, known in DATASETS.items() if name != OWN]:
        assert bool(FORMATS[known.format].files) == bool(known.torchvision)


def test_a_new_data_set_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Read, refused and named in a protocol as those that are there, and only this line knows of it."""
    write_idx(tmp_path / "QMNIST" / "raw", seed=5)
    digest = read_dataset("mnist", tmp_path / "QMNIST").digest
    known = KnownDataSet(20, "idx", "QMNIST", digest=digest, debian="dataset-qmnist")
    monkeypatch.setitem(DATASETS, "q-mnist", known)
    assert read_dataset("q-mnist", tmp_path).digest == digest
    with pytest.raises(DataError, match="--dataset q-mnist"):
        read_dataset("mnist", tmp_path / "QMNIST")
    with pytest.raises(DataError, match="dataset-qmnist"):
        read_dataset("q-mnist", tmp_path / "no")


@pytest.mark.parametrize("dataset", [name for name, known in DATASETS.items() if known.torchvision])
def test_a_missing_data_set_names_the_ways_to_get_it(
    dataset: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(DATASETS_FOLDER, str(tmp_path / "no"))
    with pytest.raises(DataError, match=f"--dataset {dataset} ") as caught:
        load_data(DataProtocol(dataset=dataset), MEASURED, tmp_path)
    message = str(caught.value)
    assert "--download" in message
    assert "--data-folder" in message
    assert str(tmp_path) in message, "where it was looked for"
    assert DATASETS[dataset].debian in message
    assert len(message.splitlines()) == 1


@pytest.mark.parametrize(
    ("data", "measurement", "message"),
    [
        ({"held_out": 1296}, {}, "--held-out 1296 .*1297"),
        ({"pool": 3}, {}, "--pool 3 .*8×8"),
        ({"pool": 16}, {}, "--pool 16 .*8×8"),
        ({}, {"test_images": 501}, "--test-images 501 .*500"),
        ({}, {"train_images": 1098}, "--train-images 1098 .*1097"),
        ({"held_out": 0}, {"split": "held-out"}, "0 held-out"),
    ],
)
def test_what_the_data_cannot_give_is_refused(data: dict[str, Any], measurement: dict[str, Any], message: str) -> None:
    with pytest.raises(DataError, match=message):
        load_data(replace(DIGITS, **data), replace(MEASURED, **measurement))


def test_digits_are_read_as_scikit_learn_reads_them_and_by_it_where_their_file_is_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    read = digits.read_table()
    monkeypatch.setattr(digits, "find_spec", lambda name: None)
    assert np.array_equal(read, digits.read_table())
