"""One network after another: computed as is, with channels last or compiled, whichever is fastest.

The clock of these tests is made up, and the device is the processor.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import replace
from functools import partial

import pytest
import torch
from torch import Tensor

from bnbench.mpo.candidates import Way
from bnbench.mpo.fit import Fit
from bnbench.mpo.one_network import ChannelsLast, Compiled
from bnbench.mpo.strategy import Trial
from bnbench.mpo.whole_step import Recorder
from bnbench.protocol.sections import TrainingProtocol
from tests.cases import ARMS, make_images, make_mask, make_plane
from tests.mpo.test_replayed import computes_again
from tests.mpo.trials import ROUNDS, TRAINING, clock, ended, started, tried


def test_one_network_at_a_time_tries_nothing() -> None:
    fit = started(tried(), training=TrainingProtocol(black_pixels=1, white_pixels=1, images=6, steps=2))
    fit.engine.choose_kernels(*([torch.zeros(1)] * 5))
    assert fit.engine.strategy is None


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
