"""The arms of a report: their order, their short names, and the two that it compares."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import combinations
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from bnbench.errors import RequestError
from bnbench.protocol.arm_names import short_key, short_names
from bnbench.protocol.protocol import BUILT_IN
from bnbench.results.sweeps import Sweep
from bnbench.stats import differences
from bnbench.wording import on_one_line

_LONGEST_LABEL = 24
MOST_NAMED = 3  # arms whose values a sentence lists; of more it names the ends, since a table has all
_CONTRAST = "difference_trained"  # over the pixels that the objective, too, is read over


class ComparedArms(NamedTuple):
    """Two arms and their pairs in accuracy contrast over trained pixels; at least one pair.

    The pairs are as :func:`bnbench.stats.differences.paired` gives them.
    """

    pairs: pd.DataFrame
    first: str
    second: str

    @property
    def gap_name(self) -> str:
        """Return what is subtracted from what: ``plain − bn``."""
        return f"{self.first} − {self.second}"


def compared_arms(fits: pd.DataFrame, order: Sequence[str] = ()) -> ComparedArms | None:
    """Choose the two arms that the report compares: the first two that share a pair.

    Args:
        fits: a row per fit: ``arm, p, seed, difference_trained``.
        order: which arms come first; then the built-in ones, plain and bn before all, then foreign ones by name.
    """
    known = arm_order(fits["arm"])
    for first, second in combinations(dict.fromkeys([*(arm for arm in order if arm in known), *known]), 2):
        if len(pairs := differences.paired(fits, first, second, _CONTRAST)):
            return ComparedArms(pairs, first, second)
    return None


def arm_order(arms: Iterable[str]) -> list[str]:
    """Return the distinct arms: the built-in ones in their order, then foreign ones by name."""
    distinct = set(arms.unique() if isinstance(arms, pd.Series) else arms)  # a row per pixel makes millions
    return [arm for arm in BUILT_IN if arm in distinct] + sorted(distinct - set(BUILT_IN))


def as_asked(arms: Sequence[str]) -> list[str]:
    """Return arms as they are compared by default: the built-in ones in their order, then own ones as asked for."""
    return [*(arm for arm in BUILT_IN if arm in arms), *(arm for arm in arms if arm not in BUILT_IN)]


def arms_to_compare(wanted: Sequence[str], called: Mapping[str, str], results: Path) -> tuple[str, ...]:
    """Return what the two arms are called that a report is asked to compare, each given by its short or full name.

    Args:
        wanted: two arms, or none.
        called: what each arm of the results is called, see :func:`names_of`.
        results: where they are, for the sentence.

    Raises:
        RequestError: not two arms, or one that the results do not have.
    """
    found = tuple(called.get(arm, arm) for arm in wanted)
    option = f"--arms {','.join(map(on_one_line, wanted))}"
    if wanted and len(set(found)) != 2:
        raise RequestError(f"{option}: a report compares two arms; give two of {', '.join(called.values())}.")
    if unknown := [arm for arm in found if arm not in called.values()]:
        raise RequestError(
            f"{option}: {results} has no arm {on_one_line(unknown[0])}; it has {', '.join(called.values())}."
        )
    return found


def of_arms(values: Mapping[Any, float], said: Callable[[str], str], separator: str = ", ") -> str:
    """Say something of each arm; of more than three, of those with the least and the largest value alone.

    Args:
        values: of each arm that there is something to say of, at least one.
        said: says it.
        separator: between two arms.
    """
    if len(values) <= MOST_NAMED:
        return separator.join(map(said, values))
    least, most = min(values, key=values.__getitem__), max(values, key=values.__getitem__)
    if values[least] == values[most]:
        return f"{said(least)}, as much as each of the {len(values)} arms"
    both = (" and " if separator == ", " else separator).join([said(least), said(most)])
    return f"{both}, the least and the most of {len(values)} arms"


def arm_labels(arms: Iterable[str]) -> dict[str, str]:
    """Return what arms are called (:func:`bnbench.protocol.arm_names.short_names`), as every font can draw it."""
    labels = {}
    for arm, text in short_names(arm_order(arms)).items():
        text = "".join(letter if letter.isascii() and letter.isprintable() else "?" for letter in text)
        text = text if len(text) <= _LONGEST_LABEL else "..." + text[3 - _LONGEST_LABEL :]
        labels[arm] = f" {text}" if text.startswith("_") else text  # matplotlib leaves out labels that start with _
    return labels


def named_in_short(sweeps: Sequence[Sweep]) -> list[Sweep]:
    """Return sweeps whose arms are called by their short names, in every table and key, by one rule for all of them.

    Their ``full_names`` say which arms these are.
    """
    names = names_of(sweeps)
    return [_renamed(sweep, names) for sweep in sweeps]


def names_of(sweeps: Sequence[Sweep]) -> dict[str, str]:
    """Return what each arm of some sweeps is called, finished, failed or asked for."""
    found = [key.arm for sweep in sweeps for key in (*sweep.identities, *(one.key for one in sweep.failures))]
    found += [arm for sweep in sweeps if sweep.asked for arm in sweep.asked.arms]
    return short_names(arm_order(found))


def with_names(table: pd.DataFrame, names: Mapping[str, str]) -> pd.DataFrame:
    """Return a table whose column ``arm`` holds what the arms are called."""
    changed = {arm: name for arm, name in names.items() if arm != name}
    if not changed or table.empty:
        return table
    return table.assign(arm=table["arm"].map(lambda arm: changed.get(arm, arm)).astype(table["arm"].dtype))


def _renamed(sweep: Sweep, names: dict[str, str]) -> Sweep:
    mine = {name: arm for arm, name in names.items() if arm != name and arm in names_of([sweep])}
    if not mine:
        return sweep
    asked = sweep.asked and replace(sweep.asked, arms=tuple(names[arm] for arm in sweep.asked.arms))
    return replace(
        sweep,
        landscapes=with_names(sweep.landscapes, names),
        summaries=with_names(sweep.summaries, names),
        traces=with_names(sweep.traces, names),
        courses=with_names(sweep.courses, names),
        provenance=with_names(sweep.provenance, names),
        asked=asked,
        identities={short_key(key, names): identity for key, identity in sweep.identities.items()},
        places={short_key(key, names): place for key, place in sweep.places.items()},
        failures=[replace(failure, key=short_key(failure.key, names)) for failure in sweep.failures],
        full_names=mine,
    )
