"""Measures at equal loss, against a plain loop; and how arms are counted against each other."""

from __future__ import annotations

import math

import pandas as pd
import pytest

from bnbench.stats.equal_loss import at_equal_loss, held_to


def course(arm: str, losses: list[float], values: list[float], seed: int = 1) -> pd.DataFrame:
    steps = range(0, 10 * len(losses), 10)
    return pd.DataFrame({"arm": arm, "seed": seed, "step": steps, "loss": losses, "rough": values})


def test_a_measure_is_straight_in_both_logarithms_between_the_steps_around_a_level() -> None:
    losses, values = [2.4, 1.8, 0.9, 0.3], [3.0, 8.0, 2.0, 50.0]
    found = at_equal_loss(course("plain", losses, values).sample(frac=1, random_state=0), ["rough"], (2.0, 1.0, 0.5))
    for level, place in ((2.0, 1), (1.0, 2), (0.5, 3)):
        (row,) = found[found["level"] == level].to_dict("records")
        assert (row["before"], row["after"]) == (10 * place - 10, 10 * place)
        slope = math.log(values[place] / values[place - 1]) / math.log(losses[place] / losses[place - 1])
        assert row["rough"] == pytest.approx(values[place] * (level / losses[place]) ** slope)


def test_a_power_law_of_the_loss_is_met_exactly_whatever_the_steps() -> None:
    """Two arms on one curve are equal at equal loss, though at no step they are."""
    slow, fast = [2.5, 2.2, 1.4, 0.4], [2.5, 1.1, 0.3, 0.1]
    rows = [course(arm, losses, [7 / loss**2 for loss in losses]) for arm, losses in (("a", slow), ("b", fast))]
    found = at_equal_loss(pd.concat(rows), ["rough"])
    assert found["level"].tolist() == [2.0, 1.0, 0.5] * 2
    assert found["rough"].tolist() == pytest.approx([7 / level**2 for level in found["level"]])


def test_levels_that_one_network_does_not_pass_count_for_none() -> None:
    rows = [course("a", [3.0, 0.1], [1.0, 1.0]), course("b", [1.5, 0.4], [1.0, 1.0])]
    found = at_equal_loss(pd.concat(rows), ["rough"])
    assert sorted(set(found["level"])) == [0.5, 1.0]


def test_the_first_fall_counts_and_a_value_below_zero_gives_none() -> None:
    found = at_equal_loss(course("a", [3.0, 0.9, 1.2, 0.4], [1.0, -1.0, 1.0, 1.0]), ["rough"], (1.0,))
    assert found["after"].tolist() == [10]
    assert math.isnan(found["rough"][0])


def test_a_network_whose_loss_falls_to_zero_is_taken_as_it_was_before() -> None:
    found = at_equal_loss(course("a", [3.0, 0.0], [7.0, 1.0]), ["rough"])
    assert found["level"].tolist() == [2.0, 1.0, 0.5, 0.2]
    assert found["rough"].tolist() == pytest.approx([7.0] * 4)


def test_an_arm_is_smoother_only_where_every_seed_says_so() -> None:
    rows = []
    for arm, seed, one, other in [("plain", 1, 2, 2), ("plain", 2, 2, 2), ("bn", 1, 1, 1), ("bn", 2, 1, 3)]:
        rows.append({"arm": arm, "seed": seed, "level": 1.0, "one": one, "other": other, "third": 5 * (arm == "bn")})
    (found,) = held_to(pd.DataFrame(rows), "plain", ["one", "other", "third"]).to_dict("records")
    assert found == {"level": 1.0, "arm": "bn", "seeds": 2, "smoother": 1, "rougher": 1, "undecided": 1}
