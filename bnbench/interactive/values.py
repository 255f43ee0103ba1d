"""What a call from Python gives, read as the command line reads its text: natural values or that very text."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields
from inspect import isabstract
from numbers import Integral, Real
from pathlib import Path
from typing import Any

import numpy as np
import torch

from bnbench.errors import RequestError
from bnbench.protocol.measured_steps import MeasuredSteps
from bnbench.protocol.parsing import (
    parse_arms,
    parse_count,
    parse_folder,
    parse_probs,
    parse_seconds,
    parse_seeds,
    parse_shard,
)
from bnbench.protocol.profiles import PROFILES
from bnbench.protocol.protocol import SECTIONS, Protocol
from bnbench.sweep.backends import BACKENDS, make_backend
from bnbench.sweep.backends.backend import Backend

_OPTIONS_OF_THE_COMMAND = {"out": "folder", "scheduler": "backend=bnbench.Dask(address)"}
Knob = int | float | str | Sequence[int]


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
    return profile.with_knobs(**{name: _knob_value(name, value) for name, value in knobs.items()})


def probs_of(probs: str | float | Iterable[float]) -> tuple[float, ...]:
    """Return fill probabilities given as text, a number or several.

    Raises:
        RequestError: as :func:`bnbench.protocol.parsing.parse_probs`.
    """
    if isinstance(probs, str):
        return parse_probs(probs, "probs")
    return parse_probs(",".join(map(_decimal, _several(probs))), "probs")


def seeds_of(seeds: str | int | Iterable[int]) -> tuple[int, ...]:
    """Return seeds given as text, a count, or several seeds.

    Raises:
        RequestError: as :func:`bnbench.protocol.parsing.parse_seeds`.
    """
    if isinstance(seeds, str | int | Real):
        return parse_seeds(str(seeds), "seeds")
    texts = [str(seed) for seed in _several(seeds)]
    return parse_seeds(f"{texts[0]}:{texts[0]}:1" if len(texts) == 1 else ",".join(texts), "seeds")


def arms_of(arms: str | Iterable[str]) -> tuple[str, ...]:
    """Return names of arms given as text with commas, or several names.

    Raises:
        RequestError: a name is empty or stands there twice, or it is no name.
    """
    names = [arms] if isinstance(arms, str) else _several(arms)
    for name in names:
        if not isinstance(name, str):
            raise RequestError(
                f"arms {name!r} is no name; name your factory as package.module:factory, because workers import it."
            )
    return parse_arms(",".join(names), "arms")


def steps_of(steps: str | int | Iterable[int] | None) -> MeasuredSteps | None:
    """Return the steps at which a fit is measured, given as text, as a number of steps, or as several steps.

    Raises:
        RequestError: as :meth:`bnbench.protocol.measured_steps.MeasuredSteps.parse`.
    """
    if steps is None:
        return None
    if isinstance(steps, str | int | Real):
        return MeasuredSteps.parse(str(steps), "measure_at")
    return MeasuredSteps.parse(",".join(map(str, [*_several(steps), ""])), "measure_at")


def count_of(count: int | None, name: str) -> int | None:
    """Return a number of fits, threads or pixels.

    Raises:
        RequestError: as :func:`bnbench.protocol.parsing.parse_count`.
    """
    return None if count is None else parse_count(str(count), name)


def seconds_of(seconds: float | None, name: str) -> float | None:
    """Return a number of seconds.

    Raises:
        RequestError: as :func:`bnbench.protocol.parsing.parse_seconds`.
    """
    return None if seconds is None else parse_seconds(str(seconds), name)


def backend_of(backend: object) -> Backend:
    """Return where fits are computed: a name, a backend, or the class of one that needs nothing to be made.

    Raises:
        RequestError: there is no such backend, or it is no backend.
    """
    if isinstance(backend, str):
        return make_backend(backend)
    if isinstance(backend, type) and issubclass(backend, Backend) and not isabstract(backend):
        backend = backend()
    if not isinstance(backend, Backend):
        raise RequestError(f"backend {backend!r} is none; give {', '.join(BACKENDS)}, or an object such as Inline().")
    return backend


def flag_of(flag: bool, name: str) -> bool:
    """Return what is either True or False.

    Raises:
        RequestError: it is neither; text such as "no" would count as true.
    """
    if not isinstance(flag, bool | np.bool_):
        raise RequestError(f"{name} {flag!r} is neither True nor False; give one of them.")
    return bool(flag)


def folder_of(folder: str | Path | None, name: str) -> Path | None:
    """Return a folder, in which ``~`` stands for the user's own.

    Raises:
        RequestError: it is empty, or no path.
    """
    if folder is None:
        return None
    if not isinstance(folder, str | Path):
        raise RequestError(f"{name} {folder!r} is no folder; give a path, such as results/own.")
    return parse_folder(str(folder), name)


def devices_of(devices: Any) -> str:
    """Return devices as text: text with commas, a name, a ``torch.device``, or several.

    Raises:
        RequestError: one of them is no device's name.
    """
    names = [devices] if isinstance(devices, str | torch.device) else _several(devices)
    for name in names:
        if not isinstance(name, str | torch.device):
            raise RequestError(f"devices {name!r} is no device; give auto, cpu, cuda:*, or names such as cuda:0.")
    return ",".join(map(str, names))


def shard_of(shard: str | tuple[int, int]) -> tuple[int, int]:
    """Return a shard given as ``3/10`` or (3, 10).

    Raises:
        RequestError: as :func:`bnbench.protocol.parsing.parse_shard`.
    """
    return parse_shard(shard if isinstance(shard, str) else "/".join(map(str, _several(shard))), "shard")


def _several(values: Any) -> list[Any]:
    return list(values) if isinstance(values, Iterable) else [values]


def _decimal(number: Any) -> str:
    """A number without the noise of its last bits: 0.1 + 0.2 means 0.3."""
    return f"{float(number):.12g}" if isinstance(number, Real) else str(number)


def _knob_value(name: str, value: Any) -> Any:
    """A natural value as the knob holds it; one that it refuses is left for it to refuse."""
    constraints = {knob.name: knob.metadata for section in SECTIONS.values() for knob in fields(section)}[name]
    if isinstance(value, bool | np.bool_):
        raise RequestError(f"{name} {value} is no value of a knob; give a number.")
    if isinstance(value, Integral) and "length" in constraints:
        return (int(value),) * constraints["length"]
    if isinstance(value, Integral):
        return int(value)
    if isinstance(value, Real):
        return float(value)
    if isinstance(value, Iterable) and not isinstance(value, str):
        return tuple(_knob_value_of_number(one) for one in value)
    return value


def _knob_value_of_number(value: Any) -> Any:
    return int(value) if isinstance(value, Integral) else value
