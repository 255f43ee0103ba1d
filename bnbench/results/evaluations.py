"""Planes measured again under other BN statistics or on other images: their files, and all of them as one table.

An evaluation is one plane under one policy on one set of images. Its file has two rows, for all pixels and for
those that were trained; a second file of the same name, where it was asked for, has a row per pixel.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import pandas as pd

from bnbench.bn_policy import BnPolicy
from bnbench.measures.registry import ALWAYS_STORED, READINGS
from bnbench.process.reading import check_regular, read_file, reason_of
from bnbench.protocol.protocol import FitKey, Protocol
from bnbench.results import layout, store
from bnbench.results.folders import listed
from bnbench.results.tables import read_table, write_table

# Which plane, measured how: the columns that every table of evaluations begins with.
IDENTIFYING = ("protocol", "arm", "p", "seed", "identity", "plane", "split", "images", "policy")
COLUMNS = (
    *IDENTIFYING,
    *("headline", "pixels"),
    *ALWAYS_STORED,
    *("device", "threads"),
)
_OF_PIXELS = (*IDENTIFYING, "row", "column", "black", "trained", "loss", "accuracy")
# What --ensembles adds to the row of all pixels: accuracies of k averaged black pixels, of all of them, and the rest.
ENSEMBLE_COLUMNS = (
    *(f"ensemble_{count}" for count in (1, 2, 5, 10)),
    *("ensemble", "best_single", "disagreement"),
)


@dataclass(frozen=True)
class Evaluation:
    """One plane, measured in one way.

    Attributes:
        protocol: of the plane's fit.
        key: of the plane's fit.
        identity: of the plane's fit.
        plane: hash of the plane's file.
        split: images that it is measured on, ``test`` or ``held-out``.
        images: how many of them.
        policy: BN statistics; ``NO_BN`` for an arm without BN.
    """

    protocol: Protocol
    key: FitKey
    identity: str
    plane: str
    split: str
    images: int
    policy: BnPolicy

    def path(self, out: Path, kind: str = "summaries") -> Path:
        """Return where its file lies below a folder of evaluations: of ``summaries`` or ``landscapes``.

        The plane is part of the name: two folders may hold the same fit, and a fit may be computed anew.
        """
        name = f"{str(self.policy).replace(':', '-')}_{self.split}-{self.images}_{self.plane[:8]}"
        return layout.evaluation_path(out, self.protocol, self.key, name, kind)

    def is_done(self, out: Path, *, with_landscape: bool = False, with_ensemble: bool = False) -> bool:
        """Say whether it is there, with what is asked for, and of this very plane; a damaged file is not there."""
        kinds = ("summaries", "landscapes") if with_landscape else ("summaries",)
        try:
            for kind in kinds:
                table = _table(self.path(out, kind))
                found = table[["identity", "plane"]]
                if with_ensemble and kind == "summaries" and not {*ENSEMBLE_COLUMNS} <= {*table.columns}:
                    return False
                if found.drop_duplicates().to_numpy().tolist() != [[self.identity, self.plane]]:
                    return False
        except Exception:  # as in fits.read_fit
            return False
        return True

    def ensemble_there(self, out: Path) -> dict[str, float]:
        """Return what its file, of this very plane, says of ensembles: :data:`ENSEMBLE_COLUMNS`; else nothing."""
        if not self.is_done(out, with_ensemble=True):
            return {}
        table = _table(self.path(out))
        row = table.loc[table["pixels"] == "all", [*ENSEMBLE_COLUMNS]].iloc[0]
        return {name: float(row[name]) for name in ENSEMBLE_COLUMNS}

    def write(self, out: Path, table: pd.DataFrame, kind: str = "summaries") -> None:
        """Write its file, whole or not at all.

        Args:
            out: folder of evaluations.
            table: columns that come after :data:`IDENTIFYING`.
            kind: ``summaries`` or ``landscapes``.

        Raises:
            OSError: it cannot be written.
        """
        which = {**asdict(self), **asdict(self.key), "protocol": self.protocol.id, "policy": str(self.policy)}
        identified = table.assign(**{name: which[name] for name in IDENTIFYING})
        rest = [name for name in table.columns if name not in IDENTIFYING]
        path = self.path(out, kind)
        path.parent.mkdir(parents=True, exist_ok=True)
        layout.write_atomically(path, write_table(identified[[*IDENTIFYING, *rest]]))


def plane_hash(path: Path) -> str:
    """Return sixteen hexadecimal digits over a plane's file, however large it is.

    Raises:
        OSError: it cannot be read.
    """
    check_regular(path)
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()[:16]


def read_evaluations(out: str | Path) -> pd.DataFrame:
    """Return every evaluation below a folder as one tidy table.

    Args:
        out: folder of evaluations: what ``bnbench evaluate --out`` was given, by default ``evaluations`` in
            the results folder.

    Returns:
        :data:`COLUMNS`, and measures that came later behind them;
        a row per plane × policy × split × number of images × pixels (``all`` or ``trained``). A fit
        that was computed anew has two planes.
        ``black``, ``white`` and ``difference`` are mean accuracies in [0, 1], losses are in nats. Without rows
        where the folder is not there.

    Raises:
        StoreError: a file is damaged or no evaluation; the message names it.
    """
    return _joined(layout.evaluation_paths(Path(out)), COLUMNS)


def read_evaluated_landscapes(out: str | Path) -> pd.DataFrame:
    """Return the landscapes that ``bnbench evaluate --landscapes`` kept, a row per pixel.

    Returns:
        :data:`IDENTIFYING`, then ``row, column, black, trained, loss, accuracy`` (nats, and in [0, 1]).

    Raises:
        StoreError: a file is damaged or no evaluation; the message names it.
    """
    return _joined(layout.evaluation_paths(Path(out), "landscapes"), _OF_PIXELS)


def read_kind(path: Path, kind: str) -> pd.DataFrame:
    """Return one file of ``summaries`` or ``landscapes``.

    Raises:
        StoreError: it is damaged or no evaluation; the message names it.
    """
    return _joined([path], COLUMNS if kind == "summaries" else _OF_PIXELS)


def find_evaluations(folders: Iterable[Path]) -> tuple[pd.DataFrame, list[str]]:
    """Return every evaluation below some folders, each once, and a sentence for each file or folder that is left out.

    Args:
        folders: folders of evaluations, whether they are there or not.

    Returns:
        What :func:`read_evaluations` gives, and the sentences.
    """
    paths, broken = listed(folders, layout.evaluation_paths)
    tables = [_joined([], COLUMNS)]
    for path in paths:
        try:
            tables.append(_joined([path], COLUMNS))
        except store.StoreError as error:
            broken.append(str(error))
    found = pd.concat([table for table in tables if len(table)] or tables, ignore_index=True)
    return found.drop_duplicates([*IDENTIFYING, "pixels"], ignore_index=True), broken


def read_done(evaluations: Iterable[Evaluation], out: Path) -> pd.DataFrame:
    """Return those of some evaluations that are done, as :func:`read_evaluations` gives them.

    Raises:
        StoreError: a file is no evaluation; the message names it.
    """
    return _joined([one.path(out) for one in evaluations if one.is_done(out)], COLUMNS)


def mean_ensembles(table: pd.DataFrame) -> pd.DataFrame:
    """Return means over fits of what ensembles of black pixels reach: a row per protocol × images × policy × arm.

    Without rows where no evaluation has them.
    """
    columns = [*table.columns.union(pd.Index(ENSEMBLE_COLUMNS), sort=False)]
    wanted = table.reindex(columns=columns)
    return _means_over_fits(wanted[wanted["ensemble"].notna()], ENSEMBLE_COLUMNS)


def mean_readings(table: pd.DataFrame) -> pd.DataFrame:
    """Return means over trained pixels and fits: a row per protocol × images × policy × arm, with the number of fits.

    A measure that some of these files lack, because they are older, is not a number: it would be of other fits.
    """
    measures = ["black", "white", *READINGS]
    wanted = table.reindex(columns=[*table.columns.union(pd.Index(READINGS), sort=False)])
    counts = _means_over_fits(wanted.assign(**wanted[measures].notna()), measures, "trained")[measures]
    means = _means_over_fits(wanted, measures, "trained")
    return means.assign(**means[measures].where(counts == 1))


def _means_over_fits(table: pd.DataFrame, columns: Sequence[str], pixels: str = "all") -> pd.DataFrame:
    by = ["protocol", "split", "images", "policy", "arm"]
    means = table[table["pixels"] == pixels].groupby(by, sort=False)
    return pd.concat([means.size().rename("fits"), means[[*columns]].mean()], axis=1).reset_index()


def _joined(paths: list[Path], columns: tuple[str, ...]) -> pd.DataFrame:
    tables: list[pd.DataFrame] = []
    for path in paths:
        try:
            table = _table(path)
            if tuple(name for name in table.columns if name in columns) != columns:
                raise ValueError(f"its columns are {', '.join(map(str, table.columns))}")
            if later := [str(name) for name in table.columns if name not in columns and not _is_a_measure(table, name)]:
                raise ValueError(f"its columns {', '.join(later)} are no measures")
        except OSError as error:
            raise store.StoreError(f"{path} cannot be read ({reason_of(error)}); it is left out.") from error
        except Exception as error:  # as in fits.read_fit
            raise store.StoreError(
                f"{path} is not a whole evaluation ({reason_of(error)}); move it away and run bnbench evaluate again."
            ) from error
        tables.append(table)
    if not tables:
        return pd.DataFrame(columns=list(columns))
    joined = pd.concat(tables, ignore_index=True)
    return joined[[*columns, *(name for name in joined.columns if name not in columns)]]


def _is_a_measure(table: pd.DataFrame, name: object) -> bool:
    """Return whether a column can be a measure that came later: a name, and numbers."""
    return isinstance(name, str) and name.isidentifier() and table[name].dtype.kind in "if"


def _table(path: Path) -> pd.DataFrame:
    return read_table(read_file(path))[0]
