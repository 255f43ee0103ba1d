"""A GPU's kernels are used only where they computed the fit's own first step as torch does.

The clock of these tests is made up, and the device is the processor, but for one test, which needs a GPU.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from bnbench.mpo.candidates import CANDIDATES
from bnbench.mpo.convolutions import Kernels
from bnbench.mpo.cuda_graph import DeviceLostError, Recording
from bnbench.mpo.fit import Fit
from bnbench.mpo.following_relu import FollowingReLUs
from bnbench.mpo.strategy import Strategy, Trial, Work
from bnbench.mpo.windows import Gradients, Windows
from bnbench.process.surroundings import as_it_was, set_anew
from tests.cases import ARMS, make_images, make_mask, make_plane
from tests.mpo.test_replayed import computes_again
from tests.mpo.trials import ROUNDS, TRAINING, Failing, Other, Wrong, clock, ended, started, tried


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


@pytest.mark.parametrize("chunk", [4, 9])
def test_a_relu_within_the_kernels_is_proved_even_where_a_step_is_one_chunk(chunk: int) -> None:
    fit = started(tried(candidates={"wrong": WrongWithReLU}, clock=clock(2, 1)), "plain")
    fit.engine.chunk = chunk
    fit.advance()
    assert fit.engine.strategy is not None
    assert (fit.engine.strategy.name, fit.engine.strategy.is_refused) == ("grouped", True)
