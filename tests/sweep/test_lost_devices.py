"""What becomes of a fit whose GPU fails: none is at hand, so that the device's answers are made up."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from bnbench.protocol.protocol import FitKey
from bnbench.sweep import worker
from bnbench.sweep.devices import Slot
from bnbench.sweep.execution import Execution, Job, Outcome
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
