"""Sweeps that are killed, shared and interrupted from a shell end as those that nobody disturbed.

``nox -s torture`` does the same from a cold start, at ten moments. Seeds are printed; BNBENCH_TORTURE_SEED repeats one.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from bnbench.protocol.protocol import Grid, Protocol
from bnbench.results import layout
from bnbench.results.checkpoints import save_checkpoint
from bnbench.results.claims import claim
from bnbench.results.folder_protocol import open_folder
from bnbench.results.sweeps import read_sweep
from bnbench.sweep import fit_under_way
from bnbench.sweep.backends.inline import Inline
from bnbench.sweep.devices import make_slots
from bnbench.sweep.execution import Execution
from bnbench.sweep.plan import plan_sweep
from bnbench.sweep.runner import Runner
from tests.fits import TINY
from tests.shell import CHUNK, FITS, GRID, PROTOCOL, SWEEP, Running, Stamps, assert_same, assert_tidy
from tests.torture import Torture
from tests.warm import begin

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="processes are found in /proc")

Start = Callable[..., Running]
ONE = Execution(make_slots(("cpu",), 1, 1), chunk=CHUNK, checkpoint_every=1e-6)
HALF = replace(GRID, arms=("bn",))  # by day two fits of few steps are enough: one to kill, and one that goes on


def computed(folder: Path, grid: Grid, protocol: Protocol) -> Path:
    """A sweep, one fit after another in this process."""
    open_folder(folder, protocol)
    outcomes = list(Runner(plan_sweep(folder, protocol, grid), ONE, Inline()).outcomes())
    assert {outcome.state for outcome in outcomes} == {"done"}
    assert_tidy(folder)
    return folder


def killed_after_checkpoints(folder: Path, count: int) -> None:
    """In a process of its own: a sweep whose process is killed right after so many checkpoints were written."""
    left = iter(range(count - 1))

    def save_and_be_killed(*what: Any) -> None:
        save_checkpoint(*what)
        if next(left, None) is None:
            os.kill(os.getpid(), signal.SIGKILL)

    vars(fit_under_way)["save_checkpoint"] = save_and_be_killed
    computed(folder, HALF, TINY)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The sweep of ``SWEEP``."""
    return computed(tmp_path_factory.mktemp("undisturbed"), GRID, PROTOCOL)


@pytest.fixture(scope="module")
def half(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of one of its arms, with fewer steps."""
    return computed(tmp_path_factory.mktemp("half"), HALF, TINY)


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Start a sweep; whatever becomes of the test, it ends with it."""
    started: list[Running] = []

    def run(*more: str, cold: bool = False) -> Running:
        started.append(Running((*SWEEP, *more), tmp_path, cold=cold))
        return started[-1]

    yield run
    for running in started:
        running.end()


@pytest.mark.parametrize("count", [2, TINY.training.steps + 2], ids=["in the first fit", "in the second fit"])
def test_a_sweep_whose_process_is_killed_goes_on_to_the_same_bits(half: Path, tmp_path: Path, count: int) -> None:
    killed = begin(tmp_path / "call", killed_after_checkpoints, tmp_path / "results", count)
    assert killed.wait(240) == -signal.SIGKILL
    results = tmp_path / "results"
    done = len(layout.fit_paths(results))
    assert [path.suffix for path in (results / "running").iterdir()].count(".pt") == 1
    computed(results, HALF, TINY)
    assert_same(results, half)
    assert sorted(read_sweep(results).provenance["parts"]) == [1, 2]
    assert done == (count > TINY.training.steps)


@pytest.mark.nightly
def test_killed_at_random_moments_a_sweep_ends_with_the_same_bits(undisturbed: Path, tmp_path: Path) -> None:
    seed = int(os.environ.get("BNBENCH_TORTURE_SEED") or time.time())
    print(f"BNBENCH_TORTURE_SEED={seed} repeats these moments")
    tortured = Torture(tmp_path, undisturbed, seed, sweep=SWEEP, cold=False)
    for victim in ("runner", "worker"):
        tortured.moment_of_a_checkpoint(victim)
    tortured.end()
    assert tortured.counts["resumed"] >= 1
    assert tortured.counts["fits"] >= FITS


def ended(said: str) -> int:
    """How many fits a run has said to have ended."""
    return len(re.findall(r"^\[\d+/\d+\] ", said, flags=re.MULTILINE))


@pytest.mark.nightly
def test_two_runners_share_a_sweep_and_compute_no_fit_twice(undisturbed: Path, tmp_path: Path, start: Start) -> None:
    both = [start("--jobs", "2"), start("--jobs", "2")]
    stamps = Stamps(tmp_path / "results")
    while not all(running.is_over for running in both):
        stamps.look()
        time.sleep(0.02)
    assert [running.wait() for running in both] == [0, 0], both[0].said + both[1].said
    results = tmp_path / "results"
    assert_same(results, undisturbed)
    assert_tidy(results)
    assert (read_sweep(results).provenance["parts"] == 1).all()
    for running in both:
        assert f"{FITS} to run" in running.said
        assert ended(running.said) == FITS, "both report all fits"
    started = [line for running in both for line in running.said.splitlines() if line.startswith("started")]
    assert len({line.partition(" on ")[0] for line in started}) == len(started), "a fit was started twice"


@pytest.mark.nightly
def test_a_runner_takes_over_the_fits_of_one_that_is_killed(undisturbed: Path, tmp_path: Path, start: Start) -> None:
    first = start()
    first.wait_until_under_way()
    second = start()
    second.wait_until(lambda: "to run" in second.said)
    first.process.kill()
    first.wait_for_everyone()
    assert second.wait() == 0, second.said
    assert ended(second.said) + int("1 done" in second.said) + 2 * int("2 done" in second.said) >= FITS
    assert_same(tmp_path / "results", undisturbed)
    assert_tidy(tmp_path / "results")


def has_taken_a_step(results: Path) -> bool:
    """A fit that is begun has nothing yet that a checkpoint could keep."""
    for path in layout.progress_paths(results):
        with suppress(FileNotFoundError):  # it has ended in the meantime
            if json.loads(path.read_text())["step"]:
                return True
    return False


@pytest.mark.parametrize(
    ("number", "to_all"),
    [
        pytest.param(signal.SIGINT, True, marks=pytest.mark.nightly),
        pytest.param(signal.SIGINT, False, marks=pytest.mark.nightly),
        pytest.param(signal.SIGTERM, True, marks=pytest.mark.nightly),
        pytest.param(signal.SIGHUP, True, marks=pytest.mark.nightly),
    ],
)
def test_a_signal_in_mid_fit_leaves_checkpoints_that_the_next_run_goes_on_from(
    undisturbed: Path, tmp_path: Path, start: Start, number: signal.Signals, to_all: bool
) -> None:
    """Ctrl-C on a terminal and a scheduler's SIGTERM reach every process; each fit is still cut off between steps."""
    results, left = tmp_path / "results", set[str]()
    for _ in range(8):  # on a quick machine a fit that had taken a step may have ended by the time of the signal
        running = start("--checkpoint-every", "600")
        running.wait_until(partial(has_taken_a_step, running.folder))
        (os.killpg if to_all else os.kill)(running.process.pid, number)
        told = time.monotonic()
        assert running.wait() == 128 + number
        running.wait_for_everyone()
        print(f"stopped in {time.monotonic() - told:.2f} s")
        assert "Traceback" not in running.said
        assert running.said.splitlines()[-1].count("same command") == 1
        if left := {path.stem for path in (results / "running").iterdir()}:
            break
        shutil.rmtree(results)
    assert left, "a checkpoint was written on the signal"
    assert all(path.suffix == ".pt" for path in (results / "running").iterdir())
    again = start()
    assert again.wait() == 0, again.said
    assert_same(results, undisturbed)
    assert_tidy(results)
    assert (read_sweep(results).provenance["parts"] > 1).sum() == len(left)


@pytest.mark.nightly
def test_a_signal_while_workers_are_importing_stops_them_too(tmp_path: Path, start: Start) -> None:
    running = start(cold=True)
    running.wait_until(running.workers)
    os.kill(running.process.pid, signal.SIGINT)
    assert running.wait() == 130
    running.wait_for_everyone()
    assert "Traceback" not in running.said, running.said
    assert not list((tmp_path / "results").rglob("*.parquet"))


@pytest.mark.nightly
@pytest.mark.parametrize("after", [0.3, 0.6, 1.0, 2.0])
def test_a_signal_while_the_program_itself_is_importing_ends_it_in_a_line(
    tmp_path: Path, start: Start, after: float
) -> None:
    running = start(cold=True)
    time.sleep(after)
    os.kill(running.process.pid, signal.SIGINT)
    assert running.wait() == 130
    running.wait_for_everyone()
    assert "Traceback" not in running.said, running.said
    assert "interrupted" in running.said.splitlines()[-1]


@pytest.mark.nightly
@pytest.mark.parametrize("gap", [0.0, 0.02, 0.05, 0.1, 0.2, 0.4])
def test_a_second_signal_while_workers_wind_up_gives_no_traceback(start: Start, gap: float) -> None:
    running = start("--steps", "3000")
    running.wait_until_under_way()
    os.kill(running.process.pid, signal.SIGINT)
    time.sleep(gap)
    with suppress(ProcessLookupError):  # on a quick machine the first has ended it by then
        os.kill(running.process.pid, signal.SIGINT)
    assert running.wait() == 130
    running.wait_for_everyone()
    assert all(word not in running.said for word in ("Traceback", "Warning")), running.said
    assert "same command" in running.said.splitlines()[-1]


@pytest.mark.nightly
def test_a_second_signal_ends_a_sweep_whose_step_takes_a_minute(tmp_path: Path, start: Start) -> None:
    running = start("--arms", "tests.foreign_arms:takes_its_time", "--images", "5", "--seeds", "1", "--jobs", "1")
    running.wait_until(lambda: "started" in running.said)
    os.kill(running.process.pid, signal.SIGINT)
    time.sleep(0.3)
    os.kill(running.process.pid, signal.SIGINT)
    assert running.wait() == 130
    running.wait_for_everyone()
    assert "Traceback" not in running.said, running.said


def test_a_fit_that_another_runner_holds_is_waited_for_and_reported(half: Path, tmp_path: Path) -> None:
    open_folder(tmp_path, TINY)
    runner = Runner(plan_sweep(tmp_path, TINY, HALF), ONE, Inline())
    held, others = runner.left[0], runner.left[1:]
    with claim(tmp_path, held):
        outcomes = runner.outcomes()
        assert [next(outcomes).key for _ in others] == others
        source = layout.fit_path(half, held)
        shutil.copy2(source, layout.fit_path(tmp_path, held))  # the other runner is done with it
    (last,) = outcomes
    assert (last.key, last.state) == (held, "done")
    assert_same(tmp_path, half)
    assert_tidy(tmp_path)
