"""What signals do to the program and to its sweeps, without processes of their own; those are in test_torture.py."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn

import pytest

from bnbench.cli import ending
from bnbench.sweep import interrupts
from bnbench.sweep.interrupts import STOPPING, Interrupted, RunnerStop, runner_signals


class EndedError(Exception):
    """In place of the end of this process."""


@pytest.fixture(autouse=True)
def handlers_of_before() -> Iterator[None]:
    before = {number: signal.getsignal(number) for number in (*STOPPING, signal.SIGALRM)}
    yield
    signal.setitimer(signal.ITIMER_REAL, 0)
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.fixture
def ends(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The exit codes with which this process would have ended at once."""
    codes: list[int] = []

    def end(code: int) -> NoReturn:
        codes.append(code)
        raise EndedError

    monkeypatch.setattr(os, "_exit", end)
    monkeypatch.setattr(ending, "_children", list)
    monkeypatch.setattr(interrupts, "_program", [])
    return codes


@pytest.mark.parametrize("number", STOPPING)
def test_each_signal_stops_a_sweep_and_leaves_handlers_as_they_were(tmp_path: Path, number: int) -> None:
    def mine(number: int, frame: FrameType | None) -> None:
        raise AssertionError("it is the sweep's")

    signal.signal(number, mine)
    stop = RunnerStop([tmp_path / "stop"])
    with runner_signals(stop):
        signal.raise_signal(number)
        assert stop.is_requested
        assert (tmp_path / "stop").exists()
        assert 2.5 < signal.getitimer(signal.ITIMER_REAL)[0] <= 3.0, "what workers get for their checkpoints"
        with pytest.raises(Interrupted) as ended:
            signal.raise_signal(number)
    assert ended.value.number == stop.number == number
    assert signal.getsignal(number) is mine
    assert signal.getitimer(signal.ITIMER_REAL)[0] == 0


def test_what_is_ignored_stays_so() -> None:
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    stop = RunnerStop([])
    with runner_signals(stop):
        signal.raise_signal(signal.SIGHUP)
    assert not stop.is_requested
    ending.heed_signals()
    assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN


@pytest.mark.parametrize("second", [*STOPPING, signal.SIGALRM])
def test_a_second_signal_or_the_end_of_patience_ends_the_program_at_once(
    tmp_path: Path, ends: list[int], capfd: pytest.CaptureFixture[str], second: int
) -> None:
    interrupts.end_program_by(ending.end_at_once)
    ending.will_say("the last word")
    local = tmp_path / "local"
    stop = RunnerStop([local / "stop"], local)
    with runner_signals(stop):
        signal.raise_signal(signal.SIGTERM)
        assert local.exists()
        with pytest.raises(EndedError):
            signal.raise_signal(second)
    assert ends == [128 + signal.SIGTERM]
    assert not local.exists()
    assert capfd.readouterr().err == "bnbench: the last word\n"
    with pytest.raises(EndedError):
        signal.raise_signal(second)  # while the program cleans up after itself
    assert ends[1:] == [128 + signal.SIGTERM]


def test_what_was_said_is_not_said_twice(ends: list[int], capfd: pytest.CaptureFixture[str]) -> None:
    ending.will_say("")
    with pytest.raises(EndedError):
        ending.end_at_once(signal.SIGINT)
    assert ends == [130]
    assert capfd.readouterr().err == ""


def test_a_signal_before_anything_is_imported_ends_the_program(
    ends: list[int], capfd: pytest.CaptureFixture[str]
) -> None:
    ending.heed_signals()
    with pytest.raises(EndedError):
        signal.raise_signal(signal.SIGHUP)
    assert ends == [129]
    assert capfd.readouterr().err.count("\n") == 1


def test_an_exception_is_raised_once_and_in_no_import(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[bool] = []

    def listen(number: int, frame: FrameType | None) -> None:
        told.append(ending.may_raise(number, frame))

    signal.signal(signal.SIGUSR1, listen)
    ending.heed_signals()
    signal.raise_signal(signal.SIGUSR1)
    signal.raise_signal(signal.SIGUSR1)
    ending.heed_signals()
    (tmp_path / "raises_a_signal.py").write_text("import signal\nsignal.raise_signal(signal.SIGUSR1)\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    __import__("raises_a_signal")
    sys.modules.pop("raises_a_signal")
    signal.signal(signal.SIGUSR1, signal.SIG_DFL)
    assert told == [True, False, False]


def test_the_children_of_this_process_are_found() -> None:
    class Child:
        pid = 7

    class Multiprocessing:
        @staticmethod
        def active_children() -> list[Any]:
            return [Child()]

    with pytest.MonkeyPatch.context() as context:
        context.setitem(sys.modules, "multiprocessing.process", Multiprocessing)
        assert ending._children() == [7]
