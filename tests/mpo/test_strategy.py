"""A GPU's kernels: used only where they computed the fit's own first step as torch does, and in less time.

The clock of these tests is made up, and the device is the processor.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from copy import deepcopy
from dataclasses import replace
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor

from bnbench.errors import RequestError
from bnbench.mpo.candidates import CANDIDATES, OF_ONE, Way, allowed_kernels
from bnbench.mpo.convolutions import Kernels
from bnbench.mpo.cuda_graph import DeviceLostError, Recording
from bnbench.mpo.fit import Fit
from bnbench.mpo.following_relu import FollowingReLUs
from bnbench.mpo.one_network import ChannelsLast, Compiled
from bnbench.mpo.strategy import Strategy, Trial, Work
from bnbench.mpo.whole_step import Recorder
from bnbench.mpo.windows import Gradients, Windows
from bnbench.process.surroundings import as_it_was, set_anew
from bnbench.protocol.sections import TrainingProtocol
from tests.cases import ARMS, make_images, make_mask, make_plane
from tests.mpo.test_replayed import computes_again

TRAINING = TrainingProtocol(black_pixels=3, white_pixels=2, images=6, steps=4, learning_rate=1e-2, threshold=1.3)
ROUNDS = 2  # timed for each strategy, the first of them to warm up


class Other(Windows):
    """Kernels that another machine has."""


class Wrong(Windows):
    def gradients(self, *given: Any) -> Gradients:
        of_maps, of_weights, of_bias = super().gradients(*given)
        return None if of_maps is None else 1.01 * of_maps, of_weights, of_bias


class NotANumber(Windows):
    def forward(self, *given: Any) -> tuple[Tensor, Tensor | None]:
        result, kept = super().forward(*given)
        return result * float("nan"), kept


class Failing(Windows):
    def forward(self, *given: Any) -> tuple[Tensor, Tensor | None]:
        raise RuntimeError("too little memory\nmore of it")


def missing() -> Kernels:
    raise ModuleNotFoundError("No module named 'triton'")


def clock(*seconds: float) -> Callable[[], float]:
    """A clock by which each strategy in turn takes so long."""

    def moments() -> Iterator[float]:
        now = 0.0
        for each in seconds:
            for _ in range(ROUNDS):
                yield now
                now += each
                yield now

    return moments().__next__


tried = partial(Trial, candidates={"windows": Windows}, rounds=ROUNDS - 1)


def started(trial: Trial | None, arm: str = "bn", training: TrainingProtocol = TRAINING) -> Fit:
    black = make_mask()
    under_way = Fit(make_plane(arm), black, torch.ones_like(black), make_images(), training, chunk=4)
    under_way.engine.trial = trial
    return under_way


def ended(under_way: Fit) -> Fit:
    while not under_way.is_done:
        under_way.advance()
    return under_way


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


def test_a_step_of_tf32_is_proved_in_float32_and_recorded_in_tf32() -> None:
    """The proof changes a setting of the whole process; no step may be recorded, or taken, meanwhile."""
    seen: dict[str, list[tuple[str, bool]]] = {"kernels": [], "recorded": []}

    def note(what: str) -> None:
        seen[what].append((torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32))

    class Noting(Windows):
        def forward(self, *given: Any) -> tuple[Tensor, Tensor | None]:
            note("kernels")
            return super().forward(*given)

    def record(work: Work, device: torch.device) -> Recording:
        note("recorded")
        return computes_again(work, device)

    training, black = replace(TRAINING, precision="tf32"), make_mask()
    given = make_plane("bn"), black, torch.ones_like(black), make_images(), training
    with as_it_was():
        set_anew(torch.get_num_threads(), "tf32")
        recorded = Fit(*given, chunk=4, record=record)
        recorded.engine.trial = Trial("tf32", {"windows": Noting}, clock=clock(2, 1), rounds=ROUNDS - 1)
        recorded.advance()
        while_proved, seen["kernels"] = [*seen["kernels"]], []
        ended(recorded)
    exact, fast = ("highest", False), ("high", True)
    assert {*while_proved} == {exact, fast}
    assert while_proved[0] == exact
    assert {*seen["recorded"], *seen["kernels"]} == {fast}
    assert (recorded.whole_refusal, recorded.recorded) == ("", "whole")
    alone = ended(started(tried(candidates={"windows": Windows}, clock=clock(2, 1)), "bn"))
    assert torch.equal(recorded.plane.vectors, alone.plane.vectors)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="computes on a GPU")
@pytest.mark.parametrize("name", CANDIDATES)
@pytest.mark.parametrize("arm", [*ARMS, "tests.foreign_arms:group_norm"])
def test_a_gpu_computes_a_step_as_float64_does(arm: str, name: str) -> None:
    if name == "fused":
        pytest.importorskip("triton", reason="Triton is no dependency, and is not installed here")
    images, black = make_images(), make_mask()
    exact = started(None, arm)
    there = Fit(
        make_plane(arm).float().cuda(),
        black,
        torch.ones_like(black),
        type(images)(images.pixels.float().cuda(), images.labels.cuda()),
        TRAINING,
        chunk=4,
    )
    there.engine.use(Strategy(name, CANDIDATES[name]()))
    there.engine.trial = None
    pixels, seen = exact.draw()
    expected = exact.take(pixels, seen)[0]
    for _ in range(2):  # of which the first one finds the ReLUs
        gradient = there.engine.step(there.plane.frame().detach(), pixels.cuda(), there.targets, seen.cuda())[0]
        assert float((gradient.cpu() - expected).norm() / expected.norm()) < 1e-4


def test_one_network_at_a_time_tries_nothing() -> None:
    fit = started(tried(), training=TrainingProtocol(black_pixels=1, white_pixels=1, images=6, steps=2))
    fit.engine.settle(*([torch.zeros(1)] * 5))
    assert fit.engine.strategy is None


def test_a_strategy_says_itself_in_one_line() -> None:
    assert str(Strategy("grouped")) == "grouped"
    assert str(Strategy("windows", reasons=("grouped 2 ms", "windows 1 ms"))) == "windows (grouped 2 ms; windows 1 ms)"


class WrongWithReLU(Windows):
    """Kernels that watch their first call, and are wrong in what they compute from then on."""

    def __init__(self) -> None:
        self.relus = FollowingReLUs()

    def forward(self, maps: Tensor, weights: Tensor, bias: Any, geometry: Any, relu: bool) -> tuple[Tensor, Any]:
        result, kept = super().forward(maps, weights, bias, geometry, relu)
        return 3 * result if relu else result, kept


class LacksABias(Windows):
    """Kernels whose bias gradients are less than a tenth of the whole gradient, and missing."""

    def gradients(self, *given: Any) -> Gradients:
        of_maps, of_weights, of_bias = super().gradients(*given)
        return of_maps, of_weights, None if of_bias is None else torch.zeros_like(of_bias)


def test_a_layer_that_16_bits_would_hide_is_found_in_float32() -> None:
    fit = started(None, "plain")
    layers = [slice(layer.start, layer.stop) for layer in fit.plane.layers]
    trial = Trial("bfloat16", {"windows": LacksABias}, layers=layers, clock=clock(2, 1), rounds=ROUNDS - 1)
    fit.engine.trial, fit.engine.is_autocast = trial, True
    fit.advance()
    assert fit.engine.strategy is not None
    assert (fit.engine.strategy.name, fit.engine.strategy.is_refused) == ("grouped", True)


@pytest.mark.parametrize("arm", ARMS)
def test_kernels_are_proved_layer_by_layer(arm: str) -> None:
    fit = started(None, arm)
    layers = [slice(layer.start, layer.stop) for layer in fit.plane.layers]
    fit.engine.trial = Trial("float32", {"windows": Windows}, layers=layers, clock=clock(2, 1), rounds=ROUNDS - 1)
    fit.advance()
    assert fit.engine.strategy is not None
    assert fit.engine.strategy.name == "windows"


@pytest.mark.parametrize("broken", [Failing, Wrong])
def test_kernels_of_a_checkpoint_are_proved_again(broken: Callable[[], Kernels]) -> None:
    first = started(tried(candidates={"windows": Windows, "fused": Other}, clock=clock(3, 2, 1)))
    first.advance()
    there = started(tried(candidates={"fused": broken, "windows": Windows}, clock=clock(2, 1)))
    there.load_state_dict(first.state_dict())
    ended(there)
    assert there.engine.strategy is not None
    assert there.engine.strategy.name == "grouped"


def test_a_device_that_is_lost_ends_the_trial(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bnbench.mpo.strategy.is_lost", lambda device: True)
    fit = started(tried(candidates={"fused": Failing}, clock=clock(1, 1)))
    with pytest.raises(DeviceLostError, match="fused"):
        fit.advance()


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


WAYS = {"ordinary": (1, 2, 3), "channels-last": (2, 1, 3), "compiled": (3, 2, 1)}  # each with the times that choose it
BY_DAY = {("ordinary", "plain"), ("channels-last", "bn"), ("compiled", "bn"), ("compiled", ARMS[-1])}


@pytest.mark.parametrize(
    ("name", "arm"),
    [
        pytest.param(*both, marks=[] if both in BY_DAY else pytest.mark.nightly)
        for both in itertools.product(WAYS, ARMS)
    ],
)
def test_one_network_after_another_is_computed_as_is_fastest(name: str, arm: str) -> None:
    """The compiler stands in: what it is given must be a function of weights and images alone."""
    compiled: list[Callable[..., Tensor]] = []

    def compiler(function: Callable[..., Tensor]) -> Callable[..., Tensor]:
        compiled.append(function)
        return function

    def one(trial: Trial | None) -> Fit:
        black = make_mask()
        few = replace(TRAINING, black_pixels=2, white_pixels=1, steps=2)
        under_way = Fit(make_plane(arm), black, torch.ones_like(black), make_images(), few, chunk=1)
        under_way.engine.trial, under_way.engine.channels_last = trial, False
        return ended(under_way)

    ways: dict[str, Callable[[], Way]] = {"channels-last": ChannelsLast, "compiled": partial(Compiled, compiler)}
    found = one(Trial(candidates=ways, usual="ordinary", clock=clock(*WAYS[name]), rounds=ROUNDS - 1))
    assert found.engine.strategy is not None
    assert found.engine.strategy.name == name
    assert len(compiled) == 1
    sgd = one(None)
    torch.testing.assert_close(found.rows[0].black_loss, sgd.rows[0].black_loss, rtol=1e-9, atol=1e-9)


@pytest.mark.nightly
def test_torch_compiles_one_network() -> None:
    fit = started(None, "bn")
    fit.engine.chunk, fit.engine.one = 1, Compiled()
    pixels, images = fit.draw()
    step = fit.plane.frame().detach(), pixels, fit.targets, images
    gradient = fit.engine.step(*step)[0]
    fit.engine.one = None
    torch.testing.assert_close(gradient, fit.engine.step(*step)[0], rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("chunk", [4, 9])
def test_a_relu_within_the_kernels_is_proved_even_where_a_step_is_one_chunk(chunk: int) -> None:
    fit = started(tried(candidates={"wrong": WrongWithReLU}, clock=clock(2, 1)), "plain")
    fit.engine.chunk = chunk
    fit.advance()
    assert fit.engine.strategy is not None
    assert (fit.engine.strategy.name, fit.engine.strategy.is_refused) == ("grouped", True)


@pytest.mark.nightly
@pytest.mark.parametrize("arm", ["plain", "bn"])
def test_a_step_of_a_compiled_network_is_recorded_whole(arm: str) -> None:
    """Its forward and backward pass is compiled within the proof, before anything is recorded."""

    def fitted(record: Recorder | None, way: Compiled | None) -> Fit:
        black, few = make_mask(), replace(TRAINING, black_pixels=2, white_pixels=1)
        under_way = Fit(make_plane(arm), black, torch.ones_like(black), make_images(), few, chunk=1, record=record)
        under_way.engine.one = way
        return ended(under_way)

    recorded, computed, usual = fitted(computes_again, Compiled()), fitted(None, Compiled()), fitted(None, None)
    assert (recorded.recorded, recorded.whole_refusal) == ("whole", "")
    assert torch.equal(recorded.plane.vectors, computed.plane.vectors)
    torch.testing.assert_close(recorded.rows[0].black_loss, usual.rows[0].black_loss, rtol=1e-9, atol=1e-9)
