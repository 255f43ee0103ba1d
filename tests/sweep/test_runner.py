"""A grid through joblib: resumed, failing, killed, and equal to one fit after another."""

from __future__ import annotations

import re
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from bnbench.errors import RequestError
from bnbench.inputs.datasets import DATASETS_FOLDER
from bnbench.mpo.fit import Fit
from bnbench.protocol.profiles import PROFILES
from bnbench.protocol.protocol import FitKey, Grid, Protocol
from bnbench.results import layout, store, sweeps
from bnbench.results.fits import read_fit
from bnbench.results.folder_protocol import open_folder
from bnbench.sweep import cost, timed_steps
from bnbench.sweep.backends.inline import Inline
from bnbench.sweep.backends.processes import Processes
from bnbench.sweep.cost import choose_chunk, estimate_seconds
from bnbench.sweep.devices import make_slots
from bnbench.sweep.execution import Execution, Outcome
from bnbench.sweep.identity import fit_identity
from bnbench.sweep.inputs import load_inputs
from bnbench.sweep.plan import Plan, plan_sweep
from bnbench.sweep.runner import Runner
from bnbench.wording import duration, plain_number
from tests.fits import TINY
from tests.sentences import numbers
from tests.warm import call

GRID = Grid(("plain", "bn"), (0.5,), (1, 2))
ONE = Execution(make_slots(("cpu",), 1, 1))
TWO = Execution(make_slots(("cpu", "cpu"), None, 1))


def run(plan: Plan, execution: Execution = ONE) -> list[Outcome]:
    backend = Inline() if execution == ONE else Processes()
    return list(Runner(plan, execution, backend).outcomes())


def sweep(folder: Path, grid: Grid = GRID, execution: Execution = ONE, protocol: Protocol = TINY) -> list[Outcome]:
    open_folder(folder, protocol)
    return run(plan_sweep(folder, protocol, grid), execution)


def messages(outcomes: list[Outcome]) -> list[str]:
    return [outcome.message for outcome in outcomes if outcome.state != "done"]


def stamps(folder: Path) -> dict[str, int]:
    return {path.name: path.stat().st_mtime_ns for path in (folder / "fits").iterdir()}


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sweep")
    outcomes = sweep(folder)
    assert [outcome.state for outcome in outcomes] == ["done"] * 4
    return folder


def test_every_fit_leaves_a_file_with_its_table(finished: Path) -> None:
    frame = sweeps.load(finished)
    assert len(frame) == 4 * 16
    assert set(zip(frame["arm"], frame["seed"], strict=True)) == {(arm, seed) for arm in GRID.arms for seed in (1, 2)}
    masks = frame.pivot_table(index=["seed", "row", "column"], columns="arm", values="black", aggfunc="first")
    assert (masks["plain"] == masks["bn"]).all(), "the arms are paired on the same masks"
    result = read_fit(layout.fit_path(finished, FitKey("bn", 0.5, 1)))
    assert result.provenance["device"] == "cpu"
    assert result.provenance["threads"] == 1
    assert result.provenance["chunk"] == ONE.chunk
    assert result.provenance["wall_seconds"] > 0
    assert result.trace["step"].tolist() == [1, 2, 3, 4, 5, 6]


def test_outcomes_say_what_the_files_say(tmp_path: Path) -> None:
    (outcome,) = sweep(tmp_path, Grid(("plain",), (0.5,), (1,)))
    table = sweeps.load(tmp_path)
    assert outcome.black == pytest.approx(table[table["black"]]["test_accuracy"].mean())
    assert outcome.white == pytest.approx(table[~table["black"]]["test_accuracy"].mean())
    trained = table[table["trained"]]
    accuracy = trained.groupby("black")["test_accuracy"].mean()
    assert outcome.trained["difference"] == pytest.approx(accuracy[True] - accuracy[False])
    right, J = (outcome.trained[name] for name in ("right", "objective"))
    threshold = TINY.training.threshold
    of_white = trained[~trained["black"]]["test_loss"].clip(upper=threshold).mean()
    assert pytest.approx(trained[trained["black"]]["test_loss"].mean() - of_white, abs=1e-6) == J
    expected = [outcome.trained["difference"], accuracy[True], accuracy[False], right, J]
    assert numbers(str(outcome))[2:7] == [plain_number(value) for value in expected]
    assert outcome.as_dict()["objective_trained"] == J


def test_resuming_skips_what_is_done_and_changes_nothing(finished: Path, tmp_path: Path) -> None:
    partial = Grid(("plain", "bn"), (0.5,), (1,))
    sweep(tmp_path, partial)
    before = stamps(tmp_path)
    plan = plan_sweep(tmp_path, TINY, GRID)
    assert str(plan) == "4 fits = 2 arms × 1 probability × 2 seeds; 2 done, 2 to run"
    assert [key.seed for key in plan.to_run] == [2, 2]
    outcomes = run(plan)
    assert {str(outcome.key) for outcome in outcomes} == {"plain p=0.5 seed=2", "bn p=0.5 seed=2"}
    assert before.items() <= stamps(tmp_path).items()
    pd.testing.assert_frame_equal(sweeps.load(tmp_path), sweeps.load(finished), check_exact=True)


@pytest.fixture
def timed_as_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    """Before a sweep begins, as many steps are timed as outside the tests; see tests/warm.py."""
    monkeypatch.setattr(timed_steps, "_LONG_STEP", 0.5)
    monkeypatch.setattr(cost, "_VISITS", 1_024)


@pytest.mark.usefixtures("timed_as_ever")
def test_the_chosen_chunk_is_one_that_was_tried(tmp_path: Path) -> None:
    plan = plan_sweep(tmp_path, TINY, GRID)
    assert choose_chunk(plan, ONE, load_inputs(GRID, TINY, ONE)) in (1, 4, 8, 16, 32, 64, 128)


def test_a_failing_fit_leaves_a_record_and_the_sweep_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    advance, calls = Fit.advance, iter([True])

    def fails_once(self: Fit) -> None:
        if next(calls, False):
            raise RuntimeError("out of luck")
        advance(self)

    monkeypatch.setattr(Fit, "advance", fails_once)
    outcomes = sweep(tmp_path, Grid(("plain", "bn"), (0.5,), (1,)))
    assert [outcome.message for outcome in outcomes] == ["error: RuntimeError: out of luck", ""]
    (record,) = sweeps.read_sweep(tmp_path).failures
    assert (record.key, record.kind, record.tries) == (FitKey("plain", 0.5, 1), "error", 1)
    assert "out of luck" in record.traceback
    plan = plan_sweep(tmp_path, TINY, Grid(("plain", "bn"), (0.5,), (1,)))
    assert (list(plan.failed), plan.to_run) == ([FitKey("plain", 0.5, 1)], [])
    assert "1 done, 1 failed, 0 to run" in str(plan)
    again = plan_sweep(tmp_path, TINY, Grid(("plain", "bn"), (0.5,), (1,)), retry_failed=True)
    assert [key.arm for key in again.to_run] == ["plain"]
    assert not messages(run(again))
    assert sweeps.read_sweep(tmp_path).failures == []


def test_a_mask_of_one_colour_names_its_seed_and_the_sweep_goes_on(tmp_path: Path) -> None:
    protocol = TINY.with_knobs(mask_size=(3, 3))
    grid = Grid(("plain",), (0.001, 0.5), (1,))
    outcomes = sweep(tmp_path, grid, protocol=protocol)
    assert outcomes[0].message.startswith("one-colour mask: ")
    assert all(name in outcomes[0].message for name in ("p=0.001", "seed 1", "3×3"))
    assert outcomes[1].state == "done"
    (record,) = sweeps.read_sweep(tmp_path).failures
    assert record.kind == "one-colour mask"


def test_divergence_is_recorded(tmp_path: Path) -> None:
    (outcome,) = sweep(tmp_path, Grid(("plain",), (0.5,), (1,)), protocol=TINY.with_knobs(learning_rate=1e30))
    assert re.match(r"diverged: .*step \d", outcome.message)
    assert not layout.fit_path(tmp_path, outcome.key).exists()


@pytest.mark.nightly
def test_what_kills_its_worker_is_found_out_and_the_others_are_bitwise_what_one_process_gives(
    finished: Path, tmp_path: Path
) -> None:
    open_folder(tmp_path, TINY)
    deadly = FitKey("tests.foreign_arms:deadly", 0.5, 1)
    first, *others = GRID.fits()
    plan = replace(plan_sweep(tmp_path, TINY, GRID), to_run=[first, deadly, *others])
    outcomes = {outcome.key: outcome for outcome in call(run, plan, TWO)}
    assert {key: outcome.state for key, outcome in outcomes.items() if key != deadly} == dict.fromkeys(
        GRID.fits(), "done"
    )
    assert re.match(r"killed worker: .*\b3\b", outcomes[deadly].message)
    found, alone = sweeps.read_sweep(tmp_path), sweeps.read_sweep(finished)
    assert [record.key for record in found.failures] == [deadly]
    pd.testing.assert_frame_equal(found.landscapes, alone.landscapes, check_exact=True)
    pd.testing.assert_frame_equal(found.traces, alone.traces, check_exact=True)


def test_a_record_that_cannot_be_written_does_not_end_the_sweep(tmp_path: Path) -> None:
    open_folder(tmp_path, TINY)
    (tmp_path / "failures").write_text("in the way")
    outcomes = sweep(tmp_path, Grid(("plain",), (0.5,), (1, 2)), protocol=TINY.with_knobs(learning_rate=1e30))
    assert len(outcomes) == 2
    assert all("no record" in outcome.message for outcome in outcomes)


def test_another_version_of_a_foreign_arm_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    module = tmp_path / "versioned_arm.py"
    module.write_text("from tests.foreign_arms import layer_norm as make\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    grid = Grid(("versioned_arm:make",), (0.5,), (1,))
    assert sweep(tmp_path / "results", grid)[0].state == "done"
    module.write_text("from tests.foreign_arms import group_norm as make\n")
    monkeypatch.delitem(sys.modules, "versioned_arm")  # as another process begins
    with pytest.raises(store.StoreError, match=r"version .*versioned_arm:make"):
        plan_sweep(tmp_path / "results", TINY, Grid(("versioned_arm:make",), (0.5,), (2,)))


def test_a_broken_file_is_named_and_left_alone(finished: Path, tmp_path: Path) -> None:
    sweep(tmp_path, Grid(("plain",), (0.5,), (1,)))
    path = layout.fit_path(tmp_path, FitKey("plain", 0.5, 1))
    path.write_bytes(path.read_bytes()[:200])
    plan = plan_sweep(tmp_path, TINY, GRID)
    assert len(plan.broken) == 1
    assert str(path) in plan.broken[0]
    assert len(plan.to_run) == 3
    assert "1 unreadable" in str(plan)


def test_identity_hangs_on_what_changes_numbers() -> None:
    keys = [FitKey("plain", 0.5, 1), FitKey("bn", 0.5, 1), FitKey("plain", 0.4, 1), FitKey("plain", 0.5, 2)]
    identities = {fit_identity(key, protocol) for key in keys for protocol in (TINY, TINY.with_knobs(steps=7))}
    assert len(identities) == 8


def test_a_wrong_request_ends_before_any_worker_starts() -> None:
    with pytest.raises(ValueError, match=r"--arms blan .*plain"):
        load_inputs(Grid(("blan",), (0.5,), (1,)), TINY, ONE)
    for knobs, message in (
        ({"mask_kind": "framed"}, "--mask-kind framed .*--mask-size 5"),
        ({"images": 1098}, "--images 1098: .*1,097"),
        ({"bn_statistics": "batch:2000"}, "--bn-statistics batch:2000 .*recalibrate:2000"),
        ({"bn_statistics": "recalibrate:2000"}, "--bn-statistics recalibrate:2000: .*1,097"),
    ):
        with pytest.raises(RequestError, match=message):
            load_inputs(GRID, TINY.with_knobs(**knobs), ONE)


@pytest.mark.parametrize(
    ("arm", "knobs", "message"),
    [
        ("plane", {}, "--arms plane "),
        ("no.such.package:net", {}, "--arms no.such.package:net "),
        ("plain", {"mask_kind": "framed", "mask_size": (4, 9)}, "--mask-kind framed .*--mask-size 5"),
        ("plain", {}, "--dataset fashion-mnist .*--download"),
    ],
)
def test_a_request_is_judged_before_data_are_looked_for(
    arm: str, knobs: dict[str, Any], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(DATASETS_FOLDER, str(tmp_path))
    protocol = PROFILES["compact"].with_knobs(**knobs)
    with pytest.raises(RequestError, match=message):
        load_inputs(Grid((arm,), (0.5,), (1,)), protocol, replace(ONE, data_folder=tmp_path))


@pytest.mark.usefixtures("timed_as_ever")
def test_the_estimate_comes_from_finished_fits_or_from_timing(finished: Path, tmp_path: Path) -> None:
    data = load_inputs(GRID, TINY, ONE)
    known = plan_sweep(finished, TINY, Grid(GRID.arms, GRID.probs, (1, 2, 3, 4)))
    walls = sweeps.read_sweep(finished).provenance.groupby("arm")["wall_seconds"].mean()
    assert estimate_seconds(known, ONE, data) == pytest.approx(2 * walls.sum())
    fresh = plan_sweep(tmp_path, TINY, GRID)
    timed = estimate_seconds(fresh, ONE, data)
    assert timed is not None
    assert 0 < timed < 60
    done = plan_sweep(finished, TINY, GRID)
    assert estimate_seconds(done, ONE, data) == 0


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (4.4, "4 s"),
        (89, "89 s"),
        (600, "10 min"),
        (11_400, "3 h 10 min"),
        (400_000, "4 days 15 h"),
        (3.26e8, "10 years"),
    ],
)
def test_durations_read_well(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_images_and_pixels_follow_the_seed_and_not_the_arm(tmp_path: Path) -> None:
    """Arms share the data order: with a learning rate of almost nothing, shared layers see the same losses."""
    outcomes = sweep(
        tmp_path,
        Grid(("plain", "skip"), (0.5,), (1,)),
        protocol=TINY.with_knobs(learning_rate=1e-12, widths=(2,), strides=(2,)),
    )
    assert not messages(outcomes)
    traces = sweeps.read_sweep(tmp_path).traces
    plain, skip = (traces[traces["arm"] == arm]["black_loss"].to_numpy() for arm in ("plain", "skip"))
    assert np.allclose(plain, skip, rtol=1e-5)
