"""Data sets as tensors: splits, pooling, standardization, and what is missing."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits

from bnbench.inputs import digits
from bnbench.inputs.data import DataError, load_data
from bnbench.inputs.datasets import DATASETS_FOLDER, read_dataset
from bnbench.inputs.formats import FORMATS
from bnbench.protocol.datasets import DATASETS, OWN, KnownDataSet
from bnbench.protocol.sections import DataProtocol, MeasurementProtocol
from tests.idx import tiny, write_idx

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
