"""Many weight vectors through one ordinary network at once: ``vmap`` over ``functional_call``.

On a CPU it takes 7 (plain) to 14 % (bn) longer than grouped convolutions written by hand (``benchmarks/bounds.py``),
and it takes any module.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, nullcontext
from typing import TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.func import functional_call, vmap
from torch.nn.attention import SDPBackend, sdpa_kernel

from bnbench.mpo.convolutions import Convolutions, Kernels

Value = TypeVar("Value")

_LOCK = threading.Lock()  # a cluster's worker may run fits in threads, and torch's settings are for all of them
_ORDINARY = ExitStack()
_inside = 0


def call_with(module: nn.Module, names: Sequence[str], weights: Sequence[Tensor], images: Tensor) -> Tensor:
    """Return logits of one network with the weights given, its own left as they are.

    A layer may have several names, and layers may share a parameter: every layer is given each weight once.
    (Given both names of a layer, torch's own tying would leave the last call's weights in it.)

    Args:
        module: the network.
        names: its parameters' names, each parameter once, as ``named_parameters`` gives them.
        weights: for each parameter, its value.
        images: shape (B, C, H, W).
    """
    own = of_every_layer(module, names, weights)
    with ordinary_attention():
        result: Tensor = functional_call(module, own, (images,), tie_weights=False)
    return result


def of_every_layer(module: nn.Module, names: Sequence[str], values: Sequence[Value]) -> dict[str, Value]:
    """Return a value for each parameter of each layer; those that share one have the same, arguments as above."""
    given = dict(zip(names, values, strict=True))
    first: dict[int, str] = {}
    own: dict[str, Value] = {}
    for path, layer in module.named_modules():
        for leaf, parameter in layer.named_parameters(recurse=False, remove_duplicate=False):
            name = f"{path}.{leaf}" if path else leaf
            own[name] = given[first.setdefault(id(parameter), name)]
    return own


@contextmanager
def ordinary_attention() -> Iterator[None]:
    """Have attention computed, within, by operations that ``vmap`` and autograd know, as in any other layer.

    ``nn.MultiheadAttention`` and ``nn.TransformerEncoderLayer`` in eval mode take a fast path that has no derivative,
    and ``scaled_dot_product_attention`` kernels that ``vmap`` can only call once for each network. What was
    set before is set again after it.
    """
    global _inside  # how many are within: the first one sets, the last one restores
    with _LOCK:
        _inside += 1
        if _inside == 1:
            _ORDINARY.callback(torch.backends.mha.set_fastpath_enabled, torch.backends.mha.get_fastpath_enabled())
            torch.backends.mha.set_fastpath_enabled(False)
            _ORDINARY.enter_context(sdpa_kernel(SDPBackend.MATH))
    try:
        yield
    finally:
        with _LOCK:
            _inside -= 1
            if _inside == 0:
                _ORDINARY.close()


def batched_logits(
    module: nn.Module,
    names: Sequence[str],
    weights: Sequence[Tensor],
    images: Tensor,
    *,
    channels_last: bool = False,
    kernels: Kernels | None = None,
) -> Tensor:
    """Return logits of P networks.

    Args:
        module: the network; its own weights are not used.
        names: its parameters' names, in the order of ``weights``.
        weights: for each parameter, P values of it, shape (P, …).
        images: one minibatch for each network, shape (P, B, C, H, W), or a shared one, (B, C, H, W).
        channels_last: of one network alone, whether its maps lie with channels last in memory
            (:func:`takes_channels_last`); the order of its convolutions' weights decides that of its maps.
        kernels: what computes the convolutions of several networks; by default torch's grouped ones.

    Returns:
        Shape (P, B, classes).
    """

    def logits(own: tuple[Tensor, ...], seen: Tensor) -> Tensor:
        with Convolutions(kernels) if kernels else nullcontext():
            return call_with(module, names, own, seen)

    shared = images.dim() == 4
    if len(weights[0]) == 1:  # One network needs no vmap, which costs up to 10 % at wide layers.
        one = [weight[0] for weight in weights]
        if channels_last:
            one = [own.contiguous(memory_format=torch.channels_last) if own.dim() == 4 else own for own in one]
        return logits(tuple(one), images if shared else images[0]).unsqueeze(0)
    each: Tensor = vmap(logits, in_dims=(0, None if shared else 0), randomness="error")(tuple(weights), images)
    return each


def takes_channels_last(module: nn.Module, names: Sequence[str], weights: Sequence[Tensor], images: Tensor) -> bool:
    """Say if one network, forward and backward, runs with its maps' channels last: one that calls ``view`` may not.

    Args:
        module: the network.
        names: its parameters' names.
        weights: for each parameter, its values in some networks, shape (P, …); the first is tried.
        images: shape (B, C, H, W).
    """
    with torch.enable_grad():
        own = [weight[:1].detach().clone().requires_grad_() for weight in weights]
        try:
            logits = batched_logits(module, names, own, images, channels_last=True)
            torch.autograd.grad(logits.sum(), own, materialize_grads=True)
        except Exception:  # whatever it is: with channels first it works, or says so itself
            return False
    return True


def losses_and_hits(logits: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """Return cross-entropy and correctness of every image for every network.

    Args:
        logits: shape (P, B, classes).
        labels: shape (P, B), or (B,) when the networks share a minibatch.

    Returns:
        Cross-entropy in nats, shape (P, B), and whether the class is right, bool, shape (P, B).
    """
    own = labels.expand(logits.shape[:2])
    losses = F.cross_entropy(logits.flatten(0, 1), own.flatten(), reduction="none").view_as(own)
    return losses, logits.detach().argmax(-1) == own
