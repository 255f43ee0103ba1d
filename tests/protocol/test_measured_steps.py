"""At which steps a fit is measured: read from text, spaced by the logarithm, never beyond the fit."""

from __future__ import annotations

import itertools
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bnbench.errors import RequestError
from bnbench.protocol.measured_steps import MeasuredSteps


@pytest.mark.parametrize(
    ("text", "meant", "steps"),
    [
        ("12", MeasuredSteps(12), (12, 18, 28, 42, 64, 97, 148, 225, 342, 519, 790, 1200)),
        ("3", MeasuredSteps(3), (12, 120, 1200)),
        ("1", MeasuredSteps(1), (1200,)),
        ("100, 30,1000", MeasuredSteps(named=(30, 100, 1000)), (30, 100, 1000, 1200)),
        ("300,", MeasuredSteps(named=(300,)), (300, 1200)),
        ("1200,", MeasuredSteps(named=(1200,)), (1200,)),
    ],
)
def test_what_is_asked_for(text: str, meant: MeasuredSteps, steps: tuple[int, ...]) -> None:
    asked = MeasuredSteps.parse(text)
    assert asked == meant == MeasuredSteps.parse(str(asked))
    assert asked.of(1200) == steps


@given(count=st.integers(1, 40), steps=st.integers(1, 200_000))
def test_counted_steps_are_spaced_by_the_logarithm(count: int, steps: int) -> None:
    found = MeasuredSteps(count).of(steps)
    assert list(found) == sorted(set(found))
    assert found[-1] == steps
    assert len(found) <= count
    assert found[0] >= max(1, steps // 100)
    if steps >= 100_000 and count > 1:  # so many that rounding hardly shows
        assert len(found) == count
        gaps = [math.log(later / earlier) for earlier, later in itertools.pairwise(found)]
        assert max(gaps) - min(gaps) < 0.002


@pytest.mark.parametrize("text", ["0", "-3", "1.5", "", ",", "a", "1,,2", "0,5", "5000", "7,7", "1:9:2", "٣"])
def test_what_is_no_step_is_refused_by_name(text: str) -> None:
    with pytest.raises(RequestError, match=f"--measure-at {text}"):
        MeasuredSteps.parse(text)


def test_a_step_that_the_fit_does_not_reach_is_refused() -> None:
    with pytest.raises(RequestError, match=r"--measure-at 100,3000.* 600 steps"):
        MeasuredSteps.parse("100,3000").of(600)
