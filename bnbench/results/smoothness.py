"""What was measured of ordinary networks along training: their files, and all of them as one table."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from bnbench.process.reading import read_file, reason_of
from bnbench.protocol.identity import identity_of
from bnbench.protocol.protocol import FitKey, Protocol
from bnbench.results import layout
from bnbench.results.folders import listed
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


@dataclass(frozen=True)
class SmoothnessSettings:
    """How networks are trained and measured, beside the protocol that they follow.

    Attributes:
        steps: of training.
        batch: images of a training minibatch, and of one that is measured.
        minibatches: how many are measured: the first training images, the same for all networks.
        points: steps measured beside the initial weights, spaced by the logarithm from a hundredth of the steps on.
        probes: random vectors of a trace.
        tolerance: relative accuracy of an eigenvalue.
    """

    steps: int = 600
    batch: int = 64
    minibatches: int = 4
    points: int = 4
    probes: int = 30
    tolerance: float = 1e-3


@dataclass(frozen=True)
class MeasuredNetwork:
    """One network, trained and measured in one way.

    Attributes:
        protocol: its network, images, optimizer, rate and schedule are those of this protocol.
        settings: everything else.
        key: arm and seed; its p keys the initial weights, as it does those of a fit.
        source: hash of an own arm's source file; empty for a built-in arm.
    """

    protocol: Protocol
    settings: SmoothnessSettings
    key: FitKey
    source: str = ""

    @property
    def identity(self) -> str:
        """Return the hash of all that its numbers depend on."""
        text = json.dumps([identity_of(self.key, self.protocol, self.source), asdict(self.settings)])
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    def is_done(self, out: Path) -> bool:
        """Say whether its file is there and of this very network; a damaged file is not there."""
        try:
            table = _table(layout.smoothness_path(out, self.key))
        except StoreError:
            return False
        return set(table["identity"]) == {self.identity}

    def check_free(self, out: Path) -> None:
        """Check that its file is not that of a network measured in another way, which would be lost.

        Args:
            out: results folder.

        Raises:
            StoreError: it is; the message names the file.
        """
        path = layout.smoothness_path(out, self.key)
        try:
            found = set(_table(path)["identity"])
        except StoreError:
            return  # nothing is there, or what is there is damaged and measured anew
        if found != {self.identity}:
            raise StoreError(
                f"{path} holds a network of another protocol, other code or other settings; give another --out."
            )

    def write(self, out: Path, table: pd.DataFrame, provenance: dict[str, Any]) -> None:
        """Write its file, whole or not at all.

        Args:
            out: results folder.
            table: a row per step: the columns of :data:`COLUMNS` from ``step`` on.
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
        named = table.assign(**which, settings=json.dumps(asdict(self.settings)), **provenance)
        path = layout.smoothness_path(out, self.key)
        path.parent.mkdir(parents=True, exist_ok=True)
        layout.write_atomically(path, write_table(named[[*COLUMNS, "settings", *provenance]]))


def find_smoothness(folders: Iterable[Path], protocol: str) -> tuple[pd.DataFrame, list[str]]:
    """Return what was measured of networks in some results folders, and a sentence for each file that is left out.

    Args:
        folders: results folders, whether anything is there or not.
        protocol: their protocol's ``id``; a network of another one is left out.

    Returns:
        :data:`COLUMNS` and ``settings``, a row per network and step; each network once.
    """
    paths, broken = listed(folders, layout.smoothness_paths)
    tables = []
    for path in paths:
        try:
            table = _table(path)
        except StoreError as error:
            broken.append(str(error))
            continue
        if set(table["protocol"]) == {protocol}:
            tables.append(table)
        else:
            broken.append(f"{path} holds a network of another protocol than the fits beside it; it is left out.")
    wanted = [*COLUMNS, "settings"]
    if not tables:
        return pd.DataFrame(columns=wanted), broken
    return pd.concat(tables, ignore_index=True)[wanted].drop_duplicates(["identity", "step"], ignore_index=True), broken


def _table(path: Path) -> pd.DataFrame:
    try:
        table, _ = read_table(read_file(path))
        if missing := [name for name in (*COLUMNS, "settings") if name not in table.columns]:
            raise ValueError(f"it has no column {missing[0]}")
    except Exception as error:  # as in fits.read_fit
        raise StoreError(
            f"{path} is no whole file of bnbench smoothness ({reason_of(error)}); move it away and run that again."
        ) from error
    return table
