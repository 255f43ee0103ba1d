"""What becomes of a fit whose GPU fails: none is at hand, so that the device's answers are made up."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from bnbench.mpo.candidates import OF_TRITON
from bnbench.mpo.fit import Fit
from bnbench.mpo.strategy import Trial
from bnbench.protocol.protocol import FitKey
from bnbench.results.folder_protocol import open_folder
from bnbench.sweep import fit_under_way, worker
from bnbench.sweep.devices import Slot
from bnbench.sweep.execution import Execution, Job, Outcome
from bnbench.sweep.fit_under_way import FitUnderWay
from bnbench.sweep.start import make_fit
from tests.fits import TINY

KEY, SLOT = FitKey("plain", 0.5, 1), Slot("cpu", 0)


class Ended(BaseException):
    """The process has ended."""


def job_in(folder: Path, *, chunk: int = 8, shares_process: bool = False) -> Job:
    return Job(TINY, folder, Execution((SLOT,), chunk), f"test-{folder.name}", shares_process=shares_process)


@pytest.mark.parametrize(
    ("may_be_ended", "is_lost", "ends"), [(True, True, True), (True, False, False), (False, True, False)]
)
def test_a_worker_whose_gpu_is_lost_ends_and_tells_the_next_to_leave_triton_out(
    may_be_ended: bool, is_lost: bool, ends: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def end(code: int) -> None:
        raise Ended

    monkeypatch.setattr(worker, "may_be_ended", lambda: may_be_ended)
    monkeypatch.setattr(worker, "is_lost", lambda device: is_lost)
    monkeypatch.setattr("bnbench.sweep.worker.os._exit", end)
    monkeypatch.setattr(Job, "local_folder", tmp_path)
    job = job_in(tmp_path)
    if ends:
        with pytest.raises(Ended):
            worker.end_if_lost(job, SLOT)
    else:
        worker.end_if_lost(job, SLOT)
    assert job.without_triton.exists() == ends


def test_each_part_of_a_fit_leaves_triton_out_and_the_fit_says_so_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where the part before has more to say, such as that the one before it was computed elsewhere."""
    trials: list[Trial] = []

    def made_as_for_a_gpu(*how: Any) -> Fit:
        fit = make_fit(*how)
        fit.engine.trial = Trial()
        trials.append(fit.engine.trial)
        return fit

    monkeypatch.setattr(fit_under_way, "make_fit", made_as_for_a_gpu)
    monkeypatch.setattr(fit_under_way, "choose_once", lambda fit, *how: setattr(fit.engine, "trial", None))
    monkeypatch.setattr(Job, "local_folder", tmp_path / "local")
    open_folder(tmp_path, TINY)
    job = job_in(tmp_path)
    job.local_folder.mkdir()
    job.without_triton.touch()
    for chunk in (8, 4, 2):
        part = FitUnderWay(KEY, job, SLOT, chunk)
        part.fit.advance()
        part._checkpoint()
    assert part.note.count("Triton") == 1
    assert part.note.count("up to step") == 2, "the chunk was another one before, twice"
    assert not any(OF_TRITON & trial.candidates.keys() for trial in trials)


@pytest.mark.parametrize(
    ("shares_process", "chunk", "failures", "tried"),
    [
        (False, 8, 0, [8]),
        (False, 8, 1, [8, 4]),
        (True, 8, 1, [8, 8]),
        (True, 8, 2, [8, 8, 4]),
        (True, 8, 3, [8, 8, 4]),
        (False, 1, 1, [1]),
        (True, 1, 1, [1, 1]),
        (True, 1, 2, [1, 1]),
    ],
)
def test_memory_that_a_neighbour_holds_is_asked_for_again_before_the_chunk_is_halved(
    shares_process: bool, chunk: int, failures: int, tried: list[int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun: list[int] = []

    class Fitting:
        def __init__(self, key: FitKey, job: Job, slot: Slot, chunk: int) -> None:
            begun.append(chunk)

        def add_note(self, note: str) -> None:
            pass

        def run(self, *how: Any) -> Outcome:
            if len(begun) <= failures:
                raise torch.OutOfMemoryError("CUDA out of memory")
            return Outcome(KEY, "done")

    monkeypatch.setattr(worker, "FitUnderWay", Fitting)
    job, nobody = job_in(tmp_path, chunk=chunk, shares_process=shares_process), None
    run = worker._with_retry
    if failures == len(tried):
        with pytest.raises(torch.OutOfMemoryError):
            run(KEY, job, nobody, SLOT, nobody)  # type: ignore[arg-type]  # the fit that stands in asks neither
    else:
        assert run(KEY, job, nobody, SLOT, nobody).state == "done"  # type: ignore[arg-type]  # as above
    assert begun == tried
