"""A GPU's kernels: those that take the least time are used, noted, kept and recorded.

The clock of these tests is made up, and the device is the processor.
"""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from bnbench.errors import RequestError
from bnbench.mpo.candidates import CANDIDATES, OF_ONE, allowed_kernels
from bnbench.mpo.convolutions import Kernels
from bnbench.mpo.fit import Fit
from bnbench.mpo.strategy import Strategy, Trial, Work
from bnbench.mpo.windows import Windows
from tests.cases import ARMS, make_images, make_mask, make_plane
from tests.mpo.test_replayed import computes_again
from tests.mpo.trials import ROUNDS, TRAINING, Failing, Other, Wrong, clock, ended, missing, started, tried


class NotANumber(Windows):
    def forward(self, *given: Any) -> tuple[Tensor, Tensor | None]:
        result, kept = super().forward(*given)
        return result * float("nan"), kept


@pytest.mark.parametrize(
    ("candidates", "seconds", "name", "is_refused"),
    [
        ({"windows": Windows}, (3.0, 1.0), "windows", False),
        ({"windows": Windows}, (1.0, 3.0), "grouped", False),
        ({"windows": Windows, "fused": Other}, (3.0, 2.0, 1.0), "fused", False),
        ({"windows": Windows, "fused": Other}, (3.0, 1.0, 2.0), "windows", False),
        ({"windows": Windows, "fused": Other}, (2.0, 3.0, 1.0), "fused", False),
        ({"windows": Windows, "fused": missing}, (3.0, 2.0), "windows", False),
        ({"windows": Windows, "fused": Wrong}, (3.0, 2.0), "windows", True),
        ({"windows": Windows, "fused": Failing}, (3.0, 2.0), "windows", True),
        ({"windows": Wrong, "fused": Other}, (3.0,), "grouped", True),
        ({"windows": NotANumber}, (3.0,), "grouped", True),
    ],
)
def test_the_fastest_that_agrees_is_used(
    candidates: dict[str, Callable[[], Kernels]], seconds: tuple[float, ...], name: str, is_refused: bool
) -> None:
    fit = started(tried(candidates=candidates, clock=clock(*seconds)))
    fit.advance()
    strategy = fit.engine.strategy
    assert strategy is not None
    assert (strategy.name, strategy.is_refused, fit.engine.trial) == (name, is_refused, None)
    assert fit.engine.kernels is strategy.kernels
    assert bool(fit.engine.notes) == is_refused
    assert "\n" not in str(strategy)
    assert all(each in str(strategy) for each in (*candidates, "grouped") if len(strategy.reasons) > len(candidates))


@pytest.mark.parametrize("arm", ["bn", *(pytest.param(arm, marks=pytest.mark.nightly) for arm in ARMS if arm != "bn")])
def test_a_fit_by_windows_is_the_fit(arm: str) -> None:
    sgd = replace(TRAINING, optimizer="sgd")  # Adam makes steps of the rounding of what BN takes out, a bias before it
    usual, by_windows = ended(started(None, arm, sgd)), ended(started(tried(clock=clock(2, 1)), arm, sgd))
    assert by_windows.engine.kernels is not None
    torch.testing.assert_close(by_windows.plane.vectors, usual.plane.vectors, rtol=1e-9, atol=1e-9)
    assert usual.engine.strategy is None


def test_a_trial_leaves_no_trace_in_the_fit() -> None:
    """Bit for bit: what is tried and not used moves nothing, and a trial does not clamp less for the steps."""
    usual, another = ended(started(None)), ended(started(tried(clock=clock(1, 2))))
    assert another.rows == usual.rows
    assert torch.equal(another.plane.vectors, usual.plane.vectors)


@pytest.mark.parametrize("seconds", [(2, 1), (1, 2)])
def test_a_resumed_fit_keeps_its_kernels_and_its_bits(seconds: tuple[float, float]) -> None:
    undisturbed = ended(started(tried(clock=clock(*seconds))))
    first = started(tried(clock=clock(*seconds)))
    for _ in range(2):
        first.advance()
    second = started(tried(clock=clock(*reversed(seconds))))  # it would choose otherwise
    second.load_state_dict(first.state_dict())
    ended(second)
    assert second.engine.strategy is not None
    assert undisturbed.engine.strategy is not None
    assert second.engine.strategy.name == undisturbed.engine.strategy.name
    assert torch.equal(second.plane.vectors, undisturbed.plane.vectors)
    assert second.rows == undisturbed.rows


def test_kernels_that_are_not_here_are_chosen_anew_and_a_processor_keeps_none() -> None:
    first = started(tried(candidates={"windows": Windows, "fused": Other}, clock=clock(3, 2, 1)))
    first.advance()
    state = first.state_dict()
    assert state["kernels"] == "fused"
    elsewhere = started(tried(candidates={"windows": Windows, "fused": missing}, clock=clock(2, 1)))
    elsewhere.load_state_dict(state)
    elsewhere.advance()
    assert elsewhere.engine.strategy is not None
    assert elsewhere.engine.strategy.name == "windows"
    processor = started(None)
    processor.load_state_dict(state)
    assert (processor.engine.strategy, processor.engine.kernels) == (None, None)
    del state["kernels"]  # as an earlier version wrote it
    processor.load_state_dict(state)


def test_what_is_timed_is_a_recording_where_there_is_one() -> None:
    recorded: list[Work] = []

    def record(work: Work, device: torch.device) -> tuple[Callable[[], object], tuple[Tensor, ...]]:
        recorded.append(work)
        if len(recorded) == 2:
            raise RuntimeError("it cannot be recorded")
        values = work()
        return lambda: launched.append(1), values

    launched: list[int] = []
    fit = started(tried(candidates={"windows": Windows, "fused": Other}, record=record, clock=clock(3, 2, 1)))
    fit.advance()
    assert len(launched) == 2 * ROUNDS
    assert fit.engine.strategy is not None
    assert fit.engine.strategy.name == "fused"


@pytest.mark.parametrize("arm", ["plain", "bn"])
def test_a_whole_step_is_recorded_with_the_kernels_that_were_chosen(arm: str) -> None:
    """And bit for bit: the trial is over before the recording begins, and moves nothing."""
    black = make_mask()

    def whole(trial: Trial) -> Fit:
        given = make_plane(arm), black, torch.ones_like(black), make_images(), TRAINING
        under_way = Fit(*given, chunk=4, record=computes_again)
        under_way.engine.trial = trial
        return under_way

    alone, recorded = ended(started(tried(clock=clock(2, 1)), arm)), whole(tried(clock=clock(2, 1)))
    recorded.advance()
    again = whole(tried(clock=clock(1, 2)))
    again.load_state_dict(deepcopy(recorded.state_dict()))
    for fit in (ended(recorded), ended(again)):
        assert (fit.whole_refusal, fit.engine.kernels is None) == ("", False)
        assert torch.equal(fit.plane.vectors, alone.plane.vectors)


def test_a_strategy_says_itself_in_one_line() -> None:
    assert str(Strategy("grouped")) == "grouped"
    assert str(Strategy("windows", reasons=("grouped 2 ms", "windows 1 ms"))) == "windows (grouped 2 ms; windows 1 ms)"


def test_a_variable_leaves_kernels_out(monkeypatch: pytest.MonkeyPatch) -> None:
    for said, names in {
        "windows": {"windows"},
        "grouped": set(),
        "": set(),
        "windows,fused": {"windows", "fused"},
    }.items():
        monkeypatch.setenv("BNBENCH_KERNELS", said)
        assert allowed_kernels() == names
    monkeypatch.setenv("BNBENCH_KERNELS", "winds")
    with pytest.raises(RequestError, match="winds"):
        allowed_kernels()
    monkeypatch.delenv("BNBENCH_KERNELS")
    assert allowed_kernels() == {*CANDIDATES, *OF_ONE}
