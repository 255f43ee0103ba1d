"""The arms as ordinary modules."""

from __future__ import annotations

from itertools import pairwise

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.func import functional_call, grad, vmap

from bnbench.arms.networks import arm_factory
from bnbench.mpo.batch_norm import BatchNorm, recalibrated, uses_bn
from bnbench.protocol.profiles import PROFILES
from bnbench.protocol.protocol import BUILT_IN, NORMALIZED
from bnbench.protocol.sections import NetworkProtocol


def make(arm: str, network: NetworkProtocol | None = None, seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    return arm_factory(arm, (1, 28, 28), 10, network or PROFILES["paper"].network)()


def test_the_papers_network_has_the_papers_size() -> None:
    network = make("plain")
    widths = [1, 8, 8, 32, 32, 64, 64]
    convolutions = sum(9 * before * after + after for before, after in pairwise(widths))
    assert (
        sum(parameter.numel() for parameter in network.parameters()) == convolutions + 1024 * 128 + 128 + 128 * 10 + 10
    )
    assert network(torch.randn(2, 1, 28, 28)).shape == (2, 10)


def test_bn_adds_a_scale_and_a_shift_per_channel_and_skip_adds_nothing() -> None:
    sizes = {arm: sum(parameter.numel() for parameter in make(arm).parameters()) for arm in BUILT_IN}
    assert sizes["skip"] == sizes["softplus"] == sizes["softplus-centred"] == sizes["standardized"] == sizes["plain"]
    assert (
        sizes["bn"]
        == sizes["bn-skip"]
        == sizes["groupnorm"]
        == sizes["plain"] + 2 * sum(PROFILES["paper"].network.widths)
    )


@pytest.mark.parametrize("arm", BUILT_IN)
def test_an_arm_has_batch_normalization_where_its_name_says_so(arm: str) -> None:
    assert uses_bn(make(arm)) == (arm in NORMALIZED)


@pytest.mark.parametrize("arm", [arm for arm in BUILT_IN if arm not in ("plain", "rescaled")])
def test_layers_that_two_arms_have_start_equal(arm: str) -> None:
    plain, other = dict(make("plain").named_parameters()), dict(make(arm).named_parameters())
    assert set(plain) <= set(other)
    for name, parameter in plain.items():
        assert torch.equal(parameter, other[name]), name


@pytest.mark.parametrize("gain", [1.0, 2**0.5])
def test_weights_are_xavier_uniform_and_biases_zero(gain: float) -> None:
    network = make("plain", NetworkProtocol(widths=(8, 32), strides=(1, 1), map_size=4, gain=gain))
    for name, parameter in network.named_parameters():
        if name.endswith("bias"):
            assert not parameter.any()
            continue
        receptive = parameter[0][0].numel()
        bound = gain * (6 / (receptive * (parameter.shape[0] + parameter.shape[1]))) ** 0.5
        assert parameter.abs().max() <= bound
        assert parameter.std().item() == pytest.approx(bound / 3**0.5, rel=0.15)


def test_torchs_own_initial_weights_and_biases_are_uniform_within_one_over_the_root_of_the_inputs() -> None:
    network = NetworkProtocol(widths=(8, 32), strides=(1, 1), map_size=4, hidden=5, initial_weights="torch", gain=7.0)
    drawn = dict(make("plain", network, seed=3).named_parameters())
    torch.manual_seed(3)  # layer by layer in the order of the forward pass, weights before biases
    for layer in ("convolutions.0", "convolutions.1", "hidden", "output"):
        weight, bias = drawn[f"{layer}.weight"], drawn[f"{layer}.bias"]
        inputs = weight.numel() // len(weight)
        for parameter in (weight, bias):
            drawn_again = torch.rand(parameter.numel()).tolist()
            expected = torch.tensor([(2 * number - 1) / inputs**0.5 for number in drawn_again])
            assert torch.allclose(parameter.flatten(), expected, atol=1e-6), layer


@pytest.mark.parametrize("arm", ["bn", "skip"])
def test_layers_that_two_arms_have_start_equal_with_torchs_own_weights_too(arm: str) -> None:
    network = NetworkProtocol(initial_weights="torch")
    plain, other = (dict(make(name, network).named_parameters()) for name in ("plain", arm))
    assert all(torch.equal(parameter, other[name]) for name, parameter in plain.items())


def test_plain_is_convolutions_relus_and_two_linear_layers() -> None:
    network = make("plain")
    images = torch.randn(3, 1, 28, 28)
    maps = images
    for index in range(6):
        weight, bias = (network.get_parameter(f"convolutions.{index}.{name}") for name in ("weight", "bias"))
        maps = F.conv2d(maps, weight, bias, padding=1).clamp(min=0)
    assert maps.shape == (3, 64, 28, 28)
    pooled = maps.unflatten(3, (4, 7)).unflatten(2, (4, 7)).mean((3, 5)).flatten(1)
    hidden = (pooled @ network.get_parameter("hidden.weight").T + network.get_parameter("hidden.bias")).clamp(min=0)
    logits = hidden @ network.get_parameter("output.weight").T + network.get_parameter("output.bias")
    assert torch.allclose(network(images), logits, atol=1e-5)


def test_skip_adds_a_convolutions_input_where_shapes_agree() -> None:
    network = NetworkProtocol(widths=(3, 3, 4, 4), strides=(1, 1, 1, 2), hidden=6)
    torch.manual_seed(0)
    module = arm_factory("skip", (1, 6, 6), 10, network)()
    maps = images = torch.randn(2, 1, 6, 6)
    for index, adds in enumerate([False, True, False, False]):
        layer = module.get_submodule(f"convolutions.{index}")
        after = layer(maps).clamp(min=0)
        maps = maps + after if adds else after
    hidden = module.get_submodule("hidden")(maps.flatten(1)).clamp(min=0)
    assert torch.allclose(module(images), module.get_submodule("output")(hidden), atol=1e-6)


@pytest.mark.parametrize(("fresh_scale", "offset"), [("uniform+0.5", 0.5), ("zero+1", 1.0)])
def test_batch_norm_uses_the_batchs_statistics_and_a_shifted_scale(fresh_scale: str, offset: float) -> None:
    layer = BatchNorm(3, fresh_scale).double()
    nn.init.normal_(layer.shift)
    maps = torch.randn(5, 3, 4, 4, dtype=torch.float64) * 3 + 1
    for channel in range(3):
        values = maps[:, channel]
        mean, variance = values.mean(), ((values - values.mean()) ** 2).mean()
        expected = (values - mean) / (variance + 1e-5).sqrt() * (layer.scale[channel] + offset) + layer.shift[channel]
        assert torch.allclose(layer(maps)[:, channel], expected)


@pytest.mark.parametrize("map_shape", [(), (3, 2)])
@pytest.mark.parametrize("axes", [(0, 0, 0), (2, 0, 0), (None, 0, 0), (0, None, 0), (1, 0, None)])
def test_many_batch_norms_at_once_are_each_of_them(
    map_shape: tuple[int, ...], axes: tuple[int | None, int | None, int | None]
) -> None:
    """Values and gradients under vmap against a loop over networks, whatever is shared between them."""
    generator = torch.Generator().manual_seed(3)
    layer = BatchNorm(4)

    def draw(shape: tuple[int, ...], axis: int | None) -> Tensor:
        shape = shape if axis is None else (*shape[:axis], 5, *shape[axis:])
        return torch.randn(shape, generator=generator, dtype=torch.float64, requires_grad=True)

    inputs = tuple(draw(shape, axis) for shape, axis in zip(((6, 4, *map_shape), (4,), (4,)), axes, strict=True))

    def normalized(maps: Tensor, scale: Tensor, shift: Tensor) -> Tensor:
        result: Tensor = functional_call(layer, {"scale": scale, "shift": shift}, (maps,))
        return result

    def own(value: Tensor, axis: int | None, network: int) -> Tensor:
        return value if axis is None else value.select(axis, network)

    loop = torch.stack([normalized(*map(own, inputs, axes, (network,) * 3)) for network in range(5)])
    together = vmap(normalized, in_dims=axes)(*inputs)
    assert torch.allclose(together, loop, rtol=1e-12, atol=1e-12)
    upstream = torch.randn(loop.shape, generator=generator, dtype=torch.float64)
    for actual, expected in zip(*(torch.autograd.grad(way, inputs, upstream) for way in (together, loop)), strict=True):
        assert torch.allclose(actual, expected, rtol=1e-10, atol=1e-12)


def test_many_batch_norms_have_gradients_below_vmap_too() -> None:
    """Gradients with respect to the maps, taken network by network and then mapped."""
    generator = torch.Generator().manual_seed(4)
    layer, maps = BatchNorm(3).double(), torch.randn(6, 3, 2, 2, generator=generator, dtype=torch.float64)
    scales, shifts = torch.randn(2, 5, 3, generator=generator, dtype=torch.float64)

    def value(maps: Tensor, scale: Tensor, shift: Tensor) -> Tensor:
        result: Tensor = functional_call(layer, {"scale": scale, "shift": shift}, (maps,))
        return (result**3).sum()

    together = vmap(grad(value), in_dims=(None, 0, 0))(maps, scales, shifts)
    loop = torch.stack([grad(value)(maps, scale, shift) for scale, shift in zip(scales, shifts, strict=True)])
    assert torch.allclose(together, loop, rtol=1e-10, atol=1e-10)


def test_a_fresh_bn_scale_is_drawn_as_the_protocol_says() -> None:
    drawn = make("bn").get_parameter("norms.5.scale")
    assert drawn.abs().max() <= 0.5
    assert drawn.std() > 0.2
    other = NetworkProtocol(bn_scale="zero+1")
    assert not make("bn", other).get_parameter("norms.5.scale").any()


def test_recalibrated_batch_norm_uses_the_reference_images_alone() -> None:
    layer = BatchNorm(3).double()
    reference, maps = torch.randn(6, 3, 2, 2, dtype=torch.float64), torch.randn(4, 3, 2, 2, dtype=torch.float64) + 5
    with recalibrated(layer, len(reference)):
        together = layer(torch.cat([reference, maps]))
        alone = layer(torch.cat([reference, maps[:1]]))
    assert torch.allclose(together[:6], layer(reference))
    assert torch.allclose(together[6:7], alone[6:])
    assert not torch.allclose(together[6:], layer(maps))
    assert layer.reference == 0


def test_batch_norm_keeps_no_state() -> None:
    layer = BatchNorm(3)
    assert not list(layer.buffers())
    maps = torch.randn(5, 3, 4, 4) + 3
    first = layer(maps)
    layer(maps * 9)
    assert torch.equal(layer(maps), first)
    assert torch.equal(layer.eval()(maps), first)


def test_uses_bn() -> None:
    assert (uses_bn(make("plain")), uses_bn(make("bn"))) == (False, True)


def test_an_unknown_arm_is_refused() -> None:
    with pytest.raises(ValueError, match=f"--arms blan .*{', '.join(BUILT_IN)}"):
        arm_factory("blan", (1, 8, 8), 10, NetworkProtocol())
