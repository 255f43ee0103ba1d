"""A fit's file says which kernels computed its convolutions, and its note if some were refused."""

from __future__ import annotations

from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from torch import Tensor

from bnbench.mpo.convolutions import Kernels
from bnbench.mpo.fit import Fit
from bnbench.mpo.strategy import Trial
from bnbench.mpo.windows import Windows
from bnbench.protocol.protocol import FitKey, Grid
from bnbench.results import layout
from bnbench.results.fits import read_fit
from bnbench.results.folder_protocol import open_folder
from bnbench.sweep import fit_under_way
from bnbench.sweep.backends.inline import Inline
from bnbench.sweep.devices import make_slots
from bnbench.sweep.execution import Execution
from bnbench.sweep.plan import plan_sweep
from bnbench.sweep.runner import Runner
from bnbench.sweep.start import make_fit
from tests.fits import TINY

KEY = FitKey("plain", 0.5, 1)


class Failing(Windows):
    def forward(self, *given: Any) -> tuple[Tensor, Tensor | None]:
        raise RuntimeError("too little memory")


def provenance(folder: Path) -> dict[str, Any]:
    open_folder(folder, TINY)
    plan = plan_sweep(folder, TINY, Grid((KEY.arm,), (KEY.p,), (KEY.seed,)))
    (outcome,) = Runner(plan, Execution(make_slots(("cpu",), 1, 1)), Inline()).outcomes()
    assert outcome.state == "done"
    return read_fit(layout.fit_path(folder, KEY)).provenance


@pytest.mark.parametrize(("kernels", "said"), [(Windows, False), (Failing, True)])
def test_the_kernels_of_a_fit_stand_in_its_provenance(
    kernels: Callable[[], Kernels], said: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:

    def tried(*given: Any) -> Fit:
        fit = make_fit(*given)
        fit.engine.trial = Trial(candidates={"windows": kernels}, clock=count().__next__, rounds=1)
        return fit

    monkeypatch.setattr(fit_under_way, "make_fit", tried)
    found = provenance(tmp_path)
    assert found["convolutions"].startswith("grouped (grouped ")
    assert ("too little memory" in found["note"]) == said


def test_a_processors_fit_says_nothing_of_kernels(tmp_path: Path) -> None:
    assert "convolutions" not in provenance(tmp_path)
