"""Backends: one small interface, one table of names."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from bnbench.cli.group import cli
from bnbench.errors import RequestError
from bnbench.protocol.protocol import FitKey, Grid
from bnbench.results import layout
from bnbench.results.sweeps import load
from bnbench.sweep.backends import BACKENDS, make_backend
from bnbench.sweep.backends.inline import Inline
from bnbench.sweep.devices import DeviceRequest
from bnbench.sweep.execution import Execution, Job, Outcome
from bnbench.sweep.interrupts import RunnerStop
from bnbench.sweep.messages import Listener
from bnbench.sweep.request import EndedSweep, SweepRequest
from bnbench.sweep.sweep import run_sweep
from tests.fits import TINY

GRID = Grid(("plain",), (0.5,), (1, 2))
ONE = Execution(devices=DeviceRequest("cpu", jobs=1))


@pytest.mark.parametrize("name", BACKENDS)
def test_a_name_makes_a_backend_whose_options_choose_it_again(name: str) -> None:
    backend = make_backend(name)
    assert backend.name == name
    arguments = [part for option, value in backend.options.items() for part in (f"--{option}", value)]
    chosen = cli.commands["run"].make_context("run", arguments).params
    assert (chosen["backend"], chosen["scheduler"]) == (name, None)


def test_a_backend_of_a_scheduler_says_so() -> None:
    backend = make_backend("dask", "tcp://10.0.0.1:8786")
    assert backend.is_remote
    assert backend.options == {"backend": "dask", "scheduler": "tcp://10.0.0.1:8786"}


@pytest.mark.parametrize(("name", "scheduler"), [("cloud", None), ("process", "tcp://10.0.0.1:8786")])
def test_what_cannot_be_made_is_refused(name: str, scheduler: str | None) -> None:
    with pytest.raises(RequestError, match=scheduler or name):
        make_backend(name, scheduler)


class Backwards(Inline):
    """A backend as CONTRIBUTING says: a name, and where each fit runs."""

    name = "backwards"

    def compute(self, batch: Sequence[FitKey], job: Job, stop: RunnerStop) -> Iterator[Outcome]:
        return super().compute([*reversed(batch)], job, stop)


class Recorder(Listener):
    def __init__(self) -> None:
        self.heard: list[str] = []

    def note(self, sentence: str) -> None:
        self.heard.append(sentence)

    def ended(self, swept: EndedSweep) -> None:
        self.heard.append("ended")


def test_a_new_backend_is_one_class(tmp_path: Path) -> None:
    listener = Recorder()
    swept = {
        name: run_sweep(SweepRequest(TINY, GRID, tmp_path / name, ONE, chunk=4), backend, listener)
        for name, backend in (("inline", Inline()), ("backwards", Backwards()))
    }
    assert [outcome.key.seed for outcome in swept["inline"].outcomes] == [1, 2]
    assert [outcome.key.seed for outcome in swept["backwards"].outcomes] == [2, 1]
    assert load(tmp_path / "inline").equals(load(tmp_path / "backwards"))
    stored = tomllib.loads(layout.config_path(tmp_path / "backwards").read_text())
    assert "backend" not in stored, "the command does not know its name"
    assert listener.heard == ["ended", "ended"]


def test_a_dry_run_starts_nothing_and_force_moves_aside(tmp_path: Path) -> None:
    folder, listener = tmp_path / "own", Recorder()
    dry = run_sweep(SweepRequest(TINY, GRID, folder, ONE, chunk=4, dry_run=True), Inline(), listener)
    assert (len(dry.plan.to_run), dry.outcomes, listener.heard, folder.exists()) == (2, [], [], False)
    for _ in range(2):
        swept = run_sweep(SweepRequest(TINY, GRID, folder, ONE, chunk=4, force=True), Inline(), listener)
        assert len(swept.outcomes) == 2
    assert len(list((folder / "superseded").rglob("*.parquet"))) == 2
    assert sum("superseded" in sentence for sentence in listener.heard) == 1


def test_fits_of_one_process_run_on_one_slot_whatever_is_asked_for(tmp_path: Path) -> None:
    asked = Execution(devices=DeviceRequest("cpu", jobs=3))
    dry = run_sweep(SweepRequest(TINY, GRID, tmp_path, asked, chunk=4, dry_run=True), Inline(), Listener())
    assert [str(slot) for slot in dry.execution.slots] == ["cpu#0"]
