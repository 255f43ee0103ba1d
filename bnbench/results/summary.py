"""A fit's summary as a table: which of its rows is the headline, for one fit or for those of a whole sweep.

A summary has a row per BN policy × images × pixels. The headline is what the protocol asks for: its own policy, on the
images that it measures on, which are never the training images.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bnbench.measures import registry
from bnbench.measures.measure import Measure, Pixels
from bnbench.protocol.protocol import Protocol
from bnbench.results.joined_fits import rows_of_fits

KEYS = ("policy", "headline", "split", "pixels")  # what a row is of; its measures follow
TRAIN = "train"  # the images of a summary's rows that were measured on training images
_FIT = ["arm", "p", "seed"]


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


def headline_measures(summaries: pd.DataFrame, landscapes: pd.DataFrame, protocol: Protocol) -> pd.DataFrame:
    """Return every measure of each fit of a sweep under its headline.

    What a fit's summary lacks, because it is older than the measure, is computed from the fit's pixels, where they
    tell it; else it is not a number.

    Args:
        summaries: of the fits, with columns ``arm, p, seed``.
        landscapes: of the fits, a row per pixel, see :data:`bnbench.results.schemas.LANDSCAPE_SCHEMA`.
        protocol: of the fits.

    Returns:
        A row per fit: ``arm, p, seed, policy``, each measure over all pixels, then those that also have a column over
        trained pixels, such as ``difference_trained``. A measure that no fit has is left out.
    """
    table = _completed(headline_rows(summaries), landscapes, protocol, registry.REGISTERED)
    also = [measure for measure in registry.REGISTERED if measure.trained_column]
    trained = _completed(headline_rows(summaries, "trained"), landscapes, protocol, also, trained_only=True)
    trained = trained.drop(columns="policy").rename(columns={one.name: f"{one.name}_trained" for one in also})
    return table.merge(trained, on=_FIT, how="left")


def _completed(
    rows: pd.DataFrame,
    landscapes: pd.DataFrame,
    protocol: Protocol,
    measures: Sequence[Measure],
    *,
    trained_only: bool = False,
) -> pd.DataFrame:
    """Return headline rows with the columns of some measures, computed where a row lacks one that its pixels tell."""
    table = rows.reindex(columns=[*_FIT, "policy", *(measure.name for measure in measures)])
    told = [(measure.name, measure.of_pixels) for measure in measures if measure.of_pixels]
    values = table[[name for name, _ in told]]
    lacks = values.isna().to_numpy()  # (fits, measures)
    if lacks.any():
        columns, rows_of = values.to_numpy(float, copy=True), rows_of_fits(landscapes)
        keys = list(table[_FIT].itertuples(index=False, name=None))
        for fit in np.flatnonzero(lacks.any(axis=1)):
            pixels = _stored_pixels(landscapes, rows_of[keys[fit]], protocol, trained_only=trained_only)
            for number in np.flatnonzero(lacks[fit]):
                columns[fit, number] = told[number][1](pixels)
        for number in np.flatnonzero(lacks.any(axis=0)):
            table[told[number][0]] = columns[:, number]
    later = [measure.name for measure in measures if measure.name not in registry.ALWAYS_STORED]
    return table.drop(columns=[name for name in later if table[name].isna().all()])


def _stored_pixels(
    landscapes: pd.DataFrame, rows: NDArray[np.int_], protocol: Protocol, *, trained_only: bool
) -> Pixels:
    """Return one fit's pixels as its file has them, on the images that the protocol measures on."""
    shape = protocol.mask.mask_size
    black, trained = (landscapes[name].to_numpy(bool)[rows].reshape(shape) for name in ("black", "trained"))
    loss, accuracy = (
        landscapes[f"test_{name}"].to_numpy()[rows].astype(float).reshape(shape) for name in ("loss", "accuracy")
    )
    counted = trained if trained_only else np.ones_like(black)
    return Pixels(black, counted, loss, accuracy, protocol.training.threshold)
