"""Equivalence and interaction: against slow loops and scipy, and their level by simulation."""

from __future__ import annotations

import math

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy import stats

from bnbench.stats import differences
from bnbench.stats.equivalence import BOUNDS, TEST_LEVEL, two_one_sided
from bnbench.stats.interaction import interaction

DRAWS = 8_000
STRATA = np.repeat(np.arange(9), 5)


def within(share: float, expected: float) -> bool:
    """Whether a share of draws is what was expected, up to four standard errors."""
    return abs(share - expected) <= 4 * math.sqrt(expected * (1 - expected) / DRAWS)


def test_the_bounds_are_those_that_were_fixed() -> None:
    assert BOUNDS == {"right": 0.01, "objective": 0.02}
    assert TEST_LEVEL == 0.05


@pytest.mark.parametrize("mean", [-0.03, -0.01, 0.0, 0.004, 0.02])
def test_equivalence_is_two_t_tests_of_scipy(mean: float) -> None:
    gaps = np.random.default_rng(1).normal(mean, 0.02, 12)
    found, se, df = differences.stratified(gaps, np.zeros(12))
    above = stats.ttest_1samp(gaps, -0.01, alternative="greater").pvalue
    below = stats.ttest_1samp(gaps, 0.01, alternative="less").pvalue
    assert_allclose(two_one_sided(found, se, df, 0.01), max(above, below))


def test_equivalence_says_that_the_90_percent_interval_lies_within_the_bounds() -> None:
    for mean in np.linspace(-0.03, 0.03, 61):
        half = stats.t.ppf(0.95, 36) * 0.004
        inside = mean - half > -0.01 and mean + half < 0.01
        assert (two_one_sided(mean, 0.004, 36, 0.01) <= TEST_LEVEL) == inside


@pytest.mark.parametrize(("mean", "p_value"), [(0.0, 0.0), (0.009, 0.0), (0.01, 1.0), (-0.2, 1.0)])
def test_gaps_without_any_spread_are_equal_or_not(mean: float, p_value: float) -> None:
    assert two_one_sided(mean, 0.0, 36, 0.01) == p_value


def test_without_an_interval_there_is_no_equivalence() -> None:
    assert np.isnan(two_one_sided(0.0, math.nan, 0, 0.01))


@pytest.mark.parametrize("sign", [-1, 1])
def test_equivalence_keeps_its_level_at_the_bound_and_is_found_where_it_is(sign: int) -> None:
    generator = np.random.default_rng(2)
    shares = []
    for truth in (sign * 0.01, 0.0):
        mean, se, df = differences.stratified(generator.normal(truth, 0.012, (DRAWS, 45)), STRATA)
        shares.append(float(np.mean(two_one_sided(mean, se, df, 0.01) <= TEST_LEVEL)))
    assert within(shares[0], 0.05)
    assert shares[1] > 0.95


@pytest.mark.parametrize("sizes", [[5] * 9, [2, 3, 5], [1, 1, 4]])
def test_interaction_is_the_f_test_of_scipy_and_of_a_plain_loop(sizes: list[int]) -> None:
    strata = np.repeat(np.arange(len(sizes)), sizes)
    gaps = np.random.default_rng(3).normal(size=len(strata)) + 0.3 * strata
    groups = [[float(gap) for gap, own in zip(gaps, strata, strict=True) if own == p] for p in range(len(sizes))]
    every = [gap for group in groups for gap in group]
    centre = sum(every) / len(every)
    between = sum(len(group) * (sum(group) / len(group) - centre) ** 2 for group in groups) / (len(groups) - 1)
    rest = sum((gap - sum(group) / len(group)) ** 2 for group in groups for gap in group)
    found = interaction(gaps, strata)
    expected = stats.f_oneway(*groups)
    assert_allclose(found.f, between / (rest / (len(every) - len(groups))))
    assert_allclose([found.f, found.p_value], [expected.statistic, expected.pvalue])
    assert (found.between, found.within) == (len(groups) - 1, len(every) - len(groups))


@pytest.mark.parametrize(("values", "strata"), [([1.0, 2.0], [0, 1]), ([1.0, 2.0], [0, 0]), ([1.0] * 4, [0, 0, 1, 1])])
def test_interaction_is_not_tested_where_it_cannot_be(values: list[float], strata: list[int]) -> None:
    assert np.isnan(interaction(values, strata).p_value)


def test_interaction_keeps_its_level_and_is_found_where_it_is() -> None:
    noise = np.random.default_rng(4).normal(0, 0.03, (DRAWS, 45))
    assert within(float(np.mean(interaction(noise + 0.1, STRATA).p_value <= 0.05)), 0.05)
    slope = 0.02 * (STRATA - 4)
    assert np.mean(interaction(noise + slope, STRATA).p_value <= 0.05) > 0.95
