"""Results folders as tables: what a sweep, finished or not, holds."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

import pandas as pd

from bnbench import layout, store
from bnbench.config import read_grid
from bnbench.errors import RequestError
from bnbench.failures import Failure, read_failure
from bnbench.protocol import FitKey, Grid, Protocol
from bnbench.store import FitResult, StoreError


@dataclass(frozen=True)
class Sweep:
    """What a results folder holds, as tables keyed by ``arm, p, seed``.

    Attributes:
        folder: where it lies.
        protocol: what its fits have in common.
        asked: the grid of the last run into it; None if none has said so.
        landscapes: a row per pixel, see :data:`bnbench.store.LANDSCAPE_SCHEMA`.
        summaries: rows of BN policy × split × pixels, see :class:`bnbench.store.FitResult`.
        traces: rows of training.
        provenance: a row per fit.
        identities: hash of all that a fit's numbers depend on, see :class:`bnbench.store.FitResult`.
        failures: the record of each fit that failed.
        broken: a sentence for each file that could not be used.
    """

    folder: Path
    protocol: Protocol
    asked: Grid | None
    landscapes: pd.DataFrame
    summaries: pd.DataFrame
    traces: pd.DataFrame
    provenance: pd.DataFrame
    identities: dict[FitKey, str]
    failures: list[Failure]
    broken: list[str]


def find_sweeps(root: Path) -> list[Path]:
    """Every results folder at or below ``root``, sorted."""
    return sorted(path.parent for path in root.rglob("protocol.json"))


def read_sweep(folder: Path) -> Sweep:
    """Read a results folder, finished or not; files that cannot be used are named, not fatal.

    Raises:
        StoreError: the folder has no readable protocol.
    """
    protocol = store.read_protocol(folder)
    results: list[FitResult] = []
    broken: list[str] = []
    sources: dict[str, str] = {}
    for path in layout.fit_paths(folder):
        try:
            result = store.read_fit(path)
            _check_member(path, result, protocol, sources)
            results.append(result)
        except StoreError as error:
            broken.append(str(error))
    asked = None
    try:
        asked = read_grid(folder)
    except RequestError as error:
        broken.append(str(error))
    failures: list[Failure] = []
    for path in layout.failure_paths(folder):
        try:
            failures.append(read_failure(path))
        except StoreError as error:
            broken.append(str(error))
    return Sweep(
        folder=folder,
        protocol=protocol,
        asked=asked,
        landscapes=_joined((result.landscape for result in results), store.empty_landscape()),
        summaries=_joined(_keyed(result.summary, result.key) for result in results),
        traces=_joined(_keyed(result.trace, result.key) for result in results),
        provenance=_joined(_keyed(pd.json_normalize(result.provenance), result.key) for result in results),
        identities={result.key: result.identity for result in results},
        failures=failures,
        broken=broken,
    )


def load(folder: str | Path) -> pd.DataFrame:
    """All landscapes at or below a folder as one tidy frame: a row per pixel and fit.

    Args:
        folder: a results folder, or one above several.

    Returns:
        The columns of :data:`bnbench.store.LANDSCAPE_SCHEMA` after ``protocol``, such as
        ``quick-3f09a1b2c4d5``, and ``split``, the images that the ``test_`` columns were measured on
        (``test`` or ``held-out``).

    Raises:
        StoreError: no results there, or a file that cannot be read.
    """
    sweeps = [read_sweep(path) for path in find_sweeps(Path(folder))]
    if not sweeps:
        raise StoreError(
            f"{folder} holds no results of bnbench; give a folder that bnbench run wrote, such as results/quick."
        )
    broken = [message for sweep in sweeps for message in sweep.broken]
    if broken:
        raise StoreError(broken[0])
    tables = [
        sweep.landscapes.assign(protocol=sweep.protocol.id, split=sweep.protocol.measurement.split) for sweep in sweeps
    ]
    return pd.concat(tables, ignore_index=True)[["protocol", "split", *store.LANDSCAPE_SCHEMA.names]]


def _check_member(path: Path, result: FitResult, protocol: Protocol, sources: dict[str, str]) -> None:
    if result.protocol.hash != protocol.hash:
        raise StoreError(
            f"{path} belongs to another protocol ({result.protocol.id}, not {protocol.id}); move it to its own folder."
        )
    if path.stem != layout.fit_name(result.key):
        raise StoreError(f"{path} holds the fit {result.key}, which its name denies; delete the copy.")
    if sources.setdefault(result.key.arm, result.source) != result.source:
        raise StoreError(
            f"{path} was computed by another version of the arm {result.key.arm}; move it to its own folder."
        )


def _keyed(table: pd.DataFrame, key: FitKey) -> pd.DataFrame:
    keyed = table.copy()
    for position, (name, value) in enumerate(asdict(key).items()):
        keyed.insert(position, name, value)
    return keyed


def _joined(tables: Iterable[pd.DataFrame], empty: pd.DataFrame | None = None) -> pd.DataFrame:
    found = list(tables)
    if found:
        return pd.concat(found, ignore_index=True)
    return store.empty_landscape()[["arm", "p", "seed"]] if empty is None else empty
