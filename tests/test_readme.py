"""What the README shows has to work."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import matplotlib as mpl
import pytest

from bnbench.cli import cli

README = (Path(__file__).parent.parent / "README.md").read_text()


def test_the_python_example_runs_and_leaves_its_picture(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (code,) = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    monkeypatch.chdir(tmp_path)
    mpl.use("agg")
    names: dict[str, object] = {"__name__": "example"}
    exec(compile(code, "README.md", "exec"), names)
    assert (tmp_path / "landscape.png").read_bytes().startswith(b"\x89PNG")
    found = names["found"]
    mask = names["mask"]
    assert found.accuracy.numpy()[mask].mean() > found.accuracy.numpy()[~mask].mean() + 0.2


def test_every_command_and_option_that_it_names_exists() -> None:
    blocks = "\n".join(re.findall(r"```\n(.*?)```", README, re.DOTALL))
    commands = [shlex.split(line)[1:] for line in blocks.splitlines() if line.startswith("bnbench ")]
    assert commands
    for name, *arguments in commands:
        command = cli.commands[name]
        command.make_context(name, [argument.replace("results/", ".") for argument in arguments])
    known = {option for command in cli.commands.values() for parameter in command.params for option in parameter.opts}
    named = set(re.findall(r"`(--[a-z-]+)", README))
    assert named <= known | {"--help"}, named - known
