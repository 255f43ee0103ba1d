"""What a network knows beside its parameters: buffers, attributes, and tensors from outside that ``forward`` reads."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from itertools import chain
from types import CellType, FunctionType, MethodType, ModuleType
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

_OF_TORCH = set(vars(nn.Module()))
_DEPTH = 12  # of lists in dictionaries in objects; what lies deeper is not looked at
_VALUES = (bool, int, float, complex, str, bytes, type(None))


def attributes(module: nn.Module) -> dict[str, Any]:
    """Return the tensors, arrays and simple values that a module's layers keep as attributes, by dotted names.

    Those in lists, dictionaries, objects, closures and in modules that are not registered count as well.
    """
    seen = {id(layer) for layer in module.modules()}
    found: dict[str, Any] = {}
    for path, layer in module.named_modules():
        for key, value in _plain(layer):
            found.update(_leaves(f"{path}.{key}" if path else key, value, seen, _DEPTH))
    return found


def _plain(layer: nn.Module) -> list[tuple[str, Any]]:
    return [(key, value) for key, value in vars(layer).items() if key not in _OF_TORCH]


def _leaves(name: str, value: Any, seen: set[int], depth: int) -> Iterator[tuple[str, Any]]:
    if isinstance(value, _VALUES):
        yield name, value
        return
    if id(value) in seen or depth == 0 or isinstance(value, ModuleType | type):
        return
    seen.add(id(value))
    if isinstance(value, Tensor | np.ndarray | np.generic):
        yield name, value
        return
    for inner, part in _parts(value):
        yield from _leaves(name + inner, part, seen, depth - 1)


def _parts(value: Any) -> list[tuple[str, Any]]:
    """Return what an object holds, each with what its name goes on with."""
    if isinstance(value, dict):
        return [(f"[{key!r}]", part) for key, part in value.items()]
    if isinstance(value, list | tuple | set | frozenset):
        return [(f"[{number}]", part) for number, part in enumerate(value)]
    if isinstance(value, nn.Module):
        own = value.named_parameters(recurse=False), value.named_buffers(recurse=False), value.named_children()
        return [(f".{key}", part) for key, part in chain(*own, _plain(value))]
    if isinstance(value, partial):
        return [(" (partial)", (value.args, value.keywords))]
    if isinstance(value, MethodType):
        return [("", value.__self__)]
    if isinstance(value, FunctionType):
        cells = zip(value.__code__.co_freevars, value.__closure__ or (), strict=True)
        closed = [(f" ({key})", cell.cell_contents) for key, cell in cells if cell != CellType()]
        return [*closed, (" (default)", (value.__defaults__, value.__kwdefaults__))]
    return [(f".{key}", part) for key, part in getattr(value, "__dict__", {}).items()]


def differing(first: dict[str, Any], second: dict[str, Any]) -> str:
    """Return the name of the first value that two networks do not have in common; empty if there is none."""
    for name in (*first, *(name for name in second if name not in first)):
        if name not in first or name not in second or not is_same(first[name], second[name]):
            return name
    return ""


def is_same(one: Any, other: Any) -> bool:
    """Say whether two values are equal in type, shape and every number; not-a-number equals itself."""
    if type(one) is not type(other):
        return False
    if isinstance(one, Tensor):
        if (one.shape, one.dtype, one.layout) != (other.shape, other.dtype, other.layout):
            return False
        return one is other or (one.layout == torch.strided and torch.allclose(one, other, 0, 0, equal_nan=True))
    if isinstance(one, np.ndarray):
        return bool(one.shape == other.shape and one.dtype == other.dtype and one.tobytes() == other.tobytes())
    return bool(one == other or (one != one and other != other))


class _Reads(TorchDispatchMode):
    """Notes each tensor that an operation takes and that neither was given nor comes from an operation."""

    def __init__(self, given: list[Tensor]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # torch has left it without types
        self.known = {_memory(tensor) for tensor in given}
        self.outside: list[Tensor] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        taken = [value for value in tree_leaves((args, kwargs)) if isinstance(value, Tensor) and value.numel()]
        self.outside += [tensor for tensor in taken if _memory(tensor) not in self.known]
        result = func(*args, **(kwargs or {}))
        self.known |= {_memory(value) for value in tree_leaves(result) if isinstance(value, Tensor)}
        return result


def _memory(tensor: Tensor) -> int:
    """Return where a tensor's numbers lie; views lie where the whole does."""
    return tensor.untyped_storage().data_ptr() if tensor.layout == torch.strided else id(tensor)


def read_from_outside(work: Callable[[], object], given: list[Tensor]) -> list[Tensor]:
    """Return the tensors that some work reads each time it is done, and that are not among those it was given.

    What it makes for itself, a mask or a constant, lies elsewhere the second time, while the first is still kept.
    """
    found: list[list[Tensor]] = []
    for _ in range(2):
        with _Reads(given) as reads:
            work()
        found.append(reads.outside)
    before = {_memory(tensor) for tensor in found[0]}
    return [tensor for tensor in found[1] if _memory(tensor) in before]


def name_of(tensor: Tensor, module: nn.Module) -> str:
    """Return the attribute of a module, or the global of its classes' files, that a tensor's numbers lie in, or ''."""
    places = {**attributes(module), **_globals(module)}
    for name, value in places.items():
        if isinstance(value, Tensor) and value.numel() and _memory(value) == _memory(tensor):
            return name
        if isinstance(value, np.ndarray) and np.shares_memory(value, _bytes(tensor)):
            return name
    return ""


def _bytes(tensor: Tensor) -> Any:
    return np.asarray(tensor.detach().resolve_conj().numpy())


def _globals(module: nn.Module) -> dict[str, Any]:
    """Return globals and closures that the methods of a module's own classes name, torch's classes left out."""
    found: dict[str, Any] = {}
    seen: set[int] = set()
    classes = {base for layer in module.modules() for base in type(layer).__mro__}
    for base in classes:
        if base is object or base.__module__.partition(".")[0] == "torch":
            continue
        for method in vars(base).values():
            if isinstance(method, FunctionType):
                named = {key: method.__globals__[key] for key in method.__code__.co_names if key in method.__globals__}
                found.update(_leaves(f"{base.__module__}", named, seen, 3))
                found.update(_leaves(f"{base.__name__}.{method.__name__}", method, seen, 3))
        found.update(_leaves(base.__name__, {k: v for k, v in vars(base).items() if not callable(v)}, seen, 3))
    return found
