"""Each optimizer against its rule as a plain loop in float64."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import fields

import pytest
import torch

from bnbench.errors import RequestError
from bnbench.mpo.optimizers import OPTIMIZERS, build_optimizer
from bnbench.protocol.sections import TrainingProtocol

RATES = (0.1, 0.1, 0.05, 0.02)  # a schedule: the loop sets the rate of each step


def adam(gradients: list[float]) -> Iterator[float]:
    mean = square = weight = 0.0
    for step, (rate, gradient) in enumerate(zip(RATES, gradients, strict=True), start=1):
        mean = 0.9 * mean + 0.1 * gradient
        square = 0.999 * square + 0.001 * gradient**2
        weight -= rate * (mean / (1 - 0.9**step)) / (math.sqrt(square / (1 - 0.999**step)) + 1e-8)
        yield weight


def sgd(gradients: list[float]) -> Iterator[float]:
    velocity = weight = 0.0
    for rate, gradient in zip(RATES, gradients, strict=True):
        velocity = 0.9 * velocity + gradient
        weight -= rate * velocity
        yield weight


RULES: dict[str, Callable[[list[float]], Iterator[float]]] = {"adam": adam, "sgd": sgd}


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_an_optimizer_takes_the_steps_of_its_rule(name: str) -> None:
    vectors = torch.zeros(2, 3, dtype=torch.float64, requires_grad=True)
    scale = torch.zeros((), dtype=torch.float64, requires_grad=True)
    optimizer = build_optimizer(name, [{"params": [vectors]}, {"params": [scale]}], RATES[0])
    gradients = torch.randn(len(RATES), 7, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    wanted = [list(RULES[name](column)) for column in gradients.T.tolist()]
    for step, rate in enumerate(RATES):
        for group in optimizer.param_groups:
            group["lr"] = rate
        vectors.grad, scale.grad = gradients[step, :6].view(2, 3).clone(), gradients[step, 6].clone()
        optimizer.step()
        found = [*vectors.flatten().tolist(), scale.item()]
        assert found == pytest.approx([column[step] for column in wanted], rel=1e-12)


def test_every_optimizer_can_be_asked_for() -> None:
    (choices,) = [one.metadata["choices"] for one in fields(TrainingProtocol) if one.name == "optimizer"]
    assert set(choices) == set(OPTIMIZERS)


def test_an_unknown_optimizer_is_refused_by_its_name() -> None:
    with pytest.raises(RequestError, match=f"adagrad.*{'.*'.join(OPTIMIZERS)}"):
        build_optimizer("adagrad", [], 0.1)
