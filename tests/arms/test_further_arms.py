"""The arms beside those of the paper: what each has that plain has not, written as plain loops."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from bnbench.arms.networks import FACTOR, ConvolutionalNetwork, arm_factory, rescale
from bnbench.arms.normalized_layers import GroupNorm, StandardizedConvolution
from bnbench.inputs.data import load_data_of
from bnbench.mpo.plane import fresh_network
from bnbench.protocol.profiles import PROFILES
from tests.cases import CLASSES, IMAGE_SHAPE, NETWORKS, make_images


def network(arm: str, size: str = "pooled", seed: int = 1) -> ConvolutionalNetwork:
    made = fresh_network(arm_factory(arm, IMAGE_SHAPE, CLASSES, NETWORKS[size]), seed).double()
    assert isinstance(made, ConvolutionalNetwork)
    return made


@pytest.mark.parametrize(("groups", "expected"), [(0, 2), (1, 1)])
def test_each_group_of_an_image_is_normalized_by_itself(groups: int, expected: int) -> None:
    layer = GroupNorm(6, "uniform+0.5", groups).double()
    assert layer.groups == expected
    torch.nn.init.normal_(layer.shift)
    maps = torch.randn(3, 6, 2, 4, dtype=torch.float64)
    found = layer(maps)
    size = 6 // expected
    for image in range(3):
        for channel in range(6):
            first = channel // size * size
            group = maps[image, first : first + size]
            mean = sum(group.flatten().tolist()) / group.numel()
            variance = sum((value - mean) ** 2 for value in group.flatten().tolist()) / group.numel()
            normalized = (maps[image, channel] - mean) / (variance + 1e-5) ** 0.5
            own = normalized * (layer.scale[channel] + 0.5) + layer.shift[channel]
            torch.testing.assert_close(found[image, channel], own)


def test_filters_are_standardized_to_the_deviation_of_fresh_ones() -> None:
    layer = StandardizedConvolution(2, 3, 1, 0.3).double()
    maps = torch.randn(2, 2, 4, 4, dtype=torch.float64)
    with torch.no_grad():
        filters = torch.stack(
            [0.3 * (one - one.mean()) / (one.var(correction=0) + 1e-5).sqrt() for one in layer.weight]
        )
    expected = torch.nn.functional.conv2d(maps, filters, layer.bias, padding=1)
    torch.testing.assert_close(layer(maps), expected)
    for size in NETWORKS:
        for one in network("standardized", size, 5).convolutions:
            assert isinstance(one, StandardizedConvolution)
            bound = float(torch.nn.init.calculate_gain("linear")) * one.deviation * 3**0.5
            assert one.weight.abs().max() <= bound * (1 + 1e-6)
            assert one.weight.abs().max() > 0.6 * bound


@pytest.mark.parametrize(
    ("arm", "beta", "at_zero"), [("softplus", 2.0, math.log(2) / 2), ("softplus-centred", 0.5, 0.0)]
)
def test_softplus_is_smooth_where_relu_is_not_and_known_at_0(arm: str, beta: float, at_zero: float) -> None:
    values = torch.linspace(-3, 3, 13, dtype=torch.float64)
    found = network(arm).activation(values)
    softplus = [math.log(1 + math.exp(beta * value)) / beta for value in values.tolist()]
    expected = [value - math.log(2) / beta + at_zero for value in softplus]
    torch.testing.assert_close(found, torch.tensor(expected, dtype=torch.float64))
    assert found[6] == pytest.approx(at_zero, abs=1e-15)
    bends = torch.func.vmap(torch.func.grad(torch.func.grad(network(arm).activation)))(values)
    assert bends.max() <= beta / 4 + 1e-12


def test_what_softplus_adds_to_a_fresh_networks_logits_and_what_centring_takes_away() -> None:
    protocol = PROFILES["smoke"]
    digits = load_data_of(protocol)
    logits = {}
    for arm in ("plain", "softplus", "softplus-centred"):
        factory = arm_factory(arm, digits.image_shape, digits.classes, protocol.network)
        with torch.no_grad():
            logits[arm] = torch.stack([fresh_network(factory, seed)(digits.measured.pixels[:128]) for seed in range(5)])
    size = {arm: float(found.square().mean().sqrt()) for arm, found in logits.items()}
    assert size["softplus"] > 3 * size["plain"]
    assert size["softplus-centred"] < size["plain"] / 5
    assert float(logits["softplus"].std(1).mean()) < 0.1 * size["softplus"]  # much the same for all images


def outputs(made: ConvolutionalNetwork) -> Tensor:
    with torch.no_grad():
        found: Tensor = made(make_images(8).pixels)
    return found


@pytest.mark.parametrize("size", NETWORKS)
@pytest.mark.parametrize("factor", [FACTOR, 3.0])
def test_a_rescaled_network_is_plains_function_at_other_weights(size: str, factor: float) -> None:
    plain = network("plain", size)
    for layer in (*plain.convolutions, plain.hidden, plain.output):
        torch.nn.init.normal_(layer.bias, std=0.1)
    before, weights = outputs(plain), [parameter.clone() for parameter in plain.parameters()]
    rescale(plain, factor)
    assert not any(torch.equal(one, other) for one, other in zip(list(plain.parameters())[:2], weights, strict=False))
    torch.testing.assert_close(outputs(plain), before, rtol=1e-12 if factor == 3 else 0, atol=0)


def test_the_rescaled_arm_starts_as_plains_function() -> None:
    assert torch.equal(outputs(network("rescaled")), outputs(network("plain")))
