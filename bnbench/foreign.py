"""A user's own arm: ``package.module:factory``, imported, checked and made fit for a plane.

The factory is called as ``factory(image_shape, classes)`` and returns a fresh module that maps
images (B, C, H, W) to logits (B, classes).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.utils import parametrize

from bnbench.errors import ArmError
from bnbench.loading import at_home, factory_of, first_line, guest, use_module_path
from bnbench.models import Factory, arm_factory, uses_bn
from bnbench.mpo.batched import batched_logits
from bnbench.mpo.plane import flatten, fresh_network
from bnbench.sections import NetworkProtocol

_OFFSET = 0.5


class Reparametrized(nn.Module):
    """A scale that is 1 in every fresh network, stored as U[-0.5, 0.5] and used as stored + 0.5."""

    def forward(self, stored: Tensor) -> Tensor:
        """The scale that the layer uses."""
        return stored + _OFFSET

    def right_inverse(self, used: Tensor) -> Tensor:
        """The stored value of a used one."""
        return used - _OFFSET


def load_arm(arm: str, image_shape: tuple[int, int, int], classes: int, network: NetworkProtocol) -> Factory:
    """A function without arguments that makes a fresh network of any arm, built in or a user's own.

    Raises:
        ArmError: a foreign factory cannot be imported, or what it makes cannot work.
        ValueError: an unknown name.
    """
    if ":" not in arm:
        return arm_factory(arm, image_shape, classes, network)
    factory = partial(_made, arm, factory_of(arm), image_shape, classes)
    with guest(arm):
        use_module_path(arm)
        scales = _check(arm, factory, image_shape, classes)
    return partial(_reparametrized, factory, scales)


def _made(arm: str, factory: Callable[..., object], image_shape: tuple[int, int, int], classes: int) -> nn.Module:
    try:
        with at_home(arm):
            module = factory(image_shape, classes)
    except (Exception, SystemExit) as error:
        advice = "; make it accept image shape and number of classes" if isinstance(error, TypeError) else ""
        raise ArmError(
            f"--arms {arm} failed when called as factory({image_shape}, {classes}) ({first_line(error)}){advice}."
        ) from error
    if not isinstance(module, nn.Module):
        raise ArmError(
            f"--arms {arm} made something of type {type(module).__name__}; make it return a torch.nn.Module."
        )
    return module


def _reparametrized(factory: Factory, scales: list[str]) -> nn.Module:
    """A fresh network whose named scales are drawn and stored as the bn arm's are."""
    module = factory()
    for name in scales:
        path, _, leaf = name.rpartition(".")
        owner = module.get_submodule(path)
        parametrize.register_parametrization(owner, leaf, Reparametrized())
        nn.init.uniform_(getattr(owner.parametrizations, leaf).original, -0.5, 0.5)
    return module


def _check(arm: str, factory: Factory, image_shape: tuple[int, int, int], classes: int) -> list[str]:
    """Names of the scales to reparametrize.

    Raises:
        ArmError: the module cannot work on a plane.
    """
    try:
        return _checked(arm, factory, image_shape, classes)
    except ArmError:
        raise
    except (Exception, SystemExit) as error:
        raise ArmError(
            f"--arms {arm} cannot be used ({first_line(error)}); make a network whose parameters are the same in "
            "number and shape each time and are there from the start."
        ) from error


def _checked(arm: str, factory: Factory, image_shape: tuple[int, int, int], classes: int) -> list[str]:
    first, again, second = (fresh_network(factory, seed) for seed in (1, 1, 2))
    _check_layers(arm, first)
    if [weights.shape for weights in first.parameters()] != [weights.shape for weights in second.parameters()]:
        raise ArmError(f"--arms {arm} makes networks of different sizes; make it the same size each time.")
    if not torch.equal(flatten(first), flatten(again)):
        raise ArmError(f"--arms {arm} is not the same network twice from one seed; draw its weights with torch alone.")
    scales = _constant_scales(arm, first, second)
    module = fresh_network(partial(_reparametrized, factory, scales), 1)
    images = torch.rand(4, *image_shape, generator=torch.Generator().manual_seed(0))
    buffers = {name: buffer.clone() for name, buffer in module.named_buffers()}
    logits, batched = _outputs(arm, module, images)
    if logits.shape != (len(images), classes):
        raise ArmError(
            f"--arms {arm} gives outputs of shape {tuple(logits.shape)} for {len(images)} images; "
            f"make it ({len(images)}, {classes})."
        )
    if any(not torch.equal(buffer, buffers[name]) for name, buffer in module.named_buffers()):
        raise ArmError(f"--arms {arm} changes its buffers in forward; no point of a plane has a state: leave it out.")
    if not torch.allclose(batched[1], logits, rtol=1e-3, atol=1e-4):
        raise ArmError(
            f"--arms {arm} gives other outputs for the same weights and images; make forward a function of both alone."
        )
    alone = _outputs(arm, module, images[:2])[0]
    if not uses_bn(module) and not torch.allclose(alone, logits[:2], rtol=1e-3, atol=1e-4):
        raise ArmError(
            f"--arms {arm}: an image's output depends on the images beside it; "
            "normalize over the batch with bnbench.BatchNorm, which evaluation knows about."
        )
    return scales


def _outputs(arm: str, module: nn.Module, images: Tensor) -> tuple[Tensor, Tensor]:
    """A module's logits by itself, (B, classes), and as two of many networks at once, (2, B, classes)."""
    try:
        logits = functional_call(module, dict(module.named_parameters()), (images,))
        names = [name for name, _ in module.named_parameters()]
        together = [torch.stack([parameter.detach()] * 2) for parameter in module.parameters()]
        return logits, batched_logits(module, names, together, torch.stack([images] * 2))
    except (Exception, SystemExit) as error:
        raise ArmError(
            f"--arms {arm} cannot run under torch.func.vmap ({first_line(error)}); "
            "use layers without random numbers or in-place state."
        ) from error


def _check_layers(arm: str, module: nn.Module) -> None:
    for name, layer in module.named_modules():
        where = f"--arms {arm}: layer {name} ({type(layer).__name__})"
        if isinstance(layer, nn.modules.batchnorm._BatchNorm) or getattr(layer, "track_running_stats", False):
            raise ArmError(f"{where} keeps running statistics, which no point of a plane has; use bnbench.BatchNorm.")
        if isinstance(layer, nn.modules.dropout._DropoutNd) and layer.p > 0:
            raise ArmError(f"{where} draws random numbers without a generator; leave it out or give p = 0.")
    if not any(True for _ in module.parameters()):
        raise ArmError(
            f"--arms {arm} has no parameters, so there is no plane of its weights; give a network with weights."
        )


def _constant_scales(arm: str, first: nn.Module, second: nn.Module) -> list[str]:
    """Parameters that are 1 in every fresh network; zeros (biases) are fine, other constants are not."""
    scales: list[str] = []
    for (name, parameter), other in zip(first.named_parameters(), second.parameters(), strict=True):
        if not parameter.is_floating_point():
            raise ArmError(
                f"--arms {arm}: parameter {name} is {parameter.dtype}; planes take real floating-point weights."
            )
        if not parameter.requires_grad:
            raise ArmError(
                f"--arms {arm}: parameter {name} is frozen, but a plane trains all of them; make it a buffer."
            )
        if not torch.equal(parameter, other) or not parameter.any():
            continue
        if not torch.equal(parameter, torch.ones_like(parameter)):
            raise ArmError(
                f"--arms {arm}: parameter {name} starts the same in every fresh network, so three of them "
                "span no plane in it; draw it at random or make it a buffer."
            )
        scales.append(name)
    return scales
