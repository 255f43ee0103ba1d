"""How many weights a built-in arm's network has, and how many numbers a fit trains: counted without making it."""

from __future__ import annotations

from bnbench.protocol.datasets import DATASETS
from bnbench.protocol.protocol import BUILT_IN, WITH_SCALES, Protocol

_VECTORS = 3  # origin and the two directions of a plane


def weights_of(arm: str, protocol: Protocol) -> int | None:
    """Return the number of weights n of an arm's network, biases and scales and shifts among them.

    Returns:
        None for a user's own arm or images, which only its code, or their files, know.
    """
    known = DATASETS[protocol.data.dataset]
    if arm not in BUILT_IN or known.shape is None:
        return None
    network = protocol.network
    channels, rows = known.shape
    channels = 1 if protocol.data.grey else channels
    rows //= protocol.data.pool
    total = 0
    for width, stride in zip(network.widths, network.strides, strict=True):
        total += 9 * channels * width + width
        channels, rows = width, -(-rows // stride)
    rows = network.map_size or rows
    total += channels * rows**2 * network.hidden + network.hidden
    total += network.hidden * known.classes + known.classes
    return total + (2 * sum(network.widths) if arm in WITH_SCALES else 0)


def trained_numbers(arm: str, protocol: Protocol) -> int | None:
    """Return how many numbers a fit trains: 3n + 1, origin, two directions and the scale; None as in the above."""
    weights = weights_of(arm, protocol)
    return None if weights is None else _VECTORS * weights + 1
