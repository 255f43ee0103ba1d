"""The built-in arms as ordinary modules: those of the paper and its code, and further ones to hold measures to.

Initial weights are Xavier-uniform and biases zero, or both are torch's own. Batch normalization is
:class:`bnbench.mpo.batch_norm.BatchNorm`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from functools import partial
from typing import TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bnbench.arms.normalized_layers import GroupNorm, StandardizedConvolution
from bnbench.mpo.batch_norm import BatchNorm
from bnbench.protocol.profiles import PROFILES
from bnbench.protocol.protocol import NORMALIZED, Protocol, check_arm_name
from bnbench.protocol.sections import NetworkProtocol

Factory = Callable[[], nn.Module]
Module = TypeVar("Module", bound=nn.Module)
_DRAWN = (nn.modules.conv._ConvNd, nn.Linear, nn.Bilinear)  # layers whose weights start as plain's
FACTOR = 4.0  # of the rescaled arm: a power of two, so that its function is plain's to the last bit


class ConvolutionalNetwork(nn.Module):
    """Six 3×3 convolutions (or as many as asked), a hidden layer and the classes.

    Args:
        image_shape: channels, rows and columns of an image.
        classes: number of classes.
        network: widths, strides, pooling, hidden units, initial weights.
        arm: ``plain``; ``bn``, batch normalization after each convolution, before the ReLU; ``skip``, x + relu(conv(x))
            wherever both have one shape; ``bn-skip``, both; ``groupnorm`` and ``layernorm``, normalized where ``bn``
            is, each image by itself; ``standardized``, whose convolutions have standardized filters; ``softplus``,
            which has softplus in place of every ReLU; ``softplus-centred``, a less sharp one, through 0; or
            ``rescaled``, plain's function at other weights: of two layers one times 4, one divided by it.
    """

    def __init__(self, image_shape: tuple[int, int, int], classes: int, network: NetworkProtocol, arm: str) -> None:
        super().__init__()
        channels, rows, columns = image_shape
        self.skip = arm in ("skip", "bn-skip")
        self.activation = ACTIVATIONS.get(arm, F.relu)
        self.convolutions = nn.ModuleList()
        for width, stride in zip(network.widths, network.strides, strict=True):
            if arm == "standardized":
                deviation = _deviation(channels, width, network)
                self.convolutions.append(StandardizedConvolution(channels, width, stride, deviation))
            else:
                self.convolutions.append(nn.Conv2d(channels, width, 3, stride=stride, padding=1))
            channels, rows, columns = width, -(-rows // stride), -(-columns // stride)
        # Adaptive pooling to the size that a map already has costs time and changes nothing.
        pools = network.map_size and (rows, columns) != (network.map_size, network.map_size)
        self.pool = nn.AdaptiveAvgPool2d(network.map_size) if pools else nn.Identity()
        rows, columns = (network.map_size, network.map_size) if network.map_size else (rows, columns)
        self.hidden = nn.Linear(channels * rows * columns, network.hidden)
        self.output = nn.Linear(network.hidden, classes)
        _start(self, network)
        # BN comes last: what both arms have draws the same random numbers.
        self.norms = nn.ModuleList(_norm(arm, width, network.bn_scale) for width in network.widths)
        if arm == "rescaled":
            rescale(self)

    def forward(self, images: Tensor) -> Tensor:
        """Return logits of images: (B, C, H, W) to (B, classes)."""
        maps = images
        for convolution, norm in zip(self.convolutions, self.norms, strict=True):
            after = self.activation(norm(convolution(maps)))
            maps = maps + after if self.skip and after.shape == maps.shape else after
        hidden = self.activation(self.hidden(self.pool(maps).flatten(1)))
        logits: Tensor = self.output(hidden)
        return logits


def centred_softplus(values: Tensor, beta: float) -> Tensor:
    """Return softplus(x) − softplus(0) = (log(1 + exp(βx)) − log 2) / β: it is smooth, and 0 at 0 as ReLU is.

    Softplus itself exceeds ReLU by up to log 2 / β, most at 0, so that the logits of a fresh network are larger.
    """
    return F.softplus(values, beta=beta) - math.log(2) / beta


# The derivative of softplus(x) = log(1 + exp(βx)) / β rises from 0 to 1 within some 4/β, by at most β/4 a unit.
ACTIVATIONS: Mapping[str, Callable[[Tensor], Tensor]] = {
    "softplus": partial(F.softplus, beta=2.0),
    "softplus-centred": partial(centred_softplus, beta=0.5),
}


def _norm(arm: str, width: int, fresh_scale: str) -> nn.Module:
    """Make what an arm has between a convolution and its activation."""
    if arm in NORMALIZED:
        return BatchNorm(width, fresh_scale)
    if arm in ("groupnorm", "layernorm"):
        return GroupNorm(width, fresh_scale, groups=1 if arm == "layernorm" else 0)
    return nn.Identity()


def _deviation(channels: int, width: int, network: NetworkProtocol) -> float:
    """Return the standard deviation of the weights of a fresh 3×3 convolution."""
    if network.initial_weights == "xavier":
        return network.gain * math.sqrt(2 / (9 * (channels + width)))
    return 1 / math.sqrt(3 * 9 * channels)


@torch.no_grad()
def rescale(network: ConvolutionalNetwork, factor: float = FACTOR) -> None:
    """Multiply a plain network's first layer by a factor and divide the second by it, and so every two layers.

    ReLU(c x) = c ReLU(x) for c > 0: the function stays as it is, also without the last layer where their number is odd.
    A bias bears the product of all factors up to its layer's.

    Args:
        network: changed in place; plain's, whose activation is ReLU and which normalizes nothing.
        factor: c, above 0; a power of two changes no bit of the function.
    """
    layers = [*network.convolutions, network.hidden, network.output]
    for first, second in zip(layers[::2], layers[1::2], strict=False):
        for parameter in first.parameters():
            parameter *= factor
        second.weight /= factor  # its bias bears both factors


def plain_network(
    image_shape: tuple[int, int, int], classes: int, protocol: Protocol | str = "compact"
) -> ConvolutionalNetwork:
    """Make a fresh network of the arm plain, for an arm of one's own that differs from it in one thing.

    Its layers are ``convolutions``; ``norms``, an ``nn.Identity`` after each of them, to be replaced; the function
    ``activation``; ``pool``, ``hidden`` and ``output``.

    Args:
        image_shape: channels, rows and columns of an image.
        classes: number of classes.
        protocol: the profile's name whose network it is, or a protocol with knobs of its own.

    Raises:
        ValueError: there is no such profile.
    """
    return ConvolutionalNetwork(image_shape, classes, _network_of(protocol), "plain")


def start_as_plain(module: Module, protocol: Protocol | str = "compact") -> Module:
    """Draw the weights of a module's convolutions and linear layers as those of a fresh plain network are drawn.

    They are Xavier-uniform with the protocol's gain, and biases are 0; where the protocol has ``--initial-weights
    torch`` they stay torch's own. Other layers stay as they are. Those that plain has, too, in one order and before any
    other, start equal to plain's.

    Args:
        module: changed in place.
        protocol: the profile's name, or a protocol with knobs of its own.

    Returns:
        The same module.

    Raises:
        ValueError: there is no such profile.
    """
    _start(module, _network_of(protocol))
    return module


def _start(module: nn.Module, network: NetworkProtocol) -> None:
    """Draw the weights of all convolutions and linear layers, as the protocol has it."""
    if network.initial_weights != "xavier":
        return
    for layer in module.modules():
        if isinstance(layer, _DRAWN):
            nn.init.xavier_uniform_(layer.weight, network.gain)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)


def _network_of(protocol: Protocol | str) -> NetworkProtocol:
    if isinstance(protocol, str) and protocol not in PROFILES:
        raise ValueError(f"protocol={protocol!r} is no profile; give one of {', '.join(PROFILES)}.")
    return (PROFILES[protocol] if isinstance(protocol, str) else protocol).network


def arm_factory(arm: str, image_shape: tuple[int, int, int], classes: int, network: NetworkProtocol) -> Factory:
    """Return a function without arguments that makes a fresh network of a built-in arm.

    Raises:
        ValueError: the arm is unknown.
    """
    check_arm_name(arm)
    return partial(ConvolutionalNetwork, image_shape, classes, network, arm)
