"""Fits that diverged, the authors' curve and the end of training: what surrounds the headline."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose

from bnbench.stats import agreement, differences, sensitivity, settling

NONE = pd.DataFrame(columns=["arm", "p", "seed"])


def make_fits(seeds: int = 3, **arms: float) -> pd.DataFrame:
    """Fits at two p; an arm's difference is its level, 0.01 more at the larger p and 0.001 more per seed."""
    rows = [
        {"arm": arm, "p": p, "seed": seed, "difference": level + 0.01 * (p > 0.4) + 0.001 * seed}
        for (arm, level), p, seed in itertools.product(arms.items(), (0.3, 0.5), range(1, seeds + 1))
    ]
    return pd.DataFrame(rows)


def gaps_of(cases: sensitivity.Cases) -> dict[str, float]:
    return {words: differences.overall(pairs).mean for words, pairs in cases}


def test_without_a_fit_that_diverged_there_is_but_the_headline() -> None:
    fits = make_fits(plain=0.4, bn=0.3)
    ((_, pairs),) = sensitivity.cases(fits, NONE, "plain", "bn")
    pd.testing.assert_frame_equal(pairs, differences.paired(fits))


def test_a_diverged_fit_is_counted_and_what_it_hides_is_bracketed() -> None:
    fits = make_fits(plain=0.4, bn=0.3, skip=0.2)
    lost = (fits["arm"] == "bn") & (fits["seed"] == 3)
    lost |= (fits["arm"] == "plain") & (fits["seed"] == 2) & (fits["p"] == 0.5)
    diverged, rest = fits.loc[lost, ["arm", "p", "seed"]], fits[~lost]
    cases = sensitivity.cases(rest, diverged, "plain", "bn")
    assert [len(pairs) for _, pairs in cases] == [3, 6, 6, 6]
    headline, zero, for_plain, for_bn = gaps_of(cases).values()
    value = fits.set_index(["arm", "p", "seed"])["difference"]
    zeros = value.where(~lost.to_numpy(), 0.0)
    assert_allclose(zero, (zeros["plain"] - zeros["bn"]).mean())
    best = value.copy()
    best["bn", 0.3, 3], best["bn", 0.5, 3], best["plain", 0.5, 2] = 0.312, 0.312, 0.0
    assert_allclose(for_bn, (best["plain"] - best["bn"]).mean())
    assert for_bn <= min(headline, zero)
    assert for_plain >= max(headline, zero)
    table = sensitivity.counts(rest, diverged).set_index("arm")
    assert table["diverged"].to_dict() == {"bn": 2, "plain": 1, "skip": 0}
    assert table["fits"].to_dict() == {"bn": 4, "plain": 5, "skip": 6}


def test_an_arm_without_any_value_gives_none_to_its_diverged_fits() -> None:
    fits = make_fits(plain=0.4)
    assert sensitivity.cases(fits, fits.assign(arm="bn")[["arm", "p", "seed"]], "plain", "bn") == []
    assert sensitivity.counts(fits, fits.assign(arm="bn"))["diverged"].tolist() == [6, 0]


def test_weak_fits_stay_in_and_are_left_out_beside() -> None:
    fits = make_fits(plain=0.4, bn=0.3)
    fits.loc[(fits["arm"] == "bn") & (fits["seed"] == 1), "difference"] = 0.01
    headline, strong = (differences.overall(pairs) for _, pairs in sensitivity.cases(fits, NONE, "plain", "bn"))
    assert (headline.pairs, strong.pairs) == (6, 4)
    assert_allclose(strong.mean, 0.1)
    assert sensitivity.counts(fits, NONE)["weak"].tolist() == [2, 0]


def test_a_curve_against_itself_and_against_its_mirror() -> None:
    p = [round(0.1 * number, 1) for number in range(1, 10)]
    theirs = pd.DataFrame({"arm": "bn", "p": p, "difference": np.linspace(0.5, 0.3, 9) ** 2})
    higher = theirs.assign(seed=1, difference=theirs["difference"] + 0.02)
    mirrored = higher.assign(difference=-theirs["difference"], p=np.array(p) + 1e-12)
    (same,) = agreement.against(higher, theirs, ["bn"], ["difference"]).to_dict("records")
    (other,) = agreement.against(mirrored, theirs, ["bn"], ["difference"]).to_dict("records")
    assert_allclose([same["level"], same["lowest"], same["highest"], same["rho"]], [0.02, 0.02, 0.02, 1])
    assert_allclose(other["rho"], -1)
    assert same["probabilities"] == other["probabilities"] == 9


@pytest.mark.parametrize(("p", "levels"), [([0.3, 0.5], [0.4, 0.3]), ([0.3, 0.5, 0.7], [0.4, 0.4, 0.4]), ([0.25], [1])])
def test_too_few_or_equal_points_have_no_rank_correlation(p: list[float], levels: list[float]) -> None:
    fits = pd.DataFrame({"arm": "bn", "p": p, "seed": 1, "difference": levels})
    theirs = pd.DataFrame({"arm": "bn", "p": [0.3, 0.5, 0.7], "difference": [0.3, 0.2, 0.1]})
    (row,) = agreement.against(fits, theirs, ["bn"], ["difference"]).to_dict("records")
    assert math.isnan(row["rho"])
    assert row["probabilities"] == len({0.3, 0.5, 0.7} & set(p))


def test_the_gap_against_theirs_is_the_difference_of_both_levels() -> None:
    fits = make_fits(plain=0.4, bn=0.3)
    rows = [("plain", 0.3, 0.45), ("plain", 0.5, 0.4), ("bn", 0.3, 0.33), ("bn", 0.5, 0.28), ("bn", 0.7, 0.2)]
    theirs = pd.DataFrame(rows, columns=["arm", "p", "difference"])
    levels = agreement.against(fits, theirs, ["plain", "bn"], ["difference"]).set_index("arm")["level"]
    found = agreement.gap_against(differences.paired(fits), theirs, "plain", "bn", "difference")
    assert_allclose(found["level"], levels["plain"] - levels["bn"])
    assert_allclose([found["ours"], found["theirs"]], [0.1, 0.12])


def traces_of(steps: int, every: int, **slopes: float) -> pd.DataFrame:
    """Traces whose difference rises by a constant amount per step."""
    step = np.arange(every, steps + 1, every)
    parts = [
        pd.DataFrame({"arm": arm, "p": p, "seed": seed, "step": step, "white_accuracy": 0.1, "clamped": step / steps})
        .assign(black_accuracy=0.1 + slope * step / steps)
        for (arm, slope), p, seed in itertools.product(slopes.items(), (0.3, 0.5), (1, 2))
    ]  # fmt: skip
    return pd.concat(parts, ignore_index=True)


@pytest.mark.parametrize(("steps", "every"), [(1200, 12), (1200, 1), (6000, 60), (300, 3)])
def test_the_last_quarter_moves_a_straight_line_by_a_quarter_of_its_rise(steps: int, every: int) -> None:
    ends = settling.ends(traces_of(steps, every, plain=0.4, bn=0.2))
    table = settling.settled(ends).set_index("arm")
    assert_allclose(table.loc[["plain", "bn"], "moved"], [0.1, 0.05])
    assert_allclose(table["clamped"], 0.95, atol=0.01)
    assert table["fits"].tolist() == [4, 4]
    assert_allclose(settling.gap_moved(ends, "plain", "bn")["moved"], 0.05)


def test_a_trace_too_short_says_nothing() -> None:
    ends = settling.ends(traces_of(2, 1, plain=0.4))
    assert ends["moved"].isna().all()
    assert settling.settled(ends)["moved"].isna().all()


def test_the_course_of_the_gap_and_who_is_ahead_since_when() -> None:
    traces = traces_of(1000, 10, plain=0.4, bn=0.2)
    early = (traces["arm"] == "bn") & (traces["step"] <= 500)
    traces.loc[early, "black_accuracy"] += 0.3
    course = settling.gap_course(settling.smooth(traces), "plain", "bn")
    assert len(course) == settling.WINDOWS
    assert_allclose(course["mean"].iloc[-1], 0.2, atol=0.01)
    assert 480 <= settling.ahead_since(course) <= 540
    assert_allclose(course["high"], course["mean"], atol=1e-9)  # all pairs are equal
    mirrored = settling.gap_course(settling.smooth(traces), "bn", "plain")
    assert_allclose(mirrored["mean"], -course["mean"])
    assert settling.gap_course(settling.smooth(traces[traces["arm"] == "bn"]), "plain", "bn").empty
