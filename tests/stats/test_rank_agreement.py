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
    assert found.loc["objective", ["low", "high"]].tolist() == pytest.approx([4 / 6] * 2)
    assert found[["arms", "seeds"]].to_numpy().tolist() == [[4, 2], [4, 2]]


def test_every_row_is_scipys() -> None:
    random = np.random.default_rng(1)
    one, other = random.integers(4, size=(2, 30, 6)).astype(float)
    for found, first, second in zip(kendall(one, other), one, other, strict=True):
        assert found == pytest.approx(stats.kendalltau(first, second).statistic, nan_ok=True)


def test_seeds_that_disagree_widen_the_interval() -> None:
    bends = {"a": [1.0, 1], "b": [2, 2], "c": [3, 3]}
    found = agreement(table(bends=bends, rough={"a": [1, 9], "b": [2, 5.5], "c": [3, 1]}), {"bends": 1}, ["rough"])
    assert found.loc[0, ["low", "high"]].tolist() == pytest.approx([-1, 1])


def test_what_allows_no_order_has_none() -> None:
    two = table(bends={"a": [1.0], "b": [2]}, rough={"a": [1.0], "b": [2]})
    assert math.isnan(agreement(two, {"bends": 1}, ["rough"]).loc[0, "tau"])
    equal = table(bends={"a": [1.0], "b": [2], "c": [3]}, rough={"a": [1.0], "b": [1], "c": [1]})
    assert math.isnan(agreement(equal, {"bends": 1}, ["rough"]).loc[0, "tau"])
    missing = table(bends={"a": [1.0], "b": [2], "c": [3]}, rough={"a": [math.nan], "b": [1], "c": [2]})
    assert agreement(missing, {"bends": 1}, ["rough"]).loc[0, ["low", "high"]].isna().all()


def test_seeds_that_an_arm_lacks_are_left_out() -> None:
    frame = pd.DataFrame({"arm": ["a", "a", "b"], "seed": [1, 2, 2]})
    assert complete_seeds(frame)["seed"].unique().tolist() == [2]
