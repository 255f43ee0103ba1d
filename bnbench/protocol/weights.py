"""How many weights a built-in arm's network has, and how many numbers a fit trains: counted without making it."""

from __future__ import annotations

from bnbench.protocol.datasets import DATASETS
from bnbench.protocol.protocol import BUILT_IN, NORMALIZED, Protocol

_VECTORS = 3  # origin and the two directions of a plane


def weights_of(arm: str, protocol: Protocol) -> int | None:
    """Return the number of weights n of an arm's network, biases and BN's scales and shifts among them.

    Returns:
        None for a user's own arm, which only its code knows.
    """
    if arm not in BUILT_IN:
        return None
    network, images = protocol.network, DATASETS[protocol.data.dataset]
    channels, rows, columns = images.shape
    rows, columns = rows // protocol.data.pool, columns // protocol.data.pool
    total = 0
    for width, stride in zip(network.widths, network.strides, strict=True):
        total += 9 * channels * width + width
        channels, rows, columns = width, -(-rows // stride), -(-columns // stride)
    if network.map_size:
        rows = columns = network.map_size
    total += channels * rows * columns * network.hidden + network.hidden
    total += network.hidden * images.classes + images.classes
    return total + (2 * sum(network.widths) if arm in NORMALIZED else 0)


def trained_numbers(arm: str, protocol: Protocol) -> int | None:
    """Return how many numbers a fit trains: 3n + 1, origin, two directions and the scale; else None."""
    weights = weights_of(arm, protocol)
    return None if weights is None else _VECTORS * weights + 1
