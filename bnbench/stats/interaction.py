"""Does the gap between two arms depend on p? The F test of a mean for every p against one mean for all."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats


class Interaction(NamedTuple):
    """The test of the p × arm interaction: the paired gaps against p.

    Attributes:
        f: F = Σ_p n_p (d̄_p − d̄)² / (P − 1) over Σ_p Σ (d − d̄_p)² / (N − P), shape (...); NaN without a spread.
        between: degrees of freedom P − 1.
        within: degrees of freedom N − P.
        p_value: P(F_{P − 1, N − P} ≥ f), same shape.
    """

    f: NDArray[np.float64]
    between: int
    within: int
    p_value: NDArray[np.float64]


def interaction(gaps: ArrayLike, p: ArrayLike) -> Interaction:
    """Test whether the mean gap is the same at every p.

    Args:
        gaps: paired gaps, shape (..., N): each row is a sweep of its own.
        p: the fill probability of each gap, shape (N,).
    """
    values = np.asarray(gaps, dtype=float)
    levels, codes = np.unique(np.asarray(p), return_inverse=True)
    belongs = np.eye(len(levels))[codes]  # (N, P)
    between, within = len(levels) - 1, len(codes) - len(levels)
    if between < 1 or within < 1:
        nothing = np.full(values.shape[:-1], np.nan)
        return Interaction(nothing, between, within, nothing)
    sizes = belongs.sum(axis=0)
    means = values @ belongs / sizes  # (..., P)
    explained = ((means - values.mean(axis=-1, keepdims=True)) ** 2 * sizes).sum(axis=-1) / between
    rest = ((values - means @ belongs.T) ** 2).sum(axis=-1) / within
    f = np.divide(explained, rest, out=np.full_like(explained, np.nan), where=rest > 0)
    return Interaction(f, between, within, np.asarray(stats.f.sf(f, between, within)))
