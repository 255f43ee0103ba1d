"""Fits that fail: each leaves one record, costs no other fit, and can be run again."""

from __future__ import annotations

import json
import os
import re
import signal
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from bnbench.protocol.protocol import FitKey, Grid
from bnbench.results import claims, layout
from bnbench.results.failures import Failure, read_failure
from bnbench.results.folder_protocol import open_folder
from bnbench.results.sweeps import read_sweep
from bnbench.sweep.backends.backend import WorkersKilledError
from bnbench.sweep.backends.inline import Inline
from bnbench.sweep.devices import make_slots
from bnbench.sweep.execution import Execution, Job, Outcome
from bnbench.sweep.interrupts import Interrupted, RunnerStop
from bnbench.sweep.plan import plan_sweep
from bnbench.sweep.runner import Runner
from tests.cli.test_cli import bnbench
from tests.fits import TINY
from tests.foreign_arms import TRAINED_ON
from tests.sentences import numbers
from tests.shell import SWEEP, Running, options_of

TRIED = TINY.with_knobs(images=TRAINED_ON)
ONE = Execution(make_slots(("cpu",), 1, 1), chunk=4)
COMMAND = ["run", *options_of(TRIED), "--devices", "cpu", "--jobs", "1", "--probs", "0.5", "--seeds", "1"]
COMMAND += ["--backend", "inline", "--out", "results"]


def sweep(folder: Path, *arms: str, execution: Execution = ONE, retry_failed: bool = False) -> list[Outcome]:
    """One fit of each arm, one after another; a name without a colon that is no built-in arm is a fake one."""
    names = tuple(arm if arm in ("plain", "bn") else f"tests.foreign_arms:{arm}" for arm in arms)
    open_folder(folder, TRIED)
    plan = plan_sweep(folder, TRIED, Grid(names, (0.5,), (1,)), retry_failed=retry_failed)
    return list(Runner(plan, execution, Inline()).outcomes())


def computing(compute: Callable[[Sequence[FitKey], Job, RunnerStop], Iterator[Outcome]]) -> Inline:
    """A backend that computes batches as a function does."""
    backend = Inline()
    backend.compute = compute  # type: ignore[assignment,method-assign]  # a backend for one test needs no class
    return backend


def records(folder: Path) -> list[Failure]:
    return [read_failure(path) for path in layout.failure_paths(folder)]


@pytest.mark.parametrize(
    ("arm", "kind", "message"),
    [
        ("raises_in_training", "error", "ValueError: "),
        ("lacks_permission", "error", "/data/secret"),
        ("exits", "error", "SystemExit: 3"),
        ("not_a_number", "diverged", "step 1"),
        ("allocates_too_much", "out of memory", "allocate"),
    ],
)
def test_an_arm_that_fails_leaves_one_record_and_the_others_go_on(
    tmp_path: Path, arm: str, kind: str, message: str
) -> None:
    failed, done = sweep(tmp_path, arm, "plain")
    assert (failed.state, done.state) == ("failed", "done")
    (record,) = records(tmp_path)
    assert (record.key.arm, record.kind, record.tries, record.slot) == (f"tests.foreign_arms:{arm}", kind, 1, "cpu#0")
    assert message in record.message
    assert ("in spoilt" in record.traceback) == (kind == "error")
    assert list((tmp_path / "running").iterdir()) == []


def test_memory_that_suffices_for_half_as_many_pixels_gives_a_fit_that_says_so(tmp_path: Path) -> None:
    (outcome,) = sweep(tmp_path, "allocates_too_much_for_many_pixels")
    assert outcome.state == "done"
    provenance = read_sweep(tmp_path).provenance.iloc[0]
    assert numbers(provenance["note"]) == ["4", "2"], "pixels at once, before and then"
    assert provenance["chunk"] == 2
    assert records(tmp_path) == []


def test_a_retry_counts_tries_and_success_takes_the_record_away(tmp_path: Path) -> None:
    for tries in (1, 2, 3):
        sweep(tmp_path, "raises_in_training", "plain", retry_failed=True)
        assert [record.tries for record in records(tmp_path)] == [tries]
    assert sweep(tmp_path, "raises_in_training") == [], "without being told to, a failed fit is left alone"


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"arm": 1}', b"\xff\x00", b'"text"'])
def test_a_damaged_record_counts_as_none(tmp_path: Path, content: bytes) -> None:
    key = FitKey("tests.foreign_arms:raises_in_training", 0.5, 1)
    layout.failure_path(tmp_path, key).parent.mkdir(parents=True)
    layout.failure_path(tmp_path, key).write_bytes(content)
    (outcome,) = sweep(tmp_path, "raises_in_training")
    assert "ValueError" in outcome.message
    assert [record.tries for record in records(tmp_path)] == [1]


def test_the_command_line_plans_and_runs_past_arms_that_cannot_be_timed(tmp_path: Path) -> None:
    names = ("exits", "raises_in_training", "not_a_number", "allocates_too_much")
    foreign = [f"tests.foreign_arms:{name}" for name in names]
    ran = bnbench(*COMMAND, "--arms", ",".join(["plain", *foreign]), cwd=tmp_path)
    assert ran.returncode == 1
    assert "Traceback" not in ran.stderr
    assert re.search(r"raises_in_training p=0\.5 seed=1: error: ValueError", ran.stderr)
    (how,) = (line for line in ran.stderr.splitlines() if "--retry-failed" in line)
    assert numbers(how)[0] == "4", "fits that failed"
    assert len(layout.fit_paths(tmp_path / "results")) == 1
    assert len(records(tmp_path / "results")) == 4


def test_fail_fast_stops_at_the_first_failure_and_the_others_in_mid_fit(tmp_path: Path) -> None:
    long = [*COMMAND, "--arms", "tests.foreign_arms:raises_in_training,plain", "--chunk", "4", "--steps", "100000"]
    ran = bnbench(*long, "--fail-fast", cwd=tmp_path)
    assert ran.returncode == 1
    assert layout.fit_paths(tmp_path / "results") == []
    assert len(records(tmp_path / "results")) == 1
    assert "0 done, 1 failed, 1 to run" in bnbench(*long, "--dry-run", cwd=tmp_path).stderr


def test_force_moves_aside_and_deletes_nothing(tmp_path: Path) -> None:
    arms = ("--arms", "plain,tests.foreign_arms:raises_in_training", "--chunk", "4")
    bnbench(*COMMAND, *arms, cwd=tmp_path)
    folder = tmp_path / "results"
    there = [*layout.fit_paths(folder), *layout.failure_paths(folder)]
    before = {path: path.read_bytes() for path in there}
    assert len(before) == 2
    planned = bnbench(*COMMAND, *arms, "--force", "--dry-run", cwd=tmp_path)
    assert "0 done, 2 to run" in planned.stderr
    assert {path: path.read_bytes() for path in there} == before
    assert not (folder / "superseded").exists()
    forced = bnbench(*COMMAND, *arms, "--force", cwd=tmp_path)
    assert "results/superseded/" in forced.stderr
    (aside,) = (folder / "superseded").iterdir()
    assert {path: (aside / path.parent.name / path.name).read_bytes() for path in there} == before
    assert records(folder)[0].tries == 1
    assert bnbench(*COMMAND, *arms, cwd=tmp_path).stderr.count("1 done, 1 failed, 0 to run") == 1


def test_lines_of_json_are_the_plan_and_the_outcomes(tmp_path: Path) -> None:
    arms = ("--arms", "tests.foreign_arms:printing,tests.foreign_arms:not_a_number", "--chunk", "4", "--json")
    ran = bnbench(*COMMAND, *arms, cwd=tmp_path)
    assert "a line of the arm's own" in ran.stderr
    plan, *outcomes = [json.loads(line) for line in ran.stdout.splitlines()]
    assert (plan["to_run"], plan["done"], plan["slots"], plan["chunk"]) == (2, 0, ["cpu#0"], 4)
    assert {outcome["state"] for outcome in outcomes} == {"done", "failed"}
    assert all(outcome["message"].startswith("diverged") for outcome in outcomes if outcome["state"] == "failed")
    (done,) = (outcome for outcome in outcomes if outcome["state"] == "done")
    assert done["difference"] == pytest.approx(done["black"] - done["white"])
    again = [json.loads(line) for line in bnbench(*COMMAND, *arms, cwd=tmp_path).stdout.splitlines()]
    assert len(again) == 1
    assert (again[0]["done"], again[0]["to_run"], len(again[0]["failed"])) == (1, 0, 1)


@pytest.mark.nightly
def test_three_slots_hold_three_fits_at_once_each_on_one(tmp_path: Path) -> None:
    options = [*SWEEP, "--steps", "1000000", "--seeds", "4", "--devices", "cpu,cpu,cpu"]
    running, folder = Running(options, tmp_path), tmp_path / "results"
    seen: list[list[claims.Progress]] = []

    def are_three() -> bool:
        seen.append(claims.running(folder) if folder.exists() else [])
        return len(seen[-1]) == 3

    try:
        running.wait_until(are_three)
        running.process.send_signal(signal.SIGTERM)
        assert running.wait() == 128 + signal.SIGTERM
    finally:
        running.end()
    assert layout.fit_paths(folder) == []
    for fits in seen:
        assert len({fit.slot for fit in fits}) == len({fit.pid for fit in fits}) == len(fits), "two fits on one slot"
    assert {fit.slot for fit in seen[-1]} == {"cpu#0", "cpu#1", "cpu#2"}
    assert len(list((folder / "running").iterdir())) == 3, "a checkpoint of each is all that is left"


def test_a_fit_that_gets_on_between_two_deaths_is_not_given_up(tmp_path: Path) -> None:
    """Killed for another reason than the fit, such as by hand: every time there is a newer checkpoint."""
    key = FitKey("plain", 0.5, 1)
    open_folder(tmp_path, TRIED)
    batches = []

    def dies(batch: Sequence[FitKey], job: Job, stop: RunnerStop) -> Iterator[Outcome]:
        batches.append(batch)
        if len(batches) > 5:
            yield from Inline().compute(batch, job, stop)
            return
        lock = layout.lock_path(tmp_path, key)
        lock.write_bytes(b".")
        os.utime(lock, (1, 1))
        layout.checkpoint_path(tmp_path, key).touch()
        raise WorkersKilledError

    plan = plan_sweep(tmp_path, TRIED, Grid(("plain",), (0.5,), (1,)))
    (outcome,) = Runner(plan, ONE, computing(dies)).outcomes()
    assert (outcome.state, len(batches)) == ("done", 6)


def test_after_a_death_all_that_was_in_flight_runs_at_once_again_and_alone_only_after_the_second(
    tmp_path: Path,
) -> None:
    open_folder(tmp_path, TRIED)
    batches: list[int] = []

    def dies(batch: Sequence[FitKey], job: Job, stop: RunnerStop) -> Iterator[Outcome]:
        batches.append(len(batch))
        if len(batches) > 2:
            yield from Inline().compute(batch, job, stop)
            return
        for key in batch:
            layout.lock_path(tmp_path, key).write_bytes(b".")
        raise WorkersKilledError

    plan = plan_sweep(tmp_path, TRIED, Grid(("plain",), (0.5,), (1, 2, 3)))
    outcomes = list(Runner(plan, ONE, computing(dies)).outcomes())
    assert {outcome.state for outcome in outcomes} == {"done"}
    assert batches == [3, 3, 1, 1, 1]


def test_a_failure_that_stops_the_sweep_takes_no_signal_back(tmp_path: Path) -> None:
    open_folder(tmp_path, TRIED)

    def fails_after_ctrl_c(batch: Sequence[FitKey], job: Job, stop: RunnerStop) -> Iterator[Outcome]:
        stop.request(signal.SIGINT)
        yield Outcome(batch[0], "failed")

    plan = plan_sweep(tmp_path, TRIED, Grid(("plain",), (0.5,), (1,)))
    with pytest.raises(Interrupted) as ended:
        list(Runner(plan, ONE, computing(fails_after_ctrl_c), fail_fast=True).outcomes())
    assert ended.value.number == signal.SIGINT


@pytest.mark.parametrize("name", ["stored_outcome", "read_failure"])
def test_what_another_runner_moves_aside_while_it_is_read_is_left_to_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    open_folder(tmp_path, TRIED)
    batches: list[Sequence[FitKey]] = []

    def done_elsewhere(batch: Sequence[FitKey], job: Job, stop: RunnerStop) -> Iterator[Outcome]:
        batches.append(batch)
        if len(batches) > 1:
            yield from Inline().compute(batch, job, stop)
            return
        path_of = layout.fit_path if name == "stored_outcome" else layout.failure_path
        path = path_of(tmp_path, batch[0])
        path.parent.mkdir(exist_ok=True)
        path.touch()
        os.utime(path, (2**32, 2**32))  # later than the sweep's begin
        yield Outcome(batch[0], "taken")

    def is_gone(*given: object) -> Outcome:
        for path in (*layout.fit_paths(tmp_path), *layout.failure_paths(tmp_path)):
            path.unlink()
        raise FileNotFoundError

    monkeypatch.setattr(f"bnbench.sweep.runner.{name}", is_gone)
    plan = plan_sweep(tmp_path, TRIED, Grid(("plain",), (0.5,), (1,)))
    (outcome,) = Runner(plan, ONE, computing(done_elsewhere)).outcomes()
    assert (outcome.state, len(batches)) == ("done", 2)
