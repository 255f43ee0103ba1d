"""What a sweep will cost, before any fit of it is done: as its fits will find the machine, to their very end."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from bnbench.inputs.data import load_data
from bnbench.inputs.masks import draw_mask, is_trained
from bnbench.mpo.fit import Fit
from bnbench.mpo.landscape import measure_landscape
from bnbench.process import loading
from bnbench.protocol.protocol import FitKey, Grid
from bnbench.sweep import cost, sweep, timed_steps
from bnbench.sweep.backends.backend import Backend
from bnbench.sweep.backends.inline import Inline
from bnbench.sweep.backends.processes import Processes
from bnbench.sweep.devices import DeviceRequest, device_name, make_slots, processor_kind
from bnbench.sweep.execution import Execution
from bnbench.sweep.measure import measure_fit
from bnbench.sweep.messages import Listener
from bnbench.sweep.plan import Plan, plan_sweep
from bnbench.sweep.request import SweepRequest
from bnbench.sweep.start import make_plane
from tests.fits import TINY


class Steps:
    """A fit whose steps take what they are told to, by a clock of their own; the last one for ever."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *seconds: float) -> None:
        self.left, self.now, self.taken, self.beside = list(seconds), 0.0, 0, set[int]()
        self.threads = threading.active_count()
        monkeypatch.setattr(timed_steps, "time", SimpleNamespace(perf_counter=lambda: self.now))

    def advance(self) -> None:
        self.now += self.left.pop(0) if len(self.left) > 1 else self.left[0]
        self.taken += 1
        self.beside.add(threading.active_count() - self.threads)

    def seconds(self, others: int) -> float:
        return timed_steps.seconds_of_a_step_beside(cast(Fit, self), others)


@pytest.mark.parametrize(
    ("seconds", "mean", "taken"),
    [
        ((9.0, 0.1, 0.3, 0.2), 0.2, 4),  # the first one allocates
        ((0.0, 0.001, 0.7, 0.1), (0.001 + 0.7 + 0.1) / 3, 4),  # the fastest is no measure of the others
        ((0.0, 0.01), 0.01, 51),
        ((0.0, 30.0), 30.0, 2),  # too long to wait for more
        ((60.0,), 60.0, 1),  # too long for a second one
    ],
)
def test_an_estimate_goes_by_the_mean_of_some_steps(
    seconds: tuple[float, ...], mean: float, taken: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(timed_steps, "_LONG", 0.5)  # warm.QUICKER has one step do
    monkeypatch.setattr(timed_steps, "_FEWEST", 3)
    steps = Steps(monkeypatch, *seconds)
    assert steps.seconds(0) == pytest.approx(mean)
    assert abs(steps.taken - taken) <= 1  # sums of 0.01 are no round numbers


def test_other_slots_are_busy_meanwhile_and_not_afterwards(monkeypatch: pytest.MonkeyPatch) -> None:
    steps = Steps(monkeypatch, 0.2)
    steps.seconds(2)
    assert steps.beside == {0, 2}, "the first step is alone"
    assert threading.active_count() == steps.threads


@pytest.mark.parametrize(("slots", "cores", "others"), [(1, 8, 0), (4, 8, 3), (1000, 8, 7)])
def test_a_processor_is_timed_with_its_other_slots_busy(
    slots: int, cores: int, others: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []
    forgotten: list[Fit] = []

    def timed(under_way: Fit, beside: int) -> float:
        asked.append(beside)
        return 1.0

    monkeypatch.setattr(cost, "available_cores", lambda: cores)
    monkeypatch.setattr(Fit, "forget_recordings", lambda fit: forgotten.append(fit))
    monkeypatch.setattr(cost, "seconds_of_a_step_beside", timed)
    data = load_data(TINY.data, TINY.measurement)
    cost.timed_fit("plain", TINY, Execution(make_slots(("cpu",), slots, 1), chunk=4), data)
    assert asked == [others]
    assert len(forgotten) == 1, "a GPU's memory is given back"


@pytest.mark.parametrize("arm", ["plain", "bn"])
def test_an_estimate_counts_every_landscape_that_a_fits_end_measures(
    arm: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data, seen = load_data(TINY.data, TINY.measurement), [0]

    def counted(plane: Any, shape: Any, images: Any, **how: Any) -> Any:
        seen[0] += shape[0] * shape[1] * len(images)
        return measure_landscape(plane, shape, images, **how)

    monkeypatch.setattr("bnbench.sweep.measure.measure_landscape", counted)
    key, mask = FitKey(arm, 0.5, 1), draw_mask(0.5, 1, (4, 4))
    plane = make_plane(key, TINY, data, "cpu")
    measure_fit(plane, key, mask, is_trained(mask), data, TINY)
    monkeypatch.setattr(cost, "timed_fit", lambda *_: 10.0)
    monkeypatch.setattr(cost, "seconds_of_an_image", lambda *_: 0.001)
    plan = plan_sweep(tmp_path, TINY, Grid((arm,), (0.5,), (1,)))
    estimated = cost.estimate_seconds(plan, Execution(make_slots(("cpu",), 1, 1), chunk=4), data)
    assert estimated == pytest.approx(10.0 + 0.001 * seen[0])


@pytest.mark.parametrize(
    ("fits", "slots", "seconds"), [(1, 2, 10.0), (2, 2, 10.0), (3, 2, 20.0), (4, 2, 20.0), (5, 4, 20.0), (3, 1, 30.0)]
)
def test_a_slot_that_waits_for_the_last_fit_makes_a_sweep_no_shorter(
    fits: int, slots: int, seconds: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cost, "timed_fit", lambda *_: 10.0)
    monkeypatch.setattr(cost, "seconds_of_an_image", lambda *_: 0.0)
    plan = plan_sweep(tmp_path, TINY, Grid(("plain",), (0.5,), tuple(range(1, fits + 1))))
    execution = Execution(make_slots(("cpu",), slots, 1), chunk=4)
    assert cost.estimate_seconds(plan, execution, load_data(TINY.data, TINY.measurement)) == pytest.approx(seconds)


@pytest.mark.parametrize(("backend", "to_start"), [(Inline(), 0.0), (Processes(), 7.0 + 2.0)])
def test_workers_that_have_to_start_are_in_the_estimate(
    backend: Backend, to_start: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Loading torch took 7 s here, the images 2 s; fits that are done took 10 s each."""
    clock, told = [0.0], list[float | None]()

    def load(*asked: Any) -> Any:
        clock[0] += 2.0
        return load_data(TINY.data, TINY.measurement)

    class Hears(Listener):
        def planned(self, plan: Plan, execution: Execution, estimate: Callable[[], float | None]) -> None:
            told.append(estimate())

    monkeypatch.setattr(loading._Loaded, "seconds", 7.0)
    monkeypatch.setattr(sweep, "time", SimpleNamespace(perf_counter=lambda: clock[0]))
    monkeypatch.setattr(sweep, "load_inputs", load)
    monkeypatch.setattr(sweep, "estimate_seconds", lambda *_: 10.0)
    request = SweepRequest(TINY, Grid(("plain",), (0.5,), (1,)), tmp_path / "new", Execution(), dry_run=True)
    sweep.run_sweep(request, backend, Hears())
    assert told == [10.0 + to_start]


@pytest.mark.parametrize(("before", "after", "seconds"), [(True, True, 7.0), (False, True, 3.0), (False, False, 7.0)])
def test_imports_are_timed_where_torch_is_among_them(
    before: bool, after: bool, seconds: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    modules: dict[str, object] = {"torch": None} if before else {}
    monkeypatch.setattr(loading._Loaded, "seconds", 7.0)
    monkeypatch.setattr(loading, "time", SimpleNamespace(perf_counter=iter([1.0, 4.0]).__next__))
    monkeypatch.setattr(loading, "sys", SimpleNamespace(modules=modules))
    with loading.timed_loading():
        modules.update({"torch": None} if after else {})
    assert loading.seconds_to_load() == seconds


@pytest.mark.parametrize("recorded", [{}, {"processor": "another"}, {"device_name": "another"}])
def test_a_plan_may_go_by_fits_of_another_processor_and_says_so(
    recorded: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[float | str | None] = []

    class Hears(Listener):
        def note(self, sentence: str) -> None:
            told.append("note")

        def planned(self, plan: Plan, execution: Execution, estimate: Callable[[], float | None]) -> None:
            told.append(estimate())

    own = {"device": "cpu", "device_name": device_name("cpu"), "processor": processor_kind("cpu"), "threads": 1}
    there = {"wall_seconds": 30.0, **(own if recorded else {**own, "processor": None}), **recorded}
    grid = Grid(("plain",), (0.5,), (1, 2))
    asked = plan_sweep(tmp_path, TINY, grid)
    monkeypatch.setattr(sweep, "plan_sweep", lambda *_, **__: replace(asked, done={asked.to_run[0]: there}))
    request = SweepRequest(TINY, grid, tmp_path, Execution(devices=DeviceRequest("cpu", 1)), dry_run=True)
    for wall in (30.0, 60.0):
        there["wall_seconds"] = wall
        sweep.run_sweep(request, Inline(), Hears())
    there |= own
    sweep.run_sweep(request, Inline(), Hears())
    there["threads"] = 2
    sweep.run_sweep(request, Inline(), Hears())
    assert told == ["note", 60.0, "note", 120.0, 120.0, None]
