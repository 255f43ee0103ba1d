"""Weights counted by their formula are those of the networks."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from bnbench.arms.networks import arm_factory
from bnbench.inputs.data import load_data
from bnbench.mpo.plane import Plane
from bnbench.protocol.datasets import DATASETS
from bnbench.protocol.profiles import PROFILES
from bnbench.protocol.protocol import BUILT_IN
from bnbench.protocol.weights import trained_numbers, weights_of

SHAPES = {"digits": (1, 8, 8), "fashion-mnist": (1, 28, 28), "cifar10": (3, 32, 32), "cifar100": (3, 32, 32)}
NETWORKS: list[dict[str, Any]] = [
    {},
    {"dataset": "cifar10", "pool": 4, "strides": (2, 1, 2, 1, 1, 1)},
    {"dataset": "cifar100"},
    {"dataset": "digits", "pool": 1, "widths": (3,), "strides": (3,), "hidden": 5},
    {"map_size": 2, "pool": 3},
]


@pytest.mark.parametrize("arm", BUILT_IN)
@pytest.mark.parametrize("knobs", NETWORKS, ids=str)
def test_count_is_that_of_the_network_and_of_its_plane(arm: str, knobs: dict[str, Any]) -> None:
    protocol = PROFILES["compact"].with_knobs(**knobs)
    channels, rows, columns = SHAPES[protocol.data.dataset]
    pooled = (channels, rows // protocol.data.pool, columns // protocol.data.pool)
    factory = arm_factory(arm, pooled, DATASETS[protocol.data.dataset].classes, protocol.network)
    assert weights_of(arm, protocol) == sum(one.numel() for one in factory().parameters())
    plane = Plane.from_factory(factory, torch.Generator())
    assert trained_numbers(arm, protocol) == sum(one.numel() for one in plane.parameters())


def test_the_line_of_digits_says_what_its_images_are() -> None:
    smoke, known = PROFILES["smoke"], DATASETS["digits"]
    found = load_data(smoke.data, smoke.measurement)
    assert ((found.image_shape[0], found.image_shape[1]), found.classes) == (known.shape, known.classes)


def test_an_own_arm_is_not_counted() -> None:
    assert trained_numbers("package:factory", PROFILES["smoke"]) is None
