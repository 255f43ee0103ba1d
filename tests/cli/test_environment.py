"""What a process is started with: no home, closed or full streams, a narrow terminal, a folder that is gone.

Each is a sentence or the work done, with the right exit code. ``status`` and ``--help`` load no torch, so that a
process of their own costs little; what a sweep does is tested in this one.
"""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from contextlib import redirect_stderr
from pathlib import Path
from typing import Any

import pytest

from bnbench.cli.listeners import JsonLines
from bnbench.cli.streams import _BestEffort, forget_false_settings
from bnbench.inputs import datasets
from bnbench.inputs.data import DataError
from bnbench.inputs.datasets import DATASETS_FOLDER, read_dataset
from bnbench.results import store
from bnbench.results.folder_protocol import open_folder
from bnbench.sweep.execution import Outcome
from tests.cli.test_cli import bnbench
from tests.fits import KEY, SMOKE, make_result

ROOT = Path(__file__).parents[2]
BNBENCH = f'"{sys.executable}" -m bnbench'


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("environment") / "results"
    open_folder(folder, SMOKE)
    store.write_fit(folder, make_result())
    return folder


GONE = "mkdir gone && cd gone && rmdir ../gone"  # what a command is started in


def shell(script: str, cwd: Path, **variables: str) -> subprocess.CompletedProcess[bytes]:
    """A shell's script, in which $S is the status of the results here; nothing may be a traceback."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), **variables}
    done = subprocess.run(
        ["bash", "-c", script.replace("$S", f"{BNBENCH} status results")],
        cwd=cwd,
        env=environment,
        capture_output=True,
        check=False,
        timeout=100,
    )
    for said in (done.stdout, done.stderr):
        assert b"Traceback" not in said, said
        assert b"Exception ignored" not in said, said
    return done


def test_what_is_printed_at_the_end_of_python_does_not_spoil_the_json(results: Path) -> None:
    """Whatever imports an arm's code: that may have left a word for the end, or a buffer of C's."""
    late = "import atexit, os; atexit.register(os.write, 1, b'late'); from bnbench.cli import main; main()"
    done = shell(f'"{sys.executable}" -c "{late}" status results --json', results.parent)
    assert json.loads(done.stdout)
    assert b"late" in done.stderr


@pytest.mark.parametrize(
    ("script", "code"),
    [
        ("$S <&- >&- 2>&-", 0),
        *(
            pytest.param(script, code, marks=pytest.mark.nightly)
            for script, code in (
                (f"{BNBENCH} status nowhere >&- 2>&-", 2),
                (f"{BNBENCH} --help >&-", 0),
                (f"{BNBENCH} status nowhere 2> /dev/full", 2),
                (f"{BNBENCH} run --help | head -c 1; exit ${{PIPESTATUS[0]}}", 0),
                (f'{GONE} && TMPDIR=/nowhere COLUMNS=0 {BNBENCH} status "$OLDPWD/results"', 0),
            )
        ),
        ("$S --json > /dev/full", 2),
        ("unset HOME; export TERM=dumb LC_ALL=nowhere; (sleep 0.2; $S --json) | true; exit ${PIPESTATUS[0]}", 1),
    ],
)
def test_a_process_ends_as_it_should_whatever_it_was_started_with(
    script: str, code: int, results: Path, tmp_path: Path
) -> None:
    (tmp_path / "results").symlink_to(results)
    assert shell(script, tmp_path).returncode == code


def test_status_is_readable_on_a_terminal_of_few_letters(results: Path) -> None:
    done = shell("$S", results.parent, PYTHONIOENCODING="ascii")
    assert done.returncode == 0, done.stderr
    lines = done.stdout.decode("ascii").splitlines()
    assert "# done  (seed 1)" in lines
    assert any(line.split() == ["0.3", "#"] for line in lines)


@pytest.mark.parametrize(
    ("encoding", "expected"),
    [
        ("utf-8", "● ▶ ✗ ◐ · 30×30 −0.1 …"),
        ("latin-1", "# > x o · 30×30 -0.1 ..."),
        ("cp1252", "# > x o · 30×30 -0.1 …"),
        ("ascii", "# > x o . 30x30 -0.1 ..."),
    ],
)
def test_a_letter_that_an_encoding_lacks_is_one_that_looks_alike(encoding: str, expected: str) -> None:
    assert "● ▶ ✗ ◐ · 30×30 −0.1 …".encode(encoding, "bnbench").decode(encoding) == expected
    assert "a\udcffb".encode(encoding, "bnbench") == b"a\\udcffb"  # of a file name that is no UTF-8


@pytest.mark.parametrize(("columns", "kept"), [("0", False), ("1", False), ("-5", False), ("few", False), ("72", True)])
def test_a_width_in_which_nothing_could_be_read_is_not_believed(columns: str, kept: bool) -> None:
    environment = {"COLUMNS": columns}
    forget_false_settings(environment)
    assert environment == ({"COLUMNS": columns} if kept else {})
    forget_false_settings(environment)


def test_a_notebooks_backend_is_none_of_ours() -> None:
    environment = {"MPLBACKEND": "module://matplotlib_inline.backend_inline"}
    forget_false_settings(environment)
    assert environment == {}


def test_no_home_and_no_entry_for_the_account_is_a_sentence(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def nowhere() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "home", nowhere)
    monkeypatch.delenv(DATASETS_FOLDER, raising=False)
    monkeypatch.setattr(datasets, "DEBIAN", tmp_path / "no")
    with pytest.raises(DataError, match=r"home folder .*--data-folder"):
        read_dataset("mnist")
    refused = bnbench("run", "--profile", "quick", "--dry-run", cwd=tmp_path)
    assert refused.returncode == 2
    assert "give --data-folder" in refused.stderr
    assert bnbench("run", "--profile", "smoke", "--dry-run", cwd=tmp_path).returncode == 0


class Broken(io.StringIO):
    """Stdout whose reader is gone; ``fileno`` is of a file that may be lost."""

    def __init__(self, file: Any) -> None:
        super().__init__()
        self.file = file

    def fileno(self) -> int:
        return int(self.file.fileno())

    def write(self, text: str) -> int:
        raise BrokenPipeError(32, "Broken pipe")


def test_a_sweep_goes_on_once_nobody_reads_its_lines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with (tmp_path / "out").open("wb") as file, redirect_stderr(io.StringIO()) as said:
        lines = JsonLines()
        monkeypatch.setattr(sys, "stdout", Broken(file))
        for _ in range(2):
            lines.print_outcome(Outcome(KEY, "done"))
    assert lines.has_lost_reader
    assert "(Broken pipe); the fits go on" in said.getvalue()


def test_messages_that_cannot_be_written_stop_nothing() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    stream = io.TextIOWrapper(io.BufferedWriter(_BestEffort(writer)), line_buffering=True)
    print("nobody reads this", file=stream)
    stream.flush()
    assert not stream.isatty()
    os.close(writer)
    print("nor this", file=stream)
