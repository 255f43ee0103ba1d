"""Text of the command line to values: lists, ranges and sizes, with errors that show the way out.

Every function takes the name of the option it reads for and raises ``RequestError`` with one sentence.
"""

from __future__ import annotations

import re
from decimal import Decimal
from pathlib import Path

from bnbench.bn_policy import BnPolicy
from bnbench.errors import RequestError
from bnbench.protocol.written_numbers import decimal_text, whole_number
from bnbench.wording import shown

_THOUSANDTH = Decimal("0.001")
_MILLION = 1_000_000
_MOST = 1_024  # fits, threads or pixels at once
FORMATS = ("html", "pdf", "png", "svg", "csv", "md", "json")  # what a report can be written as
_PLACES = 12  # before and after the decimal point; no number that anybody wants has more
_LAST_SEED = 2**31 - 1  # seeds are stored in 32 bits


def parse_probs(text: str, option: str = "--probs") -> tuple[float, ...]:
    """Read fill probabilities: ``0.3``, ``0.1,0.5`` or the inclusive range ``0.1:0.9:0.1``.

    Raises:
        RequestError: not a number, outside (0, 1), finer than 0.001, repeated, or a range that misses its end.
    """
    values = _numbers(text, option, "fill probabilities such as 0.5, 0.1,0.5 or 0.1:0.9:0.1", unit=_THOUSANDTH)
    for value in values:
        if not 0 <= value <= 1:
            raise RequestError(
                f"{option} {text}: {value} is not a probability; give values between 0 and 1, such as 0.1:0.9:0.1."
            )
        if value in (0, 1):
            raise RequestError(
                f"{option} {text}: at {value} every pixel has one colour and there is nothing to bend; "
                "give values strictly between 0 and 1, such as 0.1:0.9:0.1."
            )
        if value % _THOUSANDTH:
            raise RequestError(f"{option} {text}: {value} is finer than 0.001; give at most three decimals.")
    return tuple(float(value) for value in _distinct(values, text, option))


def parse_seeds(text: str, option: str = "--seeds") -> tuple[int, ...]:
    """Read seeds: ``5`` means 1 to 5; ``101,103`` and the inclusive range ``101:103:1`` name seeds.

    Raises:
        RequestError: not whole, below 1, too large, repeated, or a range that misses its end.
    """
    wanted = "a count such as 5 (seeds 1 to 5), or seeds such as 101,103 or 101:103:1"
    values = _numbers(text, option, wanted, unit=Decimal(1))
    for value in values:
        if value != value.to_integral_value() or value < 1:
            raise RequestError(
                f"{option} {text}: {value} is not a seed; give {wanted}, all of them whole and at least 1."
            )
        if value > _LAST_SEED:
            raise RequestError(f"{option} {text}: {value} is too large; seeds go up to {_LAST_SEED}.")
    seeds = tuple(int(value) for value in _distinct(values, text, option))
    if "," in text or ":" in text:
        return seeds
    if seeds[0] > _MILLION:
        raise RequestError(f"{option} {text} means over a million seeds; to name a single one, give {text}:{text}:1.")
    return tuple(range(1, seeds[0] + 1))


def parse_arms(text: str, option: str = "--arms") -> tuple[str, ...]:
    """Read names of arms: ``plain,bn,package.module:factory``.

    Raises:
        RequestError: an empty name, or one that stands there twice.
    """
    arms = tuple(arm.strip() for arm in text.split(","))
    if not all(arms) or len(set(arms)) < len(arms):
        raise RequestError(f"{option} {_visible(text)}: give each arm once, such as plain,bn.")
    return arms


def parse_counts(text: str, option: str) -> tuple[int, ...]:
    """Read whole numbers of at least 1: ``8,8,16``.

    Raises:
        RequestError: anything else.
    """
    counts = [whole_number(part) for part in text.split(",")]
    if not all(counts):
        raise RequestError(
            f"{option} {shown(text)}: give whole numbers of at least 1 separated by commas, such as 8,8,16."
        )
    return tuple(count for count in counts if count)


def parse_count(text: str, option: str) -> int:
    """Read a number of fits, threads or pixels: ``2``. More than 1,024 would be a slip of the finger.

    Raises:
        RequestError: not a whole number from 1 to 1,024.
    """
    count = whole_number(text)
    if count is None or not 1 <= count <= _MOST:
        raise RequestError(f"{option} {shown(text)}: give a whole number from 1 to {_MOST:,}, such as 2.")
    return count


def parse_shard(text: str, option: str = "--shard") -> tuple[int, int]:
    """Read a shard's number and how many there are: ``3/10``.

    Raises:
        RequestError: not two whole numbers, or the first is not one of 1 to the second.
    """
    found = [whole_number(part) for part in text.split("/")]
    number, of = found if len(found) == 2 else (None, None)
    if number is None or of is None or not 1 <= number <= of:
        raise RequestError(f"{option} {shown(text)}: give the shard's number and how many there are, such as 3/10.")
    return number, of


def parse_folder(text: str, option: str) -> Path:
    """Read a folder; ``~`` at its beginning is the user's own, ``~name`` another one's.

    Raises:
        RequestError: it is empty, its name is no text, or there is no such user.
    """
    if not text.strip():
        raise RequestError(f"{option} is empty; give a folder, such as results/own.")
    try:
        text.encode()
    except UnicodeEncodeError as error:  # Python's stand-ins for bytes that are no UTF-8, which no stored file can hold
        raise RequestError(f"{option} {text}: its name is no text in UTF-8; give a folder whose name is.") from error
    try:
        return Path(text).expanduser()
    except RuntimeError as error:
        raise RequestError(
            f"{option} {text}: the folder of {Path(text).parts[0]} is not known; write it out."
        ) from error


def parse_policies(text: str, option: str = "--bn-statistics") -> tuple[BnPolicy, ...]:
    """Read BN policies: ``batch:64,recalibrate:512``; ``recalibrate`` alone means ``recalibrate:512``.

    Raises:
        RequestError: not a policy, or one that is named twice.
    """
    policies: list[BnPolicy] = []
    for part in map(str.strip, text.split(",")):
        policy = BnPolicy.parse("recalibrate:512" if part == "recalibrate" else part, option)
        if policy in policies:
            raise RequestError(f"{option} {text} names {policy} twice; give each policy once.")
        policies.append(policy)
    return tuple(policies)


def parse_formats(text: str, option: str = "--format") -> tuple[str, ...]:
    """Read the formats of a report: ``html,csv``; in the order of :data:`FORMATS`, each once.

    Raises:
        RequestError: none, or one that a report is not written as.
    """
    wanted = {part.strip().lower() for part in text.split(",")}
    if unknown := sorted(wanted - set(FORMATS)):
        raise RequestError(
            f"{option} {text}: {unknown[0]!r} is no format of a report; give one or more of {','.join(FORMATS)}."
        )
    return tuple(name for name in FORMATS if name in wanted)


def parse_pair(text: str, option: str) -> tuple[float, int]:
    """Read a fill probability and a seed: ``0.5,1``.

    Raises:
        RequestError: not two numbers, or a probability that is none.
    """
    match = re.fullmatch(r"\s*(0?\.[0-9]+)\s*,([^,]*)", text)
    seed = whole_number(match[2]) if match else None
    if match is None or seed is None:
        raise RequestError(
            f"{option} {shown(text)}: give a fill probability between 0 and 1 and a seed, such as 0.5,1."
        )
    return parse_probs(match[1], option)[0], seed


def _visible(text: str) -> str:
    """Return a text as an error repeats it, one in which nothing can be seen within quotes."""
    return shown(text) if text.strip() else repr(text)


def _numbers(text: str, option: str, wanted: str, *, unit: Decimal) -> list[Decimal]:
    values: list[Decimal] = []
    for part in text.split(","):
        written = [decimal_text(number) for number in part.split(":")]
        numbers = [Decimal(number) for number in written if number is not None]
        if len(numbers) < len(written):
            raise RequestError(f"{option} {_visible(text)}: {shown(part.strip())!r} is not a number; give {wanted}.")
        if len(numbers) not in (1, 3):
            raise RequestError(
                f"{option} {shown(text)}: {shown(part.strip())!r} is neither a number nor start:stop:step; "
                f"give {wanted}."
            )
        places = [number.adjusted() for number in numbers if number]  # no arithmetic: it would overflow
        if max(places, default=0) >= _PLACES:
            raise RequestError(f"{option} {text}: {part.strip()!r} is too large; give {wanted}.")
        if min(places, default=0) < -_PLACES:
            raise RequestError(f"{option} {text}: {part.strip()!r} is too small; give {wanted}.")
        values += numbers if len(numbers) == 1 else _inclusive_range(*numbers, option=option, unit=unit)
    return values


def _inclusive_range(start: Decimal, stop: Decimal, step: Decimal, *, option: str, unit: Decimal) -> list[Decimal]:
    text = f"{start}:{stop}:{step}"
    if step <= 0 or stop < start:
        raise RequestError(
            f"{option} {text}: a range runs upwards; give start:stop:step with stop ≥ start and step > 0."
        )
    if stop - start >= _MILLION * step:
        raise RequestError(f"{option} {text} has over a million values; give a larger step.")
    count = int((stop - start) / step)
    last = start + count * step
    if last != stop:
        raise RequestError(
            f"{option} {text} does not land on {stop}: the last value would be {last}. "
            f"Use a step that divides {stop - start}, such as {_dividing_step(stop - start, count, unit)}."
        )
    return [start + index * step for index in range(count + 1)]


def _dividing_step(span: Decimal, count: int, unit: Decimal) -> Decimal:
    """Return a step near the one asked for that divides the span, a multiple of the unit where there is one."""
    candidates = (span / divisor for divisor in range(count + 1, 10 * count + 100))
    short = (step for step in candidates if step % unit == 0)
    return next(short, span).normalize() + 0


def _distinct(values: list[Decimal], text: str, option: str) -> list[Decimal]:
    seen: set[Decimal] = set()
    for value in values:
        if value in seen:
            raise RequestError(f"{option} {text} names {value} twice; give each value once.")
        seen.add(value)
    return values
