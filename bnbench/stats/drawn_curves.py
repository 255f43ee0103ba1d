"""Curves of arms over draws of whole seeds: a bootstrap, whose deviation makes the interval of a side."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
from scipy import stats

from bnbench.stats.differences import CONFIDENCE
from bnbench.stats.falling_curve import Floats, fit_curves, is_between_sizes, log_sides_at

DRAWS = 4_000


@dataclass(frozen=True)
class DrawnCurves:
    """The curves of one arm over the draws of its seeds, and whether any falls between two sizes."""

    log_sides: Floats
    slopes: Floats
    is_steep: bool

    def at(self, level: float) -> DrawnCurves:
        """Return them with their sides at another level than 90 %."""
        return replace(self, log_sides=log_sides_at(level, self.log_sides, self.slopes))


def drawn_curves(sides: Floats, right: Floats) -> list[DrawnCurves]:
    """Draw the seeds again and again and fit each arm; a draw takes the same seeds for all arms, and all sizes."""
    n = right.shape[1]
    counts = np.random.default_rng(0).multinomial(n, np.full(n, 1 / n), size=DRAWS)
    distinct, which = np.unique(counts, axis=0, return_inverse=True)  # of 5 seeds there are but 126
    found = []
    for values in right:
        log_sides, slopes = fit_curves(sides, np.vstack([distinct @ values / n, values.mean(axis=0)]))
        is_steep = bool(is_between_sizes(sides, log_sides, slopes).any())
        found.append(DrawnCurves(log_sides[which.ravel()], slopes[which.ravel()], is_steep))
    return found


def half_width(drawn: Floats, n: int) -> float:
    """Return half of the 95 % interval, from the draws of a number; NaN of a single seed."""
    if n < 2:
        return math.nan
    return float(stats.t.ppf((1 + CONFIDENCE) / 2, n - 1) * math.sqrt(n / (n - 1)) * drawn.std())
