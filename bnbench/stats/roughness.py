"""How rough a landscape is on its grid: its spectrum, and its total variation held to that of its mask."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
from numpy.typing import NDArray

FINE = 0.25  # cycles a pixel: half of the finest frequency that a grid has


def fine_share(values: NDArray[np.float64]) -> float:
    """Return the share of a picture's variance at frequencies above a quarter of a cycle a pixel, in [0, 1].

    With F the discrete Fourier transform of the values less their mean, it is the sum of |F|² over the frequencies
    (u, v) with √(u² + v²) > ¼, divided by the sum over all. White noise has 0.80. Not a number where all are equal.

    Args:
        values: shape (rows, columns).
    """
    power = np.abs(np.fft.fft2(values - values.mean())) ** 2
    rows, columns = (np.fft.fftfreq(size) for size in values.shape)
    is_fine = np.hypot(rows[:, None], columns[None, :]) > FINE
    return float(power[is_fine].sum() / power.sum()) if np.ptp(values) else math.nan


def total_variation(values: NDArray[np.float64]) -> float:
    """Return the sum of |difference| over all pairs of neighbours, in a row or a column.

    Args:
        values: shape (rows, columns).
    """
    return float(sum(np.abs(np.diff(values, axis=axis)).sum() for axis in (0, 1)))


def relative_variation(loss: NDArray[np.float64], black: NDArray[np.bool_], threshold: float) -> float:
    """Return the total variation of a landscape relative to that of its mask at the landscape's own contrast.

    With z = min(loss, threshold), V the total variation and m = 1 where white, it is V(z) / (V(m) · c), where c is the
    mean of z over white pixels minus that over black ones. It is 1 where z has one value for each colour, and grows
    with whatever the landscape has that the mask has not. Not a number where c is not above 0 or a colour is missing.

    Args:
        loss: nats, shape (rows, columns).
        black: True where black, same shape.
        threshold: of eq. 3.
    """
    clipped = np.minimum(loss, threshold)
    if black.all() or not black.any():
        return math.nan
    contrast = float(clipped[~black].mean() - clipped[black].mean())
    asked = total_variation(np.where(black, 0.0, 1.0))
    return total_variation(clipped) / (asked * contrast) if contrast > 0 else math.nan


def roughness_of_fits(landscapes: pd.DataFrame, threshold: float) -> pd.DataFrame:
    """Return how rough each found landscape is, of min(loss, threshold) as eq. 3 counts it, and its mask.

    Args:
        landscapes: ``arm, p, seed, row, column, black, test_loss``, a row per pixel, every grid whole.
        threshold: of eq. 3, nats.

    Returns:
        A row per fit: ``arm, p, seed, fine_share, fine_share_of_mask, relative_variation``.
    """
    rows = []
    for (arm, p, seed), fit in landscapes.groupby(["arm", "p", "seed"], sort=False):
        shape = int(fit["row"].max()) + 1, int(fit["column"].max()) + 1
        loss, black = np.empty(shape), np.empty(shape, dtype=bool)
        loss[fit["row"], fit["column"]] = fit["test_loss"]
        black[fit["row"], fit["column"]] = fit["black"]
        rows.append(
            {
                "arm": arm,
                "p": p,
                "seed": seed,
                "fine_share": fine_share(np.minimum(loss, threshold)),
                "fine_share_of_mask": fine_share(np.where(black, 0.0, 1.0)),
                "relative_variation": relative_variation(loss, black, threshold),
            }
        )
    return pd.DataFrame(rows, columns=["arm", "p", "seed", "fine_share", "fine_share_of_mask", "relative_variation"])
