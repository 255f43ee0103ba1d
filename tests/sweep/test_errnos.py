"""What a disk may answer, injected: the sweep stops with its number, and what was trained is kept."""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch

from bnbench.mpo.fit import Fit
from bnbench.protocol.protocol import Grid
from bnbench.results import layout
from bnbench.results.fits import read_fit
from bnbench.results.folder_protocol import open_folder
from bnbench.sweep.backends.inline import Inline
from bnbench.sweep.devices import make_slots
from bnbench.sweep.disk import check_opened
from bnbench.sweep.execution import Execution, Outcome
from bnbench.sweep.plan import plan_sweep
from bnbench.sweep.result_lines import result_lines
from bnbench.sweep.runner import Runner
from tests.cli.test_cli import bnbench
from tests.fits import TINY
from tests.sweep.test_disk import COMMAND

GRID = Grid(("plain", "bn"), (0.5,), (1,))
FIRST = GRID.fits()[0]
ERRNOS = [
    errno.EPERM,
    errno.EACCES,
    errno.EXDEV,
    errno.ENOLCK,
    errno.EROFS,
    errno.ENOSPC,
    errno.EDQUOT,
    errno.EIO,
    errno.ESTALE,
    errno.ENOTSUP,
    errno.EMFILE,  # of which nobody has thought
]
MOUNTED = {errno.EXDEV, errno.ENOLCK, errno.EROFS, errno.ESTALE, errno.ENOTSUP}
names = pytest.mark.parametrize("number", ERRNOS, ids=[errno.errorcode[number] for number in ERRNOS])


@contextmanager
def fits_refused(number: int) -> Iterator[None]:
    """Every file below a folder ``fits`` is refused with an error."""
    write = layout.write_atomically

    def refused(path: Path, content: bytes, **how: Any) -> None:
        if path.parent.name == "fits":
            raise OSError(number, os.strerror(number), str(path))
        write(path, content, **how)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(layout, "write_atomically", refused)
        yield


def sweep(folder: Path) -> list[Outcome]:
    open_folder(folder, TINY)
    execution = Execution(make_slots(("cpu",), 1, 1), chunk=8)
    return list(Runner(plan_sweep(folder, TINY, GRID), execution, Inline()).outcomes())


def check_stopped(outcomes: list[Outcome], number: int, folder: Path) -> None:
    (outcome,) = outcomes  # the second fit was not begun
    assert (outcome.state, outcome.is_fatal) == ("failed", True)
    assert errno.errorcode[number] in outcome.message
    assert os.strerror(number) in outcome.message
    assert ("mount" in outcome.message) == (number in MOUNTED), "a hint at mount options, where they may help"
    assert not layout.failure_paths(folder), "it is not the fit's failure"


@pytest.fixture
def unwritten(tmp_path: Path) -> Path:
    """A sweep whose first fit was trained and could not be written."""
    with fits_refused(errno.EPERM):
        sweep(tmp_path)
    return tmp_path


def check_finished(folder: Path) -> None:
    """Sweep once more: both fits are there, the first in two parts."""
    assert [outcome.state for outcome in sweep(folder)] == ["done", "done"]
    assert read_fit(layout.fit_path(folder, FIRST)).provenance["parts"] == 2


@names
def test_a_fit_that_cannot_be_written_ends_the_sweep_and_keeps_its_training(tmp_path: Path, number: int) -> None:
    with fits_refused(number):
        check_stopped(sweep(tmp_path), number, tmp_path)
    assert [path.suffix for path in (tmp_path / "running").iterdir()] == [".pt"]


def test_what_was_trained_before_an_error_is_not_trained_again(
    unwritten: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    advance, steps = Fit.advance, []

    def counted(fit: Fit) -> None:
        steps.append(fit.step)
        advance(fit)

    monkeypatch.setattr(Fit, "advance", counted)
    check_finished(unwritten)
    assert len(steps) == TINY.training.steps, "only those of the second fit"
    assert not list((unwritten / "running").iterdir())


def test_a_device_without_memory_costs_no_checkpoint(unwritten: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    load, refusals = Fit.load_state_dict, [torch.OutOfMemoryError("CUDA out of memory")]

    def refused_once(fit: Fit, state: Any) -> None:
        if refusals:
            raise refusals.pop()
        load(fit, state)

    monkeypatch.setattr(Fit, "load_state_dict", refused_once)
    check_finished(unwritten)
    assert refusals == []


@names
def test_a_lock_that_cannot_be_taken_ends_the_sweep(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    open_folder(tmp_path, TINY)
    flock = fcntl.flock

    def refused(file: Any, how: int) -> None:
        if isinstance(getattr(file, "name", None), int) and how & fcntl.LOCK_EX:  # a claim's, opened by number
            raise OSError(number, os.strerror(number))
        flock(file, how)

    monkeypatch.setattr(fcntl, "flock", refused)
    check_stopped(sweep(tmp_path), number, tmp_path)


@contextmanager
def trial_lock_refused(number: int) -> Iterator[None]:
    """A lock that is only tried is refused with an error."""

    def refused(file: Any, how: int) -> None:
        if ".trial." in str(getattr(file, "name", "")):
            raise OSError(number, os.strerror(number))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fcntl, "flock", refused)
        yield


@names
@pytest.mark.parametrize("refused", [fits_refused, trial_lock_refused])
def test_the_plan_tries_a_write_and_a_lock(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    number: int,
    refused: Callable[[int], AbstractContextManager[None]],
) -> None:
    monkeypatch.setattr(Fit, "advance", None)  # nothing is computed
    with refused(number):
        ran = bnbench("run", "--out", "results", *COMMAND, cwd=tmp_path)
    assert ran.returncode == 2
    last = ran.stderr.strip().splitlines()[-1]
    assert "--out results" in last
    assert errno.errorcode[number] in last
    assert not list((tmp_path / "results" / "fits").iterdir())
    assert not list((tmp_path / "results" / "running").iterdir())


def test_a_sweep_whose_folder_has_gone_ends_without_its_result(tmp_path: Path) -> None:
    open_folder(tmp_path / "results", TINY)
    plan = plan_sweep(tmp_path / "results", TINY, GRID)
    (tmp_path / "results").rename(tmp_path / "elsewhere")
    assert list(result_lines(plan)) == []


@pytest.mark.parametrize("when", ["in a fit", "between two fits"])
@pytest.mark.parametrize("how", ["moved", "deleted"])
def test_a_folder_that_goes_in_mid_run_ends_the_sweep_and_is_not_made_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, when: str, how: str
) -> None:
    folder, advance, taken = tmp_path / "results", Fit.advance, []

    def go() -> None:
        if how == "moved":
            folder.rename(tmp_path / "elsewhere")
        else:
            shutil.rmtree(folder)

    def advance_and_go(fit: Fit) -> None:
        taken.append(fit)
        if when == "in a fit" and len(taken) == 3:
            go()
        advance(fit)

    monkeypatch.setattr(Fit, "advance", advance_and_go)
    open_folder(folder, TINY)
    execution = Execution(make_slots(("cpu",), 1, 1), chunk=8)
    outcomes = []
    for outcome in Runner(plan_sweep(folder, TINY, GRID), execution, Inline()).outcomes():
        outcomes.append(outcome)
        if when == "between two fits" and len(outcomes) == 1:
            go()
    assert [outcome.state for outcome in outcomes] == (["failed"] if when == "in a fit" else ["done", "failed"])
    assert outcomes[-1].is_fatal
    assert str(folder) in outcomes[-1].message
    assert ("its steps from 0 to " in outcomes[-1].message) == (when == "in a fit"), "what is lost is said"
    assert not folder.exists()


@pytest.mark.parametrize("what", ["unreadable", "a file"])
def test_fits_that_cannot_be_listed_are_not_taken_for_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    folder, iterdir = tmp_path / "results", Path.iterdir
    sweep(folder)
    if what == "a file":
        (folder / "fits").rename(tmp_path / "fits")
        (folder / "fits").write_text("in the way")

    def refused(path: Path) -> Iterator[Path]:
        if path.name == "fits":
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))
        return iterdir(path)

    with monkeypatch.context() as context:
        if what == "unreadable":
            context.setattr(Path, "iterdir", refused)
        commands = [["run", "--out", "results", *COMMAND], ["status", "results"], ["report", "results"]]
        for command in commands[: 3 if what == "a file" else 2]:
            ran = bnbench(*command, cwd=tmp_path)
            assert ran.returncode == (2 if command[0] == "run" else 1), command
            assert os.strerror(errno.EACCES if what == "unreadable" else errno.ENOTDIR) in ran.stdout + ran.stderr


def test_a_folder_in_place_is_taken_for_it(tmp_path: Path) -> None:
    open_folder(tmp_path / "results", TINY)
    check_opened(tmp_path / "results")
    with pytest.raises(FileNotFoundError):
        check_opened(tmp_path)
