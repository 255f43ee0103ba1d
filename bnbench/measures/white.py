"""Accuracy over white pixels."""

from __future__ import annotations

from bnbench.measures.measure import Measure, Pixels, stored_mean


def white_accuracy(pixels: Pixels) -> float:
    """Return the mean accuracy over the white pixels: 1/|W| · Σ accuracy(α, β) over (α, β) ∈ W."""
    return stored_mean(pixels.accuracy, pixels.counted_white)


MEASURE = Measure(
    name="white",
    title="accuracy, white pixels",
    low=0.0,
    high=1.0,
    better="lower",
    of_pixels=white_accuracy,
    trained_column=True,
    trained_title="accuracy, trained white pixels only",
)
