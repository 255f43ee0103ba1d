"""Many weight vectors through one ordinary network at once: ``vmap`` over ``functional_call``.

On a CPU it takes 7 (plain) to 14 % (bn) longer than grouped convolutions written by hand (``benchmarks/bounds.py``),
and it takes any module.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from weakref import WeakSet

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.func import functional_call, vmap

_VIEWING: WeakSet[nn.Module] = WeakSet()  # networks that take maps in no other order than channels first


def batched_logits(module: nn.Module, names: Sequence[str], weights: Sequence[Tensor], images: Tensor) -> Tensor:
    """Logits of P networks.

    Args:
        module: the network; its own weights are not used.
        names: its parameters' names, in the order of ``weights``.
        weights: for each parameter, P values of it, shape (P, …).
        images: one minibatch for each network, shape (P, B, C, H, W), or a shared one, (B, C, H, W).

    Returns:
        Shape (P, B, classes).
    """

    def logits(own: tuple[Tensor, ...], seen: Tensor) -> Tensor:
        result: Tensor = functional_call(module, dict(zip(names, own, strict=True)), (seen,))
        return result

    shared = images.dim() == 4
    if len(weights[0]) == 1:  # One network needs no vmap, which costs up to 10 % at wide layers.
        own = [weight[0] for weight in weights]
        return _logits_of_one(module, logits, own, images if shared else images[0]).unsqueeze(0)
    each: Tensor = vmap(logits, in_dims=(0, None if shared else 0), randomness="error")(tuple(weights), images)
    return each


def _logits_of_one(
    module: nn.Module, logits: Callable[[tuple[Tensor, ...], Tensor], Tensor], own: Sequence[Tensor], seen: Tensor
) -> Tensor:
    """Logits of one network, on a CPU with its maps' channels last: a step at the paper's shapes takes 15 % less.

    Kernels of the weights decide the order of the maps. A module that calls ``view`` on its maps may need
    channels first; it is known by its error, and not asked again.
    """
    if own[0].device.type == "cpu" and module not in _VIEWING:
        try:
            return logits(tuple(_channels_last(weight) for weight in own), seen)
        except RuntimeError as error:
            if "view size is not compatible" not in str(error):
                raise
            _VIEWING.add(module)
    return logits(tuple(own), seen)


def _channels_last(weight: Tensor) -> Tensor:
    return weight.contiguous(memory_format=torch.channels_last) if weight.dim() == 4 else weight


def losses_and_hits(logits: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """Cross-entropy and correctness of every image for every network.

    Args:
        logits: shape (P, B, classes).
        labels: shape (P, B), or (B,) when the networks share a minibatch.

    Returns:
        Cross-entropy in nats, shape (P, B), and whether the class is right, bool, shape (P, B).
    """
    own = labels.expand(logits.shape[:2])
    losses = F.cross_entropy(logits.flatten(0, 1), own.flatten(), reduction="none").view_as(own)
    return losses, logits.detach().argmax(-1) == own
