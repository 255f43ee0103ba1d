"""A fit of a user's own arm on a worker that nobody can renew: it has a process of its own, which may die."""

from __future__ import annotations

import os
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import pytest
from joblib.externals.loky.process_executor import BrokenProcessPool

from bnbench.protocol.protocol import FitKey
from bnbench.sweep.backends import apart, dask_worker
from bnbench.sweep.backends.backend import WorkersKilledError
from bnbench.sweep.backends.each_in_processes import each_in_processes
from bnbench.sweep.devices import make_slots
from bnbench.sweep.execution import Execution, Job, Outcome
from bnbench.sweep.worker import TRIES
from tests.fits import TINY
from tests.warm import call

OWN = FitKey("tests.foreign_arms:layer_norm", 0.5, 1)
PLAIN = FitKey("plain", 0.5, 1)


@pytest.mark.parametrize("deaths", range(TRIES + 1))
def test_a_fit_of_an_own_arm_is_computed_beside_the_worker(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, deaths: int
) -> None:
    calls: list[Job] = []

    def alone(work: object, key: FitKey, job: Job) -> Outcome:
        calls.append(job)
        if len(calls) <= deaths:
            raise WorkersKilledError
        return Outcome(key, "done")

    monkeypatch.setattr(dask_worker, "alone", alone)
    monkeypatch.setattr(dask_worker, "run_fit", lambda key, job: Outcome(key, "stopped"))
    job = Job(TINY, tmp_path, Execution(make_slots(("cpu",), 1, 1)), "token", is_remote=True, runner=1)
    assert dask_worker._run_fit(PLAIN, job).state == "stopped", "in the worker itself"
    assert not calls
    assert dask_worker._run_fit(OWN, job).state == ("done" if deaths < TRIES else "killed")
    assert {job.runner for job in calls} == {os.getpid()}, "it ends with the worker"
    assert len(calls) == min(deaths + 1, TRIES)


def itself(key: FitKey) -> FitKey:
    return key


def process_of(key: FitKey) -> tuple[str, int]:
    return key.arm, os.getpid()


def processes_of(*arms: str) -> list[tuple[str, int]]:
    return list(each_in_processes(process_of, [FitKey(arm, 0.5, 1) for arm in arms], 1, itself))


def test_what_is_measured_of_own_arms_has_processes_of_its_own_too() -> None:
    """Planes that are evaluated, and networks whose smoothness is measured."""
    done = call(processes_of, "plain", "my:net", "bn")
    assert len(done) == 3
    kinds: dict[int, set[str]] = {}
    for arm, process in done:
        kinds.setdefault(process, set()).add(arm if ":" in arm else "")
    assert all(len(arms) == 1 for arms in kinds.values())
    assert os.getpid() not in kinds


def test_a_process_that_dies_between_two_fits_costs_none(monkeypatch: pytest.MonkeyPatch) -> None:
    """As where an arm has left a thread in it that ends it."""
    pools: list[FakePool] = []

    class FakePool:
        def __init__(self, *how: object, **more: object) -> None:
            self.done, self.is_ended = list[object](), False
            pools.append(self)

        def submit(self, work: object, *arguments: object) -> Future[str]:
            if self.done:
                raise BrokenProcessPool
            self.done += arguments
            return Future()

        def shutdown(self, **how: object) -> None:
            self.is_ended = True

    monkeypatch.setattr(apart, "ProcessPoolExecutor", FakePool)
    process = apart._Process(os.getpid())
    for number in range(3):
        process.submit("my:net", str, number)
    assert [(pool.done, pool.is_ended) for pool in pools] == [([0], True), ([1], True), ([2], False)]


@pytest.mark.parametrize("limit", [{"fit_memory": 4096}, {"fit_timeout": 60.0}], ids=str)
def test_with_a_limit_every_fit_is_computed_beside_the_worker(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limit: dict[str, Any]
) -> None:
    """A worker's own memory is that of all its threads, and the clock that would end one of them ends all."""
    monkeypatch.setattr(dask_worker, "alone", lambda work, key, job: Outcome(key, "done"))
    execution = Execution(make_slots(("cpu",), 1, 1), **limit)
    job = Job(TINY, tmp_path, execution, "token", is_remote=True, runner=1)
    assert dask_worker._run_fit(PLAIN, job).state == "done"
