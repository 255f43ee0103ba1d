"""p-values: the sign-flip test of paired gaps, and Holm's correction of several tests."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike, NDArray

EXACT_UP_TO = 16  # 2¹⁶ sign patterns take 10 ms; beyond, draws
_SIGNS_AT_ONCE = 2**17  # they stay in the cache; thousands of pairs would take 200 MB otherwise


def sign_flip(values: ArrayLike, draws: int = 100_000, seed: int = 0) -> float:
    """Test by flipping signs, two-sided, whether a distribution is symmetric around zero.

    p = share of sign patterns ε with |Σ ε d| ≥ |Σ d|: all 2ᴺ of them up to N = 16, otherwise
    (1 + hits) / (1 + draws) with patterns drawn from a generator of its own.

    Args:
        values: the gaps d, shape (N,).
        draws: sign patterns to draw when N > 16.
        seed: of the drawn patterns, so that the same gaps give the same p-value.

    Returns:
        The p-value in (0, 1], or NaN when a gap is not finite.
    """
    gaps = np.asarray(values, dtype=float)
    if not np.isfinite(gaps).all():
        return float("nan")
    limit = abs(gaps.sum()) - 1e-12 * np.abs(gaps).sum()  # a pattern that only rounds differently counts
    if len(gaps) <= EXACT_UP_TO:
        sums = np.zeros(1)
        for gap in gaps:
            sums = np.concatenate([sums - gap, sums + gap])
        return float(np.mean(np.abs(sums) >= limit))
    return _share_as_large(gaps.tobytes(), float(limit), draws, seed)


@lru_cache(maxsize=64)  # a report asks for the same gaps in several places
def _share_as_large(packed: bytes, limit: float, draws: int, seed: int) -> float:
    """Return (1 + hits) / (1 + draws) over drawn signs of some gaps, given as the bytes of an array.

    A sign is the highest bit of a random byte: those that ``Generator.integers(0, 2, dtype=int8)`` draws, sooner.
    """
    gaps = np.frombuffer(packed)
    words, count, hits = np.random.default_rng(seed).bit_generator, len(gaps), 0
    at_once = max(_SIGNS_AT_ONCE // count // 8, 1) * 8  # a whole number of words
    for start in range(0, draws, at_once):
        shape = (min(at_once, draws - start), count)
        drawn = words.random_raw(-(-shape[0] * count // 8)).astype("<u8", copy=False).view(np.uint8)
        is_plus = drawn[: shape[0] * count].reshape(shape) >> 7  # (patterns, N)
        sums = 2 * (is_plus.astype(float) @ gaps) - gaps.sum()
        hits += int((np.abs(sums) >= limit).sum())
    return (1 + hits) / (1 + draws)


def holm(p_values: ArrayLike) -> NDArray[np.float64]:
    """Correct by Holm's steps down: p̃_(i) = max_{j ≤ i} min(1, (m − j + 1) p_(j)), smallest first.

    Args:
        p_values: shape (m,); those that are not numbers were not tested and do not count.

    Returns:
        Corrected p-values in the same order, NaN where there was none. Rejecting p̃ ≤ α makes a false
        rejection among all m no likelier than α, however the tests depend on each other.
    """
    values = np.asarray(p_values, dtype=float)
    order = np.argsort(values)[: np.isfinite(values).sum()]  # NaN sorts last
    steps = values[order] * np.arange(len(order), 0, -1)
    corrected = np.full_like(values, np.nan)
    corrected[order] = np.minimum(np.maximum.accumulate(steps), 1.0)
    return corrected
