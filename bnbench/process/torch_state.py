"""What torch keeps for a whole process or thread, where it offers no pair of functions to read and set it."""

from __future__ import annotations

from typing import Any

import torch
from torch.nn.modules import module as hooks
from torch.overrides import _get_current_function_mode_stack
from torch.utils import _python_dispatch as dispatch

_GLOBAL_HOOKS = [name for name, value in vars(hooks).items() if name.startswith("_global_") and isinstance(value, dict)]
_GUARDS: list[Any] = []


def read_default_device() -> torch.device | None:
    """Return where new tensors lie; None as long as nobody has set it."""
    context = getattr(torch._GLOBAL_DEVICE_CONTEXT, "device_context", None)
    return context.device if context else None


def read_modes() -> list[Any]:
    """Return the modes that are on for torch's functions, but for the one that is the default device."""
    default = getattr(torch._GLOBAL_DEVICE_CONTEXT, "device_context", None)
    return [mode for mode in _get_current_function_mode_stack() if mode is not default]


def write_modes(modes: list[Any]) -> None:
    """Switch on these modes, and no others."""
    there = _get_current_function_mode_stack()
    default = [mode for mode in there if mode not in read_modes()]
    for _ in there:
        torch._C._pop_torch_function_stack()
    for mode in (*default, *modes):
        torch._C._push_on_torch_function_stack(mode)


def write_dispatch_modes(modes: list[Any]) -> None:
    """Switch on these modes below torch's functions, and no others."""
    for _ in dispatch._get_current_dispatch_mode_stack():
        dispatch._pop_mode()
    for mode in modes:
        dispatch._push_mode(mode)


def write_inference(value: bool) -> None:
    """Switch inference mode, whoever has left it on."""
    guard = torch._C._InferenceMode(value)
    guard.__enter__()
    _GUARDS.append(guard)  # its end would switch back


def read_determinism() -> tuple[bool, bool]:
    """Return whether torch was told to be deterministic, and whether only to warn."""
    return torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled()


def write_determinism(value: tuple[bool, bool]) -> None:
    """Set what :func:`read_determinism` gave."""
    torch.use_deterministic_algorithms(value[0], warn_only=value[1])


def read_anomaly() -> tuple[bool, bool]:
    """Return whether autograd looks for anomalies, and for NaN among them."""
    return torch.is_anomaly_enabled(), torch.is_anomaly_check_nan_enabled()


def write_anomaly(value: tuple[bool, bool]) -> None:
    """Set what :func:`read_anomaly` gave."""
    torch.set_anomaly_enabled(*value)


def read_dispatch_modes() -> list[Any]:
    """Return the modes that are on below torch's functions."""
    return list(dispatch._get_current_dispatch_mode_stack())


def read_autocast() -> tuple[Any, ...]:
    """Return for CPU and GPU whether autocast is on and its type, then whether it caches."""
    kinds = ("cpu", "cuda")
    each = [(torch.is_autocast_enabled(kind), torch.get_autocast_dtype(kind)) for kind in kinds]
    return (*each, torch.is_autocast_cache_enabled())


def write_autocast(value: tuple[Any, ...]) -> None:
    """Set what :func:`read_autocast` gave."""
    for kind, (is_enabled, dtype) in zip(("cpu", "cuda"), value[:2], strict=True):
        torch.set_autocast_enabled(kind, is_enabled)
        torch.set_autocast_dtype(kind, dtype)
    torch.set_autocast_cache_enabled(value[2])


def flushes_denormals() -> bool:
    """Return whether numbers below the normal range become 0; torch tells nobody, so it is tried."""
    return not bool(torch.tensor(1e-310, dtype=torch.float64, device="cpu").mul(1.0))


def read_hooks() -> list[dict[Any, Any]]:
    """Return the hooks that every module calls."""
    return [dict(getattr(hooks, name)) for name in _GLOBAL_HOOKS]


def write_hooks(value: list[dict[Any, Any]]) -> None:
    """Set these hooks, and no others."""
    for name, before in zip(_GLOBAL_HOOKS, value, strict=True):
        now = getattr(hooks, name)
        now.clear()
        now.update(before)
