"""Capacity: the fitted side against slow references, and by simulation from a known curve."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose
from scipy import stats as scipy_stats
from scipy.optimize import brentq, curve_fit

from bnbench.stats import capacity, falling_curve
from bnbench.stats.seed_capacity import seed_capacities

SIDES = (14.0, 20.0, 28.0, 40.0, 56.0, 80.0)
NUMBERS = {"plain": 1_000, "bn": 2_000}


def curve(x: Sequence[float] | np.ndarray, log_side: float, slope: float) -> np.ndarray:
    """The formula of the module, written out once more."""
    return np.array([0.5 + 0.5 / (1 + 0.25 * (one / math.exp(log_side)) ** slope) for one in x])


def made_up(
    side: dict[str, float],
    seeds: int = 5,
    sides: Sequence[float] = SIDES,
    noise: float = 0.01,
    shift: float = 0.05,
    seed: int = 0,
) -> pd.DataFrame:
    """Fits whose arms have a known side; a seed shifts the log side of all of them alike."""
    random = np.random.default_rng(seed)
    shifts = random.normal(0, shift, seeds)
    rows = [
        {"arm": arm, "side": one, "seed": number + 1, "right": float(curve(np.array([one]), centre, 4.0)[0])}
        for arm, number in itertools.product(side, range(seeds))
        for centre in [math.log(side[arm]) + shifts[number]]
        for one in sides
    ]
    table = pd.DataFrame(rows)
    return table.assign(right=table["right"] + random.normal(0, noise, len(table)))


def row_of(table: pd.DataFrame, arm: str = "plain") -> dict[Any, Any]:
    """The one row of an arm."""
    (row,) = table[table["arm"] == arm].to_dict("records")
    return row


@pytest.mark.parametrize(("p", "bits"), [(0.5, 1.0), (0.25, 0.8112781244591328), (0.9, 0.4689955935892812)])
def test_bits_of_a_mask_are_its_pixels_times_the_entropy(p: float, bits: float) -> None:
    assert_allclose(capacity.mask_bits([100, 7], p), [100 * bits, 7 * bits])


@pytest.mark.parametrize("seed", range(4))
def test_curves_are_those_of_least_squares(seed: int) -> None:
    random = np.random.default_rng(seed)
    sides = np.array(SIDES)
    truths = zip(random.uniform(math.log(16), math.log(70), 12), random.uniform(2, 9, 12), strict=True)
    means = np.array([curve(sides, *truth) for truth in truths]) + random.normal(0, 0.02, (12, 6))
    log_sides, slopes = falling_curve.fit_curves(sides, means)
    for row, log_side, slope in zip(means, log_sides, slopes, strict=True):
        slow, _ = curve_fit(curve, sides, row, p0=(3.4, 4.0), ftol=1e-12, xtol=1e-12)
        assert_allclose([log_side, slope], slow, rtol=1e-4)
        assert_allclose(falling_curve.right_at(sides, math.exp(log_side), slope), curve(sides, *slow), atol=1e-6)


def test_side_bits_and_bits_per_1000_numbers_of_a_known_curve() -> None:
    fits = made_up({"plain": 30.0, "bn": 25.0}, noise=0, shift=0)
    table = capacity.capacities(fits, 0.25, NUMBERS).set_index("arm")
    assert_allclose(table.loc[["plain", "bn"], "side"], [30, 25], rtol=1e-6)
    assert_allclose(table["bits"]["plain"], 900 * 0.8112781244591328, rtol=1e-6)
    assert_allclose(table["bits_per_1000_numbers"], 1000 * table["bits"] / table["numbers"])
    assert (table["crossing"] == capacity.INSIDE).all()
    assert table["misfit"].max() < 1e-6
    assert_allclose(table.loc[["plain", "bn"], "isotonic"], [30, 25], rtol=0.06)  # the chord of a bent curve
    assert math.isnan(row_of(capacity.capacities(fits, 0.5, {}), "bn")["bits_per_1000_numbers"])


@pytest.mark.parametrize("level", [0.9, 0.75])
def test_interval_is_the_t_interval_of_a_slow_bootstrap_over_whole_seeds(level: float) -> None:
    fits = made_up({"plain": 30.0, "bn": 25.0}, seeds=4, noise=0.005, shift=0.1)
    row = row_of(capacity.capacities(fits, 0.5, NUMBERS))
    (gap,) = capacity.capacity_gaps(fits, ["plain", "bn"], level).to_dict("records")
    by_arm = {arm: [part["right"].to_numpy() for _, part in some.groupby("seed")] for arm, some in fits.groupby("arm")}
    drawn: dict[str, list[float]] = {"plain": [], "bn": []}
    for chosen in itertools.product(range(4), repeat=4):  # every draw there is, each as likely
        for arm, values in by_arm.items():
            mean = sum(values[one] for one in chosen) / 4
            fitted = [float(one[0]) for one in falling_curve.fit_curves(np.array(SIDES), np.array([mean]))]
            drawn[str(arm)].append(brentq(lambda log, fitted=fitted: curve([math.exp(log)], *fitted)[0] - level, 1, 7))
    widen = scipy_stats.t.ppf(0.975, 3) * math.sqrt(4 / 3)
    if level == 0.9:
        assert_allclose(math.log(row["high"] / row["low"]) / 2, widen * np.std(drawn["plain"]), rtol=0.05)
    apart = np.std(np.subtract(drawn["plain"], drawn["bn"]))
    assert_allclose((gap["log_high"] - gap["log_low"]) / 2, widen * apart, rtol=0.05)
    for ratio, log in (("ratio", "log_gap"), ("low", "log_low"), ("high", "log_high")):
        assert_allclose(gap[ratio], math.exp(gap[log]))
    assert gap["log_high"] - gap["log_low"] < math.log(row["high"] / row["low"])  # what the seeds share cancels
    assert_allclose(gap["isotonic"], 30 / 25, rtol=0.06)


def test_curves_that_cross_have_other_ratios_at_other_levels() -> None:
    fits = made_up({"plain": 28.0, "bn": 28.0}, noise=0.002, shift=0.02)
    sides, is_bn = fits["side"].to_numpy(), (fits["arm"] == "bn").to_numpy()
    fits["right"] += np.where(is_bn, curve(sides, math.log(28), 3.0) - curve(sides, math.log(28), 4.0), 0)
    ratios = {
        level: capacity.capacity_gaps(fits, ["plain", "bn"], level).to_dict("records")[0]
        for level in (0.95, 0.9, 0.75, 0.6)
    }
    for level, row in ratios.items():
        odds = math.log((1 - level) / (level - 0.5) * 4)
        assert_allclose(row["ratio"], math.exp(odds / 4 - odds / 3), rtol=0.02)
        assert_allclose(row["isotonic"], row["ratio"], rtol=0.06)
    assert ratios[0.95]["low"] > 1 > ratios[0.75]["high"]


@pytest.mark.nightly
def test_intervals_cover_a_known_side_and_a_known_ratio() -> None:
    sides, covered = {"plain": 31.0, "bn": 26.0}, []
    for seed in range(200):
        fits = made_up(sides, seed=seed)
        one = row_of(capacity.capacities(fits, 0.5, {}))
        (gap,) = capacity.capacity_gaps(fits, ["plain", "bn"]).to_dict("records")
        covered.append([one["low"] <= 31 <= one["high"], gap["low"] <= 31 / 26 <= gap["high"]])
    shares = np.mean(covered, axis=0)
    assert_allclose(shares, 0.94, atol=0.05)  # as docs/capacity.md says, within three standard errors of 200 draws


@pytest.mark.parametrize(
    ("side", "crossing"),
    [(300.0, capacity.ABOVE), (1e6, capacity.ABOVE), (4.0, capacity.BELOW), (30.0, capacity.INSIDE)],
)
def test_a_side_beyond_the_sizes_is_not_given_as_a_number(side: float, crossing: str) -> None:
    fits = made_up({"plain": side, "bn": 30.0}, noise=0.002)
    row = row_of(capacity.capacities(fits, 0.5, NUMBERS))
    assert row["crossing"] == crossing
    gaps = capacity.capacity_gaps(fits, ["plain", "bn"])
    if crossing == capacity.INSIDE:
        assert row["low"] < row["side"] < row["high"]
        assert len(gaps) == 1
    else:
        assert all(math.isnan(row[name]) for name in ("side", "bits", "bits_per_1000_numbers", "isotonic"))
        assert (row["low"], row["high"]) == ((80, math.inf) if crossing == capacity.ABOVE else (0, 14))
        assert gaps.empty


def steep(sides: dict[str, float], seed: int = 0, slope: float = 300.0, noise: float = 0.002) -> pd.DataFrame:
    """Fits whose curves fall between two sizes."""
    random = np.random.default_rng(seed)
    fits = made_up(sides, noise=0, shift=0)
    right = [
        curve(np.array([one]), math.log(sides[arm]), slope)[0]
        for one, arm in zip(fits["side"], fits["arm"], strict=True)
    ]
    return fits.assign(right=np.clip(np.array(right) + random.normal(0, noise, len(fits)), 0.5, 1))


@pytest.mark.parametrize("noise", [0.0, 0.002])
@pytest.mark.parametrize("side", [21.0, 24.0, 27.9])
def test_an_interval_holds_the_sizes_between_which_the_curve_falls(side: float, noise: float) -> None:
    fits = steep({"plain": side, "bn": 45.0}, noise=noise)
    row = row_of(capacity.capacities(fits, 0.5, NUMBERS))
    assert row["between_sizes"]
    assert row["low"] <= 20 < row["side"] < 28 <= row["high"]
    assert (row["bits_low"], row["bits_high"]) == (row["low"] ** 2, row["high"] ** 2)
    (gap,) = capacity.capacity_gaps(fits, ["plain", "bn"]).to_dict("records")
    assert gap["low"] <= 20 / 56 * 1.000001
    assert gap["high"] >= 28 / 40 * 0.999999  # whatever the sides are between their sizes
    assert not row_of(capacity.capacities(made_up({"plain": 30.0}), 0.5, NUMBERS))["between_sizes"]


@pytest.mark.parametrize(("slope", "between"), [(3.0, False), (6.0, False), (14.0, True), (59.0, True), (60.0, True)])
def test_a_curve_falls_between_sizes_where_it_may_slope_otherwise_and_fit_as_well(slope: float, between: bool) -> None:
    sides = np.array(SIDES)
    assert falling_curve.is_between_sizes(sides, np.array([math.log(24.0)]), np.array([slope])).tolist() == [between]
    right = falling_curve.right_at(sides, 24.0, slope)
    others = [  # every side between 20 and 28, each with the slope that keeps the size that fits worst
        min(np.abs(falling_curve.right_at(sides, side, one) - right).max() for one in np.geomspace(2, 300, 400))
        for side in np.linspace(21, 27, 13)
    ]
    assert (min(others[0], others[-1]) < 0.02) == between


@pytest.mark.nightly
def test_intervals_of_curves_between_two_sizes_cover() -> None:
    covered = []
    for seed, slope in itertools.product(range(10), (15.0, 30.0, 100.0)):
        side = 20 + 8 * np.random.default_rng(seed).random()
        row = row_of(capacity.capacities(steep({"plain": side}, seed, slope, 0.01), 0.5, {}))
        covered.append(row["low"] <= side <= row["high"])
    assert np.mean(covered) > 0.95


def test_a_single_steep_seed_has_no_interval() -> None:
    fits = steep({"plain": 24.0})
    row = row_of(capacity.capacities(fits[fits["seed"] == 1], 0.5, NUMBERS))
    assert row["between_sizes"]
    assert math.isnan(row["low"])


@pytest.mark.parametrize(
    ("side", "frame", "pixels"), [(30, 0, 900), (30, 2, 676), (4, 2, 0), (3, 2, 0), (12.5, 2, 72.25)]
)
def test_bits_of_a_square_are_those_inside_its_frame(side: float, frame: int, pixels: float) -> None:
    assert_allclose(capacity.square_bits(side, 0.5, frame), pixels)
    table = capacity.capacities(made_up({"plain": 30.0}, noise=0, shift=0), 0.5, NUMBERS, frame=2)
    assert_allclose(row_of(table)["bits"], 26**2, rtol=1e-5)


def test_an_end_beyond_the_sizes_is_open() -> None:
    row = capacity.capacities(made_up({"plain": 72.0}, shift=0.2, seed=3), 0.5, NUMBERS).iloc[0]
    assert row["crossing"] == capacity.INSIDE
    assert row["high"] == row["bits_high"] == math.inf
    assert 14 < row["low"] < row["side"]


def test_a_single_seed_has_a_side_and_no_interval() -> None:
    row = capacity.capacities(made_up({"plain": 30.0}, seeds=1), 0.5, NUMBERS).iloc[0]
    assert 20 < row["side"] < 40
    assert math.isnan(row["low"])
    assert math.isnan(row["high"])


def test_only_seeds_that_every_arm_has_at_every_size_count() -> None:
    fits = made_up({"plain": 30.0, "bn": 25.0})
    lacking = fits.drop(fits.index[(fits["seed"] == 2) & (fits["side"] == 80) & (fits["arm"] == "bn")])
    assert sorted(capacity.complete_seeds(lacking)["seed"].unique()) == [1, 3, 4, 5]
    with pytest.raises(ValueError, match="seed"):
        capacity.capacities(lacking, 0.5, NUMBERS)
    with pytest.raises(ValueError, match="sizes"):
        capacity.capacities(fits[fits["side"] < 25], 0.5, NUMBERS)


def test_means_and_deviations_per_size() -> None:
    table = capacity.per_size(made_up({"plain": 30.0}))
    assert table["n"].tolist() == [5] * 6
    fits = made_up({"plain": 30.0})
    at_20: list[float] = fits.loc[fits["side"] == 20, "right"].tolist()
    mean = sum(at_20) / 5
    row = table[table["side"] == 20].to_dict("records")[0]
    assert_allclose([row["mean"], row["sd"]], [mean, math.sqrt(sum((one - mean) ** 2 for one in at_20) / 4)])


def test_isotonic_side_pools_what_rises_and_interpolates_in_log_side() -> None:
    sides = np.array([10.0, 20.0, 40.0])
    assert_allclose(falling_curve.isotonic_side(sides, np.array([1.0, 0.8, 0.6])), 10 * math.sqrt(2))
    assert_allclose(falling_curve.isotonic_side(sides, np.array([0.9, 1.0, 0.8])), 20 * 2 ** (1 / 3))  # 0.95, 0.95, 0.8


def test_the_capacity_of_a_seed_is_that_of_its_fits_alone() -> None:
    fits = made_up({"plain": 30.0, "bn": 25.0}, seeds=3)
    found = seed_capacities(fits)
    assert found[["arm", "seed"]].to_numpy().tolist() == [[arm, seed] for arm in ("bn", "plain") for seed in (1, 2, 3)]
    for row in found.to_dict("records"):
        own = fits[(fits["arm"] == row["arm"]) & (fits["seed"] == row["seed"])]
        alone = capacity.capacities(own, 0.5, NUMBERS).iloc[0]
        assert_allclose(row["capacity"], alone["curve_side"], rtol=1e-5)
    assert seed_capacities(fits[fits["side"] < 25]).empty
