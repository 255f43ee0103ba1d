"""Are two arms as good as equal? Two one-sided t tests against bounds that were fixed beforehand."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

TEST_LEVEL = 0.05  # a tie is named where the p-value is at or below this
# Gaps smaller than these are no difference worth a name: one pixel in a hundred, and 0.02 nats.
BOUNDS = {"right": 0.01, "objective": 0.02}


def two_one_sided(mean: ArrayLike, se: ArrayLike, df: float, bound: float) -> NDArray[np.float64]:
    """Return the p-value of two one-sided t tests: the larger of P(T_df ≥ (d̄ + b) / se) and P(T_df ≤ (d̄ − b) / se).

    At or below 0.05 the 90 % interval d̄ ± t_df se lies within ±b, and the gap counts as none. It is above 0.05 where
    the gap is large, and also where it is not known well enough.

    Args:
        mean: the mean paired gap, any shape.
        se: its standard error, same shape.
        df: degrees of freedom of the latter; 0: there are none.
        bound: b > 0, in the unit of the gap.

    Returns:
        p-values of the same shape; NaN without a standard error.
    """
    mean, se = np.asarray(mean, dtype=float), np.asarray(se, dtype=float)
    if df <= 0:
        return np.full(mean.shape, np.nan)
    with np.errstate(divide="ignore", invalid="ignore"):
        above = stats.t.sf((mean + bound) / se, df)
        below = stats.t.cdf((mean - bound) / se, df)
    p_value = np.maximum(above, below)
    exact = np.where(np.abs(mean) < bound, 0.0, 1.0)  # all gaps of a p are equal: there is no error
    found: NDArray[np.float64] = np.where(se == 0, exact, p_value)
    return found
