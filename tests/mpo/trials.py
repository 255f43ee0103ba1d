"""Trials of a GPU's kernels in a fit on the processor, by a clock that is made up."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import torch
from torch import Tensor

from bnbench.mpo.convolutions import Kernels
from bnbench.mpo.fit import Fit
from bnbench.mpo.strategy import Trial
from bnbench.mpo.windows import Gradients, Windows
from bnbench.protocol.sections import TrainingProtocol
from tests.cases import make_images, make_mask, make_plane

TRAINING = TrainingProtocol(black_pixels=3, white_pixels=2, images=6, steps=4, learning_rate=1e-2, threshold=1.3)
ROUNDS = 2  # timed for each strategy, the first of them to warm up


class Other(Windows):
    """Kernels that another machine has."""


class Wrong(Windows):
    def gradients(self, *given: Any) -> Gradients:
        of_maps, of_weights, of_bias = super().gradients(*given)
        return None if of_maps is None else 1.01 * of_maps, of_weights, of_bias


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
