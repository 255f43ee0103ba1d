"""How many fits share a GPU: measured for each folder, model and arm, and reckoned with by plans and estimates."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace
from itertools import product
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from bnbench.cli.listeners import JsonLines
from bnbench.inputs.data import DataSet
from bnbench.mpo.fit import Fit
from bnbench.protocol.protocol import Grid
from bnbench.results import layout
from bnbench.results.chunks import (
    FitsAtOnce,
    keep_chunk,
    keep_fits_at_once,
    keep_kernels,
    read_chunk,
    read_fits_at_once,
    read_kernels,
)
from bnbench.sweep.backends.processes import Processes
from bnbench.sweep.cost import estimate_seconds
from bnbench.sweep.devices import DeviceRequest, make_slots, spread
from bnbench.sweep.execution import Execution
from bnbench.sweep.fits_per_device import choose_fits_at_once, most_slots, with_fits_per_device
from bnbench.sweep.inputs import load_inputs
from bnbench.sweep.messages import Messages
from bnbench.sweep.plan import Plan, plan_sweep
from tests.fits import TINY
from tests.mpo.test_one_batch import fit_of
from tests.mpo.test_replayed import computes_again

GRID = Grid(("plain",), (0.5,), (1, 2))
PAIR = make_slots(("cpu", "cpu"), None, 1)


@pytest.mark.parametrize(
    ("streams", "batch", "asked", "best"),
    [
        ((4.0, 2.0, 1.0, 0.5), (2.0, 1.0, 0.5), None, (8, False)),
        ((4.0, 2.0, 1.99, 0.5), (2.0, 1.99, 0.5), None, (2, False)),
        ((1.0,) * 4, (1.0,) * 3, None, (1, False)),
        ((1.0,) * 4, (0.8, 0.6, 0.59), None, (4, True)),
        ((4.0, 2.0, 1.0, 0.5), (1.8, 0.99, 0.5), None, (8, False)),
        ((1.0,) * 4, (0.8, 0.6, 0.59), 2, (2, True)),
        ((1.0,) * 4, (1.1, 1.1, 1.1), 4, (4, False)),
    ],
)
def test_more_fits_at_once_have_to_gain_something_and_so_has_one_batch(
    streams: tuple[float, ...],
    batch: tuple[float, ...],
    asked: int | None,
    best: tuple[int, bool],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    times = {False: dict(zip((1, 2, 4, 8), streams, strict=True)), True: dict(zip((2, 4, 8), batch, strict=True))}
    monkeypatch.setattr(
        "bnbench.sweep.fits_per_device.seconds_of_a_step_of_several",
        lambda arm, count, *rest, is_batch: times[is_batch][count],
    )
    execution = Execution(PAIR)
    plan = plan_sweep(tmp_path, TINY, GRID)
    assert choose_fits_at_once(plan, execution, load_inputs(GRID, TINY, execution), asked=asked) == best


@pytest.mark.parametrize("is_recorded", [False, True])
def test_how_many_fits_at_once_is_measured_by_their_steps(
    is_recorded: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A processor records nothing, so that its fits are never one batch, unless something stands in."""
    made = list[Fit]()

    def to_time(arm: str, *given: Any) -> Fit:
        made.append(fit_of(len(made), record=computes_again if is_recorded else None))
        return made[-1]

    monkeypatch.setattr("bnbench.sweep.fits_per_device.COUNTS", (1, 2))
    monkeypatch.setattr("bnbench.sweep.timed_steps._LONG", 0.0)
    monkeypatch.setattr("bnbench.sweep.timed_steps.fit_to_time", to_time)
    monkeypatch.setattr("bnbench.sweep.timed_steps._take", lambda under_way, steps: under_way.advance() or steps)
    execution, plan = Execution(PAIR), plan_sweep(tmp_path, TINY.with_knobs(steps=10**9), GRID)
    assert choose_fits_at_once(plan, execution, load_inputs(GRID, TINY, execution))
    assert not any(fit.whole for fit in made), "their recordings are forgotten"
    assert [fit.batched for fit in made] == ([[1]] * 3 + [[2]] * 2 if is_recorded else [[]] * 5)


@pytest.mark.parametrize(
    ("steps", "seeds", "asked", "tried"),
    [
        (10**6, 1, None, []),  # nothing to choose
        (5, 2, None, []),  # one timing takes as many steps as both fits
        (6, 2, None, [1]),
        (50, 2, None, [1, 2]),
        (10**6, 2, None, [1, 2, 2, 4, 4, 8, 8]),
        (6, 2, 4, [4]),
        (10**6, 2, 4, [4, 4]),
    ],
)
def test_a_choice_costs_no_more_than_what_it_is_for(
    steps: int, seeds: int, asked: int | None, tried: list[int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A timing takes 20 s here and finds 1 s a step of one fit, half of it with two at once, and so on."""
    clock, taken = [0.0], list[int]()

    def timing(arm: str, count: int, *rest: object, is_batch: bool) -> float:
        clock[0] += 20
        taken.append(count)
        return 1 / count

    monkeypatch.setattr("bnbench.sweep.fits_per_device.time", SimpleNamespace(perf_counter=lambda: clock[0]))
    monkeypatch.setattr("bnbench.sweep.fits_per_device.seconds_of_a_step_of_several", timing)
    plan = plan_sweep(tmp_path, TINY.with_knobs(steps=steps), replace(GRID, seeds=tuple(range(1, seeds + 1))))
    found = choose_fits_at_once(plan, Execution(PAIR), load_inputs(GRID, TINY, Execution(PAIR)), asked=asked)
    assert taken == tried
    assert (found is None) == (steps < 10**6 or seeds == 1)


def test_a_folder_keeps_how_fits_share_a_gpu_beside_its_chunk(tmp_path: Path) -> None:
    assert read_fits_at_once(tmp_path, "a GPU", "plain") is None
    keep_chunk(tmp_path, 32)
    four, two = FitsAtOnce(4, is_batch=True), FitsAtOnce(2, is_batch=False)
    assert [keep_fits_at_once(tmp_path, "a GPU", "plain", found) for found in (four, two)] == [four, four]
    assert [keep_fits_at_once(tmp_path, *of, two) for of in (("a GPU", "bn"), ("another", "plain"))] == [two, two]
    keep_kernels(tmp_path, "a GPU", "plain", "windows")
    keep_fits_at_once(tmp_path, "a GPU", "plain", FitsAtOnce(3, is_batch=False), asked=3)
    found = [read_fits_at_once(tmp_path, *of) for of in (("a GPU", "plain"), ("a GPU", "bn"), ("another", "plain"))]
    assert (read_chunk(tmp_path), found, read_kernels(tmp_path, "a GPU", "plain")) == (32, [four, two, two], "windows")
    assert read_fits_at_once(tmp_path, "another", "bn") is None
    assert read_fits_at_once(tmp_path, "a GPU", "plain", asked=3) == (3, False)


@pytest.mark.parametrize(
    "damage",
    ["{", "[]", '{"fits_at_once": 4}', '{"fits_at_once": {"a GPU": {"plain": {"fits": true, "is_batch": true}}}}'],
)
def test_a_damaged_count_of_fits_at_once_is_measured_anew(damage: str, tmp_path: Path) -> None:
    layout.execution_path(tmp_path).write_text(damage)
    assert read_fits_at_once(tmp_path, "a GPU", "plain") is None
    two = FitsAtOnce(2, is_batch=False)
    assert keep_fits_at_once(tmp_path, "a GPU", "plain", two) == two
    assert read_fits_at_once(tmp_path, "a GPU", "plain") == two


TAKEN = {("big", "plain"): 8, ("big", "bn"): 4, ("small", "plain"): 2, ("small", "bn"): 1}


@pytest.fixture
def unlike_gpus(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str]]:
    """A large GPU twice and a small one; what is measured on each of them for which arm."""
    models, measured = {"cuda:0": "big", "cuda:1": "small", "cuda:2": "big"}, list[tuple[str, str]]()

    def chosen(plan: Plan, execution: Execution, data: object, *, asked: int | None) -> FitsAtOnce:
        (arm,), (slot,) = plan.grid.arms, execution.slots
        measured.append((models[slot.device], arm))
        return FitsAtOnce(asked or TAKEN[measured[-1]], is_batch=arm == "plain")

    for module in ("fits_per_device", "cost"):
        monkeypatch.setattr(f"bnbench.sweep.{module}.device_name", models.__getitem__)
    monkeypatch.setattr("bnbench.sweep.fits_per_device.choose_fits_at_once", chosen)
    return measured


def test_unlike_gpus_share_no_number_of_fits_at_once(unlike_gpus: list[tuple[str, str]], tmp_path: Path) -> None:
    """Nor do arms; and a plan, its dry run and its run reckon with the same slots."""
    data, grid = load_inputs(GRID, TINY, Execution(PAIR)), replace(GRID, arms=("plain", "bn"))
    asked = Execution(make_slots(tuple(f"cuda:{index}" for index in range(3)), None, 1))

    def slots_of(grid: Grid, data: DataSet | None) -> Counter[str]:
        found = with_fits_per_device(asked, plan_sweep(tmp_path, TINY, grid), Processes(), data)
        assert found.measures_slots == (data is None and not unlike_gpus)
        assert estimate_seconds(plan_sweep(tmp_path, TINY, grid), found, None) is None
        batches = product(("cuda:0", "cuda:1", "cuda:2"), ("plain",)) if not found.measures_slots else ()
        assert found.one_batch == {*batches}
        return Counter(slot.device for slot in found.slots)

    assert slots_of(grid, None) == dict.fromkeys(("cuda:0", "cuda:1", "cuda:2"), 1)
    assert slots_of(GRID, data) == {"cuda:0": 8, "cuda:1": 2, "cuda:2": 8}
    assert slots_of(grid, data) == slots_of(grid, None) == {"cuda:0": 4, "cuda:1": 1, "cuda:2": 4}
    assert unlike_gpus == [("big", "plain"), ("small", "plain"), ("big", "bn"), ("small", "bn")]


@pytest.mark.parametrize(("left", "slots"), [(("plain", "bn"), 4), (("plain",), 8), (("bn",), 4)])
def test_an_arm_whose_fits_are_done_has_others_share_a_gpu_all_the_same(
    left: tuple[str, ...], slots: int, unlike_gpus: list[tuple[str, str]], tmp_path: Path
) -> None:
    plan = plan_sweep(tmp_path, TINY, replace(GRID, arms=("plain", "bn")))
    plan = replace(plan, to_run=[key for key in plan.to_run if key.arm in left])
    asked, data = Execution(make_slots(("cuda:0",), None, 1)), load_inputs(GRID, TINY, Execution(PAIR))
    assert len(with_fits_per_device(asked, plan, Processes(), data).slots) == slots
    assert unlike_gpus == [("big", arm) for arm in left]


@pytest.mark.parametrize(
    "said", [{"jobs": 3}, {"per_device": 1}, {"devices": "cuda:0,cuda:0"}, {"devices": "cuda:0,cpu"}]
)
def test_whoever_says_how_many_fits_at_once_is_believed(
    said: dict[str, Any], unlike_gpus: list[tuple[str, str]], tmp_path: Path
) -> None:
    asked = DeviceRequest(**said)
    slots = make_slots(asked.devices.replace("auto", "cuda:0").split(","), asked.jobs, 1, asked.per_device)
    data, execution = load_inputs(GRID, TINY, Execution(PAIR)), Execution(slots, devices=asked)
    assert with_fits_per_device(execution, plan_sweep(tmp_path, TINY, GRID), Processes(), data) is execution
    assert not unlike_gpus


def test_of_a_number_that_was_said_only_the_way_is_measured(unlike_gpus: list[tuple[str, str]], tmp_path: Path) -> None:
    asked = DeviceRequest("cuda:0", per_device=3)
    data, execution = (
        load_inputs(GRID, TINY, Execution(PAIR)),
        Execution(make_slots(("cuda:0",), None, 1, 3), devices=asked),
    )
    plan = plan_sweep(tmp_path, TINY, GRID)
    assert not with_fits_per_device(execution, plan, Processes(), None).measures_slots
    found = with_fits_per_device(execution, plan, Processes(), data)
    assert found.slots == execution.slots
    assert found.one_batch == {("cuda:0", "plain")}
    assert unlike_gpus == [("big", "plain")]


@pytest.mark.usefixtures("unlike_gpus")
def test_a_plan_whose_run_measures_how_many_fits_share_a_gpu_says_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    execution = Execution(make_slots(("cuda:0", "cuda:1"), None, 1))
    plan = plan_sweep(tmp_path, TINY, GRID)
    open_to_measure = with_fits_per_device(execution, plan, Processes(), None)
    assert most_slots(open_to_measure) == 16
    for listener in (Messages(), JsonLines()):
        listener.planned(plan, open_to_measure, lambda: None)
    said = capsys.readouterr()
    assert "cuda:1" in said.err
    assert "#" not in said.err
    assert json.loads(said.out)["slots"] is None


def test_devices_of_unlike_models_share_the_work_by_their_speed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Eight fits: one GPU takes 4 s for two at once, the other 12 s for one: 16 s and 96 s if each were alone."""
    monkeypatch.setattr("bnbench.sweep.cost.device_name", str)
    monkeypatch.setattr("bnbench.sweep.cost._timed_landscape", lambda *_: 0.0)
    of_device = {"cuda:0": 4.0, "cuda:1": 12.0}
    monkeypatch.setattr("bnbench.sweep.cost.timed_fit", lambda arm, protocol, how, data: of_device[how.slots[0].device])
    execution = Execution(spread({"cuda:0": 2, "cuda:1": 1}))
    data = load_inputs(GRID, TINY, Execution(PAIR))
    assert estimate_seconds(
        plan_sweep(tmp_path, TINY, replace(GRID, seeds=tuple(range(1, 9)))), execution, data
    ) == pytest.approx(96 / 7)


@pytest.mark.parametrize(
    ("precision", "one_batch", "seconds"),
    [
        ("float32", (), 2 * 6 * 0.5),
        ("float32", (("cuda:0", "plain"),), 2 * 6 * 0.4),
        ("tf32", (), 2 * 6 * 6 * 0.25),
    ],
)
def test_an_estimate_knows_that_fits_share_their_gpu(
    precision: str,
    one_batch: tuple[tuple[str, str], ...],
    seconds: float,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Fits of one process are timed together, 0.5 or 0.4 s a step and fit; processes take turns, 0.25 s a pixel."""
    monkeypatch.setattr(
        "bnbench.sweep.cost.seconds_of_a_step_of_several", lambda *how, is_batch: 0.4 if is_batch else 0.5
    )
    monkeypatch.setattr("bnbench.sweep.cost._seconds_of_a_pixel", lambda *how, **more: 0.25)
    monkeypatch.setattr("bnbench.sweep.cost._timed_landscape", lambda *_: 0.0)
    protocol = replace(TINY, training=replace(TINY.training, precision=precision))
    data = load_inputs(GRID, TINY, Execution(PAIR))
    execution = Execution(make_slots(("cuda:0", "cuda:0"), None, 1), one_batch=frozenset(one_batch))
    assert estimate_seconds(plan_sweep(tmp_path, protocol, GRID), execution, data) == pytest.approx(seconds)
