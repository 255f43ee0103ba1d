"""Arms that do to their process what no arm should: each in the forward pass of its training alone.

``ROUGH`` is the table: what an arm does, and what the failure of its fit has to name.
"""

from __future__ import annotations

import json
import os
import random
import signal
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from bnbench.mpo.fit import Fit
from tests.foreign_arms import TRAINED_ON, Shape, layer_norm

CHILDREN: list[int] = []  # processes that were forked and stay
_LEFT: list[Any] = []  # what would undo itself once nobody holds it


class OwnError(BaseException):
    """An exception that is no ``Exception``."""


class SilentError(Exception):
    """An exception that cannot be printed."""

    def __str__(self) -> str:
        raise OwnError("not even this")


class Rough(nn.Module):
    """A network that acts in each pass over the images that it is trained on, and is otherwise an ordinary one."""

    def __init__(self, image_shape: Shape, classes: int, act: Callable[[], object]) -> None:
        super().__init__()
        self.network = layer_norm(image_shape, classes)
        self.act = act

    def forward(self, images: Tensor) -> Tensor:
        """Logits of images: (B, C, H, W) to (B, classes)."""
        if len(images) == TRAINED_ON:
            self.act()
        logits: Tensor = self.network(images)
        return logits


def raises(error: BaseException | type[BaseException]) -> Callable[[], object]:
    def act() -> None:
        raise error

    return act


def forks() -> None:
    if os.fork() == 0:
        return  # the child goes on as if it were the worker
    os.wait()


def forks_a_child_that_raises() -> None:
    if os.fork() == 0:
        raise OwnError("in the child")
    os.wait()


def forks_a_child_that_stays() -> None:
    if (child := os.fork()) == 0:
        time.sleep(60)
        os._exit(0)
    CHILDREN.append(child)


def closes_the_standard_files() -> None:
    for number in (0, 1, 2):
        os.close(number)


def replaces_a_function() -> None:
    torch.nn.functional.gelu = torch.relu  # type: ignore[assignment]  # what is wrong with it is the point


def replaces_an_inherited_method() -> None:
    torch.Tensor.__add__ = torch.Tensor.__sub__  # type: ignore[method-assign]  # as above


def replaces_the_training() -> None:
    Fit.is_done = property(lambda self: self.step >= 1)  # type: ignore[assignment,method-assign]  # as above


def replaces_a_writer() -> None:
    json.dumps = lambda *_, **__: "{}"  # as above


def replaces_a_method_of_paths() -> None:
    Path.exists = lambda *_, **__: False  # type: ignore[method-assign]  # as above


def leaves_a_hook() -> None:
    nn.modules.module.register_module_forward_hook(lambda module, images, output: output * 2)


class Doubling(torch.overrides.TorchFunctionMode):
    """Doubles every sum."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        return result * 2 if func is torch.sum else result


def leaves_a_mode() -> None:
    if not _LEFT:
        mode = Doubling()
        mode.__enter__()  # type: ignore[no-untyped-call]  # torch does not annotate it
        _LEFT.append(mode)


def generates() -> Iterator[None]:
    yield


# What it does: the act, and what the record of the failure names.
ROUGH: dict[str, tuple[Callable[[], object], str]] = {
    "own_base_exception": (raises(OwnError("mine alone")), "OwnError: mine alone"),
    "generator_exit": (raises(GeneratorExit), "GeneratorExit"),
    "keyboard_interrupt": (raises(KeyboardInterrupt), "KeyboardInterrupt"),
    "stop_iteration": (raises(StopIteration), "StopIteration"),
    "system_exit": (raises(SystemExit(0)), "SystemExit: 0"),
    "sys_exit": (lambda: sys.exit("enough"), "SystemExit: enough"),
    "silent_error": (raises(SilentError()), "SilentError: its message cannot be read (OwnError)"),
    "long_error": (raises(ValueError("x" * 10**6)), "ValueError: xxx"),
    "forks": (forks, "it forked its process"),
    "forks_a_child_that_raises": (forks_a_child_that_raises, "it forked its process"),
    "closes_the_standard_files": (closes_the_standard_files, "it closed open files of its process: 0, 1, 2"),
    "replaces_a_function": (replaces_a_function, "torch.nn.functional.gelu"),
    "replaces_an_inherited_method": (replaces_an_inherited_method, "torch.Tensor.__add__"),
    "replaces_the_training": (replaces_the_training, "bnbench.mpo.fit.Fit.is_done"),
    "replaces_a_writer": (replaces_a_writer, "json.dumps"),
    "replaces_a_method_of_paths": (replaces_a_method_of_paths, "Path.exists"),
    "leaves_a_hook": (leaves_a_hook, "torch's global hooks"),
    "leaves_a_mode": (leaves_a_mode, "torch's function modes"),
}


# What only changes settings: its own fit is done, and no other one notices.
def changes_settings() -> None:
    torch.set_num_threads(2)
    torch.set_float32_matmul_precision("medium")
    torch.backends.cudnn.benchmark = True
    torch.manual_seed(7)
    np.random.seed(7)  # the stream that others may share
    random.seed(7)
    np.seterr(all="raise")
    warnings.simplefilter("ignore")
    os.environ["OMP_NUM_THREADS"] = "3"
    os.chdir("/")
    sys.path.insert(0, "/nowhere")
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    signal.alarm(1_000)
    os.umask(0o777)
    sys.setrecursionlimit(20_000)
    sys.stdout = sys.stderr


def sets_the_default_dtype() -> None:
    torch.set_default_dtype(torch.float64)


def leaves_a_thread() -> None:
    """Whoever computes in this process from now on does so in float64, and with another ReLU."""

    def meddle() -> None:
        while True:
            torch.set_default_dtype(torch.float64)
            torch.nn.functional.relu = torch.nn.functional.gelu  # type: ignore[assignment]  # as above
            time.sleep(1e-5)

    if not any(thread.name == "meddles" for thread in threading.enumerate()):
        threading.Thread(target=meddle, name="meddles", daemon=True).start()


def prints() -> None:
    print("a line of the arm's own")  # which is what is tested
    os.write(1, b"a line past Python\n")


def sleeps() -> None:
    time.sleep(600)


def sleeps_and_catches_everything() -> None:
    end = time.monotonic() + 600
    while time.monotonic() < end:
        try:
            time.sleep(600)
        except BaseException:
            continue


def fills_the_memory() -> None:
    held = []
    for _ in range(40):  # 2.5 GiB, which nobody waits for
        held.append(bytearray(b"1") * 2**26)
        time.sleep(0.1)


_ACTS = {name: act for name, (act, _) in ROUGH.items()}
_ACTS |= {
    act.__name__: act
    for act in (
        changes_settings,
        fills_the_memory,
        prints,
        sleeps,
        sleeps_and_catches_everything,
        forks_a_child_that_stays,
        sets_the_default_dtype,
        leaves_a_thread,
    )
}


def __getattr__(name: str) -> Callable[[Shape, int], nn.Module]:
    """The factory ``rough_NAME`` of the arm that acts so."""
    act = _ACTS.get(name.removeprefix("rough_"))
    if act is None or not name.startswith("rough_"):
        raise AttributeError(name)
    return lambda image_shape, classes: Rough(image_shape, classes, act)
