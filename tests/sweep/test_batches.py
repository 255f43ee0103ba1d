"""Fits of a worker's process that are one batch of networks: a processor's slots stand in for a GPU's."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path
from pkgutil import resolve_name
from typing import Any

import pandas as pd
import pytest

from bnbench.mpo.fit import Fit
from bnbench.mpo.one_batch import Batch, Member
from bnbench.mpo.trace import DivergedError
from bnbench.mpo.whole_step import WholeStep
from bnbench.protocol.protocol import FitKey, Grid
from bnbench.results import layout
from bnbench.results.checkpoints import load_checkpoint
from bnbench.results.fits import read_fit
from bnbench.results.folder_protocol import open_folder
from bnbench.sweep import batches, fit_under_way
from bnbench.sweep.backends import shared_process
from bnbench.sweep.backends.inline import Inline
from bnbench.sweep.batches import expected, in_batches
from bnbench.sweep.devices import make_slots
from bnbench.sweep.execution import Execution, Job
from bnbench.sweep.plan import plan_sweep
from bnbench.sweep.runner import Runner
from bnbench.sweep.start import make_fit
from tests.fits import TINY
from tests.mpo.test_one_batch import assert_equal, fit_of
from tests.mpo.test_replayed import TRAINING, computes_again, taken
from tests.sweep.test_shared_process import PAIR, exchanged, job_in

SHARED = frozenset({("cpu", "plain")})


@pytest.fixture(autouse=True)
def a_gpus_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    """This process stands in for one: its fits are recorded whole, and its settings are the tests' own."""
    monkeypatch.setattr(shared_process, "prepare_process", lambda *how: None)
    for module in ("confinement", "course"):
        monkeypatch.setattr(f"bnbench.sweep.{module}.is_worker_process", lambda: True)
    monkeypatch.setattr("bnbench.mpo.one_batch._MOMENT", 0.3)  # a thread that has been handed its fit has begun by then
    monkeypatch.setattr(fit_under_way, "make_fit", recorded)


def recorded(*given: Any) -> Fit:
    """A fit whose step is recorded whole, as on a GPU."""
    fit = make_fit(*given)
    fit.whole = WholeStep([fit], computes_again)
    return fit


def test_fits_of_one_batch_each_write_their_own_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of four, one diverges, one has its file in the way and is not waited for, and two are as alone."""
    keys = [FitKey("plain", 0.5, seed) for seed in (1, 2, 3, 4)]
    alone, together = tmp_path / "alone", tmp_path / "together"
    for folder in (alone, together):
        folder.mkdir()
        open_folder(folder, TINY)
    plan = plan_sweep(alone, TINY, Grid(("plain",), (0.5,), (1, 2, 3, 4)))
    list(Runner(plan, Execution(make_slots(("cpu",), 1, 1)), Inline()).outcomes())
    broken = layout.fit_path(together, keys[2])
    broken.parent.mkdir(parents=True, exist_ok=True)
    broken.write_bytes(b"no table")
    advance = Fit.advance

    def diverges(fit: Fit) -> None:
        if fit.step == 2 and fit.batched and fit is fits.get(3):
            raise DivergedError("the loss was not finite")
        advance(fit)

    fits = dict[int, Fit]()
    monkeypatch.setattr(Fit, "advance", diverges)
    join = Batch.joined

    def joined(batch: Batch, fit: Fit, order: tuple[float, ...]) -> AbstractContextManager[None]:
        fits[int(order[-1]) - 1] = fit
        return join(batch, fit, order)

    monkeypatch.setattr(Batch, "joined", joined)
    job = job_in(together)
    execution = replace(job.execution, slots=make_slots(("cpu",) * 4, None, 1), one_batch=SHARED)
    found = list(exchanged(keys, replace(job, execution=execution)))
    outcomes = {outcome.key: outcome.state for outcome in found}
    assert [outcomes[key] for key in keys] == ["done", "done", "failed", "failed"], [one.message for one in found]
    for key in keys[:2]:
        one, other = (read_fit(layout.fit_path(folder, key)) for folder in (alone, together))
        pd.testing.assert_frame_equal(one.landscape, other.landscape, rtol=1e-3)
        provenance = other.provenance
        assert (provenance["recorded"], provenance["batch"].split(", ")[-1], provenance["note"]) == ("whole", "3", "")
    assert [fit.whole for fit in fits.values()] == [None] * 3, "a recording outlives its fit, which refers to it"


def test_fits_of_one_batch_are_begun_together() -> None:
    """As many of an arm as there are slots, in their order; without batches all stays as it was."""
    keys = [FitKey(arm, 0.5, seed) for seed in range(1, 6) for arm in ("plain", "bn")]
    execution = Execution(PAIR)
    assert in_batches(keys, execution) == keys
    blocks = in_batches(keys, replace(execution, one_batch=frozenset({("cuda:0", "plain")})))
    named = [f"{key.arm} {key.seed}" for key in blocks]
    assert named[:6] == ["plain 1", "plain 2", "bn 1", "bn 2", "plain 3", "plain 4"]
    assert sorted(named) == sorted(f"{key.arm} {key.seed}" for key in keys)


def test_fits_of_one_batch_are_stopped_at_one_step_and_go_on_bit_for_bit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A batch of fewer would round the last step of those that hear the word later in another way."""
    whole, stopped = tmp_path / "whole", tmp_path / "stopped"
    advance, keys = Fit.advance, [FitKey("plain", 0.5, seed) for seed in (1, 2)]

    def stops(fit: Fit) -> None:
        advance(fit)
        if fit.step == 3 and isinstance(fit.whole, Member) and fit.whole.order[-1] == 1:
            waiting = fit.whole.batch._arrived
            while len(waiting) < 1:  # the other one waits for the next step already
                time.sleep(0.01)
            job.stop_markers[0].touch()
            shared_process._stops[job.token]._next_look = 0.0

    monkeypatch.setattr(Job, "local_folder", tmp_path / "local")
    for folder in (whole, stopped):
        folder.mkdir()
        open_folder(folder, TINY)
        job = job_in(folder)
        job = replace(job, execution=replace(job.execution, one_batch=SHARED))
        if folder == stopped:
            with monkeypatch.context() as patched:
                patched.setattr(Fit, "advance", stops)
                assert [outcome.state for outcome in exchanged(keys, job)] == ["stopped"] * 2
            stored = [load_checkpoint(folder, key, job.identity(key)) for key in keys]
            assert len({checkpoint.state["step"] for checkpoint in stored if checkpoint}) == 1
            job.stop_markers[0].unlink()
            job = replace(job, token=f"{job.token}-again")
        assert [outcome.state for outcome in exchanged(keys, job)] == ["done"] * 2
    for key in keys:
        one, other = (read_fit(layout.fit_path(folder, key)) for folder in (whole, stopped))
        pd.testing.assert_frame_equal(one.landscape, other.landscape, check_exact=True)
        assert one.provenance["batch"] == other.provenance["batch"] == "2"
        assert "computed with" not in other.provenance["note"]


class BreaksError(Exception):
    """What a fit fails of."""


# What raises for a fit, and from which call on.
POINTS = [
    pytest.param("bnbench.sweep.batches.joined", 0, marks=pytest.mark.nightly),
    pytest.param("bnbench.mpo.one_batch.are_alike", 0, marks=pytest.mark.nightly),
    pytest.param("bnbench.mpo.one_batch.Member.__init__", 0, marks=pytest.mark.nightly),
    ("bnbench.mpo.one_batch.Batch._on_one_stream", 0),
    pytest.param("bnbench.mpo.drawn_ahead.DrawnAhead.begin", 0, marks=pytest.mark.nightly),
    pytest.param("bnbench.mpo.fit.Fit.draw", 0, marks=pytest.mark.nightly),
    ("bnbench.mpo.fit.Fit.draw", 1),
    pytest.param("bnbench.mpo.fit.Fit.take", 0, marks=pytest.mark.nightly),
    pytest.param("bnbench.mpo.fit.Fit.take", 1, marks=pytest.mark.nightly),
    pytest.param("bnbench.mpo.fit.Fit.advance", 0, marks=pytest.mark.nightly),
    ("bnbench.mpo.fit.Fit.advance", 2),
]


@pytest.mark.parametrize(("point", "calls"), POINTS)
def test_nobody_waits_for_a_fit_that_has_failed(point: str, calls: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor does any other fail of it: their numbers are those of fits alone."""
    monkeypatch.setattr("bnbench.mpo.one_batch._PATIENCE", 3600.0)
    few = replace(TRAINING, steps=4)
    together, alone = ([fit_of(seed, training=few) for seed in range(3)] for _ in range(2))
    spoilt, seen = together[1], list[None]()
    for fit in (alone[0], alone[2]):
        taken(fit, few.steps)
    of_all = resolve_name(point)

    def breaks(*given: Any, **more: Any) -> Any:
        if any(spoilt in (value, getattr(value, "fit", None)) for value in given[:3]):
            seen.append(None)
            if len(seen) > calls:
                raise BreaksError
        return of_all(*given, **more)

    monkeypatch.setattr(point, breaks)
    batch = Batch(3)
    for _ in together:
        batch.expect()

    def run(index: int) -> None:
        with expected(batch), batches.joined(together[index], FitKey("plain", 0.5, index)):
            taken(together[index], few.steps)

    with ThreadPoolExecutor(3) as threads:
        errors = [call.exception(60) for call in [threads.submit(run, index) for index in range(3)]]
    assert seen
    assert (errors[0], errors[2]) == (None, None)
    assert isinstance(errors[1], BreaksError | None)
    for index in (0, 2):
        assert_equal(together[index], alone[index])
