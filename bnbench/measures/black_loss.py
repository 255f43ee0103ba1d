"""Loss over black pixels."""

from __future__ import annotations

from bnbench.measures.measure import Measure, Pixels, stored_mean


def black_loss(pixels: Pixels) -> float:
    """Return the mean loss over the black pixels: 1/|B| · Σ loss(α, β) over (α, β) ∈ B, in nats."""
    return stored_mean(pixels.loss, pixels.counted_black)


MEASURE = Measure(
    name="black_loss",
    title="loss, black pixels",
    unit="nats",
    low=0.0,
    better="lower",
    of_pixels=black_loss,
)
