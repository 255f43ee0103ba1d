"""Two arms of a table of fits compared: which are meant, and the gap between them by each reading."""

from __future__ import annotations

from collections.abc import Iterable

import pandas as pd

from bnbench.errors import RequestError
from bnbench.measures.registry import READINGS
from bnbench.protocol.arm_names import short_names
from bnbench.report.arms import arm_order, compared_arms
from bnbench.stats import differences

_NAMES = {"difference": "contrast", "objective": "J", "right": "right"}


def gaps(fits: pd.DataFrame, arms: tuple[str, str] | None = None, *, pixels: str = "trained") -> pd.DataFrame:
    """Return the gap between two arms over all fill probabilities, by each reading, with its 95 % interval.

    They are the numbers of a report's headline: the mean over pairs (p, seed) of first − second in which every p weighs
    the same, and a t interval on the variance within each p, see :doc:`/statistics`.

    Args:
        fits: a row per fit, ``arm, p, seed`` and the columns of at least one reading, ``difference_trained``,
            ``objective_trained`` and ``right_trained``: such as :attr:`bnbench.SweepResult.fits`, or
            ``tables/fits.csv`` of a report.
        arms: the arm that is counted positive, and the one that is subtracted, by name or as figures label them; by
            default plain and bn, else the first two that share a (p, seed): built-in arms come before own ones, which
            come by name, where a report takes them in the order of the run.
        pixels: ``trained``, or ``all`` for the columns ``difference``, ``objective`` and ``right``.

    Returns:
        A table with a row per reading that there is, ``contrast``, ``J`` and ``right``, and the columns ``reading,
        first, second, gap, low, high, pairs``; ``low`` and ``high`` are NaN while a p has a single pair.

    Raises:
        RequestError: a column is missing, an arm is not there, no (p, seed) has both, or ``pixels`` is neither.
    """
    if pixels not in ("trained", "all"):
        raise RequestError(f"pixels {pixels!r}: give trained or all.")
    columns = {f"{name}_trained" if pixels == "trained" else name: _NAMES[name] for name in READINGS}
    check_table(fits, ("arm", "p", "seed"), "fits")
    there = {column: name for column, name in columns.items() if column in fits}
    if not there:
        check_table(fits, columns, "fits")
    first, second = two_arms(fits, arms)
    rows = []
    for column, name in there.items():
        pairs = differences.paired(fits.dropna(subset=[column]), first, second, column)
        if len(pairs):
            whole = differences.overall(pairs)
            rows.append((name, first, second, whole.mean, whole.low, whole.high, whole.pairs))
    return pd.DataFrame(rows, columns=["reading", "first", "second", "gap", "low", "high", "pairs"])


def two_arms(fits: pd.DataFrame, arms: tuple[str, str] | None) -> tuple[str, str]:
    """Return the two arms of a table that are meant.

    Args:
        fits: a row per fit, ``arm, p, seed``.
        arms: their names or labels; None for plain and bn, else the first two that share a (p, seed).

    Raises:
        RequestError: one is not there, no (p, seed) has both, or a fit occurs twice.
    """
    if fits.duplicated(["arm", "p", "seed"]).any():
        raise RequestError("fits: an arm, p and seed occur twice; give the fits of one protocol.")
    if arms is None:
        compared = compared_arms(fits.assign(difference_trained=0.0))
        first, second = (compared.first, compared.second) if compared else ("plain", "bn")
    else:
        first, second = (arm_called(arm, fits["arm"]) for arm in arms)
    if differences.paired(fits.assign(difference=0.0), first, second).empty:
        raise RequestError(
            f"fits: no (p, seed) has both {first} and {second}; give fits of two arms on one mask. The arms there are "
            f"{', '.join(arm_order(fits['arm']))}."
        )
    return first, second


def arm_called(name: str, arms: Iterable[str]) -> str:
    """Return the arm that is called so where a person reads it; any other name as it is."""
    there = arm_order(arms)
    return name if name in there else {short: arm for arm, short in short_names(there).items()}.get(name, name)


def check_table(table: pd.DataFrame, columns: Iterable[str], name: str) -> None:
    """Refuse a table without rows, or one that lacks a column.

    Raises:
        RequestError: it says which.
    """
    lacking = [column for column in columns if column not in table]
    if lacking:
        raise RequestError(
            f"{name}: the table lacks {', '.join(lacking)}; it has {', '.join(map(str, table.columns))}."
        )
    if table.empty:
        raise RequestError(f"{name}: the table has no row; give one with a fit in it.")
