"""Options from a file, and the file that every run leaves: it repeats the sweep, and errors name file and key."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from click.shell_completion import ShellComplete

from bnbench.cli.group import cli
from bnbench.errors import RequestError
from bnbench.process import reading
from bnbench.protocol.profiles import PROFILES
from bnbench.protocol.protocol import BUILT_IN, Grid
from bnbench.results import layout
from bnbench.results.asked import effective_config, read_config, read_grid, write_config
from bnbench.results.folder_protocol import read_protocol
from tests.cli.test_cli import assert_refused, bnbench

OPTIONS = {"probs": False, "seeds": False, "steps": False, "mask_size": False, "widths": False, "download": True}
TINY = (
    'profile = "smoke"\nprobs = 0.5\nseeds = 1\nmask-size = [4, 5]\nsteps = 4\nimages = 4\njobs = 1\narms = "plain"\n'
)


def read(folder: Path, text: str) -> dict[str, str | bool]:
    path = folder / "sweep.toml"
    path.write_text(text)
    return read_config(path, OPTIONS)


def planned(folder: Path, text: str, *arguments: str) -> str:
    """What a dry run says, whether it is a plan or an error."""
    (folder / "sweep.toml").write_text(text)
    answer = bnbench("run", "--config", "sweep.toml", *arguments, "--dry-run", cwd=folder)
    assert answer.returncode == (2 if answer.stderr.startswith("bnbench:") else 0)
    return answer.stderr


@pytest.mark.parametrize(
    "text",
    [f"seeds = {'[' * 100_000}", f"{'a.' * 500}b = 1\n", "seeds = 9" + 30 * "9", f"# {' ' * reading._LARGEST_TEXT}"],
    ids=["brackets", "dots", "digits", "size"],
)
def test_an_absurd_configuration_is_one_sentence(tmp_path: Path, text: str) -> None:
    with pytest.raises(RequestError, match=r"sweep\.toml") as refused:
        read(tmp_path, text)
    assert len(str(refused.value)) < 400
    text_of_ours = tmp_path / "config.toml"
    text_of_ours.write_text(text)
    with pytest.raises(RequestError, match=r"config\.toml"):
        read_grid(tmp_path)


def test_a_configuration_without_an_end_is_one_sentence() -> None:
    with pytest.raises(RequestError, match="/dev/zero"):
        read_config(Path("/dev/zero"), OPTIONS)


def test_natural_values_are_read_as_the_command_line_takes_them(tmp_path: Path) -> None:
    text = "probs = [0.1, 0.5]\nseeds = 5\nmask-size = [4, 5]\nwidths = [8, 8]\nsteps = 300\ndownload = true\n"
    assert read(tmp_path, text) == {
        "probs": "0.1,0.5",
        "seeds": "5",
        "mask_size": "4x5",
        "widths": "8,8",
        "steps": "300",
        "download": True,
    }
    assert read(tmp_path, 'mask_size = "4x5"\nseeds = [3]\n') == {"mask_size": "4x5", "seeds": "3:3:1"}


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("stepz = 3", ("stepz", "steps")),
        ("banana = 3", ("banana", "bnbench run --help")),
        ("steps = \n", ("line 1, column 9", "steps = 300")),
        ("steps = true", ("steps = true", "value")),
        ('download = "yes"', ('download = "yes"', "true or false")),
        ("steps = [[1]]", ("steps = [[1]]", "number", "list")),
        ("steps = 2020-01-01", ('steps = "2020-01-01"', "number", "list")),
        ("[steps]\nx = 1", ("[steps]", "number", "list")),
        ("probs = []", ("probs = []", "number", "list")),
        ("mask-size = 5\nmask_size = 6", ("mask-size", "once")),
        ("mask-size = [14, 20, 28]", ("mask-size = [14, 20, 28]", 'mask-size = "14,20,28"')),
        ("dry-run = true", ("dry-run", "--dry-run")),
        ("force = true", ("force", "--force")),
    ],
)
def test_what_is_wrong_with_a_file_names_it_and_the_key(tmp_path: Path, text: str, names: tuple[str, ...]) -> None:
    with pytest.raises(RequestError) as refusal:
        read(tmp_path, text)
    assert str(refusal.value).startswith(str(tmp_path / "sweep.toml"))
    assert [name for name in names if name not in str(refusal.value)] == []


def test_a_file_that_cannot_be_read_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "bytes.toml").write_bytes(b"\xff\xfe")
    for name, why in (("missing.toml", "No such file"), (".", "Is a directory"), ("bytes.toml", "TOML")):
        answer = bnbench("run", "--config", name, "--dry-run", cwd=tmp_path)
        assert_refused(answer, f"bnbench: --config {name} ", why)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("steps = 0", "--steps 0: "),
        ('steps = "many"', "--steps many: "),
        ("probs = [0.1, 1.2]", "--probs 0.1,1.2: 1.2"),
        ('profile = "fast"', "'fast'"),
        ('arms = ["plain", "plane"]', "--arms plane "),
        ('devices = "tpu"', "--devices tpu"),
        ("jobs = 0", "--jobs 0: "),
    ],
)
def test_a_value_that_an_option_refuses_names_the_file(tmp_path: Path, line: str, message: str) -> None:
    said = planned(tmp_path, line)
    assert said.startswith("bnbench: --config sweep.toml: ")
    assert message in said
    assert len(said.splitlines()) == 1


def test_a_wrong_option_on_the_command_line_is_not_blamed_on_the_file(tmp_path: Path) -> None:
    assert planned(tmp_path, TINY, "--steps", "0").startswith("bnbench: --steps 0")


def test_the_command_line_wins(tmp_path: Path) -> None:
    assert "mask size 4x5, images 4, steps 4 (" in planned(tmp_path, TINY)
    assert "mask size 4x5, images 4, steps 7 (" in planned(tmp_path, TINY, "--steps", "7")
    assert "1 fit = 1 arm" in planned(tmp_path, TINY)
    assert "2 fits = 2 arms" in planned(tmp_path, TINY, "--arms", "plain,bn")


QUICK = ("--fail-fast", "--chunk", "5", "--backend", "inline")


def test_a_stored_file_repeats_the_sweep(tmp_path: Path) -> None:
    (tmp_path / "sweep.toml").write_text(TINY)
    first = bnbench("run", "--config", "sweep.toml", "--out", "own", *QUICK, cwd=tmp_path)
    assert first.returncode == 0, first.stderr
    stored = tomllib.loads((tmp_path / "own" / "config.toml").read_text())
    asked = {"profile": "smoke", "probs": "0.5", "seeds": 1, "arms": "plain", "mask-size": "4x5", "images": 4}
    assert stored == {**asked, "steps": 4, "out": "own", "jobs": 1, "chunk": 5, "backend": "inline"}

    again = bnbench("run", "--config", "own/config.toml", cwd=tmp_path)
    assert "1 fit = 1 arm × 1 probability × 1 seed; 1 done, 0 to run" in again.stderr
    assert tomllib.loads((tmp_path / "own" / "config.toml").read_text()) == stored

    elsewhere = bnbench("run", "--config", "own/config.toml", "--out", "copy", cwd=tmp_path)
    assert elsewhere.returncode == 0
    assert read_protocol(tmp_path / "copy") == read_protocol(tmp_path / "own")
    assert tomllib.loads((tmp_path / "copy" / "config.toml").read_text()) == {**stored, "out": "copy"}


def test_a_dry_run_stores_nothing(tmp_path: Path) -> None:
    planned(tmp_path, TINY)
    assert [path.name for path in tmp_path.iterdir()] == ["sweep.toml"]


@pytest.mark.parametrize("profile", PROFILES)
@pytest.mark.parametrize("seeds", [(1, 2, 3), (4,), (7, 5), (1,)])
def test_every_knob_and_grid_survives_the_file(tmp_path: Path, profile: str, seeds: tuple[int, ...]) -> None:
    changed = {"gain": 0.1 + 0.2, "learning_rate": 1e-7, "strides": (1,), "widths": (3,), "mask_size": (5, 9)}
    protocol = PROFILES[profile].with_knobs(**changed, mask_kind="framed", pool=3)
    grid = Grid(("bn", "own.module:make"), (0.001, 0.1, 0.999), seeds)
    write_config(tmp_path, effective_config(protocol, grid, {"out": Path("a b"), "download": True}))
    assert read_grid(tmp_path) == grid
    arguments = ["--config", str(tmp_path / "config.toml")]
    options = cli.commands["run"].make_context("run", arguments).params
    knobs = {name: options[name] for name in dict(protocol.knobs()) if options[name] is not None}
    if "mask_size" in knobs:  # a list of sizes, here of one
        (knobs["mask_size"],) = knobs["mask_size"]
    assert PROFILES[options["profile"]].with_knobs(**knobs) == protocol
    assert (options["probs"], options["seeds"], options["arms"]) == (grid.probs, grid.seeds, grid.arms)
    assert (options["out"], options["download"]) == (Path("a b"), True)


def test_a_folder_says_its_last_grid_or_what_is_wrong_with_it(tmp_path: Path) -> None:
    assert read_grid(tmp_path) is None
    path = layout.config_path(tmp_path)
    for text, message in (
        ("{", "is not a TOML file"),
        ("probs = 0.5", "does not say 'seeds'"),
        ("probs = 5\nseeds = 1\narms = 'bn'", "--probs 5: 5 is not a probability"),
    ):
        path.write_text(text)
        with pytest.raises(RequestError, match=f"^{re.escape(str(path))}.*{message}"):
            read_grid(tmp_path)


def test_the_shell_completes_commands_options_and_arms() -> None:
    complete = ShellComplete(cli, {}, "bnbench", "_BNBENCH_COMPLETE")

    def completed(words: str) -> list[str]:
        *arguments, incomplete = words.split(" ")
        return [item.value for item in complete.get_completions(arguments, incomplete)]

    assert completed("ru") == ["run"]
    assert "--threshold" in completed("run --thr")
    assert completed("run --profile s") == ["smoke"]
    assert completed("run --arms plain,") == [f"plain,{arm}" for arm in BUILT_IN if arm != "plain"]


def test_the_program_answers_the_shell() -> None:
    asked = {**os.environ, "_BNBENCH_COMPLETE": "bash_complete", "COMP_WORDS": "bnbench rep", "COMP_CWORD": "1"}
    command = [sys.executable, "-m", "bnbench"]
    answer = subprocess.run(command, env=asked, capture_output=True, text=True, check=True)
    assert (answer.stdout, answer.stderr) == ("plain,report\n", "")
