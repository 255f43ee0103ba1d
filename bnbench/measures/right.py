"""The share of pixels that are right: on their colour's side of one cut through the losses."""

from __future__ import annotations

import numpy as np

from bnbench.measures.measure import Measure, Pixels


def right(pixels: Pixels) -> float:
    """Return max over cuts c of ½ · P(loss ≤ c over black pixels) + ½ · P(loss > c over white pixels).

    Both colours weigh the same, however many pixels each has. It is 1 where a single cut through the losses tells the
    colours apart, so that the mask can be read off the landscape, and ½ where the losses say nothing of the mask, for a
    cut below or above all losses is right on one colour. Pixels of equal loss lie on one side of every cut. Only the
    order of the losses counts: neither their size nor the threshold does.
    """
    black, white = pixels.loss[pixels.counted_black], pixels.loss[pixels.counted_white]
    if not (black.size and white.size):
        return float("nan")
    cuts = np.unique(black)  # between two black losses the share of black pixels stays, that of white ones falls
    low = np.searchsorted(np.sort(black), cuts, side="right") / black.size
    high = 1 - np.searchsorted(np.sort(white), cuts, side="right") / white.size
    return max(0.5, float(np.max(low + high)) / 2)


MEASURE = Measure(
    name="right",
    title="pixels right, all pixels",
    low=0.5,
    high=1.0,
    better="higher",
    of_pixels=right,
    trained_column=True,
    trained_title="pixels right, trained pixels only",
)
