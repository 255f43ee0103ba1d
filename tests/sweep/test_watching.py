"""What a person sees while a sweep runs, in a terminal and in a log, and how long it says the rest takes."""

from __future__ import annotations

import json
import os
import re
import signal
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from bnbench.protocol.profiles import PROFILES
from bnbench.protocol.protocol import FitKey, Grid
from bnbench.results.claims import Progress
from bnbench.results.folder_protocol import open_folder
from bnbench.sweep import watching
from bnbench.sweep.backends.inline import Inline
from bnbench.sweep.execution import Outcome
from bnbench.sweep.messages import Messages
from bnbench.sweep.pace import fits_per_hour, seconds_left
from bnbench.sweep.plan import plan_sweep
from bnbench.sweep.result_lines import result_lines
from bnbench.sweep.runner import Runner
from tests.fits import TINY
from tests.sentences import numbers
from tests.sweep.test_runner import ONE
from tests.synthetic import SMALL, write_sweep
from tests.terminal import run_in_terminal

RUN = ["run", "--profile", "smoke", "--mask-size", "4", "--images", "4", "--probs", "0.5", "--chunk", "16"]
RUN += ["--widths", "2", "--strides", "2", "--test-images", "60", "--train-images", "60", "--bn-statistics", "batch:60"]


@pytest.mark.parametrize(
    ("arms", "pairs"),
    [
        (("bn",), []),
        (("bn", "plain", "skip"), ["bn − plain", "bn − skip", "plain − skip"]),
        (
            ("skip", "plain", "bn", "softplus", "groupnorm"),
            ["skip − plain", "skip − bn", "skip − softplus", "skip − groupnorm"],
        ),
    ],
)
def test_of_many_arms_each_is_told_beside_the_first(tmp_path: Path, arms: tuple[str, ...], pairs: list[str]) -> None:
    write_sweep(tmp_path, arms=arms)
    lines = result_lines(plan_sweep(tmp_path, SMALL, Grid(arms, (0.3, 0.5), (1, 2))))
    assert [line.split(",")[0] for line in lines] == pairs


def progress(step: int, *, first_step: int = 0, started: float = 0.0) -> Progress:
    return Progress("bn", 0.5, 1, "cpu#0", "ab", 1, "t", started, first_step, step, 100)


@pytest.mark.nightly
def test_in_a_terminal_bars_come_and_go_and_stdout_is_pure_json(tmp_path: Path) -> None:
    arms = "plain,tests.foreign_arms:group_norm"  # with its name a bar is wider than the terminal
    run = [*RUN, "--steps", "100", "--jobs", "1", "--seeds", "1", "--arms", arms, "--out", str(tmp_path / "own")]
    shown = run_in_terminal(*run, "--json", columns=60, stdout_to_file=True)
    assert shown.returncode == 0, shown.screen
    assert "━" in shown.raw
    assert "step " in shown.raw
    assert "━" not in shown.screen, "the bars are gone"
    assert shown.raw.rfind("\x1b[?25h") > shown.raw.rfind("\x1b[?25l"), "the cursor is back"
    assert [line[:5] for line in shown.screen.splitlines() if line.startswith("[")] == ["[1/2]", "[2/2]"]
    plan, *outcomes = [json.loads(line) for line in shown.stdout.splitlines()]
    assert plan["to_run"] == 2
    assert [outcome["state"] for outcome in outcomes] == ["done", "done"]


def test_ctrl_c_in_a_terminal_leaves_no_bars_behind(tmp_path: Path) -> None:
    shown = run_in_terminal(
        *[*RUN, "--steps", "30000", "--jobs", "1", "--seeds", "2", "--out", str(tmp_path / "own")],
        when=lambda screen: "step " in screen,
        then=lambda process: os.killpg(process.pid, signal.SIGINT),
    )
    assert shown.returncode == 130
    assert "━" not in shown.screen
    assert shown.raw.rfind("\x1b[?25h") > shown.raw.rfind("\x1b[?25l")
    assert "bnbench: interrupted" in shown.screen
    assert "Traceback" not in shown.screen


def test_a_line_is_neither_markup_nor_emoji(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    failed = Outcome(FitKey("plain", 0.5, 1), "failed", message="my layer said [red]:bug:[/]")
    monkeypatch.setattr(Runner, "outcomes", lambda self: iter([failed]))
    open_folder(tmp_path, TINY)
    watching.run_and_show(Runner(plan_sweep(tmp_path, TINY, Grid(("plain",), (0.5,), (1,))), ONE, Inline()))
    assert "FAILED, my layer said [red]:bug:[/]" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("knobs", "said"),
    [({"black_pixels": 100}, [["100", "49", "49"]]), ({"white_pixels": 49}, []), ({"mask_size": (4, 4)}, [])],
)
def test_a_plan_says_where_more_pixels_are_asked_for_than_there_are(
    knobs: dict[str, Any], said: list[list[str]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plan = plan_sweep(tmp_path, PROFILES["smoke"].with_knobs(**knobs), Grid(("plain",), (0.5,), (1,)))
    Messages().planned(plan, ONE, lambda: None)
    lines = capsys.readouterr().err.splitlines()
    assert [numbers(line) for line in lines if re.match("--(black|white)-pixels ", line)] == said


def test_a_log_has_a_line_per_start_and_end(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watching, "_LOOK_EVERY", 0.01)
    protocol = TINY.with_knobs(steps=20)
    open_folder(tmp_path, protocol)
    plan = plan_sweep(tmp_path, protocol, Grid(("plain", "tests.foreign_arms:group_norm"), (0.5,), (1, 2)))
    outcomes = watching.run_and_show(Runner(plan, ONE, Inline()))
    said = capsys.readouterr()
    assert said.out == ""
    lines = said.err.splitlines()
    ends = [line for line in lines if line.startswith("[")]
    assert [line.partition("]")[0] for line in ends] == ["[1/4", "[2/4", "[3/4", "[4/4"]
    said_of = [str(outcome).removeprefix("tests.foreign_arms:") for outcome in outcomes]
    assert all(f"] {words}" in line for words, line in zip(said_of, ends, strict=True)), "no line is broken"
    assert "; 3 left, about " in ends[0]
    assert "left" not in ends[-1]
    starts = [line for line in lines if line.startswith("started ")]
    assert len(starts) + len(ends) == len(lines)
    for line in starts:  # never after its end
        fit = line.removeprefix("started ").removesuffix(" on cpu#0")
        assert lines.index(line) < next(index for index, end in enumerate(lines) if f"] {fit}:" in end)


def test_the_time_left_comes_from_finished_fits_of_the_arm() -> None:
    times = [("plain", 10.0), ("bn", 30.0), ("plain", 12.0), ("plain", 300.0)]
    to_do = [FitKey("plain", 0.5, seed) for seed in range(10)]
    assert seconds_left(to_do, {}, times, slots=2, now=0) == pytest.approx(60), "one outlier changes little"
    assert seconds_left([FitKey("skip", 0.5, 1)], {}, times, slots=2, now=0) == pytest.approx(21)
    assert seconds_left(to_do[:1], {}, times, slots=8, now=0) == 12, "no more slots than fits are of use"


def test_the_time_left_counts_what_running_fits_have_done() -> None:
    key = FitKey("bn", 0.5, 1)
    assert seconds_left([], {key: progress(75)}, [("bn", 40.0)], slots=1, now=0) == pytest.approx(10)
    resumed = progress(75, first_step=50, started=100.0)
    assert seconds_left([], {key: resumed}, [], slots=1, now=110) == pytest.approx(10), "25 steps took 10 s"


def test_the_time_left_is_unknown_before_the_first_step() -> None:
    key = FitKey("bn", 0.5, 1)
    for silent in (None, progress(0), progress(50, first_step=50)):
        assert seconds_left([key], {key: silent}, [], slots=1, now=5) is None
    assert seconds_left([], {}, [], slots=1, now=5) == 0


def test_the_pace_is_that_of_the_last_stretch_of_work() -> None:
    yesterday = [(0.0, 100.0), (0.0, 110.0)]
    today = [(86_400.0 + 50 * index, 86_400.0 + 50 * (index + 2)) for index in range(10)]
    assert fits_per_hour(today) == pytest.approx(3600 * 10 / 550)
    assert fits_per_hour(yesterday + today) == pytest.approx(3600 * 10 / 550)
    assert fits_per_hour([]) is None
    assert fits_per_hour([(5.0, 5.0)]) is None


def test_a_disk_that_is_out_of_reach_for_a_moment_ends_no_watching(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    open_folder(tmp_path, TINY)
    lines = watching._Lines(Runner(plan_sweep(tmp_path, TINY, Grid(("bn",), (0.5,), (1,))), ONE, Inline()), Console())
    looks: list[Path] = []

    def running(folder: Path) -> list[Progress]:
        looks.append(folder)
        if len(looks) == 1:
            raise OSError("stale handle")
        lines.is_over.set()
        return [replace(progress(3), token=lines.runner.job.token)]

    monkeypatch.setattr("bnbench.results.claims.running", running)
    monkeypatch.setattr(watching, "_LOOK_EVERY", 0)
    lines._look()
    assert len(looks) == 2
    assert "started bn p=0.5 seed=1" in capsys.readouterr().out
