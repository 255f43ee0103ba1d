"""Several fits in one process: a processor's slots stand in for the streams of a GPU."""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from collections.abc import Callable, Generator
from concurrent.futures import Future
from dataclasses import replace
from itertools import repeat
from pathlib import Path

import pandas as pd
import pytest

from bnbench.mpo.batch_norm import uses_bn
from bnbench.mpo.fit import Fit
from bnbench.mpo.trace import DivergedError
from bnbench.protocol.protocol import FitKey, Grid
from bnbench.results import layout
from bnbench.results.fits import read_fit
from bnbench.results.folder_protocol import open_folder
from bnbench.sweep.backends import shared_process
from bnbench.sweep.backends.inline import Inline
from bnbench.sweep.backends.processes import Processes
from bnbench.sweep.backends.shared_devices import STANDS_IN_FOR_A_GPU, compute_on_groups, groups_of, may_share
from bnbench.sweep.devices import make_slots
from bnbench.sweep.execution import Execution, Job, Outcome
from bnbench.sweep.interrupts import RunnerStop, WorkerStop
from bnbench.sweep.plan import plan_sweep
from bnbench.sweep.runner import Runner
from tests.fits import TINY

GRID = Grid(("plain",), (0.5,), (1, 2))
KEYS = [FitKey(arm, 0.5, seed) for arm, seed in (("plain", 1), ("bn", 1), ("plain", 2))]
PAIR = make_slots(("cpu", "cpu"), None, 1)


def job_in(folder: Path) -> Job:
    sources = {"plain": "", "bn": ""}
    return Job(TINY, folder, Execution(PAIR), f"test-{folder.name}", sources=sources, shares_process=True)


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
    assert not may_share(TINY, replace(execution, fit_memory=4096), arms)
    tf32 = replace(TINY, training=replace(TINY.training, precision="tf32"))
    assert not may_share(tf32, execution, arms)


def exchanged(keys: list[FitKey], job: Job) -> list[Outcome]:
    """Compute fits in threads of this process, all of them at once."""
    for key in keys:
        assert shared_process.exchange(key, job, waits=False) is None
    return [outcome for _ in keys if (outcome := shared_process.exchange(None, job, waits=True))]


def shared_by_processes(keys: list[FitKey], job: Job) -> list[Outcome]:
    """Compute fits in a process of their own that has two slots."""
    return list(compute_on_groups([PAIR], keys, job, RunnerStop(job.stop_markers)))


@pytest.fixture
def leaves_this_process_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shared_process, "prepare_process", lambda *how: None)
    for module in ("confinement", "course"):  # its threads are those of a worker, whose arms are built in
        monkeypatch.setattr(f"bnbench.sweep.{module}.is_worker_process", lambda: True)


@pytest.mark.usefixtures("leaves_this_process_alone")
@pytest.mark.parametrize("compute", [exchanged, pytest.param(shared_by_processes, marks=pytest.mark.nightly)])
def test_fits_that_share_a_process_are_the_fits_that_do_not(
    compute: Callable[[list[FitKey], Job], list[Outcome]], tmp_path: Path
) -> None:
    """One of them fails, and the others end as if each were alone."""
    apart, shared = tmp_path / "apart", tmp_path / "shared"
    for folder in (apart, shared):
        folder.mkdir()
        open_folder(folder, TINY)
    list(Runner(plan_sweep(apart, TINY, GRID), Execution(make_slots(("cpu",), 1, 1)), Inline()).outcomes())
    broken = layout.fit_path(shared, KEYS[1])
    broken.parent.mkdir(parents=True, exist_ok=True)
    broken.write_bytes(b"no table")
    outcomes = compute(KEYS, job_in(shared))
    assert {outcome.key: outcome.state for outcome in outcomes} == {
        key: "failed" if key == KEYS[1] else "done" for key in KEYS
    }
    for key in [key for key in KEYS if key != KEYS[1]]:
        one, other = (read_fit(layout.fit_path(folder, key)) for folder in (apart, shared))
        pd.testing.assert_frame_equal(one.landscape, other.landscape, check_exact=True)
        assert one.identity == other.identity
    provenance = read_fit(layout.fit_path(shared, KEYS[0])).provenance
    assert provenance["device"] == "cpu"
    assert (provenance["fits_at_once"], "peak_memory_mib" in provenance) == (len(PAIR), False)


@pytest.mark.usefixtures("leaves_this_process_alone")
def test_a_fit_that_diverges_leaves_its_neighbour_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    apart, shared = tmp_path / "apart", tmp_path / "shared"
    for folder in (apart, shared):
        folder.mkdir()
        open_folder(folder, TINY)
    list(Runner(plan_sweep(apart, TINY, GRID), Execution(make_slots(("cpu",), 1, 1)), Inline()).outcomes())
    advance = Fit.advance

    def diverges(fit: Fit) -> None:
        if fit.step == 2 and uses_bn(fit.plane.module):
            raise DivergedError("the loss was not finite")
        advance(fit)

    monkeypatch.setattr(Fit, "advance", diverges)
    outcomes = {outcome.key: outcome for outcome in exchanged(KEYS[:2], job_in(shared))}
    assert [outcomes[key].state for key in KEYS[:2]] == ["done", "failed"]
    assert not layout.checkpoint_path(shared, KEYS[1]).exists()
    one, other = (read_fit(layout.fit_path(folder, KEYS[0])) for folder in (apart, shared))
    pd.testing.assert_frame_equal(one.landscape, other.landscape, check_exact=True)


LONG = TINY.with_knobs(steps=100_000)


class Called:
    """A worker process of two slots in this one: the first fit is done at once, others when they are told to stop."""

    def __init__(self, *how: object, **more: object) -> None:
        self.begun: list[FitKey] = []
        self.was_killed = False
        CALLED.append(self)

    def submit(self, work: object, key: FitKey | None, job: Job, *, waits: bool) -> Future[Outcome | None]:
        self.begun += [key] if key else []
        call = Future[Outcome | None]()
        outcome = None
        if waits:
            own = self.begun.pop(0)
            outcome = Outcome(own, "stopped" if any(path.exists() for path in job.stop_markers) else "done")
        call.set_result(outcome)
        return call

    def shutdown(self, *, wait: bool, kill_workers: bool) -> None:
        self.was_killed = kill_workers


CALLED: list[Called] = []


def test_fits_under_way_are_stopped_when_nobody_asks_for_more(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The generator is closed at a yield, where a lone process has no call under way."""
    monkeypatch.setattr("bnbench.sweep.backends.shared_devices.ProcessPoolExecutor", Called)
    monkeypatch.setattr(Job, "local_folder", tmp_path)
    job, begun = job_in(tmp_path), len(CALLED)
    stop = RunnerStop(job.stop_markers)
    outcomes = compute_on_groups([PAIR], KEYS, job, stop)
    assert isinstance(outcomes, Generator)
    assert next(outcomes).state == "done"
    outcomes.close()
    (worker,) = CALLED[begun:]
    assert stop.is_requested
    assert (worker.begun, worker.was_killed) == ([], False)


@pytest.mark.usefixtures("leaves_this_process_alone")
def test_a_process_that_is_terminated_writes_every_fits_checkpoint_and_ends(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SIGTERM comes between two calls, while nobody waits for a fit."""
    ended: list[int] = []
    monkeypatch.setattr("bnbench.sweep.worker.os._exit", ended.append)
    monkeypatch.setattr("bnbench.sweep.worker._GRACE", 0.0)
    monkeypatch.setattr("bnbench.sweep.interrupts.is_worker_process", lambda: True)
    before = signal.getsignal(signal.SIGTERM)
    open_folder(tmp_path, LONG)
    job, keys = replace(job_in(tmp_path), protocol=LONG), KEYS[::2]
    for key in keys:
        shared_process.exchange(key, job, waits=False)
    while not all(map(step_of, keys, repeat(tmp_path))):
        time.sleep(0.02)
    os.kill(os.getpid(), signal.SIGTERM)
    outcome = shared_process.exchange(None, job, waits=True)
    assert ended == [143]
    assert outcome is not None
    assert outcome.state == "stopped"
    shared_process.exchange(None, job, waits=True)  # what the other one has said
    assert all(layout.checkpoint_path(tmp_path, key).exists() for key in keys)
    assert signal.getsignal(signal.SIGTERM) == before


def step_of(key: FitKey, folder: Path) -> int:
    """The step that a fit says it is at; 0 while its file is being written."""
    try:
        return int(json.loads(layout.progress_path(folder, key).read_text()).get("step", 0))
    except (OSError, ValueError):
        return 0


@pytest.mark.nightly
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_fits_of_a_killed_process_go_on(
    number: signal.Signals, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Their numbers are those of fits that nobody disturbed."""
    protocol = TINY.with_knobs(steps=300)
    apart, shared = tmp_path / "apart", tmp_path / "shared"
    for folder in (apart, shared):
        folder.mkdir()
        open_folder(folder, protocol)
    # Not in this process, where the workers of the test before may still be closing their pipes.
    alone = Runner(plan_sweep(apart, protocol, GRID), Execution(PAIR[:1]), Processes()).outcomes()
    assert {outcome.state for outcome in alone} == {"done"}
    monkeypatch.setenv(STANDS_IN_FOR_A_GPU, "1")

    def kill() -> None:
        path = layout.progress_path(shared, KEYS[0])
        while not step_of(KEYS[0], shared):
            time.sleep(0.02)
        os.kill(json.loads(path.read_text())["pid"], number)

    killer = threading.Thread(target=kill)
    killer.start()
    outcomes = list(
        Runner(plan_sweep(shared, protocol, GRID), Execution(PAIR, checkpoint_every=0.3), Processes()).outcomes()
    )
    killer.join()
    assert {outcome.state for outcome in outcomes} == {"done"}
    for key in KEYS[::2]:
        one, other = (read_fit(layout.fit_path(folder, key)) for folder in (apart, shared))
        pd.testing.assert_frame_equal(one.landscape, other.landscape, check_exact=True)
    assert read_fit(layout.fit_path(shared, KEYS[0])).provenance["parts"] > 1


def test_a_process_begins_fits_until_its_slots_are_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In this process: what raises in a thread is raised here, and nobody waits while a slot is free."""
    may_go, begun = threading.Event(), threading.Barrier(3)

    def computed(key: FitKey, job: Job, stop: WorkerStop) -> Outcome:
        begun.wait(60)
        may_go.wait(60)
        if key == KEYS[1]:
            raise ZeroDivisionError
        return Outcome(key, "done")

    monkeypatch.setattr(shared_process, "compute_fit", computed)
    monkeypatch.setattr(shared_process, "prepare_process", lambda *how: None)
    job = job_in(tmp_path)
    for key in KEYS[:2]:
        assert shared_process.exchange(key, job, waits=False) is None
    begun.wait(60)  # both are under way
    may_go.set()
    ended: list[object] = []
    for _ in range(2):
        try:
            ended.append(shared_process.exchange(None, job, waits=True))
        except ZeroDivisionError:
            ended.append("raised")
    assert "raised" in ended
    assert Outcome(KEYS[0], "done") in ended
