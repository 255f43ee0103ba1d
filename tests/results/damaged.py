"""A results folder of two fits, one of which is to be damaged, and what each reader makes of it then."""

from __future__ import annotations

from pathlib import Path

import pytest

from bnbench.evaluate.plan import EvaluationRequest, plan_evaluation
from bnbench.protocol.protocol import FitKey, Grid
from bnbench.results import sweeps
from bnbench.results.store import StoreError
from bnbench.sweep.devices import make_slots
from bnbench.sweep.execution import Execution
from bnbench.sweep.plan import plan_sweep
from tests.fits import status_of
from tests.synthetic import SMALL

SHORT = SMALL.with_knobs(steps=30)  # its traces are short, too
GRID = Grid(("plain", "bn"), (0.3,), (1,))
VICTIM, WHOLE = FitKey("bn", 0.3, 1), FitKey("plain", 0.3, 1)
DEEP = "[" * 10_000 + "]" * 10_000


def assert_named_and_left_out(sweep: Path, path: Path, count: int = 1) -> None:
    """What every reader makes of a folder whose one fit is damaged."""
    with pytest.raises(StoreError, match="own/fits/") as refusal:
        sweeps.load(sweep)
    read, status, plan = sweeps.read_sweep(sweep), status_of(sweep), plan_sweep(sweep, SHORT, GRID)
    evaluation = plan_evaluation(sweep, EvaluationRequest(sweep / "evaluations", Execution(make_slots(("cpu",), 1, 1))))
    said = {
        "load": [str(refusal.value)],
        "report": read.broken,
        "status": status.broken,
        "run": plan.broken,
        "evaluate": evaluation.broken,
    }
    for reader, sentences in said.items():
        named = [sentence for sentence in sentences if str(path) in sentence]
        assert len(named) == count, (reader, sentences)
        assert not any("delete" in sentence for sentence in sentences), reader
    assert list(read.identities) == [WHOLE] == list(plan.done) == evaluation.without_plane
    assert {fit.key: fit.state for fit in status.fits} == {WHOLE: "done", VICTIM: "unreadable"}
    assert plan.to_run == [], "what is there is not computed over"
