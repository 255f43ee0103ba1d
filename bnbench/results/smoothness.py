"""What was measured of ordinary networks and at pixels of fitted planes: their files, and all of them as one table."""

from __future__ import annotations

import hashlib
import json
from abc import ABC, abstractmethod
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd

from bnbench.process.reading import plain_json, read_file, reason_of
from bnbench.protocol.identity import identity_of
from bnbench.protocol.protocol import FitKey, Protocol
from bnbench.results import layout
from bnbench.results.folders import listed
from bnbench.results.smoothness_settings import PlaneSettings, SmoothnessSettings
from bnbench.results.store import StoreError
from bnbench.results.tables import read_table, write_table

# Column of a measure to its title: the less, the smoother.
MEASURES = {
    "loss_range": "Range of the loss along the gradient, raw steps",
    "predictiveness": "Gradient predictiveness, raw steps",
    "effective_beta": "Effective β, raw steps",
    "loss_range_relative": "Range of the loss along the gradient, relative steps",
    "predictiveness_relative": "Gradient predictiveness, relative steps",
    "change_relative": "Relative gradient predictiveness, relative steps",
    "effective_beta_relative": "Effective β, relative steps",
    "eigenvalue": "Largest Hessian eigenvalue, raw",
    "eigenvalue_normalized": "Largest Hessian eigenvalue, filter-normalized",
    "trace": "Hessian trace, raw",
    "trace_normalized": "Hessian trace, filter-normalized",
    "sharpness": "Sharpness, filter-normalized slices",
}
# Those that a rescaling of whole layers which keeps the function cannot change.
INVARIANT = ("eigenvalue_normalized", "trace_normalized", "sharpness")
_IDENTIFYING = ("protocol", "arm", "seed", "identity")
_OTHERS = ("step", "loss", *MEASURES, "trace_error", "trace_normalized_error")
COLUMNS = (*_IDENTIFYING, *_OTHERS)
PIXEL = ("p", "row", "column")  # where on a fitted plane


@dataclass(frozen=True)
class Measured(ABC):
    """What is measured in one way and has a file of its own.

    Attributes:
        protocol: of the network, the images and the training.
        settings: everything else.
        key: which; it keys what is random in the measures.
        source: hash of an own arm's source file; empty for a built-in arm.
    """

    protocol: Protocol
    settings: SmoothnessSettings | PlaneSettings
    key: FitKey
    source: str = ""

    @property
    @abstractmethod
    def identity(self) -> str:
        """Return the hash of all that its numbers depend on."""

    @property
    def _where(self) -> tuple[str, ...]:
        """Return the columns that its file has beyond those of a network."""
        return PIXEL if isinstance(self.settings, PlaneSettings) else ()

    @abstractmethod
    def path(self, out: Path) -> Path:
        """Return where its file lies in a results folder, whether it exists or not."""

    def is_done(self, out: Path) -> bool:
        """Say whether its file is there and of this very way of measuring; a damaged file is not there."""
        try:
            table = _table(self.path(out), self._where)
        except StoreError:
            return False
        return set(table["identity"]) == {self.identity}

    def check_free(self, out: Path) -> None:
        """Check that its file does not hold what was measured in another way, which would be lost.

        Args:
            out: results folder.

        Raises:
            StoreError: it does; the message names the file.
        """
        path = self.path(out)
        try:
            found = set(_table(path, self._where)["identity"])
        except StoreError:
            return  # nothing is there, or what is there is damaged and measured anew
        if found != {self.identity}:
            raise StoreError(
                f"{path} was measured of another protocol, with other code or under other settings; "
                "move it away, or ask for the settings that it has."
            )

    def write(self, out: Path, table: pd.DataFrame, provenance: dict[str, Any]) -> None:
        """Write its file, whole or not at all.

        Args:
            out: results folder.
            table: a row per weight vector: the columns of :data:`COLUMNS` from ``step`` on, and for a plane
                ``row, column``.
            provenance: versions, device and the like; they stand in columns of their own behind.

        Raises:
            OSError: it cannot be written.
        """
        which: dict[str, Any] = {
            "protocol": self.protocol.id,
            "arm": self.key.arm,
            "seed": self.key.seed,
            "identity": self.identity,
        }
        named = table.assign(**which, p=self.key.p, settings=json.dumps(asdict(self.settings)), **provenance)
        path = self.path(out)
        path.parent.mkdir(parents=True, exist_ok=True)
        where = [name for name in PIXEL if "row" in table]
        layout.write_atomically(path, write_table(named[[*COLUMNS, "settings", *where, *provenance]]))


@dataclass(frozen=True)
class MeasuredNetwork(Measured):
    """One ordinary network, trained and measured along training.

    Attributes:
        protocol: its network, images, optimizer, rate and schedule are those of this protocol.
        key: arm and seed; its p keys the initial weights, as it does those of a fit.
    """

    settings: SmoothnessSettings

    @property
    def identity(self) -> str:
        """Return the hash of all that its numbers depend on."""
        return _hash(identity_of(self.key, self.protocol, self.source), asdict(self.settings))

    def path(self, out: Path) -> Path:
        """Return where its file lies in a results folder, whether it exists or not."""
        return layout.smoothness_path(out, self.key)


@dataclass(frozen=True)
class MeasuredPlane(Measured):
    """Black pixels of one fitted plane, measured as ordinary networks are.

    Attributes:
        folder: the results folder in which its plane lies.
        fit: identity of the fit.
        plane: hash of the plane's file.
    """

    settings: PlaneSettings
    folder: Path = Path()
    fit: str = ""
    plane: str = ""

    @property
    def identity(self) -> str:
        """Return the hash of all that its numbers depend on."""
        return _hash(self.fit, self.plane, asdict(self.settings))

    def path(self, out: Path) -> Path:
        """Return where its file lies in a results folder, whether it exists or not."""
        return layout.smoothness_path(out, self.key, of_plane=True)


def find_smoothness(folders: Iterable[Path], protocol: str) -> tuple[pd.DataFrame, list[str]]:
    """Return what was measured of networks in some results folders, and a sentence for each file that is left out.

    Args:
        folders: results folders, whether anything is there or not.
        protocol: their protocol's ``id``; a network of another one is left out.

    Returns:
        :data:`COLUMNS` and ``settings``, a row per network and step; each network once.
    """
    return _found(folders, protocol)


def find_plane_smoothness(folders: Iterable[Path], protocol: str) -> tuple[pd.DataFrame, list[str]]:
    """Return what was measured at pixels of fitted planes, likewise.

    Returns:
        :data:`COLUMNS`, ``settings`` and :data:`PIXEL`, a row per pixel; ``step`` is the last of its fit.
    """
    return _found(folders, protocol, PIXEL)


def _found(folders: Iterable[Path], protocol: str, where: tuple[str, ...] = ()) -> tuple[pd.DataFrame, list[str]]:
    paths, broken = listed(folders, partial(layout.smoothness_paths, of_planes=bool(where)))
    tables = []
    for path in paths:
        try:
            table = _table(path, where)
        except StoreError as error:
            broken.append(str(error))
            continue
        if set(table["protocol"]) == {protocol}:
            tables.append(table)
        else:
            broken.append(f"{path} was measured of another protocol than that of the fits beside it; it is left out.")
    wanted = [*COLUMNS, "settings", *where]
    if not tables:
        return pd.DataFrame(columns=wanted), broken
    rows = pd.concat(tables, ignore_index=True)[wanted]
    return rows.drop_duplicates(["identity", "step", *where], ignore_index=True), broken


def _table(path: Path, where: tuple[str, ...] = ()) -> pd.DataFrame:
    try:
        table, _ = read_table(read_file(path))
        if missing := [name for name in (*COLUMNS, "settings", *where) if name not in table.columns]:
            raise ValueError(f"it has no column {missing[0]}")
        kind = PlaneSettings if where else SmoothnessSettings
        for settings in set(table["settings"]):
            kind(**plain_json(settings.encode()))
        if odd := [name for name in ("step", "loss", *MEASURES) if table[name].dtype.kind not in "iuf"]:
            raise ValueError(f"its column {odd[0]} is of no numbers")
    except Exception as error:  # as in fits.read_fit
        raise StoreError(
            f"{path} is no whole file of bnbench smoothness ({reason_of(error)}); move it away and run that again."
        ) from error
    return table


def _hash(*parts: object) -> str:
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:16]
