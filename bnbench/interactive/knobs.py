"""The protocol that a call from Python asks for: a profile, and knobs given as natural values."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import fields
from numbers import Integral, Real
from typing import Any

from bnbench.errors import RequestError
from bnbench.protocol.mask_sizes import Size
from bnbench.protocol.profile_values import naming_the_profile
from bnbench.protocol.profiles import PROFILES, changes
from bnbench.protocol.protocol import SECTIONS, Protocol

_OPTIONS_OF_THE_COMMAND = {"out": "folder", "scheduler": "backend=bnbench.Dask(address)"}
Knob = int | float | str | Sequence[int] | Sequence[Size]


def protocol_of(profile: str | Protocol, knobs: Mapping[str, Knob], options: Sequence[str]) -> Protocol:
    """Return the protocol of a profile and of what is changed in it.

    Args:
        profile: its name, or a protocol.
        knobs: name to new value; a list stands for a tuple, and one number for a mask of as many rows as columns.
        options: names of the call's other arguments, one of which a misspelt knob may be meant for.

    Raises:
        RequestError: there is no such profile or knob, or a value is not accepted.
    """
    if isinstance(profile, str):
        if profile not in PROFILES:
            raise RequestError(f"profile {profile!r} is unknown; use {', '.join(PROFILES)}, or give a Protocol.")
        profile = PROFILES[profile]
    if not isinstance(profile, Protocol):
        raise RequestError(f"profile {profile!r} is none; use {', '.join(PROFILES)}, or give a Protocol.")
    known = dict(profile.knobs())
    for name in knobs:
        if name in _OPTIONS_OF_THE_COMMAND:
            raise RequestError(f"{name} is an option of the command; here give {_OPTIONS_OF_THE_COMMAND[name]}.")
        if name not in known:
            near = difflib.get_close_matches(name, [*known, *options], n=1)
            raise RequestError(
                f"{name} is neither an argument of bnbench.run nor a knob; "
                + (f"{near[0]} is one." if near else f"the knobs are {', '.join(known)}.")
            )
    with naming_the_profile(profile, {*changes(profile), *knobs}):
        return profile.with_knobs(**{name: _knob_value(name, value) for name, value in knobs.items()})


def _knob_value(name: str, value: Any) -> Any:
    """Return a natural value as the knob holds it; one that it refuses is left for it to refuse."""
    constraints = {knob.name: knob.metadata for section in SECTIONS.values() for knob in fields(section)}[name]
    if "length" in constraints and not isinstance(value, bool) and isinstance(value, Integral):
        return (int(value),) * constraints["length"]
    if isinstance(value, Iterable) and not isinstance(value, str | bytes | Mapping | Set):  # a set has no order
        return tuple(map(_plain_number, value))
    return _plain_number(value)


def _plain_number(value: Any) -> Any:
    """Return a number as Python's own, such as one of NumPy's; a truth value is none."""
    if isinstance(value, bool):
        return value
    if isinstance(value, Integral):
        return int(value)
    try:
        return float(value) if isinstance(value, Real) else value
    except OverflowError:  # a fraction beyond what is stored: left for the knob to refuse
        return value
