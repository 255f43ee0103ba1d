"""Results folders as tables: what a sweep, finished or not, holds."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from bnbench.errors import RequestError
from bnbench.protocol.protocol import FitKey, Grid, Protocol, is_own_arm
from bnbench.results import layout, schemas
from bnbench.results.asked import read_grid, read_options
from bnbench.results.failures import Failure, concerns, read_failure
from bnbench.results.folder_protocol import read_protocol
from bnbench.results.folders import Group, group_sweeps, listed, scan
from bnbench.results.joined_fits import JoinedFits, provenance_table
from bnbench.results.store import StoreError


@dataclass(frozen=True)
class Sweep:
    """What the results folders of one protocol hold, as tables keyed by ``arm, p, seed``.

    Attributes:
        folders: where it lies: one folder, or several whose fits belong together.
        protocol: what its fits have in common.
        asked: the grid of the last run into it, all folders together; None if none has said so.
        options: what else that run was asked for, beside grid and knobs: ``out`` and others, by name.
        landscapes: a row per pixel, see :data:`bnbench.results.schemas.LANDSCAPE_SCHEMA`.
        summaries: rows of BN policy × split × pixels, see :class:`bnbench.results.store.FitResult`.
        traces: rows of training.
        courses: rows of what was measured on the way, of the fits that have it; only the key's columns where none has.
        provenance: a row per fit.
        identities: hash of all that a fit's numbers depend on, see :class:`bnbench.results.store.FitResult`.
        sources: hash of the source file of each of a user's own arms that has a fit.
        places: the results folder of each fit.
        failures: the record of each fit that failed and has no result.
        broken: a sentence for each file that could not be used.
        notes: a sentence on fits that were found more than once.
        full_names: the arms that a report calls otherwise, by what it calls them.
    """

    folders: tuple[Path, ...]
    protocol: Protocol
    asked: Grid | None
    options: dict[str, Any]
    landscapes: pd.DataFrame
    summaries: pd.DataFrame
    traces: pd.DataFrame
    courses: pd.DataFrame
    provenance: pd.DataFrame
    identities: dict[FitKey, str]
    sources: dict[str, str]
    places: dict[FitKey, Path]
    failures: list[Failure]
    broken: list[str]
    notes: list[str]
    full_names: dict[str, str] = field(default_factory=dict)

    def full_name(self, arm: str) -> str:
        """Return an arm's own name, whatever it is called here."""
        return self.full_names.get(arm, arm)

    @property
    def folder(self) -> Path:
        """Return its results folder, the first of several."""
        return self.folders[0]


def read_sweep(folder: Path) -> Sweep:
    """Read a results folder, finished or not; files that cannot be used are named, not fatal.

    Raises:
        StoreError: the folder has no readable protocol.
    """
    return _sweep(Group(read_protocol(folder), (folder,)))


def read_sweeps(root: Path) -> tuple[list[Sweep], list[str]]:
    """Read every sweep at or below a folder; results folders of one protocol are one sweep.

    Returns:
        The sweeps, and a sentence for each folder that cannot be used.

    Raises:
        StoreError: there is no results folder.
    """
    groups, broken = group_sweeps(root)
    return [_sweep(group) for group in groups], broken


def load(folder: str | Path = "results") -> pd.DataFrame:
    """Return all landscapes at or below a folder as one tidy frame: a row per pixel and fit.

    A fit of which there are several files with equal numbers, such as a backup, counts once, with a warning.

    Args:
        folder: a results folder, or one above several; by default where sweeps go.

    Returns:
        The columns of :data:`bnbench.results.schemas.LANDSCAPE_SCHEMA` after ``protocol``, such as
        ``quick-3f09a1b2c4d5``, and ``split``, the images that the ``test_`` columns were measured on
        (``test`` or ``held-out``).

    Raises:
        StoreError: no results there, a file that cannot be used, or different results of one fit.
    """
    sweeps, broken = read_sweeps(Path(folder).expanduser())
    broken += [message for sweep in sweeps for message in sweep.broken]
    if broken:
        raise StoreError(broken[0] + (f" ({len(broken) - 1:,} more such files.)" if broken[1:] else ""))
    for note in (note for sweep in sweeps for note in sweep.notes):
        warnings.warn(note, stacklevel=3)  # of the public function's caller: it is wrapped in bnbench/__init__.py
    tables = [
        sweep.landscapes.assign(protocol=sweep.protocol.id, split=sweep.protocol.measurement.split) for sweep in sweeps
    ]
    return pd.concat(tables, ignore_index=True)[["protocol", "split", *schemas.LANDSCAPE_SCHEMA.names]]


def joint_grid(folders: Sequence[Path]) -> tuple[Grid | None, list[str]]:
    """Return what the last runs into some folders asked for, together, and a sentence for each file without use."""
    grids: list[Grid] = []
    broken: list[str] = []
    for folder in folders:
        try:
            if grid := read_grid(folder):
                grids.append(grid)
        except RequestError as error:
            broken.append(str(error))
    if len(grids) < 2:
        return grids[0] if grids else None, broken
    arms, probs, seeds = zip(*((grid.arms, grid.probs, grid.seeds) for grid in grids), strict=True)
    together = Grid(
        tuple(dict.fromkeys(sum(arms, ()))), tuple(sorted({*sum(probs, ())})), tuple(sorted({*sum(seeds, ())}))
    )
    return together, broken


def read_failures(group: Group) -> tuple[dict[FitKey, Failure], list[str]]:
    """Return the failures on record in some folders; those of another protocol are none of this sweep's.

    Returns:
        The failures, and a sentence for each file or folder that cannot be used.
    """
    found: dict[FitKey, Failure] = {}
    paths, broken = listed(group.folders, layout.failure_paths)
    for path in paths:
        try:
            failure = read_failure(path)
        except FileNotFoundError:
            continue  # it has succeeded since
        except StoreError as error:
            broken.append(str(error))
            continue
        if concerns(failure, group.protocol):
            found.setdefault(failure.key, failure)
    return found, broken


def _sweep(group: Group) -> Sweep:
    # Of several folders' fits some may be copies, which do not count.
    joined = JoinedFits(are_all_kept=len(group.folders) == 1)
    found = scan(group, joined.keep)
    fits = list(found.fits.values())
    identities = {fit.key: fit.identity for fit in fits}
    (asked, unread_requests), (failures, unread_failures) = joint_grid(group.folders), read_failures(group)
    return Sweep(
        folders=group.folders,
        protocol=group.protocol,
        asked=asked,
        options=next((options for folder in group.folders if (options := read_options(folder))), {}),
        landscapes=joined.landscapes(fits),
        summaries=joined.summaries(fits),
        traces=joined.traces(fits),
        courses=joined.courses(fits),
        provenance=provenance_table(fits),
        identities=identities,
        sources={fit.key.arm: fit.source for fit in fits if is_own_arm(fit.key.arm)},
        places={fit.key: path.parent.parent for path, fit in found.fits.items()},
        failures=[failure for key, failure in failures.items() if key not in identities],
        broken=[*found.broken, *unread_requests, *unread_failures],
        notes=found.notes,
    )
