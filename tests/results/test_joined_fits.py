"""Fits joined while they are read are the tables of each, one below the other."""

from __future__ import annotations

from dataclasses import replace

import pandas as pd
import pytest

from bnbench.protocol.protocol import FitKey
from bnbench.results import joined_fits
from bnbench.results.joined_fits import JoinedFits
from bnbench.results.store import FitResult
from tests.fits import make_result

_KEY = ["arm", "p", "seed"]
_TRACES: dict[int, dict[str, list[float]]] = {
    2: {"step": [0, 6]},
    3: {},
    4: {"step": [1], "scale": [0.5]},
    5: {"step": [6], "black_loss": [7]},
}


def fits() -> list[FitResult]:
    """Traces without a row, of more and of fewer columns, and whole numbers where others have fractions."""
    results = [make_result(FitKey("plain", 0.3, seed)) for seed in range(1, 8)]
    return [
        replace(result, trace=pd.DataFrame(_TRACES[result.key.seed])) if result.key.seed in _TRACES else result
        for result in results
    ]


def one_below_the_other(tables: list[pd.DataFrame], keys: list[FitKey]) -> pd.DataFrame:
    joined = pd.concat([table for table in tables if len(table)], ignore_index=True)
    of_rows = [key for table, key in zip(tables, keys, strict=True) for _ in range(len(table))]
    columns = {name: pd.Series([getattr(key, name) for key in of_rows]) for name in _KEY}
    return pd.concat([pd.DataFrame(columns), joined], axis=1)


@pytest.mark.parametrize(("at_once", "counted"), [(2, range(7)), (7, range(7)), (100, range(7)), (100, [1, 2, 6])])
def test_tables_joined_early_are_those_of_each_fit(
    at_once: int, counted: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(joined_fits, "_AT_ONCE", at_once)
    results = fits()
    joined = JoinedFits(are_all_kept=len(counted) == len(results))
    read = [joined.keep(result) for result in results]
    kept, results = [read[number] for number in counted], [results[number] for number in counted]
    keys = [result.key for result in results]
    same = pd.testing.assert_frame_equal
    same(joined.landscapes(kept), pd.concat([result.landscape for result in results], ignore_index=True))
    same(joined.summaries(kept), one_below_the_other([result.summary for result in results], keys), check_exact=True)
    same(joined.traces(kept), one_below_the_other([result.trace for result in results], keys), check_exact=True)
    assert joined.courses(kept).columns.tolist() == _KEY
