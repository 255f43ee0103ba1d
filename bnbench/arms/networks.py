"""The built-in arms as ordinary modules: plain, bn, skip.

Initial weights are Xavier-uniform and biases zero, or both are torch's own. Batch normalization is
:class:`bnbench.mpo.batch_norm.BatchNorm`.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch.nn.functional as F
from torch import Tensor, nn

from bnbench.mpo.batch_norm import BatchNorm
from bnbench.protocol.protocol import NORMALIZED, check_arm_name
from bnbench.protocol.sections import NetworkProtocol

Factory = Callable[[], nn.Module]


class ConvolutionalNetwork(nn.Module):
    """Six 3×3 convolutions (or as many as asked), a hidden layer and the classes.

    Args:
        image_shape: channels, rows and columns of an image.
        classes: number of classes.
        network: widths, strides, pooling, hidden units, initial weights.
        arm: ``plain``; ``bn``, batch normalization after each convolution, before the ReLU; or
            ``skip``, x + relu(conv(x)) wherever both have one shape.
    """

    def __init__(self, image_shape: tuple[int, int, int], classes: int, network: NetworkProtocol, arm: str) -> None:
        super().__init__()
        channels, rows, columns = image_shape
        self.skip = arm == "skip"
        self.convolutions = nn.ModuleList()
        for width, stride in zip(network.widths, network.strides, strict=True):
            self.convolutions.append(nn.Conv2d(channels, width, 3, stride=stride, padding=1))
            channels, rows, columns = width, -(-rows // stride), -(-columns // stride)
        # Adaptive pooling to the size that a map already has costs time and changes nothing.
        pools = network.map_size and (rows, columns) != (network.map_size, network.map_size)
        self.pool = nn.AdaptiveAvgPool2d(network.map_size) if pools else nn.Identity()
        rows, columns = (network.map_size, network.map_size) if network.map_size else (rows, columns)
        self.hidden = nn.Linear(channels * rows * columns, network.hidden)
        self.output = nn.Linear(network.hidden, classes)
        if network.initial_weights == "xavier":
            for layer in (*self.convolutions, self.hidden, self.output):
                nn.init.xavier_uniform_(layer.weight, network.gain)
                nn.init.zeros_(layer.bias)
        # BN comes last: what both arms have draws the same random numbers.
        self.norms = nn.ModuleList(
            BatchNorm(width, network.bn_scale) if arm in NORMALIZED else nn.Identity() for width in network.widths
        )

    def forward(self, images: Tensor) -> Tensor:
        """Return logits of images: (B, C, H, W) to (B, classes)."""
        maps = images
        for convolution, norm in zip(self.convolutions, self.norms, strict=True):
            after = F.relu(norm(convolution(maps)))
            maps = maps + after if self.skip and after.shape == maps.shape else after
        hidden = F.relu(self.hidden(self.pool(maps).flatten(1)))
        logits: Tensor = self.output(hidden)
        return logits


def arm_factory(arm: str, image_shape: tuple[int, int, int], classes: int, network: NetworkProtocol) -> Factory:
    """Return a function without arguments that makes a fresh network of a built-in arm.

    Raises:
        ValueError: the arm is unknown.
    """
    check_arm_name(arm)
    return partial(ConvolutionalNetwork, image_shape, classes, network, arm)
