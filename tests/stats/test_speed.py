"""Steps until a level: against slow loops, with fits that never arrive, and by simulation."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats as scipy_stats

from bnbench.stats.speed import AT_FIRST, LEVEL, NEVER, REACHED, per_arm, race, race_of, steps_until

STEPS = (10, 30, 100, 300, 1000)


def courses(values: dict[tuple[str, float, int], list[float]], steps: tuple[int, ...] = STEPS) -> pd.DataFrame:
    rows = [
        {"arm": arm, "p": p, "seed": seed, "step": step, "right": value}
        for (arm, p, seed), there in values.items()
        for step, value in zip(steps, there, strict=True)
    ]
    return pd.DataFrame(rows).sample(frac=1, random_state=0)  # in any order


def until(steps: dict[str, list[float]], last: int = 1000) -> pd.DataFrame:
    """Made-up numbers of steps, one a seed: NaN never arrived, a negative one was there at its first measurement."""
    rows = [
        (arm, 0.5, seed, abs(value), NEVER if math.isnan(value) else AT_FIRST if value < 0 else REACHED, last)
        for arm, there in steps.items()
        for seed, value in enumerate(there, start=1)
    ]
    return pd.DataFrame(rows, columns=["arm", "p", "seed", "steps", "state", "last"])


@pytest.mark.parametrize(
    ("values", "steps", "state"),
    [
        ([0.5, 0.6, 0.8, 1.0, 1.0], math.sqrt(100 * 300), REACHED),  # half way, in the logarithm
        ([0.5, 0.6, 0.9, 1.0, 1.0], 100, REACHED),
        ([0.5, 0.95, 0.5, 0.5, 0.5], 10 * 3 ** (0.4 / 0.45), REACHED),  # the first time counts
        ([0.9, 0.5, 0.5, 0.5, 0.5], 10, AT_FIRST),
        ([0.5, 0.6, 0.7, 0.8, 0.89], math.nan, NEVER),
        ([0.5, math.nan, 0.8, 1.0, 1.0], math.sqrt(100 * 300), REACHED),
        ([0.5, 0.6, 0.8, math.nan, 1.0], math.sqrt(100 * 1000), REACHED),
        ([0.5, 0.6, 0.8, 0.8, math.nan], math.nan, NEVER),
    ],
)
def test_the_first_time_is_found_and_interpolated(values: list[float], steps: float, state: str) -> None:
    (row,) = steps_until(courses({("bn", 0.3, 2): values})).to_dict("records")
    assert (row["arm"], row["p"], row["seed"], row["state"]) == ("bn", 0.3, 2, state)
    assert row["steps"] == pytest.approx(steps, nan_ok=True)
    assert row["last"] == (300 if math.isnan(values[-1]) else 1000)


def slow_steps_until(steps: list[int], values: list[float]) -> float:
    """Walk along the course in a million small steps."""
    for (start, low), (end, high) in itertools.pairwise(zip(steps, values, strict=True)):
        for number in range(2_001):
            share = number / 2_000
            if low + share * (high - low) >= LEVEL:
                return math.exp(math.log(start) + share * (math.log(end) - math.log(start)))
    return math.nan


@given(st.lists(st.floats(0.5, 1.0), min_size=5, max_size=5))
def test_it_agrees_with_a_walk_along_the_course(values: list[float]) -> None:
    (row,) = steps_until(courses({("bn", 0.5, 1): values})).to_dict("records")
    slow = slow_steps_until(list(STEPS), values)
    assert row["steps"] == pytest.approx(slow, rel=1e-2, nan_ok=True)


def test_what_an_arm_needs_counts_fits_that_never_arrive_as_longest() -> None:
    table = until({"plain": [40, math.nan, 20, 80], "bn": [math.nan, math.nan, math.nan, 10], "skip": [5, 6, 7, -4]})
    rows = {arm: numbers for arm, *numbers in per_arm(table).to_numpy().tolist()}
    assert rows["plain"] == [4, 3, 20, 60, math.inf]
    assert rows["bn"] == [4, 1, 10, math.inf, math.inf]
    assert rows["skip"] == [4, 4, 4, 5.5, 7]


@pytest.mark.parametrize(
    ("first", "second", "winner"),
    [
        (100, 200, "first"),
        (200, 100, "second"),
        (100, 100, ""),
        (math.nan, 100, "second"),
        (100, math.nan, "first"),
        (math.nan, math.nan, ""),
        (-10, 100, "first"),
        (-10, -10, ""),
        (-10, math.nan, "first"),
        (math.nan, 1000, ""),  # it may have arrived one step later
    ],
)
def test_a_pair_tells_who_is_first_only_where_that_is_known(first: float, second: float, winner: str) -> None:
    found = race(until({"plain": [first], "bn": [second]}), "plain", "bn")
    assert (found.pairs, found.first_sooner, found.second_sooner, found.undecided) == (
        *(1, int(winner == "first")),
        *(int(winner == "second"), int(not winner)),
    )
    both = first > 0 and second > 0
    assert found.ratio == pytest.approx(first / second if both else math.nan, nan_ok=True)
    assert math.isnan(found.ratio_low)


def slow_interval(ratios: list[float]) -> tuple[float, float]:
    """Drop values from both ends as long as the median is beyond them no more often than 5 times in 100."""
    ordered, dropped = sorted(ratios), 0
    beyond = 0.0
    while True:
        beyond += 2 * math.comb(len(ordered), dropped) / 2 ** len(ordered)
        if beyond > 0.05:
            break
        dropped += 1
    return (ordered[dropped - 1], ordered[-dropped]) if dropped else (math.nan, math.nan)


@pytest.mark.parametrize("count", [1, 5, 6, 7, 9, 15, 45])
def test_the_interval_is_that_of_order_statistics(count: int) -> None:
    generator = np.random.default_rng(count)
    plain, bn = (np.exp(generator.normal(5, 1, count)).tolist() for _ in range(2))
    found = race(until({"plain": plain, "bn": bn}, last=10**9), "plain", "bn")
    ratios = [one / other for one, other in zip(plain, bn, strict=True)]
    assert (found.ratio_low, found.ratio_high) == pytest.approx(slow_interval(ratios), nan_ok=True)
    assert found.ratio == pytest.approx(np.exp(np.median(np.log(ratios))))
    wins = sum(ratio < 1 for ratio in ratios)
    assert (found.first_sooner, found.second_sooner) == (wins, count - wins)
    assert found.sign_p == pytest.approx(scipy_stats.binomtest(wins, count).pvalue)


def test_unknown_steps_widen_the_interval_and_never_move_it_past_what_is_known() -> None:
    plain, bn = [10.0 * number for number in range(1, 8)], [100.0] * 7
    whole = race(until({"plain": plain, "bn": bn}), "plain", "bn")
    less = race(until({"plain": plain, "bn": [*bn[:6], math.nan]}, last=100), "plain", "bn")
    assert (whole.ratio_low, whole.ratio, whole.ratio_high) == pytest.approx((0.1, 0.4, 0.7))
    assert (less.ratio_low, less.ratio_high) == pytest.approx((0.0, 0.7))
    none = race(until({"plain": [math.nan] * 7, "bn": [math.nan] * 7}), "plain", "bn")
    assert (none.ratio_low, none.ratio_high, none.undecided) == (0.0, math.inf, 7)
    assert math.isnan(none.ratio)
    assert math.isnan(none.sign_p)


def test_swapping_the_arms_turns_the_race_round() -> None:
    table = until({"plain": [10, math.nan, 30, 40, -5, 60, 70, 20], "bn": [15, 25, math.nan, 35, 45, -5, 65, 20]})
    there, back = race(table, "plain", "bn"), race(table, "bn", "plain")
    assert (there.first_sooner, there.second_sooner) == (back.second_sooner, back.first_sooner)
    assert there.sign_p == back.sign_p
    assert (there.ratio_low, there.ratio_high) == pytest.approx(
        (1 / back.ratio_high, 1 / back.ratio_low if back.ratio_low else math.inf)
    )


def test_fits_without_a_partner_and_arms_without_a_pair_are_left_out() -> None:
    table = pd.concat([until({"plain": [10, 20], "bn": [15]}), until({"skip": [5]})])
    assert race(table, "plain", "bn").pairs == 1
    empty = race(table, "plain", "other")
    assert (empty.pairs, empty.undecided) == (0, 0)
    assert math.isnan(empty.ratio)
    with pytest.raises(ValueError, match="one"):
        race(pd.concat([table, table]), "plain", "bn")


@pytest.mark.nightly
@pytest.mark.parametrize(("pairs", "last"), [(15, 10**9), (45, 10**9), (15, 250), (45, 120)])
def test_the_interval_covers_and_the_sign_test_keeps_its_level(pairs: int, last: int) -> None:
    """With everything known, and with a fit in five or in two cut off before it arrived."""
    generator, draws = np.random.default_rng(pairs + last), 600
    shared = generator.normal(5, 0.5, (draws, pairs))
    plain, bn = (shared + generator.normal(0, 0.4, (draws, pairs)) for _ in range(2))
    cut = math.log(last)
    low = np.where(plain > cut, cut, plain) - np.where(bn > cut, np.inf, bn)
    high = np.where(plain > cut, np.inf, plain) - np.where(bn > cut, cut, bn)
    results = [race_of(*bounds) for bounds in zip(low, high, strict=True)]
    covered = np.mean([one.ratio_low <= 1 <= one.ratio_high for one in results])
    found = np.mean([one.sign_p <= 0.05 for one in results])
    four_errors = 4 * math.sqrt(0.05 * 0.95 / draws)
    assert covered >= 0.95 - four_errors
    assert found <= 0.05 + four_errors
