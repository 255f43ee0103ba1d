"""Statistics against slow loops, against scipy and statsmodels; by simulation: see test_stats_simulated.py."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose
from scipy import stats as scipy_stats
from statsmodels.regression.linear_model import OLS
from statsmodels.stats.multitest import multipletests

from bnbench.stats import differences
from bnbench.stats.significance import holm, sign_flip

PROBS = [round(0.1 * number, 1) for number in range(1, 10)]


def make_fits(
    probs: Sequence[float] = PROBS,
    seeds: Sequence[int] = range(1, 6),
    arms: Sequence[str] = ("plain", "bn"),
    gap: float = 0.05,
    sd: float = 0.02,
    seed: int = 0,
) -> pd.DataFrame:
    generator = np.random.default_rng(seed)
    rows = [
        {"arm": arm, "p": p, "seed": number, "difference": 0.4 + 0.1 * p - gap * (arm != "plain")}
        for arm, p, number in itertools.product(arms, probs, seeds)
    ]
    table = pd.DataFrame(rows)
    return table.assign(difference=table["difference"] + generator.normal(0, sd, len(table)))


def values_of(table: pd.DataFrame, **keys: object) -> list[float]:
    return [row["difference"] for _, row in table.iterrows() if all(row[name] == key for name, key in keys.items())]


def test_per_p_is_the_mean_and_deviation_of_each_arm_and_p() -> None:
    fits = make_fits().sample(frac=1, random_state=1)
    table = differences.per_p(fits)
    assert list(table.columns) == ["arm", "p", "n", "mean", "sd"]
    assert len(table) == 18
    for _, row in table.iterrows():
        values = values_of(fits, arm=row["arm"], p=row["p"])
        mean = sum(values) / len(values)
        assert row["n"] == 5
        assert_allclose(row["mean"], mean)
        assert_allclose(row["sd"], math.sqrt(sum((value - mean) ** 2 for value in values) / 4))


def test_one_seed_has_no_deviation_and_no_interval() -> None:
    fits = make_fits(seeds=[3])
    assert differences.per_p(fits)["sd"].isna().all()
    pairs = differences.paired(fits)
    assert differences.paired_per_p(pairs)[["sd", "low", "high", "t", "p_value", "holm"]].isna().all(axis=None)
    whole = differences.overall(pairs)
    assert whole.df == 0
    assert math.isnan(whole.low)
    assert math.isnan(whole.high)
    assert_allclose(whole.mean, pairs["gap"].mean())


def test_pairs_match_on_p_and_seed_and_leave_out_fits_without_a_partner() -> None:
    fits = make_fits()
    lone = (fits["arm"] == "bn") & (fits["p"] == 0.3) & (fits["seed"] == 2)
    pairs = differences.paired(fits[~lone].sample(frac=1, random_state=2))
    assert len(pairs) == 44
    for _, row in pairs.iterrows():
        (first,) = values_of(fits, arm="plain", p=row["p"], seed=row["seed"])
        (second,) = values_of(fits, arm="bn", p=row["p"], seed=row["seed"])
        assert_allclose([row["first"], row["second"], row["gap"]], [first, second, first - second])


def test_a_fit_that_occurs_twice_is_refused() -> None:
    fits = make_fits()
    with pytest.raises(ValueError, match="occurs twice"):
        differences.paired(pd.concat([fits, fits.head(1)]))


def test_no_pair_has_nothing_to_sum_up() -> None:
    with pytest.raises(ValueError, match="both arms"):
        differences.overall(differences.paired(make_fits(arms=["plain"])))


def test_the_interval_at_one_p_is_scipys_paired_t_interval() -> None:
    fits = make_fits()
    table = differences.paired_per_p(differences.paired(fits)).set_index("p")
    for p in PROBS:
        first, second = (np.array(values_of(fits, arm=arm, p=p)) for arm in ("plain", "bn"))
        expected = scipy_stats.ttest_rel(first, second).confidence_interval(0.95)
        assert_allclose([table["low"][p], table["high"][p]], [expected.low, expected.high])


def test_the_test_at_one_p_is_scipys_paired_t_test() -> None:
    fits = make_fits()
    table = differences.paired_per_p(differences.paired(fits)).set_index("p")
    for p in PROBS:
        expected = scipy_stats.ttest_rel(values_of(fits, arm="plain", p=p), values_of(fits, arm="bn", p=p))
        assert_allclose([table["t"][p], table["p_value"][p]], [expected.statistic, expected.pvalue])


def test_one_pair_at_a_p_is_no_test_and_does_not_count_for_holm() -> None:
    fits = make_fits()
    fits = fits[(fits["p"] > 0.15) | (fits["seed"] == 1)]
    table = differences.paired_per_p(differences.paired(fits))
    assert math.isnan(table["holm"][0])
    assert_allclose(table["holm"][1:], slow_holm(list(table["p_value"][1:])))


def slow_holm(p_values: list[float]) -> list[float]:
    """The smallest level at which the step-down procedure rejects each hypothesis."""
    corrected = []
    for own in p_values:
        smaller = sorted(value for value in p_values if value <= own)
        corrected.append(min(1.0, max(value * (len(p_values) - place) for place, value in enumerate(smaller))))
    return corrected


@given(st.lists(st.floats(0, 1), max_size=12))
def test_holm_is_the_step_down_procedure(p_values: list[float]) -> None:
    assert_allclose(holm(p_values), slow_holm(p_values))


def test_holm_agrees_with_statsmodels() -> None:
    generator = np.random.default_rng(9)
    for count in (1, 2, 3, 9, 39):  # each call of theirs looks through all of memory for garbage
        p_values = generator.random(count).round(2) ** 3  # with ties
        assert_allclose(holm(p_values), multipletests(p_values, method="holm")[1])


def test_the_interval_of_a_whole_sweep_is_that_of_a_linear_model_with_a_mean_for_every_p() -> None:
    pairs = differences.paired(make_fits())
    cells = pd.get_dummies(pairs["p"]).to_numpy(dtype=float)  # (45, 9)
    model = OLS(pairs["gap"].to_numpy(), cells).fit()
    low, high = model.t_test(np.full((1, 9), 1 / 9)).conf_int(0.05)[0]
    whole = differences.overall(pairs)
    assert_allclose([whole.low, whole.high, whole.df], [low, high, model.df_resid])


def test_many_samples_at_once_have_the_intervals_of_each_alone() -> None:
    values, strata = np.random.default_rng(8).normal(size=(4, 3, 11)), [1, 1, 1, 2, 2, 3, 3, 3, 3, 4, 4]
    together = differences.stratified_interval(values, strata)
    for place in np.ndindex(4, 3):
        assert_allclose([ends[place] for ends in together], differences.stratified_interval(values[place], strata))


def test_every_p_weighs_the_same_however_many_pairs_it_has() -> None:
    fits = make_fits()
    fits = fits[~((fits["arm"] == "bn") & (fits["p"] == 0.2) & (fits["seed"] > 2))]
    whole = differences.overall(differences.paired(fits))
    gaps: dict[float, list[float]] = {}
    for p, seed in itertools.product(PROBS, range(1, 6)):
        if second := values_of(fits, arm="bn", p=p, seed=seed):
            gaps.setdefault(p, []).append(values_of(fits, arm="plain", p=p, seed=seed)[0] - second[0])
    every = [gap for values in gaps.values() for gap in values]
    means = {p: sum(own) / len(own) for p, own in gaps.items()}
    squares = {p: sum((gap - means[p]) ** 2 for gap in own) / (len(own) - 1) / len(own) for p, own in gaps.items()}
    mean, se = sum(means.values()) / 9, math.sqrt(sum(squares.values())) / 9
    shares = [1 / len(own) for own in gaps.values()]
    df = sum(shares) ** 2 / sum(share**2 / (len(own) - 1) for share, own in zip(shares, gaps.values(), strict=True))
    half = scipy_stats.t.ppf(0.975, df) * se
    assert (whole.pairs, whole.probabilities) == (42, 9)
    assert 9 < df < 33
    assert_allclose([whole.df, whole.mean, whole.se, whole.low, whole.high], [df, mean, se, mean - half, mean + half])
    assert_allclose(whole.d_z, mean / np.std(every, ddof=1))
    assert (whole.wins, whole.losses) == (sum(gap > 0 for gap in every), sum(gap < 0 for gap in every))
    weighted = [gap / len(own) for own in gaps.values() for gap in own]
    assert whole.sign_flip == sign_flip(weighted)


@given(st.lists(st.integers(2, 5), min_size=1, max_size=9), st.integers(0, 99))
def test_a_whole_sweep_has_the_mean_of_all_pairs_and_the_pooled_variance(sizes: list[int], seed: int) -> None:
    whole = len(set(sizes)) == 1
    strata = np.repeat(np.arange(len(sizes)), sizes)
    values = np.random.default_rng(seed).normal(size=len(strata))
    mean, se, df = differences.stratified(values, strata)
    pooled = sum(
        (values[strata == place] - values[strata == place].mean()) @ values[strata == place] for place in set(strata)
    )
    freedom = len(strata) - len(sizes)
    assert df == pytest.approx(freedom) if whole else df < freedom
    if whole:
        assert_allclose([mean, se], [values.mean(), math.sqrt(pooled / freedom / len(strata))])


def test_no_interval_while_a_single_p_lacks_a_second_pair() -> None:
    fits = make_fits()
    whole = differences.overall(differences.paired(fits[(fits["p"] != 0.2) | (fits["seed"] == 4)]))
    assert (whole.pairs, whole.df) == (41, 0)
    assert math.isnan(whole.se)
    assert math.isnan(whole.low)
    assert math.isnan(whole.high)


def test_overall_at_a_single_p_is_the_t_interval() -> None:
    pairs = differences.paired(make_fits(probs=[0.5]))
    whole, table = differences.overall(pairs), differences.paired_per_p(pairs)
    assert_allclose([whole.low, whole.high], [table["low"][0], table["high"][0]])


def test_swapping_the_arms_mirrors_everything() -> None:
    fits = make_fits()
    one, other = (
        differences.overall(differences.paired(fits)),
        differences.overall(differences.paired(fits, "bn", "plain")),
    )
    assert_allclose([one.mean, one.low, one.high, one.d_z], [-other.mean, -other.high, -other.low, -other.d_z])
    assert (one.wins, one.losses) == (other.losses, other.wins)
    assert one.sign_flip == other.sign_flip


def test_a_level_that_differs_between_p_does_not_widen_the_interval() -> None:
    generator = np.random.default_rng(3)
    strata, noise = np.repeat(PROBS, 5), generator.normal(0, 1, 45)
    narrow = differences.stratified_interval(noise, strata)
    shifted = differences.stratified_interval(noise + 100 * strata, strata)
    assert_allclose(shifted[1] - shifted[0], narrow[1] - narrow[0])


@given(st.lists(st.floats(-1, 1, allow_subnormal=False), min_size=1, max_size=9))
def test_the_exact_sign_flip_test_counts_every_pattern(gaps: list[float]) -> None:
    limit = abs(sum(gaps)) - 1e-9
    patterns = list(itertools.product([-1, 1], repeat=len(gaps)))
    sums = [abs(sum(sign * gap for sign, gap in zip(pattern, gaps, strict=True))) for pattern in patterns]
    near = sum(abs(total - abs(sum(gaps))) < 1e-9 for total in sums)  # ties count, however they round
    found = sign_flip(gaps) * len(patterns)
    assert sum(total >= limit for total in sums) - near <= found <= sum(total >= limit for total in sums)
    assert found >= min(2, len(patterns)) - 1e-9


def test_drawn_signs_are_those_of_the_generator_however_many_are_drawn_at_once() -> None:
    gaps = np.random.default_rng(3).normal(0.1, 1, 17)
    signs = 2.0 * np.random.default_rng(5).integers(0, 2, size=(20_001, 17), dtype=np.int8) - 1
    hits = sum(abs(float(row @ gaps)) >= abs(gaps.sum()) - 1e-9 for row in signs)
    assert sign_flip(gaps, draws=20_001, seed=5) == (1 + hits) / 20_002


def test_the_exact_sign_flip_test_agrees_with_scipy() -> None:
    gaps = np.random.default_rng(4).normal(0.4, 1, 10)
    expected = scipy_stats.permutation_test((gaps,), np.sum, permutation_type="samples", n_resamples=2**10)
    assert_allclose(sign_flip(gaps), expected.pvalue)


@pytest.mark.parametrize("gap", [0.05, 0.3, 0.7, 1.1])
def test_a_hundred_thousand_drawn_sign_patterns_agree_with_all_of_them(gap: float) -> None:
    gaps = np.random.default_rng(5).normal(gap, 1, 18)
    sums = np.zeros(1)
    for value in gaps:
        sums = np.concatenate([sums - value, sums + value])
    exact = np.mean(np.abs(sums) >= abs(gaps.sum()) - 1e-12)
    assert_allclose(sign_flip(gaps), exact, atol=4 * math.sqrt(exact * (1 - exact) / 100_000) + 1 / 100_001)
    assert sign_flip(gaps) == sign_flip(gaps)


def test_five_seeds_cannot_fall_below_a_sixteenth() -> None:
    whole = differences.overall(differences.paired(make_fits(gap=0.3, sd=0.001)))
    assert whole.seed_flip == 2 / 2**5
    assert whole.sign_flip == 1 / 100_001
    assert whole.wins == 45


def test_a_gap_that_is_not_a_number_has_no_p_value() -> None:
    assert math.isnan(sign_flip([0.1, math.nan]))


def test_nothing_touches_the_global_random_state() -> None:
    state = np.random.get_state(legacy=False)["state"]["key"].copy()
    differences.overall(differences.paired(make_fits()))
    assert (np.random.get_state(legacy=False)["state"]["key"] == state).all()
