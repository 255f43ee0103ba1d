"""The objective J: what eq. 3 of the paper minimizes, over a measured landscape."""

from __future__ import annotations

import numpy as np

from bnbench.measures.measure import Measure, Pixels


def objective(pixels: Pixels) -> float:
    """Return J = 1/|B| · Σ loss over the black pixels − 1/|W| · Σ min(loss, threshold) over the white ones, in nats.

    A fit minimizes it (eq. 3) on minibatches; here each loss is that of all measured images. It is −threshold where
    every black loss is 0 and every white loss has reached the threshold, and about 0 for a plane that bends to nothing.
    """
    black, white = pixels.loss[pixels.counted_black], pixels.loss[pixels.counted_white]
    if not (black.size and white.size):
        return float("nan")
    return float(np.mean(black, dtype=float) - np.mean(np.minimum(white, pixels.threshold), dtype=float))


MEASURE = Measure(
    name="objective",
    title="objective J, all pixels",
    unit="nats",
    better="lower",
    of_pixels=objective,
    trained_column=True,
    trained_title="objective J, trained pixels only",
)
