"""Kendall's τ over arms, by hand and against scipy's."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from bnbench.stats.rank_agreement import agreement, complete_seeds, kendall

READINGS = {"bends": 1, "objective": -1}


def table(**columns: dict[str, list[float]]) -> pd.DataFrame:
    """A row per arm and seed, from each column's values of arm and seed."""
    arms = next(iter(columns.values()))
    rows = [(arm, seed + 1) for arm, values in arms.items() for seed in range(len(values))]
    frame = pd.DataFrame(rows, columns=["arm", "seed"])
    for name, values in columns.items():
        frame[name] = [value for own in values.values() for value in own]
    return frame


def test_by_hand() -> None:
    """Means of a, b, c, d: bends 1, 2, 3, 4; rough 1, 3, 2, 4: five pairs agree and one does not."""
    found = agreement(
        table(
            bends={"a": [0, 2], "b": [2, 2], "c": [3, 3], "d": [4, 4]},
            objective={"a": [-1, -1], "b": [-2, -2], "c": [-3, -3], "d": [-4, -4]},
            rough={"a": [1, 1], "b": [3, 3], "c": [2, 2], "d": [4, 4]},
        ),
        READINGS,
        ["rough"],
    ).set_index("reading")
    assert found.loc["bends", "tau"] == pytest.approx(4 / 6)
    assert found.loc["objective", "tau"] == pytest.approx(4 / 6)
    assert found[["low", "high"]].to_numpy()[1].tolist() == pytest.approx([4 / 6] * 2)
    assert found[["arms", "seeds"]].to_numpy().tolist() == [[4, 2], [4, 2]]


def test_every_row_is_scipys() -> None:
    random = np.random.default_rng(1)
    one, other = random.integers(4, size=(2, 30, 6)).astype(float)
    for found, first, second in zip(kendall(one, other), one, other, strict=True):
        assert found == pytest.approx(stats.kendalltau(first, second).statistic, nan_ok=True)


def test_seeds_that_disagree_widen_the_interval() -> None:
    bends: dict[str, list[float]] = {"a": [1, 1], "b": [2, 2], "c": [3, 3]}
    found = agreement(table(bends=bends, rough={"a": [1, 9], "b": [2, 5.5], "c": [3, 1]}), {"bends": 1}, ["rough"])
    assert found[["low", "high"]].to_numpy()[0].tolist() == pytest.approx([-1, 1])


def test_an_interval_is_as_wide_as_all_draws_of_the_seeds_are() -> None:
    """Of two seeds the draws are (1, 1), (1, 2), (2, 1) and (2, 2): enumerated, not drawn."""
    bends: dict[str, list[float]] = {"a": [0, 0], "b": [1, 1], "c": [2, 2]}
    rough: dict[str, list[float]] = {"a": [0, 0], "b": [1, 2.5], "c": [2, 2]}
    # means of b: 1, 1.75 twice, and 2.5, which lies beyond c: τ = 1, 1, 1 and 1/3
    found = agreement(table(bends=bends, rough=rough), {"bends": 1}, ["rough"], resamples=8_000)
    half = float(stats.t.ppf(0.975, 1)) * math.sqrt(2) * float(np.std([1, 1, 1, 1 / 3]))
    assert 1 - half < -1, "cut there"
    assert found[["low", "high"]].to_numpy()[0].tolist() == [-1, 1]
    many = [{arm: values * 4 for arm, values in column.items()} for column in (bends, rough)]
    found = agreement(table(bends=many[0], rough=many[1]), {"bends": 1}, ["rough"], resamples=8_000)
    # of eight seeds b's mean is 1 + 1.5 k/8, which is above 2 where more than 5 of those drawn have 2.5, and never 2
    beyond = float(stats.binom.sf(5, 8, 0.5))
    half = float(stats.t.ppf(0.975, 7)) * math.sqrt(8 / 7) * (2 / 3) * math.sqrt(beyond * (1 - beyond))
    assert found[["low", "high"]].to_numpy()[0].tolist() == pytest.approx([1 - half, 1], abs=0.03)


@pytest.mark.nightly
@pytest.mark.parametrize(("likeness", "noise"), [(0, 0.4), (0, 1), (0.6, 0.4), (0.6, 1), (1, 0.4), (1, 1)])
def test_intervals_cover(likeness: float, noise: float) -> None:
    """Of 8 arms and 5 seeds; noise is the deviation over seeds against the distance of two arms."""
    random, arms, seeds, times = np.random.default_rng(2), 8, 5, 300
    covered = 0
    for _ in range(times):
        one = np.arange(arms) + random.uniform(-0.5, 0.5, arms)
        other = likeness * (one - one.mean()) / one.std() + math.sqrt(1 - likeness**2) * random.normal(size=arms)
        true = float(kendall(one[None], other[None])[0])
        deviations = noise * np.exp(random.normal(0, 0.7, (2, arms, 1))) * [[[1]], [[1 / one.std()]]]
        values = np.stack([one, other])[..., None] + deviations * random.normal(size=(2, arms, seeds))
        columns = [{f"{arm}": own.tolist() for arm, own in enumerate(half)} for half in values]
        row = agreement(table(bends=columns[0], rough=columns[1]), {"bends": 1}, ["rough"]).loc[0]
        covered += bool(row["low"] - 1e-9 <= true <= row["high"] + 1e-9)
    assert covered >= 0.9 * times, "where the quantiles of the draws cover 54 % at likeness 1, noise 1"


def test_what_allows_no_order_has_none() -> None:
    two = table(bends={"a": [1.0], "b": [2]}, rough={"a": [1.0], "b": [2]})
    assert agreement(two, {"bends": 1}, ["rough"])[["tau", "low", "high"]].isna().all(axis=None)
    equal = table(bends={"a": [1.0], "b": [2], "c": [3]}, rough={"a": [1.0], "b": [1], "c": [1]})
    assert agreement(equal, {"bends": 1}, ["rough"])[["tau", "low", "high"]].isna().all(axis=None)
    rough = {"a": [math.nan, 1.0], "b": [1.0, 1.0], "c": [2.0, 2.0]}
    of_a_draw = table(bends={"a": [1.0, 2], "b": [2, 1], "c": [3, 3]}, rough=rough)
    found = agreement(of_a_draw, {"bends": 1}, ["rough"])
    assert found[["tau", "low", "high"]].isna().all(axis=None), "also where some of the draws have one"
    saturated = {"a": [0.9], **{arm: [1.0] for arm in "bcde"}}
    rough = {arm: [float(place)] for place, arm in enumerate("abcde")}
    rounded = {arm: [1.0 + 1e-8 * place] for place, arm in enumerate("abcde")}
    for bends in (saturated, rounded):  # one arm is no order, nor is rounding
        assert agreement(table(bends=bends, rough=rough), {"bends": 1}, ["rough"])["tau"].isna().all()
    missing = table(bends={"a": [1.0], "b": [2], "c": [3]}, rough={"a": [math.nan], "b": [1], "c": [2]})
    assert agreement(missing, {"bends": 1}, ["rough"]).loc[0, ["low", "high"]].isna().all()


def test_seeds_that_an_arm_lacks_are_left_out() -> None:
    frame = pd.DataFrame({"arm": ["a", "a", "b"], "seed": [1, 2, 2]})
    assert complete_seeds(frame)["seed"].unique().tolist() == [2]
