"""The capacity of each seed alone, to order arms seed by seed. Tables in, tables out."""

from __future__ import annotations

import numpy as np
import pandas as pd

from bnbench.stats.capacity import FEWEST_SIZES, complete_seeds
from bnbench.stats.falling_curve import fit_curves


def seed_capacities(fits: pd.DataFrame) -> pd.DataFrame:
    """Return the side of 90 % right of each seed alone, by the curve through its own fits, also beyond the sizes.

    A curve through the fits of one seed is noisy; it has no interval, and :mod:`bnbench.stats.capacity` says more.

    Args:
        fits: a row per fit of one fill probability: ``arm, side, seed, right``; each side once.

    Returns:
        ``arm, seed, capacity`` of the seeds that every arm has at every size; no row with fewer than three sizes.
    """
    table = complete_seeds(fits).pivot(index=["arm", "seed"], columns="side", values="right")
    found = pd.DataFrame(columns=["arm", "seed", "capacity"])
    if table.shape[1] >= FEWEST_SIZES:
        log_sides, _ = fit_curves(table.columns.to_numpy(float), table.to_numpy(float))
        found = table.index.to_frame(index=False).assign(capacity=np.exp(log_sides))
    return found
