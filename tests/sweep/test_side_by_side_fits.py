"""Several fits in one process: a processor's slots stand in for the streams of a GPU."""

from __future__ import annotations

import threading
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from bnbench.protocol.protocol import FitKey, Grid
from bnbench.results import layout
from bnbench.results.chunks import keep_chunk, keep_fits_per_device, read_chunk, read_fits_per_device
from bnbench.results.fits import read_fit
from bnbench.results.folder_protocol import open_folder
from bnbench.sweep import side_by_side_fits
from bnbench.sweep.backends.inline import Inline
from bnbench.sweep.backends.shared_devices import compute_on_groups, groups_of, may_share
from bnbench.sweep.devices import make_slots
from bnbench.sweep.execution import Execution, Job, Outcome
from bnbench.sweep.how_many import choose_fits_per_device
from bnbench.sweep.interrupts import RunnerStop, WorkerStop
from bnbench.sweep.plan import load_inputs, plan_sweep
from bnbench.sweep.runner import Runner
from tests.fits import TINY

GRID = Grid(("plain",), (0.5,), (1, 2))
KEYS = [FitKey(arm, 0.5, seed) for arm, seed in (("plain", 1), ("bn", 1), ("plain", 2))]
PAIR = make_slots(("cpu", "cpu"), None, 1)


def job_in(folder: Path) -> Job:
    return Job(TINY, folder, Execution(PAIR), f"test-{folder.name}", sources={"plain": "", "bn": ""})


@pytest.mark.parametrize(
    ("slots", "groups"),
    [
        (("cuda:0", "cuda:1", "cuda:0", "cuda:1"), ["cuda:0#0 cuda:0#1", "cuda:1#0 cuda:1#1"]),
        (("cpu", "cpu"), ["cpu#0", "cpu#1"]),
        (("cuda:0", "cpu", "cuda:0"), ["cuda:0#0 cuda:0#1", "cpu#0"]),
    ],
)
def test_a_gpu_has_one_process_and_a_processor_one_for_each_slot(slots: tuple[str, ...], groups: list[str]) -> None:
    assert [" ".join(map(str, group)) for group in groups_of(make_slots(slots, None, 1))] == groups


def test_what_concerns_a_whole_process_is_kept_apart() -> None:
    arms, execution = ("plain", "bn"), Execution(PAIR)
    assert may_share(TINY, execution, arms)
    assert not may_share(TINY, execution, ("plain", "tests.foreign_arms:layer_norm"))
    assert not may_share(TINY, replace(execution, fit_timeout=60.0), arms)
    tf32 = replace(TINY, training=replace(TINY.training, precision="tf32"))
    assert not may_share(tf32, execution, arms)


def test_fits_that_share_a_process_are_the_fits_that_do_not(tmp_path: Path) -> None:
    """One of them fails, and the others end as if each were alone."""
    apart, shared = tmp_path / "apart", tmp_path / "shared"
    for folder in (apart, shared):
        folder.mkdir()
        open_folder(folder, TINY)
    list(Runner(plan_sweep(apart, TINY, GRID), Execution(make_slots(("cpu",), 1, 1)), Inline()).outcomes())
    broken = layout.fit_path(shared, KEYS[1])
    broken.parent.mkdir(parents=True, exist_ok=True)
    broken.write_bytes(b"no table")
    job = job_in(shared)
    outcomes = list(compute_on_groups([PAIR], KEYS, job, RunnerStop(job.stop_markers)))
    assert {outcome.key: outcome.state for outcome in outcomes} == {
        key: "failed" if key == KEYS[1] else "done" for key in KEYS
    }
    for key in [key for key in KEYS if key != KEYS[1]]:
        one, other = (read_fit(layout.fit_path(folder, key)) for folder in (apart, shared))
        pd.testing.assert_frame_equal(one.landscape, other.landscape, check_exact=True)
        assert one.identity == other.identity
    assert read_fit(layout.fit_path(shared, KEYS[0])).provenance["device"] == "cpu"


def test_a_process_begins_fits_until_its_slots_are_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In this process: what raises in a thread is raised here, and nobody waits while a slot is free."""
    may_go, begun = threading.Event(), threading.Barrier(3)

    def computed(key: FitKey, job: Job, stop: WorkerStop) -> Outcome:
        begun.wait(60)
        may_go.wait(60)
        if key == KEYS[1]:
            raise ZeroDivisionError
        return Outcome(key, "done")

    monkeypatch.setattr(side_by_side_fits, "compute_fit", computed)
    monkeypatch.setattr(side_by_side_fits, "prepare_process", lambda *how: None)
    job = job_in(tmp_path)
    for key in KEYS[:2]:
        assert side_by_side_fits.exchange(key, job, waits=False) is None
    begun.wait(60)  # both are under way
    may_go.set()
    ended: list[object] = []
    for _ in range(2):
        try:
            ended.append(side_by_side_fits.exchange(None, job, waits=True))
        except ZeroDivisionError:
            ended.append("raised")
    assert "raised" in ended
    assert Outcome(KEYS[0], "done") in ended


@pytest.mark.parametrize(("seconds", "best"), [((4.0, 2.0, 1.0, 0.5), 8), ((4.0, 2.0, 1.99, 0.5), 2), ((1.0,) * 4, 1)])
def test_more_fits_at_once_have_to_gain_something(
    seconds: tuple[float, ...], best: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    of_count = dict(zip((1, 2, 4, 8), seconds, strict=True))
    monkeypatch.setattr("bnbench.sweep.how_many._seconds_of_a_step", lambda arm, count, *rest: of_count[count])
    execution = Execution(PAIR)
    plan = plan_sweep(tmp_path, TINY, GRID)
    assert choose_fits_per_device(plan, execution, load_inputs(GRID, TINY, execution)) == best


def test_how_many_fits_at_once_is_measured_by_their_steps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bnbench.sweep.how_many._COUNTS", (1, 2))
    monkeypatch.setattr("bnbench.sweep.how_many._LONG", 0.0)
    monkeypatch.setattr("bnbench.sweep.how_many._take", lambda under_way, steps: under_way.advance() or steps)
    execution, plan = Execution(PAIR), plan_sweep(tmp_path, TINY, GRID)
    assert choose_fits_per_device(plan, execution, load_inputs(GRID, TINY, execution)) in (1, 2)


def test_a_folder_keeps_how_many_fits_at_once_beside_its_chunk(tmp_path: Path) -> None:
    assert read_fits_per_device(tmp_path) is None
    keep_chunk(tmp_path, 32)
    assert read_fits_per_device(tmp_path) is None
    assert [keep_fits_per_device(tmp_path, count) for count in (4, 2)] == [4, 4]
    assert (read_chunk(tmp_path), read_fits_per_device(tmp_path)) == (32, 4)
