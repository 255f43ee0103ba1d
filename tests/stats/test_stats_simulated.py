"""Statistics by simulation: intervals cover, tests keep their level and find what is there.

Draws are many enough that the bounds are many standard errors away, and the seeds are fixed.
"""

from __future__ import annotations

import itertools
import math

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose
from scipy import stats as scipy_stats

from bnbench.stats import differences
from bnbench.stats.significance import holm, sign_flip

pytestmark = pytest.mark.nightly
DRAWS = 10_000
STRATA = np.repeat(np.arange(9), 5)  # nine p, five seeds
EVEN, UNEVEN = np.full(9, 0.03), np.linspace(0.01, 0.05, 9)


def gaps_of(draws: int, sd: np.ndarray, gap: float = 0.0, seed: int = 0) -> np.ndarray:
    """Paired gaps of ``draws`` sweeps, shape (draws, 45): a level of their own at each p, their mean is ``gap``."""
    levels = np.linspace(-0.04, 0.04, 9)[STRATA] + gap
    gaps: np.ndarray = levels + np.random.default_rng(seed).normal(size=(draws, 45)) * sd[STRATA]
    return gaps


def within(share: float | np.floating, expected: float, draws: int) -> bool:
    """Whether a share of draws is what was expected, up to four standard errors."""
    return abs(float(share) - expected) <= 4 * math.sqrt(expected * (1 - expected) / draws)


def per_p(gaps: np.ndarray) -> pd.DataFrame:
    """What the package says of each row of gaps, as if rows were fill probabilities."""
    rows, columns = gaps.shape
    frame = pd.DataFrame({"p": np.repeat(np.arange(rows), columns), "gap": gaps.ravel()})
    return differences.paired_per_p(frame)


@pytest.mark.parametrize("n", [18, 19, 22, 27, 31, 36, 40, 45])
@pytest.mark.parametrize("sd", [EVEN, UNEVEN, UNEVEN[::-1]], ids=["even", "rising", "falling"])
def test_the_headline_covers_the_truth_as_often_as_it_says_however_far_the_sweep_is(sd: np.ndarray, n: int) -> None:
    kept = np.argsort(np.tile(np.arange(5), 9), kind="stable")[:n]  # as the runner goes: seed outermost
    gaps = gaps_of(4 * DRAWS, sd)[:, kept]
    low, high = differences.stratified_interval(gaps, STRATA[kept])
    assert 0.93 < np.mean((low <= 0) & (high >= 0)) < 0.97, "the truth is that of the whole sweep, whatever is there"


@pytest.mark.parametrize("sizes", [[2] * 8 + [5], [2, 2, 2, 3, 3, 3, 5, 5, 5], [5, 5, 5, 3, 3, 3, 2, 2, 2]])
@pytest.mark.parametrize("sd", [EVEN, UNEVEN], ids=["even", "rising"])
def test_it_does_so_for_p_of_very_unequal_numbers_of_pairs_too(sd: np.ndarray, sizes: list[int]) -> None:
    strata = np.repeat(np.arange(9), sizes)
    gaps = np.random.default_rng(14).normal(size=(DRAWS, len(strata))) * sd[strata]
    low, high = differences.stratified_interval(gaps, strata)
    assert 0.92 < np.mean((low <= 0) & (high >= 0)) < 0.97


def test_it_covers_less_often_where_one_p_varies_far_more() -> None:
    sd = np.array([0.009, 0.028, 0.037, 0.049, 0.025, 0.041, 0.039, 0.029, 0.093])  # of J over all pixels in compact

    def covered(strata: np.ndarray) -> float:
        gaps = np.random.default_rng(15).normal(size=(2 * DRAWS, len(strata))) * sd[strata]
        low, high = differences.stratified_interval(gaps, strata)
        return float(np.mean((low <= 0) & (high >= 0)))

    as_the_runner_goes = np.tile(np.arange(9), 5)  # seed outermost, and the p that varies most is the last
    assert all(0.90 < covered(as_the_runner_goes[:n]) < 0.96 for n in range(18, 46))
    assert 0.88 < covered(np.repeat(np.arange(9), [5] * 8 + [2])) < 0.91, "failures have cost it three pairs"


def test_the_headline_finds_a_true_gap_as_often_as_the_noncentral_t_says() -> None:
    gaps = gaps_of(DRAWS, EVEN, gap=0.012)
    low, high = differences.stratified_interval(gaps, STRATA)
    edge, shift = scipy_stats.t.ppf(0.975, 36), 0.012 * math.sqrt(45) / 0.03
    power = scipy_stats.nct.sf(edge, 36, shift) + scipy_stats.nct.cdf(-edge, 36, shift)
    assert 0.6 < power < 0.9
    assert within(np.mean((low > 0) | (high < 0)), power, DRAWS)


@pytest.mark.parametrize("n", [2, 3, 5])
def test_the_interval_at_one_p_covers_the_truth_as_often_as_it_says(n: int) -> None:
    table = per_p(np.random.default_rng(2).normal(0.05, 0.03, (DRAWS, n)))
    assert 0.93 < np.mean((table["low"] <= 0.05) & (table["high"] >= 0.05)) < 0.97


def test_the_t_test_at_one_p_keeps_its_level_and_has_its_power() -> None:
    quiet, loud = (per_p(np.random.default_rng(3).normal(gap, 0.03, (DRAWS, 5)))["p_value"] for gap in (0, 0.05))
    edge = scipy_stats.t.ppf(0.975, 4)
    shift = math.sqrt(5) * 0.05 / 0.03
    power = scipy_stats.nct.sf(edge, 4, shift) + scipy_stats.nct.cdf(-edge, 4, shift)
    assert within(np.mean(quiet <= 0.05), 0.05, DRAWS)
    assert within(np.mean(loud <= 0.05), power, DRAWS)
    assert power > 0.75


@pytest.mark.parametrize("alike", [0.0, 0.8], ids=["independent", "alike"])
def test_holm_keeps_the_chance_of_any_false_finding(alike: float) -> None:
    generator = np.random.default_rng(4)
    shared, own = generator.normal(size=(DRAWS, 1, 5)), generator.normal(size=(DRAWS, 9, 5))
    gaps = math.sqrt(alike) * shared + math.sqrt(1 - alike) * own
    p_values = per_p(gaps.reshape(-1, 5))["p_value"].to_numpy().reshape(DRAWS, 9)
    plain = np.mean((p_values <= 0.05).any(axis=1))
    corrected = np.mean([holm(row).min() <= 0.05 for row in p_values])
    assert corrected <= 0.05 + 4 * math.sqrt(0.05 * 0.95 / DRAWS)
    assert plain > 0.1  # without it a false finding is common


def test_holm_finds_more_than_bonferroni_and_nothing_more_than_it_may_where_some_differ() -> None:
    gaps = np.random.default_rng(5).normal(size=(4_000, 9, 5)) + np.repeat([4.0, 0.0], [6, 3])[:, None]
    p_values = per_p(gaps.reshape(-1, 5))["p_value"].to_numpy().reshape(-1, 9)
    found = np.array([holm(row) for row in p_values]) <= 0.05
    assert np.mean(found[:, 6:].any(axis=1)) <= 0.05 + 4 * math.sqrt(0.05 * 0.95 / 4_000)
    assert found[:, :6].mean() > (9 * p_values[:, :6] <= 0.05).mean() > 0.5


def test_the_exact_sign_flip_test_keeps_its_level_and_finds_a_true_gap() -> None:
    generator = np.random.default_rng(7)
    quiet, loud = (
        np.mean([sign_flip(row) <= 0.05 for row in generator.normal(gap, 1, (draws, 10))])
        for gap, draws in ((0, 4_000), (1, 1_000))
    )
    assert within(quiet, 50 / 1024, 4_000)  # the largest multiple of 2/2¹⁰ below 0.05: no more, and no less
    edge = scipy_stats.t.ppf(0.975, 9)
    assert_allclose(loud, scipy_stats.nct.sf(edge, 9, math.sqrt(10)), atol=0.06)


def test_the_drawn_sign_flip_test_keeps_its_level_and_finds_a_true_gap() -> None:
    generator = np.random.default_rng(8)
    quiet, loud = (
        np.mean([sign_flip(row, draws=999) <= 0.05 for row in generator.normal(gap, 1, (2_000, 45))])
        for gap in (0, 0.45)
    )
    assert within(quiet, 0.05, 2_000)
    edge = scipy_stats.t.ppf(0.975, 44)
    assert_allclose(loud, scipy_stats.nct.sf(edge, 44, 0.45 * math.sqrt(45)), atol=0.04)


def test_where_pairs_of_a_seed_are_alike_only_flipping_whole_seeds_keeps_its_level() -> None:
    generator = np.random.default_rng(9)
    gaps = generator.normal(size=(1_000, 8, 1)) + 0.5 * generator.normal(size=(1_000, 8, 9))  # eight seeds, nine p
    pairs = np.mean([sign_flip(sweep.ravel(), draws=999) <= 0.05 for sweep in gaps])
    seeds = np.mean([sign_flip(sweep.sum(axis=1)) <= 0.05 for sweep in gaps])
    assert seeds <= 0.05 + 4 * math.sqrt(0.05 * 0.95 / 1_000)
    assert pairs > 0.3


def test_the_effect_size_is_what_was_put_in() -> None:
    gaps = np.random.default_rng(10).normal(0.06, 0.03, 500)
    whole = differences.overall(pd.DataFrame({"p": 0.5, "seed": np.arange(500), "gap": gaps}))
    assert_allclose(whole.d_z, 2, atol=4 * math.sqrt((1 + 2**2 / 2) / 500))
    assert within(whole.wins / whole.pairs, scipy_stats.norm.cdf(2), 500)


def test_what_is_not_offered_is_as_poor_as_we_say() -> None:
    five = list(itertools.product(range(5), repeat=5))  # every resample of five points
    weights = np.array([np.bincount(row, minlength=5) for row in five]) / 5  # (3125, 5)
    assert_allclose(coverage(np.random.default_rng(11).normal(size=(4_000, 5)), weights), 0.84, atol=0.015)
    stratified = np.random.default_rng(12).multinomial(5, [0.2] * 5, (2_000, 9)).reshape(-1, 45) / 45
    assert_allclose(coverage(np.random.default_rng(13).normal(size=(4_000, 45)), stratified), 0.91, atol=0.015)
    signed_ranks = scipy_stats.wilcoxon([0.1, 0.2, 0.3, 0.4, 0.5], method="exact")
    assert signed_ranks.pvalue == sign_flip([0.1, 0.2, 0.3, 0.4, 0.5]) == 0.0625


def coverage(samples: np.ndarray, weights: np.ndarray) -> float:
    """How often the percentile bootstrap with these weights of resamples covers the mean, zero."""
    low, high = np.quantile(samples @ weights.T, [0.025, 0.975], axis=1)
    return float(np.mean((low <= 0) & (high >= 0)))
