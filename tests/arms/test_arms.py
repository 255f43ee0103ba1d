"""Arms of users' own: those that are taken are computed right, the others refused with the real cause."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.func import functional_call

from bnbench.arms.networks import Factory
from bnbench.arms.own_arm import load_arm
from bnbench.errors import ArmError
from bnbench.inputs.data import DataSet, Images
from bnbench.mpo.batch_norm import uses_bn
from bnbench.mpo.batched import ordinary_attention
from bnbench.mpo.gradient import ObjectiveGradient
from bnbench.mpo.landscape import measure_landscape
from bnbench.mpo.objective import colour_targets
from bnbench.mpo.plane import Plane, grid_coordinates
from bnbench.protocol.profiles import PROFILES
from bnbench.protocol.protocol import FitKey
from bnbench.protocol.sections import NetworkProtocol
from bnbench.results.planes import load_plane, save_plane
from bnbench.results.store import StoreError
from tests.arms_refused import REFUSED
from tests.arms_taken import TAKEN

SHAPE, CLASSES, GRID = (1, 8, 8), 3, (2, 2)
PIXELS = torch.arange(4)


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


def by_day(names: Iterable[str], one_of: int) -> list[Any]:
    """One of so many names by day, the others by night."""
    return [pytest.param(name, marks=[pytest.mark.nightly] if at % one_of else []) for at, name in enumerate(names)]


@pytest.mark.parametrize("name", by_day(TAKEN, 5))
@pytest.mark.filterwarnings("ignore:There is a performance drop")
def test_what_is_taken_is_computed_right(name: str) -> None:
    factory = load_arm(f"tests.arms_taken:{name}", SHAPE, CLASSES, NetworkProtocol())
    plane, data = plane_of(factory).double(), images()
    frame = plane.frame().detach().requires_grad_()
    losses = one_by_one(plane, factory, frame, data)
    (expected,) = torch.autograd.grad(losses.mean(), frame)
    assert expected.norm() > 1e-3
    targets = colour_targets(torch.ones(4, dtype=torch.bool))
    for chunk in (4, 1):
        engine = ObjectiveGradient(plane, data, grid_coordinates(GRID), 9.0, chunk)
        found, each, _ = engine.step(frame.detach(), PIXELS, targets, torch.arange(5))
        torch.testing.assert_close(each, losses.detach())
        torch.testing.assert_close(found, expected)
    measured = measure_landscape(plane, GRID, data)
    torch.testing.assert_close(measured.loss.flatten(), losses.detach())


@pytest.mark.parametrize("name", by_day(REFUSED, 3))
def test_what_cannot_work_is_refused_with_the_real_cause(name: str) -> None:
    with pytest.raises(ArmError, match=REFUSED[name][1]) as caught:
        load_arm(f"tests.arms_refused:{name}", SHAPE, CLASSES, NetworkProtocol())
    message = str(caught.value)
    assert message.startswith(f"--arms tests.arms_refused:{name}")
    assert len(message.splitlines()) == 1
    assert ("random numbers" in message) == ("random numbers" in REFUSED[name][1])


def arm_plane(name: str) -> Plane:
    return plane_of(load_arm(f"tests.arms_taken:{name}", SHAPE, CLASSES, NetworkProtocol()))


@pytest.mark.parametrize("name", ["mask", "positions", "expanded", "of_this_module", "complex", "bias_of_1", "linear"])
def test_a_planes_file_carries_constant_buffers(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    arm = "plain" if name == "linear" else f"tests.arms_taken:{name}"
    protocol = PROFILES["smoke"]
    plane = plane_of(load_arm(arm, SHAPE, CLASSES, protocol.network))
    data = images(torch.float32)
    measured = measure_landscape(plane, GRID, data)
    path = save_plane(tmp_path, plane, FitKey(arm, 0.5, 1), "identity", protocol, DataSet(data, data, data, CLASSES))
    with safe_open(path, framework="pt") as file:
        buffers = [key for key in file.keys() if key.startswith("buffer.")]  # noqa: SIM118, not a dictionary
    assert len(buffers) == len(list(plane.module.buffers()))
    monkeypatch.setattr("tests.arms_taken.TABLE", torch.rand(4))  # as if it were drawn anew in another process
    again = load_plane(path, arm=arm)
    assert torch.equal(measure_landscape(again, GRID, data).loss, measured.loss)
    for one, other in zip(plane.module.buffers(), again.module.buffers(), strict=True):
        assert torch.equal(one, other)
        assert one.dtype == other.dtype


def test_a_planes_file_without_buffers_is_of_an_earlier_version(tmp_path: Path) -> None:
    arm, protocol, data = "tests.arms_taken:mask", PROFILES["smoke"], images(torch.float32)
    plane = plane_of(load_arm(arm, SHAPE, CLASSES, protocol.network))
    path = save_plane(tmp_path, plane, FitKey(arm, 0.5, 1), "identity", protocol, DataSet(data, data, data, CLASSES))
    with safe_open(path, framework="pt") as file:
        tensors, stored = (
            {key: file.get_tensor(key) for key in ("vectors", "scale")},
            json.loads(file.metadata()["bnbench"]),
        )
    del stored["digest"]
    metadata = {"bnbench": json.dumps(stored | {"format": 1})}
    save_file(tensors, path, metadata)
    assert torch.equal(load_plane(path, arm=arm).vectors, plane.vectors)
    save_file({**tensors, "buffer.2.mask": torch.ones(3)}, path, metadata)
    with pytest.raises(StoreError, match="buffers"):
        load_plane(path, arm=arm)


@pytest.mark.parametrize("name", ["batch_norm_1d", "batch_norm_2d", "batch_norm_eval", "batch_norm_act"])
def test_torchs_batch_norm_without_history_is_batch_norm(name: str) -> None:
    plane = arm_plane(name).double()
    assert uses_bn(plane.module)
    data, others = images(), Images(images().pixels.flip(0)[:4] * 2, torch.zeros(4, dtype=torch.int64))
    policies = ("batch:5", "batch:3", "recalibrate:4")
    found = [measure_landscape(plane, GRID, data, bn_statistics=own, reference=others).loss for own in policies]
    assert not torch.allclose(found[0], found[1])
    assert not torch.allclose(found[0], found[2])
    norm = next(layer for layer in plane.module.modules() if isinstance(layer, nn.modules.batchnorm._BatchNorm))
    weights = plane.network_weights(plane.frame(), grid_coordinates(GRID))
    expected = []
    for number in range(4):
        own = {layer.name: weight[number] for layer, weight in zip(plane.layers, weights, strict=True)}
        kept: list[Tensor] = []
        hook = norm.register_forward_pre_hook(lambda _, inputs, kept=kept: kept.append(inputs[0]))
        functional_call(plane.module, own, (others.pixels,))
        hook.remove()
        axes = [0, *range(2, kept[0].dim())]
        norm.register_buffer("running_mean", kept[0].mean(axes).detach())
        norm.register_buffer("running_var", kept[0].var(axes, correction=0).detach())
        with evaluated_by(norm):
            expected.append(F.cross_entropy(functional_call(plane.module, own, (data.pixels,)), data.labels).detach())
        norm.running_mean = norm.running_var = None
    torch.testing.assert_close(found[2].flatten(), torch.stack(expected))


@contextmanager
def evaluated_by(norm: nn.modules.batchnorm._BatchNorm) -> Iterator[None]:
    """Within, ``F.batch_norm`` uses the layer's averages, whatever a class of timm's asks for."""

    def kept(maps: Tensor, _: Any, __: Any, weight: Any, bias: Any, ___: Any, ____: Any, epsilon: float) -> Tensor:
        return ordinary(maps, norm.running_mean, norm.running_var, weight, bias, False, 0.0, epsilon)

    ordinary = F.batch_norm
    F.batch_norm = kept  # type: ignore[assignment]  # those who call it name no argument
    try:
        yield
    finally:
        F.batch_norm = ordinary


SCALES = {
    "llama_norm": "layer.parametrizations.weight.original",
    "layer_norm_2d": "1.parametrizations.weight.original",
    "batch_norm_2d": "1.parametrizations.weight.original",
    "shared_norm": "2.b.parametrizations.weight.original",
    "tied_scales": "2.one.parametrizations.weight.original",
}


@pytest.mark.parametrize("name", SCALES)
def test_a_norms_weight_of_1_is_a_scale(name: str) -> None:
    module = load_arm(f"tests.arms_taken:{name}", SHAPE, CLASSES, NetworkProtocol())()
    stored = module.get_parameter(SCALES[name])
    assert len(stored.unique()) == len(stored)
    assert stored.abs().max() <= 0.5
    uses = [layer.weight for layer in module.modules() if hasattr(layer, "parametrizations")]
    for weight in uses:
        assert isinstance(weight, Tensor)
        assert torch.equal(weight, stored + 0.5)


STARTS = {"bias_of_1": 1.0, "number_of_1": 1.0, "temperature": math.log(1 / 0.07), "layer_scale": 1e-6, "prelu": 0.25}


@pytest.mark.parametrize("name", STARTS)
def test_other_constants_start_where_they_are_in_every_network(name: str) -> None:
    factory = load_arm(f"tests.arms_taken:{name}", SHAPE, CLASSES, NetworkProtocol())
    leaf = {"prelu": "weight", "bias_of_1": "bias"}.get(name, "g")
    used = getattr(factory().get_submodule("2"), leaf)
    assert torch.equal(used, torch.full_like(used, STARTS[name]))
    plane = plane_of(factory)
    position = next(own for own in plane.layers if own.name == f"2.parametrizations.{leaf}.original")
    assert not plane.vectors[:, position.start : position.stop].any()


@pytest.mark.parametrize("fails", [False, True])
def test_torchs_settings_of_attention_are_as_before(fails: bool) -> None:
    before = torch.backends.mha.get_fastpath_enabled(), torch.backends.cuda.flash_sdp_enabled()
    with suppress(ZeroDivisionError), ordinary_attention():
        with ordinary_attention():
            assert not torch.backends.mha.get_fastpath_enabled()
        assert not torch.backends.mha.get_fastpath_enabled()
        if fails:
            raise ZeroDivisionError
    assert before == (torch.backends.mha.get_fastpath_enabled(), torch.backends.cuda.flash_sdp_enabled())


def test_a_network_keeps_its_own_weights() -> None:
    plane = arm_plane("albert")
    own = dict(plane.module.named_parameters(remove_duplicate=False))
    measure_landscape(plane, GRID, images(torch.float32))
    after = dict(plane.module.named_parameters(remove_duplicate=False))
    assert all(after[name] is parameter for name, parameter in own.items())
