"""What a plan finds in a folder: each fit is what it is, whatever its file is called and whoever shares the folder."""

from __future__ import annotations

import errno
import os
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from bnbench.errors import RequestError
from bnbench.protocol.protocol import FitKey, Grid
from bnbench.results import layout, store
from bnbench.results.checkpoints import Checkpoint, load_checkpoint, save_checkpoint
from bnbench.results.fits import content_of, read_fit
from bnbench.results.folder_protocol import open_folder, read_protocol
from bnbench.sweep.backends.inline import Inline
from bnbench.sweep.confinement import Confinement
from bnbench.sweep.cost import estimate_seconds
from bnbench.sweep.devices import DeviceRequest, make_slots
from bnbench.sweep.execution import Execution, FitStoppedError, Job, Outcome
from bnbench.sweep.fit_under_way import FitUnderWay
from bnbench.sweep.identity import fit_identity
from bnbench.sweep.interrupts import WorkerStop
from bnbench.sweep.messages import Messages
from bnbench.sweep.plan import plan_sweep
from bnbench.sweep.request import SweepRequest
from bnbench.sweep.runner import Runner
from bnbench.sweep.sweep import LARGEST_GRID, run_sweep
from bnbench.sweep.worker import record_killed
from tests.fits import TINY
from tests.sentences import numbers

ONE = Execution(make_slots(("cpu",), 1, 1), chunk=4)
KEY = FitKey("plain", 0.5, 1)
GRID = Grid(("plain",), (0.5,), (1,))


def sweep(folder: Path, grid: Grid = GRID) -> list[Outcome]:
    open_folder(folder, TINY)
    return list(Runner(plan_sweep(folder, TINY, grid), ONE, Inline()).outcomes())


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sweep")
    assert [outcome.state for outcome in sweep(folder)] == ["done"]
    return folder


def test_a_copy_under_another_name_is_not_taken_for_another_fit(finished: Path, tmp_path: Path) -> None:
    shutil.copytree(finished, tmp_path, dirs_exist_ok=True)
    copy = layout.fit_path(tmp_path, replace(KEY, seed=4))
    shutil.copy(layout.fit_path(tmp_path, KEY), copy)
    plan = plan_sweep(tmp_path, TINY, replace(GRID, seeds=(1, 4)))
    assert list(plan.done) == [KEY]
    (sentence,) = plan.broken
    assert sentence.startswith(str(copy))
    assert str(KEY) in sentence, "which fit it is a copy of"


def test_fits_beside_the_grid_tell_how_long_it_takes(finished: Path) -> None:
    (provenance,) = plan_sweep(finished, TINY, GRID).done.values()
    beside = plan_sweep(finished, TINY, replace(GRID, seeds=(7, 8)))
    assert estimate_seconds(beside, ONE, None) == pytest.approx(2 * provenance["wall_seconds"])
    for other in (replace(GRID, arms=("bn",)), replace(GRID, seeds=(7,))):
        threads = replace(ONE, devices=DeviceRequest(threads=1 if other.arms == ("bn",) else 2))
        assert estimate_seconds(plan_sweep(finished, TINY, other), threads, None) is None


def test_fits_of_a_loaded_hour_hardly_move_the_estimate(finished: Path) -> None:
    (provenance,) = plan_sweep(finished, TINY, GRID).done.values()
    times = [900.0, 10.0, 11.0, 9.0, 1000.0, 10.0, 10.0, 12.0]
    done = {
        replace(KEY, seed=seed): provenance | {"wall_seconds": seconds, "finished": f"2026-01-0{seed}"}
        for seed, seconds in enumerate(times, 1)
    }
    plan = replace(plan_sweep(finished, TINY, GRID), done=done, to_run=[replace(KEY, seed=9)])
    assert estimate_seconds(plan, ONE, None) == pytest.approx((10 + 10 + 11 + 12) / 4)
    old = {
        replace(KEY, seed=day): provenance | {"wall_seconds": 500.0, "finished": f"2025-01-{day}"}
        for day in range(10, 30)
    }
    late = {
        replace(KEY, seed=100 + day): provenance | {"wall_seconds": 10.0, "finished": f"2026-02-{day}"}
        for day in range(10, 22)
    }
    assert estimate_seconds(replace(plan, done=late | old), ONE, None) == pytest.approx(10.0)


@pytest.mark.parametrize("told", ["device_name", "processor_kind"])  # virtual machines call several kinds alike
def test_fits_of_another_processor_do_not_tell_how_long_it_takes(
    finished: Path, monkeypatch: pytest.MonkeyPatch, told: str
) -> None:
    plan = plan_sweep(finished, TINY, replace(GRID, seeds=(7, 8)))
    assert estimate_seconds(plan, ONE, None) is not None
    monkeypatch.setattr(f"bnbench.sweep.cost.{told}", lambda device: f"another {device}")
    assert estimate_seconds(plan, ONE, None) is None


def test_a_folder_in_which_another_protocol_has_begun_is_refused(tmp_path: Path) -> None:
    open_folder(tmp_path, TINY)
    other = TINY.with_knobs(steps=7)
    open_folder(tmp_path, other)  # nothing had begun
    layout.checkpoint_path(tmp_path, KEY).touch()
    with pytest.raises(store.StoreError, match="steps 7 there, 6 here"):
        open_folder(tmp_path, TINY)
    assert read_protocol(tmp_path) == other


def test_a_runner_whose_folder_was_opened_for_another_protocol_writes_nothing_into_it(tmp_path: Path) -> None:
    open_folder(tmp_path, TINY)
    runner = Runner(plan_sweep(tmp_path, TINY, GRID), ONE, Inline())
    open_folder(tmp_path, TINY.with_knobs(steps=7))
    (outcome,) = runner.outcomes()
    assert "steps 7 there, 6 here" in outcome.message
    assert layout.fit_paths(tmp_path) == []


def test_a_file_of_another_protocol_is_never_reported_as_the_fit_that_was_asked_for(
    finished: Path, tmp_path: Path
) -> None:
    other = TINY.with_knobs(steps=7)
    open_folder(tmp_path, other)
    runner = Runner(plan_sweep(tmp_path, other, GRID), ONE, Inline())
    shutil.copy(layout.fit_path(finished, KEY), layout.fit_path(tmp_path, KEY))
    (outcome,) = runner.outcomes()
    assert outcome.state == "failed"
    assert "another fit" in outcome.message


def test_a_fit_that_went_on_under_other_conditions_says_so(tmp_path: Path) -> None:
    class Stopping(WorkerStop):
        looks = 0

        @property
        def is_requested(self) -> bool:
            self.looks += 1
            return self.looks == 4

    open_folder(tmp_path, TINY)
    job = Job(TINY, tmp_path, ONE, "token")
    confinement = Confinement(False, None, tmp_path / "over")
    first = FitUnderWay(KEY, job, ONE.slots[0], 4)
    first.add_note("something that happened")
    with pytest.raises(FitStoppedError):
        first.run(Stopping([]), confinement)
    checkpoint = load_checkpoint(tmp_path, KEY, fit_identity(KEY, TINY))
    assert checkpoint is not None
    assert checkpoint.provenance["chunk"] == 4
    FitUnderWay(KEY, job, ONE.slots[0], 2).run(WorkerStop([]), confinement)
    provenance = read_fit(layout.fit_path(tmp_path, KEY)).provenance
    before, after = provenance["note"].split("; ")
    assert before == "something that happened"
    assert numbers(after) == ["3", "4"], "steps, and their chunk"
    assert (provenance["chunk"], provenance["parts"]) == (2, 2)
    assert provenance["begun"] == checkpoint.provenance["begun"] <= provenance["started"]


@pytest.mark.parametrize("change", ["step 10⁹", "step −5", "another size", "nothing in it", "another fit"])
@pytest.mark.parametrize("retry_failed", [False, True])
def test_a_checkpoint_that_does_not_fit_costs_its_steps_and_is_said(
    change: str, retry_failed: bool, finished: Path, tmp_path: Path
) -> None:
    open_folder(tmp_path, TINY)
    identity = fit_identity(KEY, TINY if change != "another fit" else TINY.with_knobs(steps=9))
    job = Job(TINY, tmp_path, ONE, "token")
    state = FitUnderWay(KEY, job, ONE.slots[0], 4).fit.state_dict()
    if change == "another size":
        state["plane"] = {name: value[..., :-1] if value.dim() else value for name, value in state["plane"].items()}
    elif change != "another fit":
        state = {**state, "step": {"step 10⁹": 10**9}.get(change, -5)} if change.startswith("step") else {}
    if retry_failed:
        record_killed(KEY, job, 3)
    save_checkpoint(tmp_path, KEY, Checkpoint(identity, state, 1.0, 1, {}))
    plan = plan_sweep(tmp_path, TINY, GRID, retry_failed=retry_failed)
    (outcome,) = Runner(plan, ONE, Inline()).outcomes()
    assert (outcome.state, "checkpoint" in outcome.message) == ("done", True)
    assert ("of another fit" in outcome.message) == (change == "another fit")
    assert not layout.failure_paths(tmp_path)
    result, undisturbed = (read_fit(layout.fit_path(one, KEY)) for one in (tmp_path, finished))
    assert content_of(result) == content_of(undisturbed)
    assert "checkpoint" in result.provenance["note"]


def test_a_grid_of_millions_is_refused_before_it_is_listed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Grid, "fits", lambda _: pytest.fail("listed"))
    grid = Grid(("plain",), tuple(n / 1000 for n in range(1, 1000)), tuple(range(1, 1_000_001)))
    with pytest.raises(RequestError) as refusal:
        run_sweep(SweepRequest(TINY, grid, tmp_path / "out"), Inline(), Messages())
    for number in (f"{999_000_000:,}", f"{LARGEST_GRID:,}"):
        assert number in str(refusal.value)
    assert not (tmp_path / "out").exists()


def test_a_folder_in_place_of_a_failures_record_ends_no_sweep(tmp_path: Path) -> None:
    open_folder(tmp_path, TINY)
    layout.failure_path(tmp_path, KEY).mkdir(parents=True)
    outcome = record_killed(KEY, Job(TINY, tmp_path, ONE, "token"), 3)
    assert (outcome.key, outcome.state) == (KEY, "failed")
    assert os.strerror(errno.EISDIR) in outcome.message
