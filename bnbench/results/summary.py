"""A fit's summary as a table: which of its rows is the headline, for one fit or for those of a whole sweep.

A summary has a row per BN policy × images × pixels. The headline is what the protocol asks for: its own policy, on the
images that it measures on, which are never the training images.
"""

from __future__ import annotations

import pandas as pd

TRAIN = "train"  # the images of a summary's rows that were measured on training images


def measured_rows(summaries: pd.DataFrame, pixels: str = "all") -> pd.DataFrame:
    """Return the rows on the images that the protocol measures on, under every BN policy.

    Args:
        summaries: rows as :class:`bnbench.results.store.FitResult` describes them, of one fit or of several.
        pixels: ``all``, or ``trained`` for those that were trained alone.
    """
    return summaries[(summaries["split"] != TRAIN) & (summaries["pixels"] == pixels)]


def headline_rows(summaries: pd.DataFrame, pixels: str = "all") -> pd.DataFrame:
    """Return the headline of each fit, a row per fit; arguments as in :func:`measured_rows`."""
    rows = measured_rows(summaries, pixels)
    return rows[rows["headline"].astype(bool)]
