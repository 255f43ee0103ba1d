"""What many fits hold, joined to tables while they are read, so that little of it is in memory twice."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bnbench.protocol.protocol import FitKey
from bnbench.results import schemas
from bnbench.results.store import FitResult

_KEY = ("arm", "p", "seed")
_AT_ONCE = 256  # tables that wait until they are joined


@dataclass(frozen=True)
class JoinedFit:
    """What stays of a fit beside the rows of its tables.

    Attributes:
        key: which fit it is.
        identity: hash of all that its numbers depend on.
        number: its place in the order of reading.
        provenance: as its file has it.
        source: hash of an own arm's source file; empty for a built-in arm.
    """

    key: FitKey
    identity: str
    number: int
    provenance: dict[str, Any]
    source: str


class JoinedFits:
    """The tables of fits: of a fit that was read nothing else stays in memory.

    Args:
        are_all_kept: whether every fit that is read also counts; then tables are asked for all of them alone.
    """

    def __init__(self, *, are_all_kept: bool) -> None:
        self._read = 0
        self._pixels = _Pixels()
        self._summaries, self._traces, self._courses = (_Tables(_AT_ONCE if are_all_kept else 1) for _ in range(3))

    def keep(self, result: FitResult) -> JoinedFit:
        """Take a fit's rows, and return what else stays of it."""
        self._pixels.add(result.landscape)
        self._summaries.add(result.summary)
        self._traces.add(result.trace)
        self._courses.add(result.course)
        self._read += 1
        return JoinedFit(result.key, result.identity, self._read - 1, result.provenance, result.source)

    def landscapes(self, fits: Sequence[JoinedFit]) -> pd.DataFrame:
        """Return a row per pixel, see :data:`bnbench.results.schemas.LANDSCAPE_SCHEMA`; can be asked for once."""
        return self._pixels.table(fits)

    def summaries(self, fits: Sequence[JoinedFit]) -> pd.DataFrame:
        """Return the rows of all summaries; like the next two only the key's columns where there is no row."""
        return self._summaries.table(fits)

    def traces(self, fits: Sequence[JoinedFit]) -> pd.DataFrame:
        """Return the rows of all traces."""
        return self._traces.table(fits)

    def courses(self, fits: Sequence[JoinedFit]) -> pd.DataFrame:
        """Return the rows of all courses."""
        return self._courses.table(fits)


def provenance_table(fits: Sequence[JoinedFit]) -> pd.DataFrame:
    """Return a row per fit, with names within names as one, such as ``versions.torch``."""
    if not fits:
        return schemas.empty_landscape()[list(_KEY)]
    table = pd.json_normalize([fit.provenance for fit in fits])
    return _keyed(table, fits, np.ones(len(fits), int))


def rows_of_fits(table: pd.DataFrame) -> dict[tuple[str, float, int], NDArray[np.int_]]:
    """Return which rows of a table are each fit's, in their order, by its arm, p and seed.

    Most often a fit's rows stand together: to see that takes less than to sort them.

    Args:
        table: columns ``arm, p, seed`` and more, at least one row.
    """
    keys = [table[name].array for name in _KEY]
    is_new = np.any([np.asarray(key[1:] != key[:-1]) for key in keys], axis=0)
    starts = np.concatenate([[0], 1 + np.flatnonzero(is_new)])
    runs: dict[tuple[str, float, int], list[NDArray[np.int_]]] = {}
    for start, end in zip(starts, [*starts[1:], len(table)], strict=True):
        arm, p, seed = (key[start] for key in keys)
        runs.setdefault((arm, p, seed), []).append(np.arange(start, end))
    return {key: np.concatenate(places) for key, places in runs.items()}


class _Pixels:
    """Pixels, column by column: a fit's are copied to their place once."""

    def __init__(self) -> None:
        empty = schemas.empty_landscape()
        self._columns = {str(name): values.to_numpy().copy() for name, values in empty.items() if name not in _KEY}
        self._ends = [0]

    def add(self, landscape: pd.DataFrame) -> None:
        start, end = self._ends[-1], self._ends[-1] + len(landscape)
        for name, values in self._columns.items():
            if end > len(values):  # it grows where it is: there is no view of it yet
                values.resize(end + end // 8, refcheck=False)
            values[start:end] = landscape[name].to_numpy()
        self._ends.append(end)

    def table(self, fits: Sequence[JoinedFit]) -> pd.DataFrame:
        empty = schemas.empty_landscape()
        if not fits:
            return empty
        rows = [slice(self._ends[fit.number], self._ends[fit.number + 1]) for fit in fits]
        for name, values in self._columns.items():
            if len(fits) == len(self._ends) - 1:
                values.resize(self._ends[-1], refcheck=False)
            else:
                self._columns[name] = np.concatenate([values[mine] for mine in rows])
        sizes = np.array([mine.stop - mine.start for mine in rows])
        return _keyed(pd.DataFrame(self._columns, copy=False), fits, sizes, empty.dtypes.to_dict())


class _Tables:
    """Tables that become one, those without a row left out.

    A table of few rows takes several times the memory of its numbers: many are joined as soon as they are there.
    """

    def __init__(self, at_once: int) -> None:
        self._at_once = at_once
        self._joined: list[pd.DataFrame] = []
        self._waiting: list[pd.DataFrame] = []
        self._sizes: list[int] = []

    def add(self, table: pd.DataFrame) -> None:
        self._sizes.append(len(table))
        self._waiting.append(table)
        if len(self._waiting) == self._at_once:
            self._join()

    def table(self, fits: Sequence[JoinedFit]) -> pd.DataFrame:
        self._join()
        there = [fit for fit in fits if self._sizes[fit.number]]
        if not there:
            return schemas.empty_landscape()[list(_KEY)]
        tables = [self._joined[fit.number] for fit in there] if self._at_once == 1 else self._joined
        joined = pd.concat([table for table in tables if len(table)], ignore_index=True)
        return _keyed(joined, there, np.array([self._sizes[fit.number] for fit in there]))

    def _join(self) -> None:
        tables, self._waiting = self._waiting, []
        if filled := [table for table in tables if len(table)] or tables[:1]:
            self._joined.append(pd.concat(filled, ignore_index=True) if len(filled) > 1 else filled[0])


def _keyed(
    table: pd.DataFrame, fits: Sequence[JoinedFit], sizes: NDArray[np.int_], dtypes: dict[Any, Any] | None = None
) -> pd.DataFrame:
    """Put the key of each fit before its rows."""
    fit_of_row = np.repeat(np.arange(len(fits)), sizes)
    for position, name in enumerate(_KEY):
        values = pd.Series([getattr(fit.key, name) for fit in fits], dtype=(dtypes or {}).get(name))
        table.insert(position, name, pd.Series(values.array.take(fit_of_row)))
    return table
