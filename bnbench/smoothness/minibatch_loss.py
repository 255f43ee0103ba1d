"""The loss of a minibatch as a function of a network's weight vector, which every measure here is taken of.

Letters: n weights, B images.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from copy import deepcopy

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bnbench.mpo.batched import call_with
from bnbench.mpo.images import Images

Loss = Callable[[Tensor], Tensor]


def minibatch_loss(module: nn.Module, data: Images) -> Loss:
    """Return the mean cross-entropy of a minibatch, in nats, as a function of the weights.

    Batch normalization is that of training: it uses the statistics of these very images, at whatever weights.

    Args:
        module: the network; a copy of it is used, and its own weights are not.
        data: the minibatch, B images; its type, such as float64, is that of the computation.

    Returns:
        A function of the weight vector, shape (n,), in the order of the module's parameters; it gives a scalar.
    """
    network = deepcopy(module).to(data.pixels.dtype).requires_grad_(False)
    names, shapes = zip(*((name, weight.shape) for name, weight in network.named_parameters()), strict=True)
    sizes = [shape.numel() for shape in shapes]

    def loss(weights: Tensor) -> Tensor:
        parts = [part.view(shape) for part, shape in zip(weights.split(sizes), shapes, strict=True)]
        return F.cross_entropy(call_with(network, names, parts, data.pixels), data.labels)

    return loss


def mean_loss(losses: Sequence[Loss]) -> Loss:
    """Return the mean of the losses of several minibatches, each normalized by its own statistics."""

    def loss(weights: Tensor) -> Tensor:
        return torch.stack([own(weights) for own in losses]).mean()

    return loss


def filter_norms(module: nn.Module, weights: Tensor) -> Tensor:
    """Return the diagonal of D, shape (n,): for each weight the norm of the filter that it belongs to.

    A filter is what leads to one output: of a convolution's weights (O, I, H, W) or a linear layer's (O, I) the part
    of one of the O outputs. Biases and other one-dimensional parameters, such as the scales and shifts of a
    normalization, have no filter: their entries are 0, so that no measure that uses D moves them. So do Li et al.
    (2018, arXiv 1712.09913) in their figures.

    Args:
        module: the network; only its parameters' shapes are used.
        weights: its weights, shape (n,).
    """
    found, start = [], 0
    for parameter in module.parameters():
        own = weights[start : start + parameter.numel()].view(parameter.shape)
        start += parameter.numel()
        if own.dim() < 2:
            found.append(torch.zeros_like(own))
        else:
            norms = own.flatten(1).norm(dim=1)
            found.append(norms.view(-1, *[1] * (own.dim() - 1)).expand_as(own).flatten())
    return torch.cat(found)
