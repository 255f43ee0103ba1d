"""Constant buffers of an own arm's network in a plane's file: how they are stored, and put back."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn

from bnbench.arms.state import is_same
from bnbench.results.store import StoreError


def stored_buffer(buffer: Tensor) -> Tensor:
    """Return a copy that shares no memory with itself or others, on the CPU."""
    own = torch.view_as_real(buffer.resolve_conj()) if buffer.is_complex() else buffer
    return own.detach().cpu().clone(memory_format=torch.contiguous_format)


def set_buffers(path: Path, network: nn.Module, kept: dict[str, Tensor]) -> None:
    """Give a network the buffers that its plane was fitted with; earlier files have none.

    Those that it has already are left as they lie in memory, because other strides can mean another order of sums.

    Args:
        path: the plane's file, for the message.
        network: of the plane's arm.
        kept: name to what :func:`stored_buffer` gave.

    Raises:
        StoreError: the network has other buffers.
    """
    own = dict(network.named_buffers())
    if kept and {name: (value.shape, value.dtype) for name, value in kept.items()} != {
        name: ((real := stored_buffer(buffer)).shape, real.dtype) for name, buffer in own.items()
    }:
        raise StoreError(f"{path} holds other buffers than its arm has; load it with the version that wrote it.")
    changed = {
        id(own[name]): torch.view_as_complex(value) if own[name].is_complex() else value
        for name, value in kept.items()
        if not is_same(value, stored_buffer(own[name]))
    }
    for layer in network.modules():
        for leaf, buffer in [*layer.named_buffers(recurse=False, remove_duplicate=False)]:
            if id(buffer) in changed:
                setattr(layer, leaf, changed[id(buffer)])
