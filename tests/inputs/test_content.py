"""A result knows the images that it was made on: other images are another sweep, whatever the data set is called."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from bnbench.evaluate.plan import EvaluationRequest, plan_evaluation
from bnbench.inputs import datasets
from bnbench.inputs.data import DataError, load_data, load_data_of
from bnbench.inputs.datasets import digest_of, read_dataset
from bnbench.protocol.datasets import DATASETS
from bnbench.protocol.profiles import PROFILES, folder_name, title
from bnbench.protocol.protocol import FitKey, Grid, Protocol
from bnbench.results import layout, store
from bnbench.results.checkpoints import load_checkpoint
from bnbench.results.fits import read_fit
from bnbench.results.folder_protocol import check_folder, open_folder, read_protocol
from bnbench.sweep.confinement import Confinement
from bnbench.sweep.devices import make_slots
from bnbench.sweep.execution import Execution, FitStoppedError, Job
from bnbench.sweep.fit_under_way import FitUnderWay
from bnbench.sweep.identity import fit_identity
from bnbench.sweep.inputs import load_inputs
from bnbench.sweep.interrupts import WorkerStop
from tests.cli.test_cli import bnbench
from tests.fits import TINY
from tests.idx import write_idx

ONE = Execution(make_slots(("cpu",), 1, 1), chunk=4)
KEY = FitKey("plain", 0.5, 1)
GRID = Grid(("plain",), (0.5,), (1,))
SMALL = TINY.with_knobs(dataset="mnist", held_out=0, test_images=20, train_images=40, bn_statistics="batch:20")
RUN: tuple[str, ...] = ("run", "--profile", "smoke", "--dataset", "mnist", "--held-out", "0", "--train-images", "40")
RUN += ("--arms", "plain", "--probs", "0.5", "--seeds", "1", "--mask-size", "4", "--steps", "3", "--images", "4")
RUN += ("--jobs", "1", "--devices", "cpu", "--bn-statistics", "batch:20", "--backend", "inline", "--chunk", "4")


def settled(folder: Path, protocol: Protocol = SMALL) -> Protocol:
    """The protocol of a sweep on the images that a folder holds."""
    found = load_inputs(GRID, protocol, replace(ONE, data_folder=folder))
    return replace(protocol, content=found.content)


def test_known_images_leave_every_hash_as_it_was() -> None:
    assert read_dataset("digits").digest == DATASETS["digits"].digest
    found = load_data(TINY.data, TINY.measurement)
    assert (found.content, found.digest) == ("", DATASETS["digits"].digest)
    assert "content" not in TINY.as_dict()
    assert Protocol.from_dict(TINY.as_dict()) == TINY


@pytest.mark.skipif(not (datasets.DEBIAN / "fashion-mnist").is_dir(), reason="Debian's FashionMNIST is not installed")
def test_debians_fashion_mnist_is_the_known_one() -> None:
    assert read_dataset("fashion-mnist", datasets.DEBIAN).digest == DATASETS["fashion-mnist"].digest


def test_whatever_differs_in_the_images_differs_in_the_digest() -> None:
    pixels, labels = np.zeros((3, 1, 4, 4), np.uint8), np.array([0, 1, 2])
    base = ((pixels, labels), (pixels[:2], labels[:2]))
    one_pixel, one_label = pixels.copy(), labels.copy()
    one_pixel[2, 0, 3, 3], one_label[0] = 1, 1
    others = [
        ((one_pixel, labels), base[1]),
        ((pixels, one_label), base[1]),
        (base[0], (one_pixel[1:], labels[:2])),
        (base[0], (pixels[:2], one_label[:2])),
        ((pixels.reshape(3, 1, 2, 8), labels), base[1]),
        ((pixels[:2], labels[:2]), (pixels, labels)),
    ]
    digests = {digest_of(parts) for parts in (base, *others)}
    assert len(digests) == 1 + len(others)
    assert digest_of(base) == digest_of(((pixels.copy(), labels.astype(np.int64)), base[1]))


def test_four_folders_of_one_name_are_four_sweeps(tmp_path: Path) -> None:
    folders = [
        write_idx(tmp_path / "a", seed=1),
        write_idx(tmp_path / "b", seed=2),
        write_idx(tmp_path / "c", classes=5),
        write_idx(tmp_path / "d", size=16),
    ]
    protocols = [settled(folder) for folder in folders]
    assert len({protocol.hash for protocol in protocols}) == 4
    assert len({fit_identity(KEY, protocol) for protocol in protocols}) == 4
    assert len({folder_name(protocol) for protocol in protocols}) == 4
    assert settled(write_idx(tmp_path / "again" / "MNIST" / "raw", seed=1, packed=True)) == protocols[0]
    for protocol in protocols:
        assert Protocol.from_dict(json.loads(json.dumps(protocol.as_dict()))) == protocol
        assert protocol.content in title(protocol)


def test_a_known_set_of_other_content_is_another_protocol_and_says_so(tmp_path: Path) -> None:
    mine = settled(write_idx(tmp_path), SMALL.with_knobs(dataset="fashion-mnist"))
    known = replace(mine, content="")
    assert mine.hash != known.hash
    assert all(name in mine.images for name in ("fashion-mnist", mine.content))
    assert "fashion-mnist" in known.images


def test_a_folder_refuses_to_mix_images_and_names_both(tmp_path: Path) -> None:
    write_idx(tmp_path / "a", seed=1)
    write_idx(tmp_path / "b", seed=2)
    first, second = settled(tmp_path / "a"), settled(tmp_path / "b")
    done = bnbench(*RUN, "--data-folder", "a", "--out", "own", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert first.content in done.stderr
    stored = read_protocol(tmp_path / "own")
    assert stored.content == first.content
    provenance = read_fit(layout.fit_path(tmp_path / "own", KEY)).provenance
    assert provenance["images"] == first.content
    for arguments in ((), ("--dry-run",), ("--seeds", "2")):
        mixed = bnbench(*RUN, "--data-folder", "b", "--out", "own", *arguments, cwd=tmp_path)
        assert mixed.returncode == 2
        assert len(mixed.stderr.strip().splitlines()) == 1
        for named in (first.content, second.content, "--out own", "--data-folder"):
            assert named in mixed.stderr
    again = bnbench(*RUN, "--data-folder", "a", "--out", "own", cwd=tmp_path)
    assert (again.returncode, "1 done, 0 to run" in again.stderr) == (0, True)


def test_a_folder_from_before_digests_counts_as_the_known_images(tmp_path: Path) -> None:
    open_folder(tmp_path, TINY)
    (tmp_path / "running" / "plain_p0.500_seed1.pt").touch()  # something is begun there
    path = tmp_path / "protocol.json"
    assert "content" not in json.loads(path.read_text())["protocol"]
    check_folder(tmp_path, replace(TINY, content=load_data(TINY.data, TINY.measurement).content))
    with pytest.raises(store.StoreError, match="0123456789ab"):
        check_folder(tmp_path, replace(TINY, content="0123456789ab"))
    check_folder(tmp_path, replace(TINY, content="0123456789ab"), with_images=False)
    with pytest.raises(store.StoreError, match="steps 6 there, 7 here"):
        check_folder(tmp_path, TINY.with_knobs(steps=7), with_images=False)


def test_a_worker_and_an_evaluation_take_no_other_images(tmp_path: Path) -> None:
    mine = settled(write_idx(tmp_path / "a", seed=1))
    write_idx(tmp_path / "b", seed=2)
    assert load_data_of(mine, tmp_path / "a").content == mine.content
    with pytest.raises(DataError, match=f"mnist.*{mine.content}.*--data-folder"):
        load_data_of(mine, tmp_path / "b")
    load_data_of(SMALL, tmp_path / "b")  # of results without a digest nobody knows
    known = SMALL.with_knobs(dataset="fashion-mnist")
    with pytest.raises(DataError, match="known fashion-mnist"):
        load_data_of(known, tmp_path / "a")


def test_a_checkpoint_goes_on_only_with_the_same_images(tmp_path: Path) -> None:
    data = {name: write_idx(tmp_path / name, seed=seed) for seed, name in enumerate("ab")}
    results = tmp_path / "results"
    first = settled(data["a"])
    open_folder(results, first)
    marker = tmp_path / "stop"
    job = Job(first, results, replace(ONE, data_folder=data["a"]), "token")
    under_way = FitUnderWay(KEY, job, ONE.slots[0], 4)
    under_way.fit.advance()
    marker.touch()
    with pytest.raises(FitStoppedError):
        under_way.run(WorkerStop((marker,)), Confinement(False, None, tmp_path / "over"))
    assert load_checkpoint(results, KEY, fit_identity(KEY, first)) is not None
    with pytest.raises(store.StoreError, match="another fit"):
        load_checkpoint(results, KEY, fit_identity(KEY, settled(data["b"])))
    moved = replace(job, execution=replace(ONE, data_folder=data["b"]))
    with pytest.raises(DataError, match=first.content):
        FitUnderWay(KEY, moved, ONE.slots[0], 4)
    assert FitUnderWay(KEY, job, ONE.slots[0], 4).first_step == 1


def test_evaluate_refuses_planes_that_were_fitted_on_other_images(tmp_path: Path) -> None:
    for seed, name in enumerate("ab"):
        write_idx(tmp_path / name, seed=seed)
    done = bnbench(*RUN, "--data-folder", "a", "--out", "own", "--keep-planes", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    request = EvaluationRequest(tmp_path / "evaluations", replace(ONE, data_folder=tmp_path / "a"))
    assert len(plan_evaluation(tmp_path / "own", request).to_run) == 1
    refused = bnbench("evaluate", "own", "--data-folder", "b", "--devices", "cpu", cwd=tmp_path)
    assert refused.returncode == 2
    assert read_protocol(tmp_path / "own").content in refused.stderr


def test_every_profile_says_nothing_of_images_until_they_are_loaded() -> None:
    assert {protocol.content for protocol in PROFILES.values()} == {""}
