"""What a call from Python gives, read as the command line reads its text: natural values or that very text."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from numbers import Integral, Real
from pathlib import Path
from typing import Any

import numpy as np

from bnbench.errors import RequestError
from bnbench.interactive.knobs import Knob
from bnbench.protocol.data_option import parse_data
from bnbench.protocol.mask_sizes import Size, parse_sizes
from bnbench.protocol.measured_steps import MeasuredSteps
from bnbench.protocol.parsing import (
    parse_arms,
    parse_count,
    parse_folder,
    parse_formats,
    parse_pair,
    parse_probs,
    parse_seeds,
    parse_shard,
)
from bnbench.protocol.written_numbers import parse_seconds, parse_whole
from bnbench.wording import shown


def sizes_of(knobs: Mapping[str, Knob]) -> tuple[Size, ...]:
    """Return the mask sizes where several are asked for, as text such as ``14,20,28`` or as pairs; else none.

    Two numbers alone are the rows and columns of a single mask.

    Raises:
        RequestError: more than two numbers, which may be meant for sizes, or as
            :func:`bnbench.protocol.mask_sizes.parse_sizes`.
    """
    asked = knobs.get("mask_size")
    if isinstance(asked, str):
        return parse_sizes(asked, "mask_size")
    if not isinstance(asked, list | tuple):
        return ()  # a number, or what the knob refuses
    if all(isinstance(size, Integral) for size in asked) and len(asked) > 2:
        text = ",".join(map(shown, asked))
        raise RequestError(
            f'mask_size {asked}: several sizes are text, mask_size="{text}", or pairs of rows and columns.'
        )
    if not asked or not all(isinstance(size, list | tuple) for size in asked):
        return ()
    return parse_sizes(",".join("x".join(map(shown, size)) for size in asked), "mask_size")


def probs_of(probs: str | float | Iterable[float]) -> tuple[float, ...]:
    """Return fill probabilities given as text, a number or several.

    Raises:
        RequestError: as :func:`bnbench.protocol.parsing.parse_probs`.
    """
    if isinstance(probs, str):
        return parse_probs(_text(probs), "probs")
    return parse_probs(",".join(map(_decimal, several_of(probs))), "probs")


def seeds_of(seeds: str | int | Iterable[int]) -> tuple[int, ...]:
    """Return seeds given as text, a count, or several seeds.

    Raises:
        RequestError: as :func:`bnbench.protocol.parsing.parse_seeds`.
    """
    several = several_of(seeds)
    if isinstance(seeds, str | Integral):
        return parse_seeds(_text(seeds), "seeds")
    if fractions := [seed for seed in several if isinstance(seed, Real) and not isinstance(seed, Integral)]:
        raise RequestError(f"seeds {fractions[0]}: give whole numbers, such as 5 (seeds 1 to 5) or [101, 103].")
    texts = [shown(seed) for seed in several]
    return parse_seeds(f"{texts[0]}:{texts[0]}:1" if len(texts) == 1 else ",".join(texts), "seeds")


def arms_of(arms: str | Iterable[str]) -> tuple[str, ...]:
    """Return names of arms given as text with commas, or several names.

    Raises:
        RequestError: a name is empty or stands there twice, or it is no name.
    """
    names = [arms] if isinstance(arms, str) else several_of(arms)
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
    if isinstance(steps, str | Integral):
        return MeasuredSteps.parse(_text(steps), "measure_at")
    return MeasuredSteps.parse(",".join(map(shown, [*several_of(steps), ""])), "measure_at")


def count_of(count: int | None, name: str) -> int | None:
    """Return a number of fits, threads or pixels.

    Raises:
        RequestError: as :func:`bnbench.protocol.parsing.parse_count`.
    """
    return None if count is None else required_count_of(count, name)


def required_count_of(count: int, name: str) -> int:
    """Return a number that has to be given, as :func:`count_of`."""
    return parse_count(_text(count), name)


def seconds_of(seconds: float | None, name: str) -> float | None:
    """Return a number of seconds.

    Raises:
        RequestError: as :func:`bnbench.protocol.written_numbers.parse_seconds`.
    """
    return None if seconds is None else required_seconds_of(seconds, name)


def required_seconds_of(seconds: float, name: str) -> float:
    """Return a number of seconds that has to be given, as :func:`seconds_of`."""
    return parse_seconds(_text(seconds), name)


def mebibytes_of(size: int | None, name: str) -> int | None:
    """Return a size of memory, as :func:`count_of`, of any number of them."""
    return None if size is None else parse_whole(_text(size), name, least=1)


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


def data_of(
    data: str | Path | None, knobs: Mapping[str, Knob], folder: str | Path | None
) -> tuple[dict[str, Knob], str | Path | None]:
    """Return the knobs with the data set that ``data`` names, and the folder of its files.

    Raises:
        RequestError: there are no such images, or they are named twice.
    """
    if data is None:
        return dict(knobs), folder
    if not isinstance(data, str | Path):
        raise RequestError(f"data {data!r} is no path; give a data set's name, a folder or a .npz file.")
    dataset, place = parse_data(str(data), "data")
    if "dataset" in knobs or (place and folder is not None):
        raise RequestError(f"data {data} and {'dataset' if 'dataset' in knobs else 'data_folder'}: give one of them.")
    return {**knobs, "dataset": dataset}, place or folder


def shard_of(shard: str | tuple[int, int]) -> tuple[int, int]:
    """Return a shard given as ``3/10`` or (3, 10).

    Raises:
        RequestError: as :func:`bnbench.protocol.parsing.parse_shard`.
    """
    return parse_shard(shard if isinstance(shard, str) else "/".join(map(shown, several_of(shard))), "shard")


def formats_of(formats: str | Iterable[str]) -> tuple[str, ...]:
    """Return the formats of a report, given as text with commas or several names.

    Raises:
        RequestError: as :func:`bnbench.protocol.parsing.parse_formats`.
    """
    return parse_formats(formats if isinstance(formats, str) else ",".join(map(str, several_of(formats))), "formats")


def pair_of(pair: str | tuple[float, int] | None) -> tuple[float, int] | None:
    """Return a fill probability and a seed given as ``0.5,1`` or (0.5, 1).

    Raises:
        RequestError: as :func:`bnbench.protocol.parsing.parse_pair`.
    """
    if pair is None:
        return None
    return parse_pair(pair if isinstance(pair, str) else ",".join(map(_decimal, several_of(pair))), "figure3")


def several_of(values: Any) -> list[Any]:
    """Return several values as a list; a single one, or what holds values of another kind, is its only one."""
    return list(values) if isinstance(values, Iterable) and not isinstance(values, str | bytes | Mapping) else [values]


def _text(value: object) -> str:
    """Return a value as text, in which nothing can be seen, too."""
    return repr(value) if isinstance(value, str) and not value.strip() else shown(value)


def _decimal(number: Any) -> str:
    """Return a number without the noise of its last bits: 0.1 + 0.2 means 0.3."""
    try:
        return shown(number) if isinstance(number, bool) or not isinstance(number, Real) else f"{float(number):.12g}"
    except OverflowError:
        return shown(number)
