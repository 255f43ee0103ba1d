"""A user's own images: folders of images, IDX files and .npz files, and what they make of a sweep."""

from __future__ import annotations

import itertools
import json
import shutil
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from bnbench.inputs.data import DataError, load_data
from bnbench.inputs.datasets import read_dataset
from bnbench.inputs.npz_files import read_npz
from bnbench.inputs.own_images import read_own_images
from bnbench.protocol.protocol import Protocol
from bnbench.protocol.sections import DataProtocol, MeasurementProtocol
from bnbench.results.folder_protocol import read_protocol
from tests.cli.test_cli import bnbench
from tests.fits import TINY
from tests.idx import tiny, write_idx
from tests.shell import options_of

Bytes = NDArray[np.uint8]
MEASURED = MeasurementProtocol(test_images=0, train_images=5)
FEW = TINY.with_knobs(held_out=0, train_images=10, test_images=0, bn_statistics="batch:4")
RUN: tuple[str, ...] = ("run", *options_of(FEW), "--arms", "plain", "--probs", "0.5", "--seeds", "1", "--chunk", "4")
RUN += ("--jobs", "1", "--devices", "cpu", "--backend", "inline")


def images_of(count: int, channels: int = 1, seed: int = 0, size: tuple[int, int] = (8, 6)) -> Bytes:
    return np.random.default_rng(seed).integers(256, size=(count, channels, *size), dtype=np.uint8)


def picture(pixels: Bytes) -> Image.Image:
    return Image.fromarray(pixels[0] if len(pixels) == 1 else pixels.transpose(1, 2, 0))


def write_images(
    folder: Path, classes: tuple[str, ...] = ("cat", "dog"), each: int = 10, channels: int = 1, seed: int = 0
) -> Path:
    """A folder for each class, with as many PNG files in it."""
    pixels = iter(images_of(each * len(classes), channels, seed))
    folder.mkdir(parents=True, exist_ok=True)
    for name in classes:
        (folder / name).mkdir(parents=True)
        for number in range(each):
            picture(next(pixels)).save(folder / name / f"{number:03}.png")
    return folder


def as_set(part: tuple[Bytes, NDArray[Any]]) -> list[tuple[bytes, int]]:
    """Images with their labels, in no order."""
    return sorted((image.tobytes(), int(label)) for image, label in zip(*part, strict=True))


def of_classes(pixels: Bytes, *counts: int) -> list[tuple[bytes, int]]:
    labels = [label for label, count in enumerate(counts) for _ in range(count)]
    return as_set((pixels, np.array(labels)))


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("test", ["test", "val"])
def test_a_folder_in_torchvisions_layout_is_read_whole(channels: int, test: str, tmp_path: Path) -> None:
    write_images(tmp_path / "train", channels=channels, seed=1)
    write_images(tmp_path / test, each=4, channels=channels, seed=2)
    (tmp_path / "train" / ".hidden").mkdir()
    (tmp_path / "train" / "cat" / "notes.txt").write_text("not an image")
    for copies in (".ipynb_checkpoints", "more/.thumbnails"):
        (tmp_path / "train" / "cat" / copies).mkdir(parents=True)
        shutil.copy(tmp_path / "train" / "cat" / "000.png", tmp_path / "train" / "cat" / copies / "copy.png")
    train, measured = read_own_images(tmp_path)
    assert as_set(train) == of_classes(images_of(20, channels, 1), 10, 10)
    assert as_set(measured) == of_classes(images_of(8, channels, 2), 4, 4)


@pytest.mark.parametrize("below", ["", "train"])
def test_without_a_test_set_a_fifth_of_each_class_becomes_one(below: str, tmp_path: Path) -> None:
    write_images(tmp_path / below, ("bus", "car", "train"), 11)
    train, test = read_own_images(tmp_path)
    assert [np.bincount(labels).tolist() for labels in (train[1], test[1])] == [[9] * 3, [2] * 3]
    together = (np.concatenate([train[0], test[0]]), np.concatenate([train[1], test[1]]))
    assert as_set(together) == of_classes(images_of(33), 11, 11, 11)
    again = read_own_images(tmp_path)
    assert [part[0].tolist() for part in again] == [train[0].tolist(), test[0].tolist()]
    assert sorted(train[1].tolist()) != train[1].tolist()  # the first or the last images are of every class


def test_kinds_of_files_are_shown_on_white_paper_and_colours_make_all_of_them_colours(tmp_path: Path) -> None:
    grey = np.full((5, 7), 100, np.uint8)
    red = np.zeros((5, 7, 4), np.uint8)
    red[..., 0], red[:, :3, 3], red[:, 3:, 3] = 200, 255, 0
    kinds: dict[str, Image.Image] = {
        "grey.png": Image.fromarray(grey),
        "one-bit.png": Image.fromarray(np.ones((5, 7), bool)),
        "sixteen.png": Image.fromarray(np.full((5, 7), 25_700, np.uint16)),
        "palette.gif": Image.fromarray(grey).convert("P"),
        "cmyk.tif": Image.fromarray(np.zeros((5, 7, 3), np.uint8)).convert("CMYK"),
    }
    for name, image in kinds.items():
        (tmp_path / "a").mkdir(exist_ok=True)
        image.save(tmp_path / "a" / name)
    (tmp_path / "b").mkdir()
    for number in range(5):
        Image.fromarray(red).save(tmp_path / "b" / f"{number}.webp", lossless=True)
    train, test = read_own_images(tmp_path)
    assert train[0].shape == (8, 3, 5, 7)
    found = {
        (int(label), tuple(image[:, 0, 0].tolist()), tuple(image[:, 4, 6].tolist()))
        for pixels, labels in (train, test)
        for image, label in zip(pixels, labels, strict=True)
    }
    flat = {(0, (value,) * 3, (value,) * 3) for value in (100, 255, 0)}
    assert found == flat | {(1, (200, 0, 0), (255, 255, 255))}


def npz(path: Path, **arrays: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(path, **arrays)
    return path


PIXELS = images_of(20, 3)
LABELS = np.arange(20) % 2


@pytest.mark.parametrize(
    "names",
    [
        ("x_train", "y_train", "x_test", "y_test"),
        ("X_train", "Y_train", "X_test", "Y_test"),
        ("train_images", "train_labels", "test_images", "test_labels"),
        ("images_train", "labels_train", "images_test", "labels_test"),
    ],
)
def test_both_sets_of_an_npz_are_found_by_name(names: tuple[str, ...], tmp_path: Path) -> None:
    arrays = dict(zip(names, (PIXELS, LABELS[:, None], PIXELS[:6], LABELS[:6]), strict=True))
    train, test = read_own_images(npz(tmp_path / "set.npz", **arrays, val_images=PIXELS[:1]))
    assert as_set(train) == as_set((PIXELS, LABELS))
    assert as_set(test) == as_set((PIXELS[:6], LABELS[:6]))


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (PIXELS.transpose(0, 2, 3, 1), PIXELS),
        (PIXELS[:, 0], PIXELS[:, :1]),
        (PIXELS[:, 0, :, :, None], PIXELS[:, :1]),
        (PIXELS / 255, PIXELS),
        (PIXELS.astype(np.float32), PIXELS),
        (PIXELS.astype(np.int64), PIXELS),
        (PIXELS > 127, np.where(PIXELS > 127, 255, 0)),
        (PIXELS // 128, np.where(PIXELS > 127, 255, 0)),
        ((PIXELS > 127).astype(np.int64), np.where(PIXELS > 127, 255, 0)),
    ],
    ids=["channels-last", "grey", "one-channel", "shares", "whole-floats", "int64", "truths", "bits", "bits-int64"],
)
def test_numbers_of_every_usual_kind_are_bytes(given: NDArray[Any], expected: Bytes, tmp_path: Path) -> None:
    train, test = read_npz(npz(tmp_path / "set.npz", images=given, labels=LABELS))
    assert test is None
    assert train[0].dtype == np.uint8
    assert train[0].tolist() == expected.tolist()


def test_both_sets_are_read_on_one_scale(tmp_path: Path) -> None:
    dark = np.full_like(PIXELS, 1, np.float32)
    arrays = {"x_train": PIXELS.astype(np.float32), "y_train": LABELS, "x_test": dark, "y_test": LABELS}
    _, test = read_npz(npz(tmp_path / "set.npz", **arrays))
    assert test is not None
    assert set(test[0].ravel().tolist()) == {1}
    with pytest.raises(DataError, match=r"x_test is float32 from 0\.5"):
        read_npz(npz(tmp_path / "set.npz", **arrays | {"x_test": dark / 2}))


@given(
    counts=st.lists(st.integers(2, 23), min_size=2, max_size=5),
    channels=st.sampled_from([1, 3]),
    seed=st.integers(0, 99),
)
def test_a_split_parts_each_class_and_loses_no_image(counts: list[int], channels: int, seed: int) -> None:
    labels = np.random.default_rng(seed).permutation(np.repeat(np.arange(len(counts)), counts))
    pixels = images_of(len(labels), channels, seed, (3, 4))
    with tempfile.TemporaryDirectory() as folder:
        train, test = read_own_images(npz(Path(folder, "set.npz"), images=pixels, labels=labels))
    assert np.bincount(test[1]).tolist() == [max(1, count // 5) for count in counts]
    assert (np.bincount(train[1]) + np.bincount(test[1])).tolist() == counts
    together = as_set((np.concatenate([train[0], test[0]]), np.concatenate([train[1], test[1]])))
    assert together == as_set((pixels, labels))


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("below", ["", "raw"])
def test_idx_files_are_own_images(packed: bool, below: str, tmp_path: Path) -> None:
    write_idx(tmp_path / below, packed=packed)
    train, test = read_own_images(tmp_path)
    values = tiny()
    assert as_set(train) == as_set((values["train-images-idx3-ubyte"], values["train-labels-idx1-ubyte"]))
    assert as_set(test) == as_set((values["t10k-images-idx3-ubyte"], values["t10k-labels-idx1-ubyte"]))


def test_shares_of_white_are_scaled_alike_some_at_a_time_and_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = npz(tmp_path / "set.npz", images=PIXELS / 255, labels=LABELS)
    at_once = read_npz(path)[0][0]
    monkeypatch.setattr("bnbench.inputs.npz_files._AT_ONCE", 3 * PIXELS[0].size)
    assert np.array_equal(read_npz(path)[0][0], at_once)


def test_grey_is_luminance_and_asked_for_of_colours_alone(tmp_path: Path) -> None:
    train = {"x_train": PIXELS, "y_train": LABELS, "x_test": PIXELS, "y_test": LABELS}
    path = npz(tmp_path / "set.npz", **train)
    asked = DataProtocol("own", pool=2, held_out=0, inputs="unit", grey=True)
    data = load_data(asked, MEASURED, path)
    assert data.image_shape == (1, 4, 3)
    order = read_dataset("own", path).test[0]
    for image, pixels in zip(data.measured.pixels, order, strict=True):
        for row, column in itertools.product(range(4), range(3)):
            square = pixels[:, 2 * row : 2 * row + 2, 2 * column : 2 * column + 2].reshape(3, 4).mean(1)
            expected = (0.299 * square[0] + 0.587 * square[1] + 0.114 * square[2]) / 255
            assert image[0, row, column].item() == pytest.approx(expected, abs=1e-6)
    with pytest.raises(DataError, match="--grey: the images of digits are grey already"):
        load_data(DataProtocol("digits", pool=1, held_out=0, grey=True), MEASURED)


def test_a_sweep_on_own_images_keeps_their_digest_and_goes_on_with_the_same_only(tmp_path: Path) -> None:
    write_images(tmp_path / "a", channels=3)
    write_images(tmp_path / "b", channels=3, seed=1)
    asked = (*RUN, "--grey", "--pool", "2", "--out", "own", "--keep-planes")
    done = bnbench(*asked, "--data", "a", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    protocol = read_protocol(tmp_path / "own")
    assert (protocol.data.dataset, protocol.data.grey) == ("own", True)
    assert protocol.content == read_dataset("own", tmp_path / "a").digest
    assert Protocol.from_dict(json.loads(json.dumps(protocol.as_dict()))) == protocol
    again = bnbench("run", "--config", "own/config.toml", cwd=tmp_path)
    assert (again.returncode, "1 done, 0 to run" in again.stderr) == (0, True), again.stderr
    assert bnbench("run", "--config", "own/config.toml", "--data", "a", cwd=tmp_path).returncode == 0
    other = bnbench(*asked, "--data", "b", cwd=tmp_path)
    assert other.returncode == 2
    assert protocol.content in other.stderr
    for arguments, code in ((("--data-folder", "a"), 0), (("--data-folder", "b"), 2), ((), 2)):
        assert bnbench("evaluate", "own", "--devices", "cpu", *arguments, cwd=tmp_path).returncode == code
    report = bnbench("report", "own", "--format", "json", cwd=tmp_path)
    assert report.returncode == 0, report.stderr


def test_known_images_keep_their_hash_without_grey() -> None:
    base = DataProtocol("cifar10")
    protocol = Protocol("own", data=base)
    stored = protocol.as_dict()
    del stored["data"]["grey"]
    assert Protocol.from_dict(stored) == protocol
    assert replace(protocol, data=replace(base, grey=True)).hash != protocol.hash
