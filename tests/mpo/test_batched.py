"""Many networks at once, and one alone: whatever order their maps lie in, the numbers are the same."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from bnbench.mpo.batched import takes_channels_last
from bnbench.mpo.gradient import ObjectiveGradient
from bnbench.mpo.objective import colour_targets
from bnbench.mpo.plane import Plane, grid_coordinates
from bnbench.protocol.protocol import BUILT_IN
from tests.cases import FOREIGN, make_images, make_plane

PARTICULAR = ("tests.foreign_arms:viewing", "tests.foreign_arms:viewing_gradients")


def gradient(plane: Plane, chunk: int) -> Tensor:
    pixels = torch.tensor([0, 3, 7, 11, 13])
    images = torch.randint(40, (5, 6), generator=torch.Generator().manual_seed(2))
    engine = ObjectiveGradient(plane, make_images(), grid_coordinates((4, 5)), 1.5, chunk)
    return engine.step(plane.frame().detach(), pixels, colour_targets(pixels < 8), images)[0]


def maps_of(plane: Plane) -> list[Tensor]:
    """The maps of every convolution from now on."""
    seen: list[Tensor] = []

    def keep(module: Any, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        seen.append(output.detach())

    for module in plane.module.modules():
        if isinstance(module, torch.nn.Conv2d):
            module.register_forward_hook(keep)
    return seen


@pytest.mark.parametrize("network", ["strided", "pooled"])
@pytest.mark.parametrize("arm", [*BUILT_IN, FOREIGN, *PARTICULAR])
def test_one_network_at_a_time_has_the_gradient_of_many(arm: str, network: str) -> None:
    plane = make_plane(arm, network)
    together, alone, again = gradient(plane, 5), gradient(plane, 1), gradient(plane, 1)
    assert together.norm() > 1e-3
    torch.testing.assert_close(alone, together, rtol=1e-10, atol=1e-12)
    assert torch.equal(alone, again)


@pytest.mark.parametrize("arm", ["plain", "bn", "skip"])
def test_one_network_has_its_maps_with_channels_last(arm: str) -> None:
    plane = make_plane(arm).float()
    maps = maps_of(plane)
    weights = plane.network_weights(plane.frame(), torch.tensor([[0.5, 1.0]]))
    names = [layer.name for layer in plane.layers]
    assert takes_channels_last(plane.module, names, weights, make_images().pixels.float())
    assert len(maps) == 3
    # Weights of one input channel lie in both orders, so the first map may have channels first.
    assert all(each.is_contiguous(memory_format=torch.channels_last) for each in maps[1:])


@pytest.mark.parametrize("arm", PARTICULAR)
def test_a_module_that_needs_channels_first_is_tried_once(arm: str) -> None:
    plane = make_plane(arm)
    maps = maps_of(plane)
    gradient(plane, 1)
    assert [each.is_contiguous() for each in maps[1::2]] == [False, *[True] * 5]


def test_an_error_of_a_module_is_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    plane = make_plane("plain")

    def fails(maps: Tensor) -> Tensor:
        raise RuntimeError("something else")

    monkeypatch.setattr(plane.module, "forward", fails)
    with pytest.raises(RuntimeError, match="something else"):
        gradient(plane, 1)
