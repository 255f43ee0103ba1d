"""Knobs: dataclass fields that carry their one sentence of help and the values they accept."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import field, fields
from typing import Any

from bnbench.errors import KnobError, RequestError
from bnbench.protocol.written_numbers import HIGHEST, LARGEST
from bnbench.wording import shown


def knob(text: str, default: Any, **constraints: Any) -> Any:
    """Declare a field with the sentence that the command line and the report show.

    Args:
        text: that sentence.
        default: its value in the ``compact`` profile.
        constraints: ``choices``, ``minimum`` and ``maximum`` (whole numbers; 2³¹ − 1 where it is not given),
            ``above`` (any number) or ``reads`` (a function of a text and of the option's name that refuses what it
            cannot read); for a tuple also ``length`` and ``separator``; ``wanted`` where the error should say it
            better. A knob
            added after results exist gives ``neutral``: the value at which they stay as they are. A protocol
            that was stored without the knob has that value, and the hash leaves it out.
    """
    return field(default=default, metadata={"help": text, **constraints})


class Section:
    """Knobs that belong together: a frozen dataclass derived from it holds every knob to its constraints.

    Raises:
        KnobError: a knob has a value that it does not accept.
    """

    def __post_init__(self) -> None:
        for knob_field in fields(self):  # type: ignore[arg-type]  # whoever derives from it is a dataclass
            value, limits = getattr(self, knob_field.name), knob_field.metadata
            option = f"--{knob_field.name.replace('_', '-')}"
            if wanted := _wanted(value, knob_field.default, limits):
                is_odd = isinstance(value, str) and not isinstance(knob_field.default, str)
                text = repr(value) if is_odd else shown(value)  # 300 and "300" look alike
                if isinstance(value, tuple):
                    text = limits.get("separator", ",").join(map(shown, value))
                raise KnobError(f"{option} {shown(text)}: {limits.get('wanted', wanted)}.")
            if "reads" in limits:
                try:
                    limits["reads"](value, option)
                except RequestError as error:
                    raise KnobError(str(error)) from error
            if "above" in limits:  # 2 and 2.0 are one protocol and must have one hash
                object.__setattr__(self, knob_field.name, float(value))


def _wanted(value: Any, default: Any, limits: Mapping[str, Any]) -> str:
    """Return what a knob would accept; empty if it accepts this value."""
    if isinstance(default, bool) and not isinstance(value, bool):
        return "give true or false"
    if "choices" in limits and value not in limits["choices"]:
        return f"use {', '.join(limits['choices'][:-1])} or {limits['choices'][-1]}"
    if "above" in limits and not (_is_number(value, int, float) and limits["above"] < value < math.inf):
        return f"give a number above {limits['above']:g}"
    if "above" in limits and value > HIGHEST:
        return f"give a number of at most {HIGHEST:g}"
    if "minimum" in limits:
        numbers = value if isinstance(default, tuple) else (value,)
        is_whole = isinstance(numbers, tuple) and 0 < len(numbers) == limits.get("length", len(numbers))
        if not is_whole or not all(_is_number(number, int) and number >= limits["minimum"] for number in numbers):
            return str(limits.get("wanted", f"give a whole number of at least {limits['minimum']}"))
        if max(numbers) > (most := limits.get("maximum", LARGEST)):
            return f"give at most {most:,}"
    return ""


def _is_number(value: Any, *kinds: type) -> bool:
    return isinstance(value, kinds) and not isinstance(value, bool)  # True would pass for 1


def list_text(values: tuple[int, ...], separator: str = ",") -> str:
    """Return a tuple as the command line writes it: ``8,8,16``."""
    return separator.join(str(value) for value in values)
