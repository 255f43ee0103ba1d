"""Data sets as tensors: splits, pooling, standardization, and what is missing."""

from __future__ import annotations

import gzip
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits

from bnbench.data import DATASETS_FOLDER, DataError, load_data
from bnbench.sections import DataProtocol, MeasurementProtocol

DIGITS = DataProtocol(dataset="digits", pool=1, held_out=200)
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


def write_idx(path: Path, values: np.ndarray, header: int) -> None:
    path.write_bytes(gzip.compress(bytes(header) + values.astype(np.uint8).tobytes()))


def test_debians_files_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tmp_path = tmp_path / "fashion-mnist"
    tmp_path.mkdir()
    generator = np.random.default_rng(0)
    pixels = {part: generator.integers(256, size=(count, 28, 28)) for part, count in (("train", 20), ("t10k", 10))}
    labels = {part: np.arange(len(values)) % 10 for part, values in pixels.items()}
    for part in pixels:
        write_idx(tmp_path / f"{part}-images-idx3-ubyte.gz", pixels[part], 16)
        write_idx(tmp_path / f"{part}-labels-idx1-ubyte.gz", labels[part], 8)
    monkeypatch.setenv(DATASETS_FOLDER, str(tmp_path.parent))
    load_data.cache_clear()
    data = load_data(DataProtocol(pool=1, held_out=5), replace(MEASURED, train_images=5))
    load_data.cache_clear()
    trained = pixels["train"][:15] / 255
    expected = (pixels["t10k"] / 255 - trained.mean()) / trained.std(ddof=1)
    assert data.measured.pixels[:, 0].numpy() == pytest.approx(expected, abs=1e-4)
    assert data.measured.labels.tolist() == labels["t10k"].tolist()


def test_torchvisions_folder_is_read(tmp_path: Path) -> None:
    raw = tmp_path / "MNIST" / "raw"
    raw.mkdir(parents=True)
    pixels = np.random.default_rng(0).integers(256, size=(30, 28, 28), dtype=np.uint8)
    labels = (np.arange(30) % 10).astype(np.uint8)
    for part, chosen in (("train", slice(0, 20)), ("t10k", slice(20, 30))):
        count = len(labels[chosen])
        sizes = b"".join(number.to_bytes(4, "big") for number in (count, 28, 28))
        (raw / f"{part}-images-idx3-ubyte").write_bytes(b"\0\0\x08\x03" + sizes + pixels[chosen].tobytes())
        (raw / f"{part}-labels-idx1-ubyte").write_bytes(b"\0\0\x08\x01" + sizes[:4] + labels[chosen].tobytes())
    load_data.cache_clear()
    data = load_data(DataProtocol("mnist", pool=1, held_out=0), replace(MEASURED, train_images=5), tmp_path)
    load_data.cache_clear()
    assert data.measured.labels.tolist() == labels[20:].tolist()
    trained = pixels[:20] / 255
    assert data.train.pixels[:, 0].numpy() == pytest.approx((trained - trained.mean()) / trained.std(ddof=1), abs=1e-4)


@pytest.mark.parametrize("dataset", ["fashion-mnist", "mnist", "cifar10"])
def test_a_missing_data_set_names_the_ways_to_get_it(
    dataset: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(DATASETS_FOLDER, str(tmp_path / "no"))
    with pytest.raises(DataError, match=f"--dataset {dataset} is not on this machine") as caught:
        load_data(DataProtocol(dataset=dataset), MEASURED, tmp_path)
    message = str(caught.value)
    assert "--download" in message
    assert f"--data-folder, the folder that torchvision keeps it in (now {tmp_path})" in message
    assert ("dataset-fashion-mnist" in message) == (dataset == "fashion-mnist")
    assert len(message.splitlines()) == 1


@pytest.mark.parametrize(
    ("data", "measurement", "message"),
    [
        ({"held_out": 1296}, {}, "--held-out 1296 leaves no images to train on: digits has 1297"),
        ({"pool": 3}, {}, "--pool 3 does not divide the 8×8 images"),
        ({"pool": 16}, {}, "--pool 16 does not divide the 8×8 images"),
        ({}, {"test_images": 501}, "--test-images 501 is more than the 500 test images"),
        ({}, {"train_images": 1098}, "--train-images 1098 is more than the 1097 training images"),
        ({"held_out": 0}, {"split": "held-out"}, "0 held-out images that there are"),
    ],
)
def test_what_the_data_cannot_give_is_refused(
    data: dict[str, int], measurement: dict[str, int | str], message: str
) -> None:
    with pytest.raises(DataError, match=message):
        load_data(replace(DIGITS, **data), replace(MEASURED, **measurement))
