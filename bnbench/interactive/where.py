"""What a call from Python gives about where fits run: a backend, and devices."""

from __future__ import annotations

from inspect import isabstract
from typing import Any

import torch

from bnbench.errors import RequestError
from bnbench.interactive.values import several_of
from bnbench.sweep.backends import BACKENDS, make_backend
from bnbench.sweep.backends.backend import Backend


def backend_of(backend: object) -> Backend:
    """Return where fits are computed: a name, a backend, or the class of one that needs nothing to be made.

    Raises:
        RequestError: there is no such backend, or it is no backend.
    """
    if isinstance(backend, str):
        return make_backend(backend)
    if isinstance(backend, type) and issubclass(backend, Backend) and not isabstract(backend):
        backend = backend()
    if not isinstance(backend, Backend):
        raise RequestError(f"backend {backend!r} is none; give {', '.join(BACKENDS)}, or an object such as Inline().")
    return backend


def devices_of(devices: Any) -> str:
    """Return devices as text: text with commas, a name, a ``torch.device``, or several.

    Raises:
        RequestError: one of them is no device's name.
    """
    names = [devices] if isinstance(devices, str | torch.device) else several_of(devices)
    for name in names:
        if not isinstance(name, str | torch.device):
            raise RequestError(f"devices {name!r} is no device; give auto, cpu, cuda:*, or names such as cuda:0.")
    return ",".join(map(str, names))
