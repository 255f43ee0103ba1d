"""What holds for a whole process: put back after foreign code has run, and set anew before each fit.

An arm is somebody's code. What it sets for the process, while it is imported, makes a network or is trained,
must reach no other fit. ``SETTINGS`` is the one table of how each such setting is read and set.
"""

from __future__ import annotations

import gc
import locale
import multiprocessing
import os
import random
import signal
import socket
import sys
import threading
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import backends

from bnbench.process import python_state, torch_state

_AS_IT_IS = object()
_LIBRARIES = ("environment", "start method")  # what joblib leaves changed
_ASKED = ("threads", "float32_matmul_precision", "cudnn.allow_tf32")  # what a fit asks for
_MIXED = "mixed"  # torch has an older and a newer way to set a precision, and reads neither once they were mixed


@dataclass(frozen=True)
class Setting:
    """One setting of this process.

    Attributes:
        name: what a message calls it.
        read: its value now.
        write: gives it a value that ``read`` returned.
        fresh: what every fit starts with; by default whatever it is.
        is_recorded: whether a fit's provenance says what was in force.
        is_stream: whether it is a stream of random numbers, which every use changes.
        spoils: whether it changes what other code does: an arm that leaves it changed is refused.
    """

    name: str
    read: Callable[[], Any]
    write: Callable[[Any], object]
    fresh: Any = _AS_IT_IS
    is_recorded: bool = False
    is_stream: bool = False
    spoils: bool = False

    def value(self) -> Any:
        """Return its value now; ``mixed`` where torch refuses to say."""
        try:
            return self.read()
        except RuntimeError:
            return _MIXED


def _attribute(owner: Any, attribute: str, name: str = "", **how: Any) -> Setting:
    """Make a setting that is an attribute of something."""

    def write(value: Any) -> None:
        setattr(owner, attribute, value)

    return Setting(name or attribute, lambda: getattr(owner, attribute), write, **how)


def _torch(name: str, read: str, write: str, fresh: Any = _AS_IT_IS, **how: Any) -> Setting:
    """Make a setting that torch has a pair of functions for."""
    return Setting(name, getattr(torch, read), getattr(torch, write), fresh, **how)


def _precision(owner: Any, name: str, fresh: Any = _AS_IT_IS) -> tuple[Setting, ...]:
    """Make settings of the newer of torch's two ways to say how float32 is computed, where this torch has it."""
    return (_attribute(owner, "fp32_precision", name, fresh=fresh),) if hasattr(owner, "fp32_precision") else ()


_RECORDED: dict[str, Any] = {"is_recorded": True}
_matmul, _cudnn, _mkldnn = backends.cuda.matmul, backends.cudnn, backends.mkldnn
# In this order: the default device before other modes, since torch keeps it among them, and modes before what they
# could spoil; the newer way to set a precision before the older one, which sets some of the newer's; inference mode
# before gradients, which it switches.
SETTINGS: tuple[Setting, ...] = (
    Setting("default_device", torch_state.read_default_device, torch.set_default_device, None, **_RECORDED),
    Setting("torch's function modes", torch_state.read_modes, torch_state.write_modes, spoils=True),
    Setting("torch's dispatch modes", torch_state.read_dispatch_modes, torch_state.write_dispatch_modes, spoils=True),
    Setting("torch's global hooks", torch_state.read_hooks, torch_state.write_hooks, spoils=True),
    _torch("default_dtype", "get_default_dtype", "set_default_dtype", torch.float32, **_RECORDED),
    *_precision(backends, "fp32_precision", "none"),
    *_precision(_matmul, "cuda.matmul.fp32_precision"),
    *_precision(getattr(_cudnn, "conv", None), "cudnn.conv.fp32_precision"),
    *_precision(getattr(_cudnn, "rnn", None), "cudnn.rnn.fp32_precision"),
    *_precision(getattr(_mkldnn, "matmul", None), "mkldnn.matmul.fp32_precision"),
    *_precision(getattr(_mkldnn, "conv", None), "mkldnn.conv.fp32_precision", "none"),
    *_precision(getattr(_mkldnn, "rnn", None), "mkldnn.rnn.fp32_precision", "none"),
    Setting(
        "float32_matmul_precision", torch.get_float32_matmul_precision, torch.set_float32_matmul_precision, **_RECORDED
    ),
    _attribute(_cudnn, "allow_tf32", "cudnn.allow_tf32", **_RECORDED),
    _attribute(_cudnn, "enabled", "cudnn.enabled", fresh=True, **_RECORDED),
    _attribute(_cudnn, "benchmark", "cudnn.benchmark", fresh=False, **_RECORDED),
    _attribute(_cudnn, "deterministic", "cudnn.deterministic", fresh=True, **_RECORDED),
    _attribute(_mkldnn, "enabled", "mkldnn.enabled", fresh=True, **_RECORDED),
    _attribute(_matmul, "allow_fp16_reduced_precision_reduction"),
    _attribute(_matmul, "allow_bf16_reduced_precision_reduction"),
    _attribute(backends.opt_einsum, "enabled", "opt_einsum.enabled"),
    Setting("flash_sdp", backends.cuda.flash_sdp_enabled, backends.cuda.enable_flash_sdp),
    Setting("math_sdp", backends.cuda.math_sdp_enabled, backends.cuda.enable_math_sdp),
    Setting("mem_efficient_sdp", backends.cuda.mem_efficient_sdp_enabled, backends.cuda.enable_mem_efficient_sdp),
    Setting(
        "deterministic_algorithms",
        torch_state.read_determinism,
        torch_state.write_determinism,
        (False, False),
        **_RECORDED,
    ),
    _attribute(torch.utils.deterministic, "fill_uninitialized_memory"),
    _torch("threads", "get_num_threads", "set_num_threads", **_RECORDED),
    _torch("interop_threads", "get_num_interop_threads", "set_num_interop_threads", **_RECORDED),
    Setting("inference", torch.is_inference_mode_enabled, torch_state.write_inference, False, **_RECORDED),
    _torch("grad", "is_grad_enabled", "set_grad_enabled", True, **_RECORDED),
    Setting("autocast", torch_state.read_autocast, torch_state.write_autocast),
    Setting("anomaly", torch_state.read_anomaly, torch_state.write_anomaly, (False, True)),
    Setting("flush_denormal", torch_state.flushes_denormals, torch.set_flush_denormal, False, **_RECORDED),
    Setting("backward_threads", torch._C._is_multithreading_enabled, torch._C._set_multithreading_enabled),
    _torch("warn_always", "is_warn_always_enabled", "set_warn_always"),
    _torch("torch's random numbers", "get_rng_state", "set_rng_state", is_stream=True),
    Setting("numpy's random numbers", np.random.get_state, np.random.set_state, is_stream=True),
    Setting("random's random numbers", random.getstate, random.setstate, is_stream=True),
    Setting("numpy's errors", np.geterr, lambda value: np.seterr(**value)),
    # Of Python and of the system.
    Setting("warning filters", lambda: list(warnings.filters), python_state.write_filters),
    _attribute(warnings, "showwarning"),
    Setting("environment", lambda: dict(os.environ), python_state.write_environment),
    Setting("working directory", python_state.read_folder, python_state.write_folder),
    Setting("module path", lambda: list(sys.path), python_state.write_path),
    Setting("signal handlers", python_state.read_handlers, python_state.write_handlers),
    Setting("alarm clock", lambda: any(signal.getitimer(signal.ITIMER_REAL)), python_state.write_timer),
    Setting("umask", python_state.read_umask, os.umask),
    Setting("limits", python_state.read_limits, python_state.write_limits),
    Setting("logging", python_state.read_logging, python_state.write_logging),
    Setting("locale", lambda: locale.setlocale(locale.LC_ALL), lambda value: locale.setlocale(locale.LC_ALL, value)),
    Setting("recursion limit", sys.getrecursionlimit, sys.setrecursionlimit),
    Setting("trace function", sys.gettrace, sys.settrace),
    Setting("profile function", sys.getprofile, sys.setprofile),
    Setting("garbage collection", gc.isenabled, lambda value: (gc.enable if value else gc.disable)()),
    Setting("socket timeout", socket.getdefaulttimeout, socket.setdefaulttimeout),
    Setting(
        "start method",
        lambda: multiprocessing.get_start_method(allow_none=True),
        lambda value: multiprocessing.set_start_method(value, force=True),
    ),
    *(_attribute(sys, name) for name in ("stdin", "stdout", "stderr", "excepthook", "unraisablehook", "displayhook")),
    _attribute(threading, "excepthook", "threading.excepthook"),
)


def read_settings(*, with_streams: bool = True) -> dict[str, Any]:
    """Return the value of each setting now; without the streams of random numbers if those may go on."""
    return {setting.name: setting.value() for setting in SETTINGS if with_streams or not setting.is_stream}


def put_back(before: Mapping[str, Any]) -> list[Setting]:
    """Give every setting the value that it had.

    Returns:
        Those that had another one, streams of random numbers apart.
    """
    changed = _write_back(before)
    _write_back(before)  # torch's older settings of precision have touched the newer ones
    return [setting for setting in changed if not setting.is_stream]


def _write_back(before: Mapping[str, Any]) -> list[Setting]:
    changed: list[Setting] = []
    for setting in SETTINGS:
        if setting.name in before and _differ(setting.value(), before[setting.name]):
            changed.append(setting)
            if before[setting.name] is not _MIXED:
                with suppress(OSError, ValueError, RuntimeError):  # such as a working directory that is gone
                    setting.write(before[setting.name])
    return changed


def set_anew(threads: int, precision: str = "float32") -> None:
    """Set all that a fit's numbers depend on, whatever the process was left with.

    Args:
        threads: processor threads of a fit.
        precision: of the protocol: ``float32``, or ``tf32`` on a GPU.
    """
    fast = precision == "tf32"
    asked = dict(zip(_ASKED, (threads, "high" if fast else "highest", fast), strict=True))
    for setting in SETTINGS:
        fresh = asked.get(setting.name, setting.fresh)
        if fresh is not _AS_IT_IS and (setting.name in asked or _differ(setting.value(), fresh)):
            setting.write(fresh)


@contextmanager
def as_it_was() -> Iterator[None]:
    """Give whatever a sweep sets or draws from its value back at the end: a notebook goes on as it was."""
    before = {setting.name: setting.value() for setting in SETTINGS if _is_touched(setting)}
    try:
        yield
    finally:
        put_back(before)


def _is_touched(setting: Setting) -> bool:
    """Say whether a sweep changes a setting; torch's older settings of precision change the newer ones with them."""
    is_set_anew = setting.fresh is not _AS_IT_IS or setting.name in _ASKED
    return is_set_anew or setting.is_stream or setting.name in _LIBRARIES or setting.name.endswith("fp32_precision")


def in_force() -> dict[str, str]:
    """Return what a fit's numbers depend on, as it is now: name to value."""
    return {setting.name: str(setting.value()).removeprefix("torch.") for setting in SETTINGS if setting.is_recorded}


def _differ(now: Any, before: Any) -> bool:
    try:
        return now is not before and bool(now != before)
    except (ValueError, RuntimeError, TypeError):  # arrays and tensors have no single answer
        return True
