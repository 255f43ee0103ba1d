"""Loss over white pixels."""

from __future__ import annotations

from bnbench.measures.measure import Measure, Pixels, stored_mean


def white_loss(pixels: Pixels) -> float:
    """Return the mean loss over the white pixels: 1/|W| · Σ loss(α, β) over (α, β) ∈ W, in nats."""
    return stored_mean(pixels.loss, pixels.counted_white)


MEASURE = Measure(
    name="white_loss",
    title="loss, white pixels",
    unit="nats",
    low=0.0,
    better="higher",
    of_pixels=white_loss,
)
