"""Parameters that are the same in every fresh network, made fit for a plane through three of them."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from bnbench.errors import ArmError

_OFFSET = 0.5
_SHIFTS = ("bias", "beta", "shift")


class Reparametrized(nn.Module):
    """A scale that is 1 in every fresh network, stored as U[-0.5, 0.5] and used as stored + 0.5."""

    def forward(self, stored: Tensor) -> Tensor:
        """Return the scale that the layer uses."""
        return stored + _OFFSET

    def right_inverse(self, used: Tensor) -> Tensor:
        """Return the stored value of a used one."""
        return used - _OFFSET


class Started(nn.Module):
    """A vector or number that is the same in every fresh network, stored as 0 and used as stored + start."""

    start: Tensor

    def __init__(self, start: Tensor) -> None:
        super().__init__()
        self.register_buffer("start", start.detach().clone())

    def forward(self, stored: Tensor) -> Tensor:
        """Return the value that the layer uses."""
        return stored + self.start

    def right_inverse(self, used: Tensor) -> Tensor:
        """Return the stored value of a used one."""
        return used - self.start


@dataclass(frozen=True)
class Constants:
    """Names of the parameters that are the same, and not zero, in every fresh network of an arm.

    Attributes:
        scales: scales of normalization layers, which are 1.
        others: numbers and vectors: gates, temperatures, slopes, biases that do not start at 0.
    """

    scales: tuple[str, ...] = ()
    others: tuple[str, ...] = ()


def constants_of(arm: str, first: nn.Module, second: nn.Module) -> Constants:
    """Find the parameters that two fresh networks have in common; zeros, such as biases, are fine as they are.

    Raises:
        ArmError: a whole matrix is the same in both.
    """
    scales: list[str] = []
    others: list[str] = []
    for (name, parameter), other in zip(first.named_parameters(), second.parameters(), strict=True):
        if not torch.equal(parameter, other) or not parameter.any():
            continue
        if _is_scale(first, name, parameter):
            scales.append(name)
        elif sum(size > 1 for size in parameter.shape) <= 1:
            others.append(name)
        else:
            raise ArmError(
                f"--arms {arm}: parameter {name} starts the same in every fresh network, so three of them "
                "span no plane in it; draw it at random, without a seed of your own or trained weights, "
                "or make it a buffer."
            )
    return Constants(tuple(scales), tuple(others))


def _is_scale(module: nn.Module, name: str, parameter: Tensor) -> bool:
    """Return whether a parameter is of a layer whose class is called a norm, starts at 1 and is not called a shift."""
    path, _, leaf = name.rpartition(".")
    classes = type(module.get_submodule(path)).__mro__
    is_norm = any("norm" in base.__name__.lower() for base in classes)
    return is_norm and not any(word in leaf.lower() for word in _SHIFTS) and bool((parameter == 1).all())


def reparametrize(module: nn.Module, constants: Constants) -> nn.Module:
    """Store a fresh network's constants otherwise, its scales drawn as the bn arm's are; returns the same module."""
    for name in constants.scales:
        nn.init.uniform_(_store_otherwise(module, name, Reparametrized()), -0.5, 0.5)
    for name in constants.others:
        _store_otherwise(module, name, Started(module.get_parameter(name)))
    return module


def _store_otherwise(module: nn.Module, name: str, parametrization: nn.Module) -> Tensor:
    """Reparametrize one parameter in every layer that holds it; returns what they store, which they share."""
    parameter = module.get_parameter(name)
    places = [
        (layer, leaf)
        for layer in module.modules()
        for leaf, own in layer.named_parameters(recurse=False, remove_duplicate=False)
        if own is parameter
    ]
    originals = []
    for layer, leaf in places:
        parametrize.register_parametrization(layer, leaf, parametrization)
        stored = getattr(layer.parametrizations, leaf)
        originals.append(stored.original)
        stored.original = originals[0]
    first: Tensor = originals[0]
    return first
