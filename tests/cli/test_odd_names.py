"""Names that hold ends of lines or codes of a terminal: every command writes them on one line."""

from __future__ import annotations

import os
import subprocess
from importlib.util import find_spec
from pathlib import Path

import pytest

from bnbench.cli.group import run_program
from bnbench.wording import on_one_line, shell_word
from tests.synthetic import write_sweep


@pytest.mark.parametrize("command", ["verify", "status"])
def test_a_name_that_would_steer_a_terminal_is_written_out_on_one_line(
    command: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    odd = tmp_path / "two\nlines \udcff"
    write_sweep(odd, probs=(0.3,), seeds=(1,))
    (odd / "fits" / "\x1b[31mred\u202e\n.parquet").write_bytes(b"rubbish")
    with pytest.raises(SystemExit) as ended:
        run_program([command, str(odd)])
    assert ended.value.code == 1
    streams = capfd.readouterr()
    (line,) = (line for line in (streams.out + streams.err).splitlines() if "is not a whole bnbench fit" in line)
    assert r"two\nlines \udcff/fits/\x1b[31mred\u202e\n.parquet" in line
    assert "\x1b" not in streams.out + streams.err


def test_a_refusal_that_repeats_an_odd_name_is_one_line(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        run_program(["verify", "no\x1b[31m\nsuch"])
    assert ended.value.code == 2
    assert r"no\x1b[31m\nsuch" in capfd.readouterr().err


@pytest.mark.parametrize(
    "name", ["plain/own", "own folder", "it's", "two\nli\\nes'", "\x1b[31mr\u202eed", "\udcff", "漢"]
)
def test_a_name_in_a_hint_is_one_word_on_one_line_that_a_shell_takes_back(name: str) -> None:
    word = shell_word(name)
    assert on_one_line(word) == word
    back = subprocess.run(["bash", "-c", f"printf %s {word}"], capture_output=True, check=True)
    assert os.fsdecode(back.stdout) == name


def test_commands_print_an_odd_folder_on_one_line_and_say_how_to_name_it(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    odd = tmp_path / "two\nli\x1b[31mnes"
    write_sweep(odd, probs=(0.3,), seeds=(1,))
    commands = [["report", str(odd), "--out", f"{odd} report", "--format", "json"]]
    commands += [["evaluate", str(odd)], ["verify", str(odd)], ["check", str(odd / "none.json")]]
    if find_spec("tensorboard"):
        commands.append(["export", str(odd), "--tensorboard", f"{odd} runs"])
    (odd / "fits" / "rub\nbish.parquet").write_bytes(b"rubbish")
    for command in commands:
        with pytest.raises(SystemExit):
            run_program(command)
        streams = capfd.readouterr()
        said = (streams.out + streams.err).splitlines()
        assert any(r"two\nli" in line for line in said), command
        assert not any("\x1b" in line or line.startswith(("li", "bish")) for line in said), command
        if command[0] in ("report", "export"):
            assert len(streams.out.splitlines()) == 1
        if command[0] == "export":
            assert shell_word(command[-1]) in streams.err
