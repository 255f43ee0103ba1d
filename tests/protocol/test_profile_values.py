"""A refused value that is the profile's is said to be: nobody has typed it."""

from __future__ import annotations

from collections.abc import Callable

import pytest

import bnbench
from bnbench.errors import KnobError, RequestError
from bnbench.protocol.profile_values import naming_the_profile
from bnbench.protocol.profiles import PROFILES
from bnbench.protocol.protocol import Grid
from bnbench.sweep.execution import Execution
from bnbench.sweep.inputs import load_inputs

COMPACT, QUICK, SMOKE = (PROFILES[name] for name in ("compact", "quick", "smoke"))


def load(protocol: bnbench.Protocol) -> Callable[[], object]:
    return lambda: load_inputs(Grid(("plain",), (0.5,), (1,)), protocol, Execution())


@pytest.mark.parametrize(
    ("call", "named"),
    [
        (load(COMPACT.with_knobs(dataset="digits")), ("compact", "--held-out 10000", "--profile smoke")),
        (load(COMPACT.with_knobs(dataset="digits", held_out=20_000)), ()),
        (load(QUICK.with_knobs(dataset="digits", held_out=0)), ("quick", "--test-images 1000", "--profile smoke")),
        (load(SMOKE.with_knobs(held_out=1_290)), ("smoke", "--train-images 400")),
        (load(SMOKE.with_knobs(train_images=2_000)), ()),
        (load(SMOKE.with_knobs(held_out=1_200, train_images=50)), ("smoke", "--bn-statistics batch:512")),
        (lambda: bnbench.run("smoke", widths=(8, 8)), ("smoke", "strides 2,1,2,1,1,1")),
    ],
)
def test_a_value_that_nobody_gave_is_the_profiles(call: Callable[[], object], named: tuple[str, ...]) -> None:
    with pytest.raises(RequestError) as refused:
        call()
    _, _, more = str(refused.value).partition(". The profile ")
    assert [one for one in named if one not in more] == []
    assert bool(more) == bool(named)


def test_a_protocol_of_ones_own_has_no_profile_to_name() -> None:
    with pytest.raises(KnobError) as refused, naming_the_profile(bnbench.Protocol("mine")):
        raise KnobError("--held-out 10000 is too many.")
    assert refused.value.as_command == "--held-out 10000 is too many."
