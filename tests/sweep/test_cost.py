"""What a sweep will cost, before any fit of it is done: as its fits will find the machine, to their very end."""

from __future__ import annotations

import threading
from types import SimpleNamespace
from typing import Any, cast

import pytest

from bnbench.inputs.data import load_data
from bnbench.inputs.masks import draw_mask, is_trained
from bnbench.mpo.fit import Fit
from bnbench.mpo.landscape import measure_landscape
from bnbench.protocol.protocol import FitKey
from bnbench.sweep import cost, timed_steps
from bnbench.sweep.devices import make_slots
from bnbench.sweep.execution import Execution
from bnbench.sweep.measure import measure_fit
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

    def timed(under_way: Fit, beside: int) -> float:
        asked.append(beside)
        return 1.0

    monkeypatch.setattr(cost, "available_cores", lambda: cores)
    monkeypatch.setattr(cost, "seconds_of_a_step_beside", timed)
    data = load_data(TINY.data, TINY.measurement)
    cost.timed_fit("plain", TINY, Execution(make_slots(("cpu",), slots, 1), chunk=4), data)
    assert asked == [others]


@pytest.mark.parametrize("arm", ["plain", "bn"])
def test_what_is_measured_at_the_end_is_reckoned_by_its_images(arm: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each image of each landscape that a fit's end measures counts a third of one that a step sees."""
    data, seen = load_data(TINY.data, TINY.measurement), [0]

    def counted(plane: Any, shape: Any, images: Any, **how: Any) -> Any:
        seen[0] += shape[0] * shape[1] * len(images)
        return measure_landscape(plane, shape, images, **how)

    monkeypatch.setattr("bnbench.sweep.measure.measure_landscape", counted)
    key, mask = FitKey(arm, 0.5, 1), draw_mask(0.5, 1, (4, 4))
    plane = make_plane(key, TINY, data, "cpu")
    measure_fit(plane, key, mask, is_trained(mask), data, TINY)
    training = TINY.training
    in_steps = training.steps * (training.black_pixels + training.white_pixels) * training.images
    assert cost._share_at_end(arm, TINY, data) == pytest.approx(seen[0] / in_steps / 3, rel=0.2)
