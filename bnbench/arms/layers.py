"""A user's own network looked at without running it, and who of its layers is at work while it runs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import nn
from torch.nn.parameter import UninitializedParameter

from bnbench.errors import ArmError

_INSTEAD: dict[type[nn.RNNBase], str] = {
    kind: f"go through the sequence with nn.{kind.__name__}Cell" for kind in (nn.RNN, nn.GRU)
}
_WRAPPERS = (nn.DataParallel, nn.parallel.DistributedDataParallel)


def check_layers(arm: str, module: nn.Module) -> None:
    """Refuse layers that no point of a plane can have.

    Raises:
        ArmError: running statistics, random numbers, recurrence, a wrapper, a sparse buffer, or no parameters.
    """
    for name, layer in module.named_modules():
        where = f"--arms {arm}: {_called(name, layer)}"
        if isinstance(layer, _WRAPPERS):
            raise ArmError(f"{where} spreads a network over devices, which a fit does itself; give what it wraps.")
        if isinstance(layer, torch.jit.ScriptModule) or _is_compiled(layer):
            raise ArmError(f"{where} is compiled, and its weights cannot be exchanged; give the module as written.")
        if getattr(layer, "track_running_stats", False) and getattr(layer, "running_mean", None) is not None:
            raise ArmError(f"{where} keeps running statistics, which no point of a plane has; use bnbench.BatchNorm.")
        if isinstance(layer, nn.modules.dropout._DropoutNd) and layer.p > 0 and layer.training:
            raise ArmError(
                f"{where} draws random numbers without a generator; leave it out, give p = 0 or call .eval()."
            )
        if isinstance(layer, nn.RNNBase):
            raise ArmError(
                f"{where} is a recurrent layer of torch, which torch.func.vmap cannot carry; "
                f"{_INSTEAD.get(type(layer), 'write its cell with nn.Linear')}."
            )
    for name, buffer in module.named_buffers():
        if buffer.layout != torch.strided:
            raise ArmError(f"--arms {arm}: {layer_named(module, name)} has a sparse buffer {name}; make it dense.")
    if not any(True for _ in module.parameters()):
        raise ArmError(
            f"--arms {arm} has no parameters, so there is no plane of its weights; give a network with weights."
        )


def check_parameters(arm: str, module: nn.Module) -> None:
    """Refuse parameters that are no trained float32 numbers.

    Raises:
        ArmError: the first of them, by name.
    """
    for name, parameter in module.named_parameters():
        where = f"--arms {arm}: parameter {name}"
        if isinstance(parameter, UninitializedParameter):
            raise ArmError(f"{where} has no shape before the first call and cannot be used; give a layer its sizes.")
        if parameter.device.type != "cpu":
            raise ArmError(
                f"{where} lies on {parameter.device}; make networks on the CPU, a fit moves its plane itself."
            )
        if not parameter.is_floating_point():
            raise ArmError(f"{where} is {parameter.dtype}; planes take real floating-point weights.")
        if parameter.dtype != torch.float32:
            raise ArmError(f"{where} is {parameter.dtype}, but planes are torch.float32; call .float() on the module.")
        if not parameter.requires_grad:
            raise ArmError(f"{where} is frozen, but a plane trains all of them; make it a buffer.")


def check_own(arm: str, first: nn.Module, second: nn.Module) -> None:
    """Refuse weights that are not a network's own.

    Raises:
        ArmError: the factory gives one network twice, two networks have a parameter in common, or two parameters of
            one network lie in the same memory.
    """
    if first is second:
        raise ArmError(f"--arms {arm} gives the same network each time; make a fresh one in each call.")
    of_second = {id(parameter) for parameter in second.parameters()}
    lies_at: dict[int, str] = {}
    for name, parameter in first.named_parameters():
        if id(parameter) in of_second:
            raise ArmError(
                f"--arms {arm}: {layer_named(first, name)} has the same parameter {name} in every network; make it in "
                "__init__, not as a global or a default argument."
            )
        other = lies_at.setdefault(parameter.data_ptr(), name) if parameter.numel() else name
        if other != name:
            raise ArmError(
                f"--arms {arm}: parameters {other} and {name} lie in the same memory, but a plane would train two; "
                "share one parameter instead (b.weight = a.weight), or compute one from the other in forward."
            )


def layer_named(module: nn.Module, name: str) -> str:
    """Return the innermost layer that the dotted name of a parameter, buffer or attribute lies in, with its class."""
    layers = dict(module.named_modules())
    path = name
    while path not in layers:
        path = path.rpartition(".")[0]
    return _called(path, layers[path])


def _is_compiled(layer: nn.Module) -> bool:
    return hasattr(layer, "_orig_mod") or getattr(layer, "_compiled_call_impl", None) is not None


def _called(name: str, layer: nn.Module) -> str:
    return f"layer {name} ({type(layer).__name__})" if name else f"the module ({type(layer).__name__})"


class Hooks:
    """Within, two functions of a layer's name are called before and after its forward."""

    def __init__(self, module: nn.Module, before: Callable[[str], Any], after: Callable[[str], Any]) -> None:
        self.handles = []
        for name, layer in module.named_modules():
            self.handles += [
                layer.register_forward_pre_hook(lambda _, __, name=name: before(name) and None),
                layer.register_forward_hook(lambda _, __, ___, name=name: after(name) and None),
            ]

    def __enter__(self) -> Hooks:
        return self

    def __exit__(self, *_: object) -> None:
        for handle in self.handles:
            handle.remove()


def layer_at_fault(module: nn.Module, work: Callable[[], object]) -> str:
    """Return the innermost layer that some work fails in when it is done again; the module where it does not."""
    entered: list[str] = []
    with Hooks(module, entered.append, lambda _: entered.pop()):
        try:
            work()
        except (Exception, SystemExit):
            return layer_named(module, entered[-1] if entered else "")
    return layer_named(module, "")


def layer_that_changes(module: nn.Module, state: Callable[[], object], work: Callable[[], object]) -> str:
    """Return the innermost layer during whose forward some state changes; the module if it is none of its layers."""
    before: dict[str, object] = {}
    changed: list[str] = []

    def compare(name: str) -> None:
        if before[name] != state():
            changed.append(name)

    with Hooks(module, lambda name: before.update({name: state()}), compare):
        work()
    return layer_named(module, changed[0] if changed else "")


def described(value: object) -> str:
    """Return what a forward returned instead of a tensor, in words."""
    name = type(value).__name__
    if isinstance(value, dict) or hasattr(value, "keys"):
        return f"a {name} with {', '.join(map(str, value.keys()))}"
    if isinstance(value, tuple | list):
        return f"a {name} of {len(value)}"
    if hasattr(value, "__dataclass_fields__"):
        return f"a {name} with {', '.join(value.__dataclass_fields__)}"
    return f"a {name}"
