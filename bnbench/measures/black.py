"""Accuracy over black pixels."""

from __future__ import annotations

from bnbench.measures.measure import Measure, Pixels, stored_mean


def black_accuracy(pixels: Pixels) -> float:
    """Return the mean accuracy over the black pixels: 1/|B| · Σ accuracy(α, β) over (α, β) ∈ B."""
    return stored_mean(pixels.accuracy, pixels.counted_black)


MEASURE = Measure(
    name="black",
    title="accuracy, black pixels",
    low=0.0,
    high=1.0,
    better="higher",
    of_pixels=black_accuracy,
    trained_column=True,
    trained_title="accuracy, trained black pixels only",
)
