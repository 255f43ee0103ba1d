"""A user's own arm: what is taken, and why the rest is refused."""

from __future__ import annotations

import hashlib
import sys
from pathlib import Path

import pytest
import torch
from torch import nn

import bnbench
from bnbench.arms.loading import arm_source
from bnbench.arms.own_arm import load_arm
from bnbench.arms.sizes import own_arm_lines, shared_layers
from bnbench.errors import ArmError
from bnbench.mpo.batch_norm import uses_bn
from bnbench.mpo.plane import Plane, fresh_network
from bnbench.protocol.profiles import PROFILES
from bnbench.protocol.sections import NetworkProtocol
from tests.sentences import named, numbers

SHAPE = (1, 4, 4)


def load(arm: str) -> nn.Module:
    return load_arm(arm, SHAPE, 3, NetworkProtocol())()


@pytest.mark.parametrize(("arm", "norm"), [("layer_norm", "2"), ("group_norm", "1")])
def test_scales_of_other_normalizations_are_reparametrized_as_bns_are(arm: str, norm: str) -> None:
    module = load(f"tests.foreign_arms:{arm}")
    layer = module.get_submodule(norm)
    stored = module.get_parameter(f"{norm}.parametrizations.weight.original")
    assert stored.abs().max() <= 0.5
    assert len(stored.unique()) == len(stored)  # drawn, no longer constant
    assert isinstance(layer.weight, torch.Tensor)
    assert torch.equal(layer.weight, stored + 0.5)
    plane = Plane.from_factory(
        load_arm(f"tests.foreign_arms:{arm}", SHAPE, 3, NetworkProtocol()), torch.Generator().manual_seed(0)
    )
    position = next(own for own in plane.layers if own.name.endswith("original"))
    scales = plane.vectors[:, position.start : position.stop]
    assert len({tuple(row.tolist()) for row in scales}) == 3


REFUSED = {
    "running_statistics": r"layer 1 \(BatchNorm2d\) .*running statistics.*bnbench\.BatchNorm",
    "dropout": r"layer 1 \(Dropout\) .*random numbers.*p = 0",
    "no_parameters": "no parameters",
    "wrong_outputs": r"\(4, 4\) .*\(4, 3\)",
    "constant_weights": r"parameter 1\.weight .*same",
    "random_noise": r"layer 0 \(Noisy\) .*random numbers",
    "counting": r"layer 0 \(Counter\) .*buffer 0\.calls ",
    "not_a_module": r" str; .*torch\.nn\.Module",
    "takes_nothing": r"factory\(\(1, 4, 4\), 3\)",
    "raises_in_forward": "this layer is broken",
    "NUMBER": r" int; .*factory\(image_shape, classes\)",
    "missing": "has no function missing; it has .* more",
    "numpy_weights": "one seed",
    "own_batch_norm": "beside .*bnbench.BatchNorm",
    "frozen": r"parameter 1\.bias is frozen",
    "varying_size": "sizes",
    "lazy": r"parameter \d\.weight .*shape",
}


@pytest.mark.parametrize("arm", REFUSED)
def test_what_cannot_work_is_refused_with_the_reason(arm: str) -> None:
    with pytest.raises(ArmError, match=REFUSED[arm]) as caught:
        load(f"tests.foreign_arms:{arm}")
    assert str(caught.value).startswith(f"--arms tests.foreign_arms:{arm}")
    assert len(str(caught.value).splitlines()) == 1


def test_a_module_that_does_not_exist_is_refused() -> None:
    with pytest.raises(ArmError, match=r"--arms nowhere\.at_all:arm .*\(ModuleNotFoundError"):
        load("nowhere.at_all:arm")


@pytest.mark.parametrize(
    ("code", "instead"), [("def mlp(shape, classes): ...\n_own = len\n", "mlp"), ("from math import sin\n", "none")]
)
def test_a_function_that_a_module_lacks_is_named_with_those_that_it_has(
    code: str, instead: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = f"lacking_{instead}"
    (tmp_path / f"{name}.py").write_text(code)
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ArmError, match=rf"--arms {name}:mpl: {name} has no function mpl\W.* {instead}\.$"):
        load(f"{name}:mpl")


def test_a_partial_is_a_factory_too() -> None:
    assert isinstance(load("tests.foreign_arms:partly_given"), nn.Module)
    assert arm_source("tests.foreign_arms:partly_given") == arm_source("tests.foreign_arms:layer_norm")


def test_a_foreign_arm_may_use_bnbenchs_batch_norm() -> None:
    module = load("tests.foreign_arms:with_batch_norm")
    assert uses_bn(module)


def test_a_foreign_arms_source_is_that_of_the_code_which_was_loaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "my_own_arm.py"
    path.write_text("def make(image_shape, classes):\n    return None\n")
    before, looked_for = arm_source("my_own_arm:make"), list(sys.path)
    assert before == hashlib.sha256(path.read_bytes()).hexdigest()[:12]
    path.write_text("def make(image_shape, classes):\n    return 1\n")
    assert arm_source("my_own_arm:make") == before, "the old code is what runs"
    monkeypatch.delitem(sys.modules, "my_own_arm")  # as another process begins
    assert arm_source("my_own_arm:make") == hashlib.sha256(path.read_bytes()).hexdigest()[:12] != before
    assert sys.path == looked_for
    assert str(tmp_path) not in sys.path
    assert arm_source("plain") == ""
    path.write_text("from bnbench import BatchNorm\n")
    monkeypatch.delitem(sys.modules, "my_own_arm")
    digest, _, started = arm_source("my_own_arm:make").partition("-")
    assert digest == hashlib.sha256(path.read_bytes()).hexdigest()[:12], "what sha256sum says of the file"
    assert started, "fits from before such a network's scales were drawn last are of another version"


NETWORK = PROFILES["smoke"].network


def near_plain(image_shape: tuple[int, int, int], classes: int) -> nn.Module:
    """An arm that differs from plain in its normalization alone."""
    network = bnbench.plain_network(image_shape, classes, "smoke")
    network.norms = nn.ModuleList(nn.GroupNorm(2, width) for width in NETWORK.widths)
    return network


def like_plain(image_shape: tuple[int, int, int], classes: int, norm: type[nn.Module]) -> nn.Module:
    """Plain's layers in a row, with a normalization after each convolution as it is made."""
    channels, rows, columns = image_shape
    layers: list[nn.Module] = []
    for width, stride in zip(NETWORK.widths, NETWORK.strides, strict=True):
        layers += [nn.Conv2d(channels, width, 3, stride, padding=1), norm(width), nn.ReLU()]
        channels, rows, columns = width, -(-rows // stride), -(-columns // stride)
    layers += [nn.Flatten(), nn.Linear(channels * rows * columns, NETWORK.hidden), nn.ReLU()]
    return nn.Sequential(*layers, nn.Linear(NETWORK.hidden, classes))


def started_as_plain(image_shape: tuple[int, int, int], classes: int) -> nn.Module:
    """Batch normalization between layers that start as plain's."""
    return bnbench.start_as_plain(like_plain(image_shape, classes, bnbench.BatchNorm), "smoke")


def started_by_torch(image_shape: tuple[int, int, int], classes: int) -> nn.Module:
    """The same layers as torch starts them."""
    return like_plain(image_shape, classes, nn.Identity)


def test_layers_start_as_plains_whatever_norms_stand_between_them_and_the_plan_says_so() -> None:
    arms = [f"{__name__}:{name}" for name in ("near_plain", "started_as_plain", "started_by_torch")]
    protocol = PROFILES["smoke"]
    networks = [fresh_network(load_arm(one, (1, 8, 8), 10, NETWORK), 1) for one in ("plain", *arms)]
    plain, near, as_plain, _ = networks
    assert all(torch.equal(own, other) for own, other in zip(plain.parameters(), near.parameters(), strict=False))
    pairs = [shared_layers(network, plain) for network in networks[1:]]
    assert [len(one) for one in pairs] == [8, 8, 8]
    assert [sum(torch.equal(*pair) for pair in one) for one in pairs] == [8, 8, 0]
    assert all(not own.any() for name, own in as_plain.named_parameters() if name.endswith(".bias"))
    scales = torch.cat([layer.scale for layer in as_plain.modules() if isinstance(layer, bnbench.BatchNorm)])
    assert len(scales.unique()) == len(scales)
    lines = own_arm_lines(["plain", *arms, "bn"], (1, 8, 8), 10, protocol)
    sizes = [sum(one.numel() for one in network.parameters()) for network in networks]
    assert [numbers(line)[:4] for line in lines[:2]] == [[f"{own:,}", f"{sizes[0]:,}", "8", "8"] for own in sizes[1:3]]
    *_, equal, shared, times = numbers(lines[2])
    assert (equal, shared) == ("0", "8")
    assert 0 < float(times) < 0.9
    (*_, missed) = own_arm_lines(arms[:1], (1, 8, 8), 10, protocol.with_knobs(hidden=16, steps=3))
    assert named(missed, ["--hidden", "--steps", "near_plain"]) == {"--hidden", "near_plain"}


def test_plain_networks_come_from_a_profile_that_there_is() -> None:
    for made in (
        lambda: bnbench.plain_network((1, 8, 8), 10, "none"),
        lambda: bnbench.start_as_plain(nn.ReLU(), "none"),
    ):
        with pytest.raises(ValueError, match="smoke"):
            made()
    torchs = PROFILES["smoke"].with_knobs(initial_weights="torch")
    layer = nn.Linear(2, 3)
    before = layer.weight.clone()
    assert torch.equal(bnbench.start_as_plain(layer, torchs).weight, before)


def test_an_arm_finds_its_own_modules_as_late_as_in_its_first_step(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "late_layers.py").write_text("from torch.nn import ReLU as Rectified\n")
    (tmp_path / "late_arm.py").write_text(
        "from torch import nn\n"
        "class Network(nn.Module):\n"
        "    def __init__(self, image_shape, classes):\n"
        "        super().__init__()\n"
        "        self.layer = nn.Linear(16, classes)\n"
        "    def forward(self, images):\n"
        "        from late_layers import Rectified\n"
        "        return Rectified()(self.layer(images.flatten(1)))\n"
    )
    assert isinstance(load("late_arm:Network"), nn.Module)
    assert str(tmp_path) not in sys.path
