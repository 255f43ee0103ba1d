"""A fit's file says which kernels computed its convolutions, and its note if some were refused."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from torch import Tensor

from bnbench.mpo.convolutions import Kernels
from bnbench.mpo.cuda_graph import RECORDING
from bnbench.mpo.fit import Fit
from bnbench.mpo.strategy import Trial
from bnbench.mpo.windows import Windows
from bnbench.protocol.protocol import FitKey, Grid
from bnbench.results import layout
from bnbench.results.chunks import read_kernels
from bnbench.results.fits import read_fit
from bnbench.results.folder_protocol import open_folder
from bnbench.results.store import FitResult
from bnbench.sweep import fit_under_way
from bnbench.sweep.backends.inline import Inline
from bnbench.sweep.devices import make_slots
from bnbench.sweep.execution import Execution
from bnbench.sweep.fit_record import moved_from
from bnbench.sweep.plan import plan_sweep
from bnbench.sweep.provenance import CONDITIONS
from bnbench.sweep.runner import Runner
from bnbench.sweep.start import make_fit
from tests.fits import TINY

KEY = FitKey("plain", 0.5, 1)


class Failing(Windows):
    def forward(self, *given: Any) -> tuple[Tensor, Tensor | None]:
        raise RuntimeError("too little memory")


def computed(folder: Path, key: FitKey = KEY) -> FitResult:
    folder.mkdir(exist_ok=True)
    open_folder(folder, TINY)
    plan = plan_sweep(folder, TINY, Grid((key.arm,), (key.p,), (key.seed,)))
    (outcome,) = Runner(plan, Execution(make_slots(("cpu",), 1, 1)), Inline()).outcomes()
    assert outcome.state == "done"
    return read_fit(layout.fit_path(folder, key))


def provenance(folder: Path) -> dict[str, Any]:
    return computed(folder).provenance


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


def test_nobody_records_while_a_fit_begins_or_chooses_its_kernels(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a library does first, and what waits for a whole GPU, would spoil the recording of another thread."""
    seen: list[bool] = []

    def may_record() -> bool:
        if is_free := RECORDING.acquire(blocking=False):
            RECORDING.release()
        return is_free

    def look() -> None:
        with ThreadPoolExecutor(1) as another:
            seen.append(another.submit(may_record).result())

    def windows() -> Windows:
        look()
        return Windows()

    def tried(*given: Any) -> Fit:
        look()
        fit = make_fit(*given)
        fit.engine.trial = Trial(candidates={"windows": windows}, clock=count().__next__, rounds=1)
        return fit

    monkeypatch.setattr(fit_under_way, "make_fit", tried)
    computed(tmp_path)
    look()
    assert seen == [False, False, True]


def test_a_processors_fit_says_nothing_of_kernels(tmp_path: Path) -> None:
    assert "convolutions" not in provenance(tmp_path)


@pytest.mark.parametrize("name", CONDITIONS)
def test_what_changes_rounding_and_was_another_in_an_earlier_part_is_said(name: str) -> None:
    """A part on a processor, or of an earlier version, says nothing of what only a GPU has."""
    now = dict.fromkeys(CONDITIONS, "one")
    assert moved_from(now, now) == moved_from({}, now) == []
    assert moved_from({**now, name: "another"}, now) == [f"{name} another"]
    assert moved_from(now, {other: "one" for other in CONDITIONS if other != name}) == [f"{name} one"]
    assert moved_from({**now, name: None}, now) == []


def test_kernels_are_chosen_once_for_a_folder_and_a_model_of_gpu(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next fit keeps what the first one chose, though its own clock says otherwise; a choice moves no draw."""
    usual = computed(tmp_path / "usual")

    def by(moments: Iterator[float]) -> Callable[..., Fit]:
        def tried(*given: Any) -> Fit:
            fit = make_fit(*given)
            fit.engine.trial = Trial(candidates={"windows": Windows}, clock=moments.__next__, rounds=1)
            return fit

        return tried

    found = {}
    for name, moments in (("grouped", count(0.0)), ("windows", (-float(number**2) for number in count()))):
        monkeypatch.setattr(fit_under_way, "make_fit", by(moments))
        found[name] = computed(tmp_path / name)
        assert found[name].provenance["kernels"] == name
        assert read_kernels(tmp_path / name, found[name].provenance["device_name"], KEY.arm) == name
    assert found["grouped"].landscape.equals(usual.landscape)
    monkeypatch.setattr(fit_under_way, "make_fit", by(count(0.0)))
    assert computed(tmp_path / "windows", FitKey("plain", 0.5, 2)).provenance["kernels"] == "windows"
