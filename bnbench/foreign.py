"""A user's own arm: ``package.module:factory``, imported, and made fit for a plane.

The factory is called as ``factory(image_shape, classes)`` and returns a fresh module that maps
images (B, C, H, W) to logits (B, classes).
"""

from __future__ import annotations

import hashlib
import importlib
import sys
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from inspect import signature
from pathlib import Path

from torch import nn

from bnbench.arm_checks import check_arm
from bnbench.arm_scales import Constants, reparametrize
from bnbench.errors import ArmError
from bnbench.models import Factory, arm_factory
from bnbench.protocol import BUILT_IN
from bnbench.sections import NetworkProtocol


def load_arm(arm: str, image_shape: tuple[int, int, int], classes: int, network: NetworkProtocol) -> Factory:
    """A function without arguments that makes a fresh network of any arm, built in or a user's own.

    Raises:
        ArmError: a foreign factory cannot be imported, or what it makes cannot work.
        ValueError: an unknown name.
    """
    if ":" not in arm:
        return arm_factory(arm, image_shape, classes, network)
    factory = partial(_made, arm, _import(arm), image_shape, classes)
    constants = check_arm(arm, factory, image_shape, classes)
    return partial(_reparametrized, factory, constants)


def arm_source(arm: str) -> str:
    """Hash of the file that defines a user arm's factory; empty for a built-in arm, whose code the revision covers.

    Files that this one imports are not part of it.
    """
    if ":" not in arm:
        return ""
    _import(arm)
    source = sys.modules[arm.partition(":")[0]].__file__
    return hashlib.sha256(Path(source).read_bytes()).hexdigest()[:12] if source else ""


def _import(arm: str) -> Callable[..., object]:
    module_name, _, name = arm.partition(":")
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.insert(0, here)
    try:
        factory = getattr(importlib.import_module(module_name), name)
    except (Exception, SystemExit) as error:
        raise ArmError(
            f"--arms {arm} cannot be imported ({_first_line(error)}); "
            f"give {', '.join(BUILT_IN)} or package.module:factory."
        ) from error
    if not callable(factory):
        raise ArmError(
            f"--arms {arm} is of type {type(factory).__name__}; give a function factory(image_shape, classes)."
        )
    found: Callable[..., object] = factory
    return found


def _made(arm: str, factory: Callable[..., object], image_shape: tuple[int, int, int], classes: int) -> nn.Module:
    try:
        module = factory(image_shape, classes)
    except (Exception, SystemExit) as error:
        advice = "" if _takes_two(factory) else "; make it accept image shape and number of classes"
        raise ArmError(
            f"--arms {arm} failed when called as factory({image_shape}, {classes}) ({_first_line(error)}){advice}."
        ) from error
    if not isinstance(module, nn.Module):
        raise ArmError(
            f"--arms {arm} made something of type {type(module).__name__}; make it return a torch.nn.Module."
        )
    return module


def _takes_two(factory: Callable[..., object]) -> bool:
    """Whether a factory can be called with two arguments, as far as can be known."""
    with suppress(ValueError):  # some that are written in C have no signature
        try:
            signature(factory).bind(0, 0)
        except TypeError:
            return False
    return True


def _reparametrized(factory: Factory, constants: Constants) -> nn.Module:
    return reparametrize(factory(), constants)


def _first_line(error: BaseException) -> str:
    return f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else 'no message'}"
