"""A user's own arm: ``package.module:factory``, imported, and made fit for a plane.

The factory is called as ``factory(image_shape, classes)`` and returns a fresh module that maps
images (B, C, H, W) to logits (B, classes).
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from functools import partial
from inspect import signature

from torch import nn

from bnbench.arms.checks import check_arm
from bnbench.arms.foreign_errors import first_line
from bnbench.arms.loading import factory_of, foreign_code, use_module_path, with_module_path
from bnbench.arms.networks import Factory, arm_factory
from bnbench.arms.scales import Constants, reparametrize
from bnbench.errors import ArmError
from bnbench.protocol.protocol import is_own_arm
from bnbench.protocol.sections import NetworkProtocol


def load_arm(arm: str, image_shape: tuple[int, int, int], classes: int, network: NetworkProtocol) -> Factory:
    """Return a function without arguments that makes a fresh network of any arm, built in or a user's own.

    Raises:
        ArmError: a foreign factory cannot be imported, or what it makes cannot work.
        ValueError: an unknown name.
    """
    if not is_own_arm(arm):
        return arm_factory(arm, image_shape, classes, network)
    factory = partial(_made, arm, factory_of(arm), image_shape, classes)
    with foreign_code(arm):
        use_module_path(arm)
        constants = check_arm(arm, factory, image_shape, classes)
    return partial(_reparametrized, factory, constants)


def _made(arm: str, factory: Callable[..., object], image_shape: tuple[int, int, int], classes: int) -> nn.Module:
    try:
        with with_module_path(arm):
            module = factory(image_shape, classes)
    except (Exception, SystemExit) as error:
        advice = "" if _takes_two(factory) else "; make it accept image shape and number of classes"
        raise ArmError(
            f"--arms {arm} failed when called as factory({image_shape}, {classes}) ({first_line(error)}){advice}."
        ) from error
    if not isinstance(module, nn.Module):
        raise ArmError(
            f"--arms {arm} made something of type {type(module).__name__}; make it return a torch.nn.Module."
        )
    return module


def _takes_two(factory: Callable[..., object]) -> bool:
    """Return whether a factory can be called with two arguments, as far as can be known."""
    with suppress(ValueError):  # some that are written in C have no signature
        try:
            signature(factory).bind(0, 0)
        except TypeError:
            return False
    return True


def _reparametrized(factory: Factory, constants: Constants) -> nn.Module:
    return reparametrize(factory(), constants)
