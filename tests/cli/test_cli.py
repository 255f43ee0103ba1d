"""The command line as a user meets it: every word in, every word out, every exit code."""

from __future__ import annotations

import io
import json
import os
import re
import signal
import subprocess
import sys
from contextlib import chdir, redirect_stderr, redirect_stdout
from importlib.metadata import version
from operator import attrgetter
from pathlib import Path
from typing import NamedTuple

import click
import pytest
from click.testing import CliRunner
from rich_click.rich_panel import RichOptionPanel

from bnbench.cli import main
from bnbench.cli.group import cli
from bnbench.cli.help_in_groups import GroupedCommand
from bnbench.protocol.profiles import PROFILES
from bnbench.protocol.protocol import BUILT_IN
from bnbench.results.summary import headline_measures
from bnbench.results.sweeps import read_sweep
from bnbench.wording import signed
from tests import fits
from tests.shell import Running, options_of

TINY = ["run", *options_of(fits.TINY), "--probs", "0.5", "--seeds", "1", "--devices", "cpu", "--jobs", "1"]
TINY += ["--backend", "inline", "--out", "results/smoke"]  # processes have tests of their own


class Answer(NamedTuple):
    returncode: int | str | None
    stdout: str
    stderr: str


def bnbench(*arguments: str, cwd: Path) -> Answer:
    """Run the command line in this process: importing torch anew for each of fifty commands takes minutes."""
    out, err = io.StringIO(), io.StringIO()
    with chdir(cwd), redirect_stdout(out), redirect_stderr(err), pytest.raises(SystemExit) as ended:
        main(arguments)
    return Answer(ended.value.code, out.getvalue(), err.getvalue())


def assert_refused(answer: Answer, *words: str) -> None:
    """A wrong request is one sentence, with these words in it, and exit code 2."""
    assert answer.returncode == 2, answer.stderr
    assert [word for word in words if word not in answer.stderr] == [], answer.stderr
    assert len(answer.stderr.strip().splitlines()) == 1, answer.stderr


@pytest.fixture(scope="module")
def swept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("cli")
    done = bnbench(*TINY, cwd=folder)
    assert done.returncode == 0, done.stderr
    return folder


def test_a_changed_profile_has_a_folder_of_its_own(tmp_path: Path) -> None:
    changed = ["run", "--profile", "smoke", "--devices", "cpu", "--mask-size", "4", "--steps", "4", "--dry-run"]
    planned = bnbench(*changed, cwd=tmp_path)
    assert "profile smoke, changed: mask size 4x4, steps 4 (" in planned.stderr
    assert "results in results/smoke-" in planned.stderr
    plain = bnbench("run", "--profile", "smoke", "--devices", "cpu", "--dry-run", cwd=tmp_path)
    assert "profile smoke (" in plain.stderr
    assert plain.stderr.splitlines()[0].endswith("results in results/smoke")


def test_a_run_writes_a_file_per_fit(swept: Path) -> None:
    names = sorted(path.name for path in (swept / "results" / "smoke" / "fits").iterdir())
    assert names == ["bn_p0.500_seed1.parquet", "plain_p0.500_seed1.parquet"]


def test_the_same_command_again_does_nothing(swept: Path) -> None:
    again = bnbench(*TINY, cwd=swept)
    assert again.returncode == 0
    assert "2 fits = 2 arms × 1 probability × 1 seed; 2 done, 0 to run" in again.stderr
    assert again.stdout == ""


def test_a_dry_run_plans_and_starts_nothing(tmp_path: Path) -> None:
    planned = bnbench(*TINY, "--dry-run", cwd=tmp_path)
    assert planned.returncode == 0
    assert all(token in planned.stderr for token in ("2 to run", "cpu#0", "1 thread"))
    assert "32 pixels" not in planned.stderr, "the run may find another number to be the fastest"
    assert "5 pixels" in bnbench(*TINY, "--dry-run", "--chunk", "5", cwd=tmp_path).stderr
    assert list(tmp_path.iterdir()) == []


def test_a_results_folder_keeps_its_first_chunk(tmp_path: Path) -> None:
    first = bnbench(*TINY, "--chunk", "5", "--out", "own", cwd=tmp_path)
    assert "5 pixels" in first.stderr
    more = bnbench(*TINY, "--seeds", "2", "--out", "own", cwd=tmp_path)
    assert "2 done, 2 to run" in more.stderr
    assert "5 pixels" in more.stderr
    table = read_sweep(tmp_path / "own").provenance
    assert table["chunk"].tolist() == [5] * 4
    assert (table["gflops"] > 0).all()


def test_the_plan_says_which_fits_were_done_without_keeping_their_planes(tmp_path: Path) -> None:
    small = [*TINY, "--arms", "plain", "--out", "own"]
    assert bnbench(*small, cwd=tmp_path).returncode == 0
    late = bnbench(*small, "--keep-planes", cwd=tmp_path)
    assert re.search(r"\b1 fit .*plane.*--force", late.stderr)
    assert not (tmp_path / "own" / "planes").exists()
    forced = bnbench(*small, "--keep-planes", "--force", cwd=tmp_path)
    assert "without keeping" not in forced.stderr
    assert (tmp_path / "own" / "planes" / "plain_p0.500_seed1.safetensors").exists()


def test_a_fit_is_measured_on_the_way_where_that_is_asked_and_else_it_is_said(tmp_path: Path) -> None:
    small = [*TINY, "--arms", "plain", "--out", "own"]
    assert bnbench(*small, cwd=tmp_path).returncode == 0
    late = bnbench(*small, "--measure-at", "1,2", cwd=tmp_path)
    assert re.search(r"\b1 fit .*measuring .*--force", late.stderr)
    assert read_sweep(tmp_path / "own").courses.empty
    assert bnbench(*small, "--measure-at", "2,", "--force", cwd=tmp_path).returncode == 0
    steps = sorted(read_sweep(tmp_path / "own").courses["step"].unique())
    assert steps[0] == 2
    assert len(steps) == 2
    again = bnbench("run", "--config", "own/config.toml", "--dry-run", "--json", cwd=tmp_path)
    assert json.loads(again.stdout.splitlines()[0])["without_course"] == 0
    assert 'measure-at = "2,"' in (tmp_path / "own" / "config.toml").read_text()


def test_a_report_of_the_run(swept: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    empty = b'<svg viewBox="0 0 10 10"></svg>'  # drawing is most of the time, and tests/report looks at it
    monkeypatch.setattr("bnbench.report.page.writer.draw_files", lambda draw, endings: dict.fromkeys(endings, empty))
    built = bnbench("report", "results/smoke", cwd=swept)
    assert built.returncode == 0, built.stderr
    assert built.stdout.strip() == "reports/smoke/index.html"
    assert (swept / "reports" / "smoke" / "index.html").stat().st_size > 10_000


def test_a_report_in_other_formats(swept: Path, tmp_path: Path) -> None:
    results = str(swept / "results" / "smoke")
    built = bnbench("report", results, "--format", "json,csv", "--out", "own", cwd=tmp_path)
    assert built.returncode == 0, built.stderr
    assert built.stdout.strip() == "own"
    assert (tmp_path / "own" / "report.json").exists()
    for options, words in (
        (("--format", "docx"), "'docx' is no format of a report; give one or more of html,pdf"),
        (("--format", "csv", "--open"), "add html to it"),
    ):
        assert_refused(bnbench("report", results, *options, cwd=tmp_path), words)


def test_a_report_names_a_broken_file_and_exits_1(swept: Path, tmp_path: Path) -> None:
    assert bnbench(*TINY, "--out", str(tmp_path / "own"), cwd=tmp_path).returncode == 0
    broken = tmp_path / "own" / "fits" / "bn_p0.500_seed1.parquet"
    broken.write_bytes(broken.read_bytes()[:100])
    built = bnbench("report", "own", "--format", "json", cwd=tmp_path)
    assert built.returncode == 1
    assert "bn_p0.500_seed1.parquet" in built.stderr
    assert (tmp_path / "reports" / "own" / "report.json").exists()
    again = bnbench(*TINY, "--out", "own", cwd=tmp_path)
    assert again.returncode == 1
    assert "bn_p0.500_seed1.parquet" in again.stderr
    assert broken.stat().st_size == 100


def test_help_is_quick_and_needs_no_torch(tmp_path: Path) -> None:
    command = [sys.executable, "-X", "importtime", "-m", "bnbench", "run", "--help"]
    shown = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert "torch" not in shown.stderr
    for option in ("--probs", "--seeds", "--arms", "--profile", "--mask-size", "--threshold", "--learning-rate"):
        assert option in shown.stdout


def test_every_option_stands_in_one_group_of_its_commands_help() -> None:
    for name, command in cli.commands.items():
        assert isinstance(command, GroupedCommand)
        options = [one for one in command.params if isinstance(one, click.Option) and not one.hidden]
        grouped = [one for panel in command.panels if isinstance(panel, RichOptionPanel) for one in panel.options]
        assert sorted(grouped) == sorted(option.opts[0] for option in options), name


@pytest.mark.parametrize(("command", "goes_on"), [("run", True), ("evaluate", True), ("bend", True), ("report", False)])
def test_an_interrupted_command_says_that_it_goes_on_only_where_it_does(
    command: str, goes_on: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(ctx: click.Context) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(cli.commands[command], "invoke", interrupted)
    ended = bnbench(command, *([] if command in ("run", "bend") else ["."]), cwd=tmp_path)
    assert ended.returncode == 130
    assert ("goes on" in ended.stderr) == goes_on


def test_a_run_ends_with_the_gap_of_its_arms_and_the_command_that_shows_it(swept: Path) -> None:
    again = bnbench(*TINY, cwd=swept)
    fits = headline_measures(*attrgetter("summaries", "landscapes", "protocol")(read_sweep(swept / "results/smoke")))
    plain, bn = (fits.loc[fits["arm"] == arm].iloc[0] for arm in ("plain", "bn"))
    *_, result, command = again.stderr.splitlines()
    assert "plain − bn" in result
    assert re.search(r"\b1 pair\b", result)
    for column in ("difference_trained", "right_trained", "objective_trained"):
        assert signed(plain[column] - bn[column]) in result
    assert command.endswith("bnbench report results/smoke")


def test_a_run_of_one_arm_or_without_a_fit_has_no_gap_to_tell(tmp_path: Path) -> None:
    ended = bnbench(*TINY, "--arms", "plain", "--out", "own folder", cwd=tmp_path)
    assert " − " not in ended.stderr
    assert ended.stderr.splitlines()[-1].endswith("bnbench report 'own folder'")


RESULTS = ("report", "status", "verify", "evaluate", "export")  # commands that read a results folder
WRONG = {
    "--probs 1.2": "--probs 1.2: 1.2 is not a probability",
    "--probs 0": "--probs 0: at 0 every pixel has one colour",
    "--probs 0.1:0.9:0.15": "--probs 0.1:0.9:0.15 does not land on 0.9: the last value would be 0.85. Use a step",
    "--seeds 0": "--seeds 0: 0 is not a seed",
    "--threads 1000000": "--threads 1000000: give a whole number from 1 to 1,024, such as 2.",
    "--jobs 1000000000": "--jobs 1000000000: give a whole number from 1 to 1,024, such as 2.",
    "--checkpoint-every nan": "--checkpoint-every nan: give a number of seconds above 0, such as 120.",
    "--checkpoint-every 0": "--checkpoint-every 0: give a number of seconds above 0, such as 120.",
    "--out /dev/null": "--out /dev/null cannot be written (/dev/null is no folder); give a folder that you may write",
    "--seeds -3": "--seeds -3: -3 is not a seed",
    "--arms plane": f"--arms plane is unknown; use {', '.join(BUILT_IN)}",
    "--arms plain,plain": "--arms plain,plain: give each arm once",
    "--arms no.such:arm": "--arms no.such:arm cannot be imported",
    "--arms json:dumps": "--arms json:dumps",
    "--profile fast": f"'fast' is not one of {', '.join(map(repr, PROFILES))}",
    "--dataset imagenet": "'imagenet' is not one of",
    "--dataset cifar10 --data-folder nowhere": "--dataset cifar10 is not on this machine",
    "--mask-size 2": "--mask-size 2 is not a mask size",
    "--mask-size 30x": "--mask-size 30x is not a mask size",
    "--devices cuda:7": "--devices cuda:7: this machine has no device cuda:7",
    "--devices tpu": "'tpu' is not a device",
    "--jobs 0": "--jobs 0: give a whole number from 1 to 1,024, such as 2.",
    "--threads x": "--threads x: give a whole number from 1 to 1,024, such as 2.",
    "--steps 0": "--steps 0",
    "--steps many": "--steps many: give a whole number",
    "--learning-rate -1": "--learning-rate -1",
    "--widths 8,x": "--widths 8,x: give whole numbers",
    "--widths 8,8": "--widths 8,8 names 2 convolutions but --strides",
    "--bn-statistics running": "--bn-statistics running",
    "--out /dev/null/results": "--out",
    "--nonsense": "--nonsense",
}


@pytest.mark.parametrize("wrong", WRONG)
def test_a_wrong_request_is_one_sentence_and_exit_2(wrong: str, tmp_path: Path) -> None:
    assert_refused(bnbench(*TINY, *wrong.split(), cwd=tmp_path), WRONG[wrong])
    assert not list(tmp_path.rglob("*.parquet"))


def test_a_folder_of_another_protocol_is_kept_apart(swept: Path) -> None:
    before = {path: path.read_bytes() for path in (swept / "results").rglob("*.*")}
    answer = bnbench(*TINY, "--threshold", "3", cwd=swept)
    assert answer.returncode == 2
    assert re.search(r"results/smoke .*threshold 2\.5 there, 3\.0 here", answer.stderr)
    assert "--out results/smoke-" in answer.stderr
    assert {path: path.read_bytes() for path in (swept / "results").rglob("*.*")} == before


@pytest.mark.parametrize(
    ("words", "accepted"),
    [
        *((f"{command} {there}", "results/quick") for command in RESULTS for there in ("nowhere", "a-file")),
        ("smoothness --planes nowhere", "results/quick"),
        ("check .", "baseline.json"),
        ("check baseline.json --junit .", "findings.json"),
        *((f"{command} --nope", f"bnbench {command} --help") for command in ("run", "bend", *RESULTS)),
        *((command, f"bnbench {command} --help") for command in RESULTS),
        ("run more", "bnbench run --help"),
        ("run --seeds", "bnbench run --help"),
        ("nothing", "bnbench --help"),
    ],
)
def test_a_refusal_names_the_value_and_what_is_accepted(
    words: str, accepted: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a-file").touch()
    with pytest.raises(SystemExit) as ended:
        main(words.split())
    (said,) = capsys.readouterr().err.splitlines()
    assert ended.value.code == 2
    assert accepted in said
    assert words.split()[-1] in said or words in RESULTS, "the value, but where an argument is missing"


def test_a_name_that_no_file_can_have_is_not_there(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["report", "a" * 300])
    (said,) = capsys.readouterr().err.splitlines()
    assert ended.value.code == 2
    assert "results/quick" in said


def test_a_report_on_nothing_is_refused(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    for folder in ("empty", "missing"):
        assert_refused(bnbench("report", folder, cwd=tmp_path), folder)


def test_a_failed_fit_gives_exit_1(tmp_path: Path) -> None:
    answer = bnbench(*TINY, "--learning-rate", "1e30", "--arms", "plain", cwd=tmp_path)
    assert answer.returncode == 1
    assert "FAILED, diverged" in answer.stderr
    assert "plain p=0.5 seed=1: diverged: " in answer.stderr
    assert re.search(r"\b1 fit failed.*--retry-failed", answer.stderr)
    again = bnbench(*TINY, "--learning-rate", "1e30", "--arms", "plain", cwd=tmp_path)
    assert again.returncode == 1
    assert "0 done, 1 failed, 0 to run" in again.stderr
    assert "FAILED" not in again.stderr
    third = bnbench(*TINY, "--learning-rate", "1e30", "--arms", "plain", "--retry-failed", cwd=tmp_path)
    assert "FAILED, diverged" in third.stderr


def test_threads_and_chunk_are_no_part_of_the_protocol(swept: Path) -> None:
    again = bnbench(*TINY, "--threads", "2", "--chunk", "5", cwd=swept)
    assert again.returncode == 0
    assert "2 done, 0 to run" in again.stderr


def test_without_a_command_the_help_is_shown(tmp_path: Path) -> None:
    answer = bnbench(cwd=tmp_path)
    assert answer.returncode == 2
    assert "Usage: bnbench" in answer.stderr
    assert "report" in answer.stderr


@pytest.mark.nightly
def test_an_interrupted_run_says_how_to_go_on_and_goes_on(tmp_path: Path) -> None:
    """SIGTERM and SIGHUP by night, in tests/sweep/test_torture.py, and how they are handled in test_signals.py."""
    command = ["--profile", "smoke", "--mask-size", "4", "--steps", "30", "--widths", "2", "--strides", "2"]
    command += ["--probs", "0.5", "--seeds", "50", "--jobs", "1", "--arms", "plain", "--chunk", "8", "--out", "own"]
    command += ["--images", "4", "--test-images", "60", "--train-images", "60", "--bn-statistics", "batch:60"]
    running = Running(command, tmp_path)
    try:
        running.wait_until(lambda: "[1/50]" in running.said)
        os.killpg(running.process.pid, signal.SIGINT)
        assert running.wait(30) == 130
    finally:
        running.end()
    assert "same command" in running.said.splitlines()[-1]
    assert "Traceback" not in running.said
    done = len(list((tmp_path / "own" / "fits").glob("*.parquet")))
    assert 1 <= done < 50
    assert not list((tmp_path / "own" / "fits").glob(".*"))
    planned = bnbench("run", *command, "--dry-run", cwd=tmp_path)
    assert f"{done} done, {50 - done} to run" in planned.stderr


def test_the_version_is_the_packages(tmp_path: Path) -> None:
    assert version("bnbench") in bnbench("--version", cwd=tmp_path).stdout


def test_what_ends_the_program_with_a_text_is_said_and_no_success(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def ends(*given: object, **named: object) -> None:
        sys.exit("no licence")

    monkeypatch.setattr("bnbench.cli.group.cli.main", ends)
    assert bnbench("status", cwd=tmp_path) == Answer(1, "", "bnbench: no licence\n")


@pytest.mark.parametrize(
    ("command", "arguments"),
    [
        ("run", ()),
        ("bend", ("--text", "B", "--out", "bent")),
        ("evaluate", (".",)),
        ("smoothness", ()),
        ("check", ("baseline.json",)),
    ],
)
def test_a_command_that_loads_torch_says_so_before_it_does(
    command: str, arguments: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = RuntimeError("said")

    def say(what: str) -> None:
        raise said

    monkeypatch.setattr(f"bnbench.cli.{command}.say_first", say)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "baseline.json").write_text("{}")
    assert CliRunner().invoke(cli, [command, *arguments]).exception is said
