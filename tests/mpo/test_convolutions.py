"""Convolutions of many networks at once are those of one network after another, whatever computes them."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.func import vmap

from bnbench.mpo import windows
from bnbench.mpo.convolutions import Convolutions
from bnbench.mpo.gradient import ObjectiveGradient
from bnbench.mpo.objective import colour_targets
from bnbench.mpo.plane import grid_coordinates
from bnbench.mpo.windows import Geometry, Windows
from tests.cases import ARMS, make_images, make_plane
from tests.cases import NETWORKS as SHAPES

FOREIGN_ARMS = ("tests.foreign_arms:group_norm", "tests.foreign_arms:with_batch_norm", "tests.foreign_arms:viewing")
NETWORKS, IMAGES = 3, 2
KERNELS = [(3, 3), (1, 1), (2, 4)]
ARGUMENTS: list[dict[str, Any]] = [
    {},
    {"padding": 1},
    {"padding": 4},
    {"stride": 2, "padding": 1},
    {"stride": 3},
    {"stride": (2, 1), "padding": (0, 2), "dilation": (1, 2)},
    {"stride": [2], "dilation": [2], "padding": [3]},
    {"padding": "same"},
    {"padding": "same", "dilation": 2},
    {"padding": "valid", "stride": 2},
]


class Counted(Windows):
    """Windows that know how often they were asked."""

    def __init__(self) -> None:
        self.calls = 0

    def forward(self, *given: Any) -> tuple[Tensor, Tensor | None]:
        self.calls += 1
        return super().forward(*given)


def leaf(*shape: int, seed: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=generator, dtype=torch.float64).requires_grad_()


def inputs(kernel: tuple[int, int], *, shared: bool = False, channels: int = 4) -> tuple[Tensor, Tensor, Tensor]:
    maps = leaf(*(() if shared else (NETWORKS,)), IMAGES, channels, 8, 9, seed=1)
    return maps, leaf(NETWORKS, 5, channels, *kernel, seed=2), leaf(NETWORKS, 5, seed=3)


def values(result: Tensor, *given: Tensor) -> list[Tensor]:
    """A result, and its gradients for one upstream gradient."""
    upstream = leaf(*result.shape, seed=4).detach()
    return [result, *torch.autograd.grad(result, given, upstream)]


def together(function: Callable[..., Tensor], kernels: Windows, *given: Tensor, axes: Any = 0) -> Tensor:
    def one(*own: Tensor) -> Tensor:
        with Convolutions(kernels):
            return function(*own)

    result: Tensor = vmap(one, in_dims=axes)(*given)
    return result


def agree(actual: list[Tensor], expected: list[Tensor]) -> None:
    for mine, slow in zip(actual, expected, strict=True):
        torch.testing.assert_close(mine, slow, rtol=1e-12, atol=1e-12)


@pytest.fixture(params=[windows._KEPT_BYTES, 0], ids=["kept", "written anew"])
def kept_bytes(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(windows, "_KEPT_BYTES", request.param)


@pytest.mark.usefixtures("kept_bytes")
@pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel")  # torch's own, of the reference
@pytest.mark.parametrize("kernel", KERNELS, ids=str)
@pytest.mark.parametrize("arguments", ARGUMENTS, ids=str)
def test_windows_are_conv2d(kernel: tuple[int, int], arguments: dict[str, Any]) -> None:
    maps, weights, bias = inputs(kernel)
    kernels = Counted()
    actual = together(lambda *own: F.conv2d(*own, **arguments), kernels, maps, weights, bias)
    each = [F.conv2d(*own, **arguments) for own in zip(maps, weights, bias, strict=True)]
    agree(values(actual, maps, weights, bias), values(torch.stack(each), maps, weights, bias))
    assert kernels.calls == 1
    assert actual.movedim(2, -1).is_contiguous()


def test_a_convolution_is_a_sum_over_its_window() -> None:
    """The reference's own reference: plain loops."""
    maps, weights, bias = (value.detach() for value in inputs((3, 2)))
    actual = together(partial(F.conv2d, stride=2, padding=1), Windows(), maps, weights, bias)
    padded = F.pad(maps, (1, 1, 1, 1))
    for at in ((0, 0, 0, 0, 0), (1, 1, 4, 2, 3), (2, 0, 3, 3, 4)):
        network, image, channel, row, column = at
        seen = padded[network, image, :, 2 * row : 2 * row + 3, 2 * column : 2 * column + 2]
        expected = bias[network, channel] + sum((seen * weights[network, channel]).flatten().tolist())
        assert float(actual[at]) == pytest.approx(float(expected), rel=1e-12)


@pytest.mark.parametrize("arguments", [{"padding": 1}, {"stride": 2}], ids=str)
def test_networks_may_share_their_maps(arguments: dict[str, Any]) -> None:
    maps, weights, bias = inputs((3, 3), shared=True)
    actual = together(lambda *own: F.conv2d(*own, **arguments), Windows(), maps, weights, bias, axes=(None, 0, 0))
    each = [F.conv2d(maps, *own, **arguments) for own in zip(weights, bias, strict=True)]
    agree(values(actual, maps, weights, bias), values(torch.stack(each), maps, weights, bias))


def test_networks_may_share_their_weights_and_lack_a_bias() -> None:
    maps, weights, _ = inputs((3, 3))
    own = weights[0].detach().requires_grad_()
    kernels = Counted()
    actual = together(lambda seen, shared: F.conv2d(seen, weight=shared), kernels, maps, own, axes=(0, None))
    agree(values(actual, maps, own), values(torch.stack([F.conv2d(seen, own) for seen in maps]), maps, own))
    assert kernels.calls == 1


def test_maps_may_lie_in_any_order_and_networks_on_any_axis() -> None:
    maps, weights, bias = inputs((3, 3))
    turned = maps.detach().permute(2, 3, 0, 4, 1).contiguous().permute(2, 4, 0, 1, 3)
    actual = together(F.conv2d, Windows(), turned.movedim(0, 2), weights.movedim(0, -1), bias, axes=(2, -1, 0))
    expected = torch.stack([F.conv2d(*own) for own in zip(maps, weights, bias, strict=True)])
    agree([actual], [expected])


@pytest.mark.parametrize(
    ("layer", "images"),
    [
        (nn.Conv2d(4, 4, 3, groups=2), torch.ones(2, 4, 5, 5)),
        (nn.Conv2d(4, 4, 3), torch.ones(4, 5, 5)),  # one image without its batch
    ],
)
def test_what_does_not_fit_goes_its_old_way(layer: nn.Conv2d, images: Tensor) -> None:
    weights = torch.stack([layer.weight, 2 * layer.weight])
    kernels = Counted()
    actual = together(lambda own: layer._conv_forward(images, own, None), kernels, weights)
    assert kernels.calls == 0
    torch.testing.assert_close(actual, torch.stack([layer._conv_forward(images, own, None) for own in weights]))


@pytest.mark.parametrize(
    ("arguments", "channels"),
    [
        ({"padding": "same", "stride": 2}, 4),
        ({"padding": -1}, 4),
        ({"stride": 0}, 4),
        ({"stride": (1, 1, 1)}, 4),
        ({}, 3),
    ],
)
def test_a_wrong_call_is_refused_as_torch_refuses_it(arguments: dict[str, Any], channels: int) -> None:
    maps, _, bias = inputs((3, 3))
    _, weights, _ = inputs((3, 3), channels=channels)
    with pytest.raises((RuntimeError, TypeError)) as expected:
        F.conv2d(maps[0], weights[0], bias[0], **arguments)
    with pytest.raises(expected.type):
        together(lambda *own: F.conv2d(*own, **arguments), Windows(), maps, weights, bias)


def test_a_gradient_inside_vmap_is_torchs_own() -> None:
    """A module that asks for gradients in its forward: what it gets there is what it got before."""

    def gradient(maps: Tensor, weights: Tensor, bias: Tensor) -> Tensor:
        asked = torch.func.grad(lambda own: F.conv2d(maps, own, bias, stride=2, padding=1).square().sum())
        result: Tensor = asked(weights)
        return result

    given = inputs((3, 3))
    agree([together(gradient, Windows(), *given)], [torch.stack([gradient(*own) for own in zip(*given, strict=True)])])


def test_under_autocast_it_computes_in_the_lower_precision() -> None:
    maps, weights, bias = (value.detach().float() for value in inputs((3, 3)))
    kernels = Counted()
    with torch.autocast("cpu", torch.bfloat16):
        actual = together(F.conv2d, kernels, maps, weights, bias)
    assert (actual.dtype, kernels.calls) == (torch.bfloat16, 1)
    exact = together(F.conv2d, Windows(), maps, weights, bias)
    assert float((actual.float() - exact).norm() / exact.norm()) < 0.02


def test_windows_that_reach_beyond_the_padding_turn_around() -> None:
    """Where a convolution has more padding than its window reaches, its gradient's windows lose an edge."""
    geometry = Geometry((1, 1), (1, 1), (2, 2), (2, 2), (1, 1))
    assert geometry.turned((5, 5)) == Geometry((1, 1), (1, 1), (-2, -2), (-2, -2), (1, 1))


@pytest.mark.parametrize("network", SHAPES)
@pytest.mark.parametrize("arm", [*ARMS, *FOREIGN_ARMS])
def test_a_steps_gradient_is_that_of_grouped_convolutions(arm: str, network: str) -> None:
    plane = make_plane(arm, network)
    pixels = torch.tensor([0, 3, 7, 11, 13])
    images = torch.randint(40, (5, 6), generator=torch.Generator().manual_seed(2))

    def step(kernels: Windows | None) -> tuple[Tensor, Tensor, Tensor]:
        engine = ObjectiveGradient(plane, make_images(), grid_coordinates((4, 5)), 1.5, 3)
        engine.kernels = kernels
        return engine.step(plane.frame().detach(), pixels, colour_targets(pixels < 8), images)

    kernels = Counted()
    agree(list(step(kernels)), list(step(None)))
    assert kernels.calls == 2 * sum(isinstance(layer, nn.Conv2d) for layer in plane.module.modules())


def normalized(maps: Tensor, scale: Tensor, shift: Tensor) -> Tensor:
    return F.batch_norm(maps, None, None, scale, shift, training=True)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_maps_with_channels_last_are_normalized_as_they_lie(dtype: torch.dtype) -> None:
    maps, scale, shift = leaf(3, 4, 5, 2, 3, seed=1), leaf(3, 5, seed=2), leaf(3, 5, seed=3)
    lying = maps.detach().to(dtype).movedim(2, -1).contiguous().movedim(-1, 2).requires_grad_()
    own = tuple(value.detach().to(dtype).requires_grad_() for value in (scale, shift))
    actual = together(normalized, Windows(), lying, *own)
    each = [normalized(*given) for given in zip(maps, scale, shift, strict=True)]
    tolerance = 1e-12 if dtype == torch.float64 else 1e-5
    upstream = leaf(*maps.shape, seed=4).detach()
    found = [actual, *torch.autograd.grad(actual, (lying, *own), upstream.to(dtype))]
    expected = [torch.stack(each), *torch.autograd.grad(torch.stack(each), (maps, scale, shift), upstream)]
    for mine, slow in zip(found, expected, strict=True):
        torch.testing.assert_close(mine.double(), slow, rtol=tolerance, atol=tolerance)
    assert actual.movedim(2, -1).is_contiguous()


def test_sums_of_maps_of_16_bits_are_of_32() -> None:
    maps = (leaf(2, 16, 3, 16, 16, seed=1) + 8).detach().bfloat16()
    lying = maps.movedim(2, -1).contiguous().movedim(-1, 2)
    scale, shift = (torch.full((2, 3), value, dtype=torch.bfloat16) for value in (1.0, 0.0))
    actual = together(normalized, Windows(), lying, scale, shift)
    expected = torch.stack([normalized(own, torch.ones(3).double(), torch.zeros(3).double()) for own in maps.double()])
    assert (actual.double() - expected).abs().max() < 2**-6  # what writing the result in 16 bits rounds off


@pytest.mark.parametrize(
    "way",
    [
        lambda maps: F.batch_norm(maps, torch.zeros(5), torch.ones(5)),  # by statistics that are given
        lambda maps: F.batch_norm(maps, None, None, training=True),  # without scale and shift
        lambda maps: F.batch_norm(maps.flatten(2), None, None, torch.ones(5), torch.zeros(5), training=True),
    ],
)
def test_another_normalization_goes_its_old_way(way: Callable[[Tensor], Tensor]) -> None:
    maps = leaf(3, 4, 5, 2, 3, seed=1).detach().float()
    agree([together(way, Windows(), maps)], [torch.stack([way(own) for own in maps])])
