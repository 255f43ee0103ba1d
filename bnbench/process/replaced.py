"""Functions and methods of other people's modules that foreign code has replaced: found, named and put back."""

from __future__ import annotations

import inspect
import operator
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

import torch

_PLACES = (
    "torch",
    "torch._tensor",
    "torch.functional",
    "torch.linalg",
    "torch.random",
    "torch.overrides",
    "torch.func",
    "numpy",
    "math",
    "random",
    "time",
    "os",
    "builtins",
    "hashlib",
    "json",
    "pathlib",
    "pickle",
    "shutil",
)
_BELOW = ("torch.nn.", "torch.optim.", "torch.autograd.", "torch._functorch.", "bnbench.")
_OWNERS = ("torch", "bnbench", "pathlib")
_TORCH = str(Path(torch.__file__).parent)
_ABSENT = object()


class Code:
    """Holds every function, method and class of torch, of bnbench and of a few others, as they are now."""

    def __init__(self) -> None:
        self._before: list[tuple[Any, dict[str, Any]]] = []
        seen: set[type] = set()
        for module in _modules():
            members = {name: value for name, value in vars(module).items() if callable(value)}
            self._before.append((module, members))
            classes = (value for value in members.values() if issubclass(type(value), type))
            seen.update(owner for owner in classes if str(owner.__module__).partition(".")[0] in _OWNERS)
        self._before += [(owner, dict(vars(owner))) for owner in seen]

    def put_back(self) -> list[str]:
        """Put back what was replaced since, and return the names of all that was."""
        return [name for owner, before in self._before for name in _put_back(owner, before)]


def _modules() -> Iterator[ModuleType]:
    for name, module in list(sys.modules.items()):
        if _is_watched(name):
            yield module


@cache  # thousands of modules are loaded, the same at every use
def _is_watched(name: str) -> bool:
    return name in _PLACES or f"{name}.".startswith(_BELOW)


def _put_back(owner: Any, before: dict[str, Any]) -> Iterator[str]:
    now = vars(owner)
    is_as_before = all(map(operator.is_, map(now.get, before), before.values()))  # without a loop of Python's own
    if is_as_before and not (isinstance(owner, type) and len(now) > len(before)):
        return
    changed = [name for name, value in before.items() if now.get(name, _ABSENT) is not value]
    for name in changed:
        if _is_code(before[name]) and not _is_torchs_own(before[name], now.get(name)):
            setattr(owner, name, before[name])
            yield f"{_name(owner)}.{name}"
    if isinstance(owner, type):  # a new method may hide an inherited one
        for name in now.keys() - before.keys():
            if _is_code(now[name]) and any(name in vars(base) for base in owner.__mro__[1:]):
                delattr(owner, name)
                yield f"{_name(owner)}.{name}"


def _is_code(value: Any) -> bool:
    return callable(value) or isinstance(value, property | staticmethod | classmethod)


def _is_torchs_own(before: Any, now: Any) -> bool:
    """Return whether torch itself has wrapped a function, as it does once its compiler is imported."""
    code = getattr(now, "__code__", None)
    return code is not None and code.co_filename.startswith(_TORCH) and inspect.unwrap(now) is inspect.unwrap(before)


def _name(owner: Any) -> str:
    return f"{owner.__module__}.{owner.__qualname__}" if isinstance(owner, type) else str(owner.__name__)
