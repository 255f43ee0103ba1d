"""Whatever code sets for its process is put back, and a fit starts with settings of its own."""

from __future__ import annotations

import gc
import locale
import logging
import os
import random
import signal
import socket
import sys
import threading
import warnings
from collections.abc import Callable
from multiprocessing import get_start_method, set_start_method
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import backends, nn
from torch.utils.flop_counter import FlopCounterMode

from bnbench.process.replaced import Code
from bnbench.process.surroundings import SETTINGS, in_force, put_back, read_settings, set_anew
from tests.rough_arms import Doubling

_HELD: list[Any] = []


def enter(mode: Any) -> None:
    mode.__enter__()
    _HELD.append(mode)


# Setting, as its table calls it, to code that changes it.
CHANGES: dict[str, Callable[[], Any]] = {
    "default_dtype": lambda: torch.set_default_dtype(torch.float64),
    "default_device": lambda: torch.set_default_device("meta"),
    "fp32_precision": lambda: setattr(backends, "fp32_precision", "tf32"),
    "cuda.matmul.fp32_precision": lambda: setattr(
        backends.cuda.matmul, "fp32_precision", "ieee" if backends.cuda.matmul.fp32_precision == "tf32" else "tf32"
    ),
    "mkldnn.conv.fp32_precision": lambda: setattr(backends.mkldnn.conv, "fp32_precision", "bf16"),  # type: ignore[attr-defined]  # torch says nothing of it
    "float32_matmul_precision": lambda: torch.set_float32_matmul_precision("medium"),
    "cudnn.allow_tf32": lambda: setattr(backends.cudnn, "allow_tf32", not backends.cudnn.allow_tf32),
    "cudnn.enabled": lambda: setattr(backends.cudnn, "enabled", False),
    "cudnn.benchmark": lambda: setattr(backends.cudnn, "benchmark", True),
    "cudnn.deterministic": lambda: setattr(backends.cudnn, "deterministic", not backends.cudnn.deterministic),
    "mkldnn.enabled": lambda: backends.mkldnn.set_flags(False),
    "flash_sdp": lambda: backends.cuda.enable_flash_sdp(False),
    "deterministic_algorithms": lambda: torch.use_deterministic_algorithms(True, warn_only=True),
    "fill_uninitialized_memory": lambda: setattr(torch.utils.deterministic, "fill_uninitialized_memory", False),
    "threads": lambda: torch.set_num_threads(3),
    "grad": lambda: torch.set_grad_enabled(False),
    "inference": lambda: enter(torch.inference_mode()),
    "autocast": lambda: torch.set_autocast_enabled("cpu", True),
    "anomaly": lambda: torch.autograd.set_detect_anomaly(True),
    "flush_denormal": lambda: torch.set_flush_denormal(True),
    "backward_threads": lambda: torch.autograd.set_multithreading_enabled(False),
    "warn_always": lambda: torch.set_warn_always(True),
    "torch's function modes": lambda: enter(Doubling()),
    "torch's dispatch modes": lambda: enter(FlopCounterMode(display=False)),
    "torch's global hooks": lambda: nn.modules.module.register_module_forward_hook(lambda *found: None),
    "numpy's errors": lambda: np.seterr(all="raise"),
    "warning filters": lambda: warnings.simplefilter("ignore"),
    "showwarning": lambda: setattr(warnings, "showwarning", print),
    "environment": lambda: os.environ.update(BNBENCH_TEST="1"),
    "working directory": lambda: os.chdir("/"),
    "module path": lambda: sys.path.insert(0, "/nowhere"),
    "signal handlers": lambda: signal.signal(signal.SIGTERM, signal.SIG_IGN),
    "alarm clock": lambda: signal.alarm(1_000),
    "umask": lambda: os.umask(0o123),
    "logging": lambda: logging.disable(logging.CRITICAL),
    "locale": lambda: locale.setlocale(locale.LC_ALL, "C"),
    "recursion limit": lambda: sys.setrecursionlimit(12_345),
    "profile function": lambda: sys.setprofile(lambda *found: None),
    "garbage collection": gc.disable,
    "socket timeout": lambda: socket.setdefaulttimeout(9.0),
    "start method": lambda: set_start_method({"fork": "spawn"}.get(get_start_method(), "fork"), force=True),
    "stdout": lambda: setattr(sys, "stdout", sys.stderr),
    "excepthook": lambda: setattr(sys, "excepthook", print),
    "threading.excepthook": lambda: setattr(threading, "excepthook", print),
}


@pytest.mark.parametrize("name", CHANGES)
def test_what_is_set_is_put_back_and_named(name: str) -> None:
    if name == "alarm clock":
        signal.setitimer(signal.ITIMER_REAL, 0)  # one that ran before is left alone, such as that of a test's own limit
    before = read_settings(with_streams=False)
    CHANGES[name]()
    changed = {setting.name for setting in put_back(before)}
    after = read_settings(with_streams=False)
    assert {other for other in before if before[other] != after[other]} == set()
    assert name in changed or (name == "locale" and not changed)


def test_a_fit_starts_with_its_own_settings_whatever_the_process_was_left_with() -> None:
    before = read_settings()
    set_anew(1)
    asked = in_force()
    assert (asked["threads"], asked["float32_matmul_precision"], asked["default_dtype"]) == ("1", "highest", "float32")
    fresh = [setting.name for setting in SETTINGS if setting.is_recorded and setting.name in CHANGES]
    try:
        for name in fresh:
            CHANGES[name]()
        assert {name for name in fresh if in_force()[name] != asked[name]} == set(fresh)
        set_anew(1)
        assert in_force() == asked
        set_anew(2, "tf32")
        assert (in_force()["threads"], in_force()["float32_matmul_precision"]) == ("2", "high")
        assert in_force()["cudnn.allow_tf32"] == "True"
    finally:
        put_back(before)


def test_streams_of_random_numbers_go_on_or_are_put_back_as_asked() -> None:
    for draw in (lambda: torch.rand(3).tolist(), lambda: random.random(), lambda: np.random.random()):
        before = read_settings()
        first = draw()
        assert put_back(before) == []
        assert draw() == first
        going_on = read_settings(with_streams=False)
        second = draw()
        put_back(going_on)
        assert draw() != second


class Own(nn.Linear):
    """A class that code may do with as it likes."""


@pytest.mark.parametrize(
    ("owner", "name", "label"),
    [
        (torch, "relu", "torch.relu"),
        (torch.nn.functional, "relu", "torch.nn.functional.relu"),
        (torch.Tensor, "__add__", "torch.Tensor.__add__"),
        (torch.Tensor, "mean", "torch.Tensor.mean"),
        (nn.Linear, "forward", "torch.nn.modules.linear.Linear.forward"),
        (nn.ReLU, "__call__", "torch.nn.modules.activation.ReLU.__call__"),
        (nn.init, "xavier_uniform_", "torch.nn.init.xavier_uniform_"),
        (torch.optim.Adam, "step", "torch.optim.adam.Adam.step"),
        (np, "mean", "numpy.mean"),
        (Path, "exists", "pathlib.Path.exists"),
        (Own, "forward", ""),
    ],
)
def test_a_function_that_is_replaced_is_named_and_put_back(
    owner: Any, name: str, label: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    code, original = Code(), getattr(owner, name)
    if not label:
        monkeypatch.setattr(owner, name, original)  # which takes care of what nobody puts back here
    setattr(owner, name, lambda *found, **more: None)
    assert code.put_back() == ([label] if label else []), "what is nobody's but its owner's is left alone"
    assert (getattr(owner, name) == original) == bool(label)
    setattr(owner, "_added_by_a_test", len)  # noqa: B010  # an addition replaces nothing
    assert code.put_back() == []
    delattr(owner, "_added_by_a_test")
