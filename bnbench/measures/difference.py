"""Accuracy contrast, the paper's figure 4."""

from __future__ import annotations

from bnbench.measures.black import black_accuracy
from bnbench.measures.measure import Measure, Pixels
from bnbench.measures.white import white_accuracy


def accuracy_contrast(pixels: Pixels) -> float:
    """Return the mean accuracy over the black pixels minus that over the white ones."""
    return black_accuracy(pixels) - white_accuracy(pixels)


MEASURE = Measure(
    name="difference",
    title="difference, all pixels",
    low=-1.0,
    high=1.0,
    better="higher",
    of_pixels=accuracy_contrast,
    trained_column=True,
    trained_title="difference, trained pixels only",
)
