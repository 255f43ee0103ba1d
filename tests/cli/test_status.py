"""bnbench status: what it says follows from files and live locks, and it changes nothing."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from click.testing import CliRunner

from bnbench.cli.group import cli
from bnbench.protocol.identity import identity_of
from bnbench.protocol.protocol import FitKey, Grid
from bnbench.results import layout
from bnbench.results.asked import effective_config, write_config
from bnbench.results.claims import Progress, claim, write_progress
from bnbench.results.failures import Failure, write_failure
from bnbench.sweep.status import State
from tests.cli.test_cli import assert_refused, bnbench
from tests.fits import status_of
from tests.synthetic import SMALL, write_sweep
from tests.terminal import run_in_terminal
from tests.warm import Process, start

GRID = Grid(("plain", "bn"), (0.3, 0.5), (1, 2))
KEY = FitKey("plain", 0.5, 2)
HOLDER = """
import os, sys, time
from pathlib import Path
from bnbench.results.claims import Progress, claim, write_progress
from bnbench.protocol.protocol import FitKey
folder, says = Path(sys.argv[1]), sys.argv[2] == "True"
with claim(folder, FitKey("plain", 0.5, 2)):
    if says:
        far = (time.time() - 40, 0, 100, 300, 0.5, 0.25)
        write_progress(folder, Progress("plain", 0.5, 2, "cpu#1", "ab", os.getpid(), "t", *far))
    print("claimed", flush=True)
    time.sleep(600)
"""


@pytest.fixture
def sweep(tmp_path: Path) -> Path:
    """Six fits of eight that were asked for."""
    folder = tmp_path / "results" / "own"
    write_sweep(folder, seeds=(1, 2), skip=[("plain", 0.5, 2), ("bn", 0.5, 2)])
    write_config(folder, effective_config(SMALL, GRID, {}))
    return folder


@contextmanager
def held(folder: Path, *, says: bool = True) -> Iterator[subprocess.Popen[str]]:
    """A process that has claimed a fit; killed at the end, whatever happens."""
    command = [sys.executable, "-c", HOLDER, str(folder), str(says)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "claimed\n"
            yield process
        finally:
            process.kill()


def states(folder: Path) -> dict[FitKey, State]:
    return {fit.key: fit.state for fit in status_of(folder).fits}


def fail(folder: Path, key: FitKey, identity: str = "") -> None:
    message = "the loss was not a finite number at step 12"
    write_failure(folder, Failure(key, identity or identity_of(key, SMALL), "diverged", message))


def snapshot(folder: Path) -> dict[str, tuple[int, bytes]]:
    files = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    return {str(path): (path.stat().st_mtime_ns, path.read_bytes()) for path in files}


def test_what_was_asked_for_and_is_not_there_is_to_do(sweep: Path) -> None:
    found = states(sweep)
    assert list(found) == GRID.fits()
    assert [key for key, state in found.items() if state == "to do"] == [KEY, FitKey("bn", 0.5, 2)]
    answer = bnbench("status", "results", cwd=sweep.parents[1])
    assert answer.returncode == 0
    lines = [line.rstrip() for line in answer.stdout.splitlines()]
    assert lines[0] == f"results/own: {SMALL.id}, 8 fits: 6 done, 2 to do"
    assert lines[1:5] == ["p    plain  bn", "0.3  ●●     ●●", "0.5  ●·     ●·", "● done  · to do  (seeds 1, 2)"]
    assert "bnbench run" in lines[5]
    assert "running" not in answer.stdout


def test_without_a_grid_what_exists_is_all_there_is(sweep: Path) -> None:
    layout.config_path(sweep).unlink()
    assert set(states(sweep).values()) == {"done"}
    assert len(states(sweep)) == 6


def test_fits_outside_the_last_grid_are_shown_too(sweep: Path) -> None:
    write_config(sweep, effective_config(SMALL, Grid(("bn",), (0.7,), (1,)), {}))
    found = states(sweep)
    assert next(iter(found)) == FitKey("bn", 0.7, 1)
    assert len(found) == 7


def test_a_fit_runs_while_its_lock_is_held_and_not_a_moment_longer(sweep: Path) -> None:
    with held(sweep) as process:
        (fit,) = status_of(sweep).of("running")
        assert (fit.key, fit.progress and fit.progress.step) == (KEY, 100)
        said = bnbench("status", str(sweep), cwd=sweep).stdout
        assert "1 running" in said
        assert "0.5  ●▶" in said
        (line,) = [line for line in said.splitlines() if str(KEY) in line]
        assert all(value in line for value in ("running", "100/300", "0.50", "0.25", "cpu#1"))
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert layout.lock_path(sweep, KEY).exists()
        assert layout.progress_path(sweep, KEY).exists()
        assert states(sweep)[KEY] == "to do"
        assert "running" not in bnbench("status", str(sweep), cwd=sweep).stdout


def test_a_claimed_fit_that_has_said_nothing_yet_runs(sweep: Path) -> None:
    with held(sweep, says=False):
        (fit,) = status_of(sweep).of("running")
        assert (fit.key, fit.progress) == (KEY, None)
        said = bnbench("status", str(sweep), cwd=sweep).stdout
        (line,) = [line for line in said.splitlines() if str(KEY) in line]
        assert "running" in line
        assert "/" not in line, "no step is known"


def test_what_was_cut_off_goes_on_from_its_checkpoint(sweep: Path) -> None:
    layout.checkpoint_path(sweep, KEY).parent.mkdir(exist_ok=True)
    layout.checkpoint_path(sweep, KEY).write_bytes(b"half a fit")
    said = bnbench("status", str(sweep), cwd=sweep).stdout
    assert "0.5  ●◐     ●·" in said
    assert "2 to do" in said


def test_a_failure_is_named_with_its_sentence_and_exit_1(sweep: Path) -> None:
    fail(sweep, KEY)
    fail(sweep, FitKey("bn", 0.5, 2))
    answer = bnbench("status", str(sweep), cwd=sweep)
    assert answer.returncode == 1
    (line,) = [line for line in answer.stdout.splitlines() if str(KEY) in line]
    assert all(word in line for word in ("failed", "diverged", "step 12"))
    assert "--retry-failed" in answer.stdout


def test_a_failure_of_another_protocol_is_none_of_this_sweeps(sweep: Path) -> None:
    fail(sweep, KEY, identity_of(KEY, SMALL.with_knobs(steps=9)))
    assert states(sweep)[KEY] == "to do"


def test_damaged_files_are_named_and_the_rest_is_shown(sweep: Path) -> None:
    damaged = layout.fit_path(sweep, FitKey("bn", 0.3, 1))
    damaged.write_bytes(damaged.read_bytes()[:200])
    fail(sweep, KEY)
    layout.failure_path(sweep, KEY).write_text("{")
    layout.config_path(sweep).write_text("seeds = ")
    other = sweep.parent / "other"
    other.mkdir()
    (other / "protocol.json").write_text("{")
    answer = bnbench("status", "results", cwd=sweep.parents[1])
    assert answer.returncode == 1
    named = [line for line in answer.stdout.splitlines() if line.startswith("damaged: ")]
    files = ("bn_p0.300_seed1.parquet", "plain_p0.500_seed2.json", "config.toml", "protocol.json")
    assert len(named) == len(files)
    assert all(file in line for file, line in zip(files, named, strict=True))
    assert "5 done" in answer.stdout


def test_a_damaged_fit_is_neither_done_nor_to_do(sweep: Path) -> None:
    damaged = FitKey("bn", 0.3, 1)
    layout.fit_path(sweep, damaged).write_bytes(b"")
    assert states(sweep)[damaged] == "unreadable"


def test_it_writes_nothing(sweep: Path) -> None:
    fail(sweep, FitKey("bn", 0.5, 2))
    layout.lock_path(sweep, KEY).parent.mkdir(exist_ok=True)
    layout.lock_path(sweep, KEY).touch()
    before = snapshot(sweep)
    for path in (sweep, *sweep.iterdir()):
        path.chmod(0o555 if path.is_dir() else 0o444)
    try:
        assert bnbench("status", str(sweep), cwd=sweep).returncode == 1
        assert snapshot(sweep) == before
    finally:
        for path in (sweep, *sweep.iterdir()):
            path.chmod(0o755)


def test_json_is_one_object(sweep: Path) -> None:
    fail(sweep, FitKey("bn", 0.5, 2))
    with held(sweep):
        answer = bnbench("status", "results", "--json", cwd=sweep.parents[1])
    (found,) = json.loads(answer.stdout)["sweeps"]
    counts = {name: found[name] for name in ("done", "running", "failed", "unreadable", "to_do")}
    assert counts == {"done": 6, "running": 1, "failed": 1, "unreadable": 0, "to_do": 0}
    fits = {(fit["arm"], fit["p"], fit["seed"]): fit for fit in found["fits"]}
    assert fits["plain", 0.5, 2].items() >= {"state": "running", "step": 100, "steps": 300, "black": 0.5}.items()
    assert fits["bn", 0.5, 2]["message"].endswith("step 12")
    assert found["seconds_left"] > 0


def test_many_seeds_are_counted(tmp_path: Path) -> None:
    folder = tmp_path / "own"
    write_sweep(folder, arms=("bn",), probs=(0.5,), seeds=(1, 2))
    write_config(folder, effective_config(SMALL, Grid(("bn",), (0.5,), tuple(range(1, 31))), {}))
    said = bnbench("status", "own", cwd=tmp_path).stdout
    assert "0.5  2● 28·" in said
    assert "(seeds 1 … 30)" in said


def said_in_full_of(arms: tuple[str, ...], folder: Path) -> str:
    """What status says of three finished seeds of each arm: every mark is there, and no name is cut."""
    write_sweep(folder / "own", arms=arms, probs=(0.25,), seeds=(1, 2, 3))
    write_config(folder / "own", effective_config(SMALL, Grid(arms, (0.25,), (1, 2, 3)), {}))
    said = bnbench("status", "own", cwd=folder).stdout
    assert said.count("●●●") == len(arms)
    assert "0.25" in said
    assert "…" not in said
    return said


def test_own_arms_go_by_their_functions_names_and_the_whole_ones_are_told(tmp_path: Path) -> None:
    arms = (
        "plain",
        "tests.foreign_arms:layer_norm",
        "tests.foreign_arms:group_norm",
        "tests.foreign_arms:with_batch_norm",
        "tests.foreign_arms:dropout",
    )
    said = said_in_full_of(arms, tmp_path)
    header = said.splitlines()[1].split()
    assert header == ["p", "plain", "layer_norm", "group_norm", "with_batch_norm", "dropout"]
    assert all(arm in said for arm in arms)


def test_names_that_are_long_fold_and_hide_nothing(tmp_path: Path) -> None:
    said_in_full_of(tuple(f"a_package_of_mine.module_{number}:normalized" for number in range(4)), tmp_path)


def test_what_it_names_is_neither_markup_nor_emoji(tmp_path: Path) -> None:
    arm = "[red]own[/]:bug:factory"
    folder = tmp_path / "own [bold]:bug:"
    write_sweep(folder, arms=("plain",), probs=(0.25,), seeds=(1,))
    write_config(folder, effective_config(SMALL, Grid(("plain", arm), (0.25,), (1,)), {}))
    key = FitKey(arm, 0.25, 1)
    write_failure(folder, Failure(key, "", "error", "it said [blue]:bug:[/]"))
    said = bnbench("status", str(folder), cwd=tmp_path).stdout
    assert said.startswith(f"{folder}: ")
    assert f"factory is {arm}\n" in said


def test_nothing_to_show_is_refused(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    for arguments in (("empty",), ("missing",), (".", "--watch", "--json")):
        assert_refused(bnbench("status", *arguments, cwd=tmp_path))


def test_it_is_quick_because_it_needs_no_torch(sweep: Path) -> None:
    command = [sys.executable, "-X", "importtime", "-m", "bnbench", "status", str(sweep)]
    shown = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "torch" not in shown.stderr


def test_watching_in_a_log_says_what_has_changed_and_ends_with_the_sweep(sweep: Path) -> None:
    reader, writer = os.pipe()
    watch = ["status", "--watch", str(sweep)]
    process = start("bnbench", watch, cwd=sweep, environment=os.environ, streams=(0, writer, 2))
    os.close(writer)
    with os.fdopen(reader) as said:
        while "nothing runs" not in said.readline():
            pass
        write_sweep(sweep)
        rest = said.read()
    assert process.wait(60) == 0
    assert rest.count("8 fits: ") == 1
    assert "8 done, 0 to do" in rest


@pytest.mark.parametrize(("step", "ago", "says"), [(100, 300.0, True), (100, 5.0, False), (300, 300.0, False)])
def test_a_fit_that_takes_no_step_says_for_how_long(sweep: Path, step: int, ago: float, says: bool) -> None:
    """One that has taken them all is being measured."""
    now = time.time()
    with claim(sweep, KEY):
        write_progress(sweep, Progress("plain", 0.5, 2, "cpu#1", "ab", 1, "t", now - 400, 0, step, 300, time=now - ago))
        shown = CliRunner().invoke(cli, ["status", str(sweep)]).output
        (running,) = status_of(sweep).of("running")
    assert ("5 min" in shown.partition("plain p=0.5 seed=2")[2]) == says
    assert running.as_dict()["time"] == now - ago


def test_ctrl_c_leaves_a_terminal_clean(sweep: Path) -> None:
    def wait_and_interrupt(process: Process) -> None:
        time.sleep(0.7)  # it has looked again three times
        os.killpg(process.pid, signal.SIGINT)

    shown = run_in_terminal(
        "status",
        "--watch",
        str(sweep),
        when=lambda screen: "goes on" in screen,
        then=wait_and_interrupt,
    )
    assert shown.returncode == 0
    assert shown.screen.count("p    plain  bn") == 1, "it is shown in place"
    assert shown.raw.rfind("\x1b[?25h") > shown.raw.rfind("\x1b[?25l"), "the cursor is back"
    assert "Traceback" not in shown.screen
