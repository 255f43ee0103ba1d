"""``bnbench evaluate``: the fit's own policy gives the fit's own numbers, and nothing passes for what it is not."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import signal
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

import bnbench
from bnbench.bn_policy import BnPolicy
from bnbench.errors import RequestError
from bnbench.evaluate import measure
from bnbench.evaluate.measure import evaluate_planes
from bnbench.evaluate.plan import EvaluationRequest, plan_evaluation
from bnbench.mpo.ensemble import SIZES, measure_ensemble
from bnbench.mpo.fit import Fit
from bnbench.process import reading
from bnbench.protocol.parsing import parse_policies
from bnbench.protocol.protocol import FitKey, Grid
from bnbench.results import layout, store
from bnbench.results.evaluations import (
    COLUMNS,
    ENSEMBLE_COLUMNS,
    mean_readings,
    plane_hash,
    read_evaluated_landscapes,
    read_evaluations,
)
from bnbench.results.fits import read_fit
from bnbench.results.folder_protocol import open_folder
from bnbench.sweep import fit_under_way
from bnbench.sweep.backends.each_in_processes import each_in_processes
from bnbench.sweep.backends.inline import Inline
from bnbench.sweep.execution import Execution
from bnbench.sweep.plan import plan_sweep
from bnbench.sweep.runner import Runner
from tests.cases import FOREIGN
from tests.cli.test_cli import Answer, assert_refused
from tests.cli.test_cli import bnbench as command
from tests.fits import TINY
from tests.results.test_planes import KEEPING, changed
from tests.warm import call

GRID = Grid(("plain", "bn", FOREIGN), (0.5,), (1,))
KEYS = {key.arm: key for key in GRID.fits()}
SUMMARY = ["policy", "headline", "split", "pixels", "black", "white", "difference", "black_loss", "white_loss"]
ARMS = f"plain,bn,{FOREIGN}"


@pytest.fixture(scope="module")
def sweep(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("evaluate") / "results"
    open_folder(folder, TINY)
    outcomes = list(Runner(plan_sweep(folder, TINY, GRID), KEEPING, Inline()).outcomes())
    assert [outcome.state for outcome in outcomes] == ["done"] * 3
    return folder


@pytest.fixture(autouse=True)
def _in_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is measured does not depend on the process, as one test shows."""
    monkeypatch.setattr(measure, "each_in_processes", lambda work, tasks, jobs, key_of: map(work, tasks))


@pytest.fixture
def results(sweep: Path, tmp_path: Path) -> Path:
    """A copy of the sweep that a test may spoil."""
    return shutil.copytree(sweep, tmp_path / "results")


def request(out: Path, *policies: str, **asked: object) -> EvaluationRequest:
    given: dict[str, Any] = {"execution": Execution(KEEPING.slots), "arms": GRID.arms, **asked}
    return EvaluationRequest(out=out, policies=tuple(map(BnPolicy.parse, policies)), **given)


def evaluate(folder: Path, asked: EvaluationRequest) -> list[str]:
    """Messages of those that failed."""
    plan = plan_evaluation(folder, asked)
    assert plan.broken == []
    return [one.message for one in evaluate_planes(plan.to_run, asked) if one.message]


def run(folder: Path, *options: str) -> Answer:
    return command("evaluate", "results", "--devices", "cpu", "--jobs", "1", *options, cwd=folder.parent)


def watch(monkeypatch: pytest.MonkeyPatch, seen: dict[str, str], owner: Any, name: str) -> None:
    """Note the precision of products whenever a function is called."""
    function = getattr(owner, name)

    def watching(*given: Any, **options: Any) -> Any:
        seen[name] = torch.get_float32_matmul_precision()
        return function(*given, **options)

    monkeypatch.setattr(owner, name, watching)


def test_what_was_trained_in_rounded_arithmetic_is_measured_in_float32(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: dict[str, str] = {}
    watch(monkeypatch, seen, Fit, "advance")
    watch(monkeypatch, seen, fit_under_way, "measure_fit")
    watch(monkeypatch, seen, measure, "measure_landscape")
    protocol = TINY.with_knobs(precision="tf32")
    open_folder(tmp_path / "results", protocol)
    plan = plan_sweep(tmp_path / "results", protocol, replace(GRID, arms=("plain",)))
    assert [outcome.state for outcome in Runner(plan, KEEPING, Inline()).outcomes()] == ["done"]
    torch.set_float32_matmul_precision("high")
    asked = request(tmp_path / "evaluations", arms=("plain",))
    (task,) = plan_evaluation(tmp_path / "results", asked).to_run
    assert not measure.evaluate_plane(task, asked, tmp_path / "leases").message
    assert seen == {"advance": "high", "measure_fit": "highest", "measure_landscape": "highest"}


def of_arm(table: pd.DataFrame, arm: str) -> pd.DataFrame:
    return table[table["arm"] == arm].sort_values(["policy", "pixels"], ignore_index=True)


def test_the_protocols_own_policies_give_the_fits_own_summary_bit_for_bit(sweep: Path, tmp_path: Path) -> None:
    assert not evaluate(sweep, request(tmp_path))
    table = read_evaluations(tmp_path)
    assert tuple(table.columns)[: len(COLUMNS)] == COLUMNS
    for key in GRID.fits():
        stored = read_fit(layout.fit_path(sweep, key)).summary
        stored = stored[stored["split"] != "train"].sort_values(["policy", "pixels"], ignore_index=True)
        columns = [*SUMMARY, "objective", "right"]
        pd.testing.assert_frame_equal(of_arm(table, key.arm)[columns], stored[columns], check_exact=True)


@pytest.mark.nightly
def test_processes_give_what_one_process_gives(sweep: Path, tmp_path: Path) -> None:
    two = Execution((KEEPING.slots[0], type(KEEPING.slots[0])("cpu", 1)))
    assert not evaluate(sweep, request(tmp_path / "one", "batch:20"))
    assert not call(evaluate, sweep, request(tmp_path / "two", "batch:20", execution=two))
    pd.testing.assert_frame_equal(
        read_evaluations(tmp_path / "one"), read_evaluations(tmp_path / "two"), check_exact=True
    )


def test_only_bn_looks_at_the_policy(sweep: Path, tmp_path: Path) -> None:
    assert not evaluate(sweep, request(tmp_path, "batch:8", "batch:50", "recalibrate:512"))
    table = read_evaluations(tmp_path)
    assert set(of_arm(table, "plain")["policy"]) == set(of_arm(table, FOREIGN)["policy"]) == {"none"}
    bn = of_arm(table[table["pixels"] == "all"], "bn")
    assert list(bn["policy"]) == ["batch:50", "batch:8", "recalibrate:512"]
    assert bn["black_loss"].nunique() == 3
    assert not bn["headline"].any(), "the protocol's own is batch:60"
    means = mean_readings(table)
    assert list(means["fits"]) == [1] * 5
    trained = table[table["pixels"] == "trained"].set_index(["arm", "policy"])
    for row in means.to_dict("records"):
        for name in ("black", "white", "difference", "right", "objective"):
            assert row[name] == pytest.approx(trained.loc[(row["arm"], row["policy"]), name])


def test_other_images_are_other_evaluations(sweep: Path, tmp_path: Path) -> None:
    for asked in ({}, {"split": "held-out", "test_images": 30}, {"test_images": 0}):
        assert not evaluate(sweep, request(tmp_path, "batch:60", arms=("bn",), **asked))
    table = read_evaluations(tmp_path)
    found = {(split, images): one for (split, images), one in table.groupby(["split", "images"])}
    assert set(found) == {("test", 60), ("held-out", 30), ("test", 500)}
    assert {where for where, one in found.items() if one["headline"].all()} == {("test", 60)}


def test_landscapes_are_those_that_a_plane_has_in_python(sweep: Path, tmp_path: Path) -> None:
    assert not evaluate(sweep, request(tmp_path, "recalibrate:50", arms=("bn",), with_landscapes=True))
    table = read_evaluated_landscapes(tmp_path)
    data = bnbench.load_data(TINY.data, TINY.measurement)
    plane = bnbench.load_plane(layout.plane_path(sweep, KEYS["bn"]))
    found = bnbench.measure_landscape(
        plane, (4, 4), data.measured, bn_statistics="recalibrate:50", reference=data.train
    )
    assert np.array_equal(table["loss"].to_numpy(), found.loss.flatten().numpy().astype(np.float32))
    assert list(table["row"] * 4 + table["column"]) == list(range(16))
    rows = read_evaluations(tmp_path).set_index("pixels")
    assert rows.loc["all", "black"] == pytest.approx(table[table["black"]]["accuracy"].mean())
    trained = table[table["trained"] & ~table["black"]]
    assert rows.loc["trained", "white_loss"] == pytest.approx(trained["loss"].mean())


@pytest.mark.nightly
def test_ensembles_are_those_that_a_plane_has_in_python_and_the_fits_own(
    results: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "evaluations"
    assert evaluate(results, request(out)) == []
    asked = request(out, with_ensembles=True)
    assert len(plan_evaluation(results, asked).to_run) == 3  # they are lacking in what is done
    assert evaluate(results, asked) == []
    assert plan_evaluation(results, asked).to_run == plan_evaluation(results, request(out)).to_run == []
    table = read_evaluations(out)
    assert table.loc[table["pixels"] == "trained", [*ENSEMBLE_COLUMNS]].isna().all(axis=None)
    data = bnbench.load_data(TINY.data, TINY.measurement)
    for arm, key in KEYS.items():
        fit = read_fit(layout.fit_path(results, key))
        own = fit.summary[fit.summary["headline"] & (fit.summary["pixels"] == "all")]
        for row in table[(table["arm"] == arm) & (table["pixels"] == "all")].to_dict("records"):
            if row["policy"] == own["policy"].iloc[0]:
                assert row["ensemble"] == own["ensemble"].iloc[0]
            found = measure_ensemble(
                bnbench.load_plane(layout.plane_path(results, key), arm=arm),
                torch.tensor(fit.landscape["black"].to_numpy(bool).reshape(TINY.mask.mask_size)),
                data.measured,
                bn_statistics="batch:512" if row["policy"] == "none" else row["policy"],
                reference=data.train,
            )
            expected = {f"ensemble_{count}": found.accuracies.get(count, np.nan) for count in SIZES}
            expected |= {"ensemble": found.accuracy, "best_single": found.best, "disagreement": found.disagreement}
            assert expected.keys() == {*ENSEMBLE_COLUMNS}
            assert {name: row[name] for name in ENSEMBLE_COLUMNS} == pytest.approx(expected, nan_ok=True)
    monkeypatch.setattr(measure, "measure_ensemble", None)  # what is there is not measured again
    of_bn: dict[str, Any] = {"arms": ("bn",), "with_landscapes": True}
    for more in (request(out, **of_bn), request(out, **of_bn, with_ensembles=True)):
        assert evaluate(results, more) == []
        assert plan_evaluation(results, more).to_run == []
        pd.testing.assert_frame_equal(read_evaluations(out), table)
        for path in layout.evaluation_paths(out, "landscapes"):
            path.unlink()
    said = command("evaluate", str(results), "--out", str(out), "--arms", ARMS, "--ensembles", cwd=tmp_path)
    assert said.returncode == 0
    assert {"ensemble", "disagreement"} <= set(said.stdout.split())


def test_what_is_done_is_skipped_and_what_is_not_of_this_plane_is_done_again(results: Path, tmp_path: Path) -> None:
    asked = request(tmp_path / "out", "batch:20")
    assert not evaluate(results, asked)
    files = {path: path.stat().st_mtime_ns for path in layout.evaluation_paths(tmp_path / "out")}
    assert plan_evaluation(results, asked).to_run == []
    more = plan_evaluation(results, request(tmp_path / "out", "batch:20", "batch:30"))
    assert [[str(one.policy) for one in task.to_do] for task in more.to_run] == [["batch:30"]]
    assert len(plan_evaluation(results, request(tmp_path / "out", "batch:20", with_landscapes=True)).to_run) == 3
    plane = layout.plane_path(results, KEYS["plain"])
    changed(plane, plane, {}, scale=0.2)
    damaged = next(path for path in files if path.name.startswith("bn_"))
    damaged.write_bytes(damaged.read_bytes()[:50])
    with pytest.raises(store.StoreError, match=re.escape(str(damaged))):
        read_evaluations(tmp_path / "out")
    assert {task.key.arm for task in plan_evaluation(results, asked).to_run} == {"plain", "bn"}
    assert not evaluate(results, asked)
    table = read_evaluations(tmp_path / "out")
    assert table.groupby("arm")["plane"].nunique().to_dict() == {"plain": 2, "bn": 1, FOREIGN: 1}  # nothing is lost
    assert len(table) == 8
    assert not list((tmp_path / "out").rglob(".*"))


def test_a_plane_of_another_fit_is_refused_by_name_and_the_others_are_measured(results: Path) -> None:
    plane = layout.plane_path(results, KEYS["bn"])
    changed(plane, plane, {}, identity="0123456789abcdef")
    answer = run(results, "--bn-statistics", "batch:20")
    assert answer.returncode == 1
    (sentence,) = [line for line in answer.stderr.splitlines() if "bn_p0.500_seed1.safetensors" in line]
    assert "0123456789abcdef" in sentence
    assert set(read_evaluations(results / "evaluations")["arm"]) == {"plain"}


def test_damaged_files_are_named_and_nothing_is_lost(results: Path) -> None:
    plane, fit = layout.plane_path(results, KEYS["bn"]), layout.fit_path(results, KEYS["plain"])
    for path in (plane, fit):
        path.write_bytes(path.read_bytes()[:200])
    answer = run(results)
    assert answer.returncode == 1
    for name in ("bn_p0.500_seed1.safetensors", "plain_p0.500_seed1.parquet"):
        assert name in answer.stderr
    assert "Traceback" not in answer.stderr
    assert (plane.stat().st_size, fit.stat().st_size) == (200, 200)


def test_missing_planes_are_said(results: Path) -> None:
    layout.plane_path(results, KEYS["bn"]).unlink()
    some = run(results, "--bn-statistics", "batch:20")
    assert some.returncode == 1
    assert "--keep-planes" in some.stderr
    shutil.rmtree(results / "planes")
    none = run(results)
    assert none.returncode == 2
    assert "--keep-planes" in none.stderr.splitlines()[-1]


def test_a_users_own_arm_is_measured_when_it_is_named(results: Path) -> None:
    silent = run(results, "--bn-statistics", "batch:20,recalibrate")
    assert silent.returncode == 0, silent.stderr
    assert f"--arms bn,plain,{FOREIGN}" in silent.stderr
    assert "[2/2] plain p=0.5 seed=1" in silent.stderr
    assert [line.split()[:3] for line in silent.stdout.splitlines()[2:]] == [
        ["batch:20", "bn", "1"],
        ["recalibrate:512", "bn", "1"],
        ["none", "plain", "1"],
    ]
    named = run(results, "--bn-statistics", "batch:20", "--arms", ARMS, "--landscapes")
    assert named.returncode == 0, named.stderr
    assert FOREIGN in named.stdout
    strays = [path.with_name(f".{path.name}.00000000-1-ab12") for path in (results / "evaluations").rglob("*.parquet")]
    for stray in strays:
        stray.touch()
        os.utime(stray, (0, 0))
    again = run(results, "--bn-statistics", "batch:20", "--arms", ARMS, "--landscapes")
    assert again.returncode == 0, again.stderr
    assert "3 planes; 3 done, 0 to measure" in again.stderr
    assert again.stdout == named.stdout
    assert len(strays) > 6
    assert not any(stray.exists() for stray in strays), "the next run clears them, also with nothing left to measure"
    for path in [*(results / "fits").iterdir(), *(results / "planes").iterdir()]:
        if path.name.startswith(("bn_", "plain_")):
            path.unlink()
    alone = run(results)
    assert alone.returncode == 2
    assert alone.stderr.splitlines()[-1].endswith(f"give --arms {FOREIGN}.")


def test_a_fit_of_another_protocol_is_not_measured(results: Path) -> None:
    other = TINY.with_knobs(steps=2)
    open_folder(results.parent / "other", other)
    grid = Grid(("bn",), (0.5,), (2,))
    plan = plan_sweep(results.parent / "other", other, grid)
    list(Runner(plan, KEEPING, Inline()).outcomes())
    key = FitKey("bn", 0.5, 2)
    shutil.copy(layout.fit_path(plan.folder, key), layout.fit_path(results, key))
    found = plan_evaluation(results, request(results / "evaluations"))
    (message,) = found.broken
    assert all(word in message for word in ("fits/bn_p0.500_seed2.parquet", other.id, TINY.id))
    both = plan_evaluation(results.parent, request(results / "evaluations"))
    assert {task.folder.name for task in both.tasks} == {"results", "other"}


WRONG = {
    "--bn-statistics batch:64,running": "--bn-statistics running: give batch:N",
    "--bn-statistics batch:0": "--bn-statistics batch:0: give batch:N",
    "--bn-statistics recalibrate,recalibrate:512": "names recalibrate:512 twice",
    "--bn-statistics recalibrate:5000": "--bn-statistics recalibrate:5000: results has 1,097 training images",
    "--arms bm": "--arms bm: results has no fits of it, only of bn, plain, tests.foreign_arms:layer_norm",
    "--split train": "'train' is not one of 'test', 'held-out'",
    "--test-images 501": "--test-images 501 is more than the 500 test images",
    "--devices cuda:7": "--devices cuda:7: this machine has no device",
}


@pytest.mark.parametrize("wrong", WRONG)
def test_a_wrong_request_is_one_sentence_and_exit_2(wrong: str, sweep: Path) -> None:
    assert_refused(run(sweep, *wrong.split()), WRONG[wrong])
    assert not (sweep / "evaluations").exists()


def test_policies_read_as_people_write_them() -> None:
    assert parse_policies("batch:64, recalibrate") == (BnPolicy("batch", 64), BnPolicy("recalibrate", 512))
    for wrong in ("", "batch", "batch:", "batch:-1", "batch:1.5", "batch:9999999999", "batch:64,,"):
        with pytest.raises(RequestError, match=r"^--bn-statistics .*batch:512"):
            parse_policies(wrong)


def test_a_folder_without_evaluations_is_an_empty_table(tmp_path: Path) -> None:
    assert list(read_evaluations(tmp_path / "nothing").columns) == list(COLUMNS)
    assert mean_readings(read_evaluations(tmp_path)).empty


def killed(key: FitKey) -> FitKey:
    os.kill(os.getpid(), signal.SIGKILL)
    return key


def itself(key: FitKey) -> FitKey:
    return key


def killed_in_processes(*arms: str) -> str:
    with pytest.raises(RequestError) as raised:
        list(each_in_processes(killed, [KEYS[arm] for arm in arms], 2, itself))
    return str(raised.value)


@pytest.mark.parametrize("arms", [("plain", "bn"), ("plain", FOREIGN)])
def test_a_killed_process_is_one_sentence(arms: tuple[str, str]) -> None:
    message = call(killed_in_processes, *arms)
    assert "--jobs 1" in message
    assert "Traceback" not in message


def test_a_plane_may_be_larger_than_other_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a network of 90 million weights it has more than the GiB at which other files are refused."""
    plane = tmp_path / "large.safetensors"
    plane.write_bytes(b"many weights")
    monkeypatch.setattr(reading.read_file, "__defaults__", (5,))
    with pytest.raises(OSError, match="large"):
        reading.read_file(plane)
    assert plane_hash(plane) == hashlib.sha256(b"many weights").hexdigest()[:16]
