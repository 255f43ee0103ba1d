"""Arms of users' own: those that are taken are computed right, the others refused with the real cause."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.func import functional_call

from bnbench.data import Images
from bnbench.errors import ArmError
from bnbench.foreign import load_arm
from bnbench.landscape import measure_landscape
from bnbench.models import Factory
from bnbench.mpo.gradient import ObjectiveGradient
from bnbench.mpo.plane import Plane, grid_coordinates
from bnbench.sections import NetworkProtocol
from tests.arms_refused import REFUSED
from tests.arms_taken import TAKEN

SHAPE, CLASSES, GRID = (1, 8, 8), 3, (2, 3)
PIXELS = torch.arange(6)


def plane_of(factory: Factory) -> Plane:
    return Plane.from_factory(factory, torch.Generator().manual_seed(3), scale=0.5)


def images(dtype: torch.dtype = torch.float64) -> Images:
    generator = torch.Generator().manual_seed(5)
    return Images(torch.randn(5, *SHAPE, generator=generator, dtype=dtype), torch.tensor([0, 1, 2, 0, 1]))


def one_by_one(plane: Plane, factory: Factory, frame: Tensor, data: Images) -> Tensor:
    """Loss of each pixel, (P,), by ``functional_call`` of a fresh network of its own."""
    losses = []
    for position in grid_coordinates(GRID):
        weights = frame[0] + position @ frame[1:]
        own = {layer.name: weights[layer.start : layer.stop].view(layer.shape) for layer in plane.layers}
        losses.append(F.cross_entropy(functional_call(factory().double(), own, (data.pixels,)), data.labels))
    return torch.stack(losses)


@pytest.mark.parametrize("name", TAKEN)
@pytest.mark.filterwarnings("ignore:There is a performance drop")
def test_what_is_taken_is_computed_right(name: str) -> None:
    factory = load_arm(f"tests.arms_taken:{name}", SHAPE, CLASSES, NetworkProtocol())
    plane, data = plane_of(factory).double(), images()
    frame = plane.frame().detach().requires_grad_()
    losses = one_by_one(plane, factory, frame, data)
    (expected,) = torch.autograd.grad(losses.mean(), frame)
    assert expected.norm() > 1e-3
    for chunk in (6, 1):
        engine = ObjectiveGradient(plane, data, grid_coordinates(GRID), 9.0, chunk)
        found, each, _ = engine.step(frame.detach(), PIXELS, torch.full((6,), 1 / 6), torch.arange(5))
        torch.testing.assert_close(each, losses.detach())
        torch.testing.assert_close(found, expected)
    measured = measure_landscape(plane, GRID, data)
    torch.testing.assert_close(measured.loss.flatten(), losses.detach())


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_work_is_refused_with_the_real_cause(name: str) -> None:
    with pytest.raises(ArmError, match=REFUSED[name][1]) as caught:
        load_arm(f"tests.arms_refused:{name}", SHAPE, CLASSES, NetworkProtocol())
    message = str(caught.value)
    assert message.startswith(f"--arms tests.arms_refused:{name}")
    assert len(message.splitlines()) == 1
    assert ("random numbers" in message) == ("draws random numbers" in REFUSED[name][1])
