"""Results on disk: one parquet file per fit. The only module that knows the file layout.

A results folder belongs to one protocol::

    results/quick/
      protocol.json                            the protocol and its hash
      fits/plain_p0.100_seed1.parquet          landscape; summary, trace, provenance in its metadata
      failures/bn_p0.300_seed2.json            a fit that failed, and why

A fit is done when its file exists: files appear whole (temporary file, fsync, rename) or not at all.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from bnbench.protocol import FitKey, Protocol

FORMAT = 1
LANDSCAPE_SCHEMA = pa.schema(
    [
        ("arm", pa.string()),
        ("p", pa.float64()),
        ("seed", pa.int32()),
        ("row", pa.int16()),
        ("column", pa.int16()),
        ("black", pa.bool_()),
        ("trained", pa.bool_()),
        ("test_loss", pa.float32()),
        ("test_accuracy", pa.float32()),
        ("train_loss", pa.float32()),
        ("train_accuracy", pa.float32()),
    ]
)
_KEY_SCHEMA = pa.schema(list(LANDSCAPE_SCHEMA)[:3])  # arm, p, seed
_METADATA = b"bnbench"


class StoreError(ValueError):
    """A file or folder of results cannot be used; the message names it and says why."""


@dataclass(frozen=True)
class FitResult:
    """Everything that one finished fit leaves behind.

    Attributes:
        key: which fit it is.
        identity: hash of all that the numbers depend on: protocol, arm (with a user arm's source), p, seed.
        protocol: what was asked.
        landscape: one row per pixel, columns of ``LANDSCAPE_SCHEMA``.
        summary: rows of BN policy × split × pixels: columns ``policy, headline, split, pixels,
            black, white, difference, black_loss, white_loss`` (accuracies in [0, 1]).
        trace: rows of training: ``step, black_loss, white_loss, black_accuracy, white_accuracy,
            clamped, scale, gradient_norm, learning_rate``.
        provenance: versions, device, threads, wall time and the like; changes no number.
    """

    key: FitKey
    identity: str
    protocol: Protocol
    landscape: pd.DataFrame
    summary: pd.DataFrame
    trace: pd.DataFrame
    provenance: dict[str, Any]


@dataclass(frozen=True)
class Sweep:
    """What a results folder holds, as tables keyed by ``arm, p, seed``."""

    folder: Path
    protocol: Protocol
    landscapes: pd.DataFrame
    summaries: pd.DataFrame
    traces: pd.DataFrame
    provenance: pd.DataFrame
    failures: list[dict[str, Any]]
    broken: list[str]


def fit_name(key: FitKey) -> str:
    """File name of a fit, without its ending; an arm keeps its name, with ``-`` for the colon of a foreign one."""
    arm = re.sub(r"[^\w.-]", "-", key.arm)
    return f"{arm}_p{key.p:.3f}_seed{key.seed}"


def fit_path(folder: Path, key: FitKey) -> Path:
    """Where a fit's file lies, whether it exists or not."""
    return folder / "fits" / f"{fit_name(key)}.parquet"


def failure_path(folder: Path, key: FitKey) -> Path:
    """Where a failed fit's record lies, whether it exists or not."""
    return folder / "failures" / f"{fit_name(key)}.json"


def open_folder(folder: Path, protocol: Protocol) -> None:
    """Make a results folder for a protocol, or check that it already is one.

    Raises:
        StoreError: it cannot be written, or it belongs to another protocol.
    """
    try:
        (folder / "fits").mkdir(parents=True, exist_ok=True)
        if (folder / "protocol.json").exists():
            _check_same(folder, read_protocol(folder), protocol)
        else:
            stored = {"format": FORMAT, "hash": protocol.hash, "protocol": protocol.as_dict()}
            write_atomically(folder / "protocol.json", (json.dumps(stored, indent=2) + "\n").encode())
        probe = folder / f".writable-{os.getpid()}"
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise StoreError(
            f"--out {folder} cannot be written ({error.strerror}); give a folder that you may write to."
        ) from error


def _check_same(folder: Path, stored: Protocol, asked: Protocol) -> None:
    if stored.hash == asked.hash:
        return
    differences = stored.differences(asked)
    text = ", ".join(f"{name} {_text(there)} there, {_text(here)} here" for name, (there, here) in differences.items())
    raise StoreError(
        f"--out {folder} holds fits of another protocol ({text or 'another revision of bnbench'}); "
        f"both are kept apart: give another folder, such as --out {folder.parent / asked.id}."
    )


def _text(value: Any) -> str:
    return "×".join(map(str, value)) if isinstance(value, tuple) else str(value)


def read_protocol(folder: Path) -> Protocol:
    """The protocol of a results folder.

    Raises:
        StoreError: there is none, or it cannot be read.
    """
    path = folder / "protocol.json"
    try:
        return Protocol.from_dict(json.loads(path.read_bytes())["protocol"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise StoreError(
            f"{path} is not a protocol that this version reads ({error}); move the folder away."
        ) from error


def write_fit(folder: Path, result: FitResult) -> Path:
    """Write one finished fit, whole or not at all."""
    details = {
        "format": FORMAT,
        "key": asdict(result.key),
        "identity": result.identity,
        "protocol": result.protocol.as_dict(),
        "hash": result.protocol.hash,
        "summary": result.summary.to_dict(orient="records"),
        "trace": result.trace.to_dict(orient="list"),
        "provenance": result.provenance,
    }
    table = pa.Table.from_pandas(result.landscape, schema=LANDSCAPE_SCHEMA, preserve_index=False)
    table = table.replace_schema_metadata({_METADATA: json.dumps(details)})
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, compression="zstd")
    path = fit_path(folder, result.key)
    write_atomically(path, sink.getvalue().to_pybytes())
    failure_path(folder, result.key).unlink(missing_ok=True)
    return path


def read_fit(path: Path) -> FitResult:
    """Read one finished fit.

    Raises:
        StoreError: the file is truncated, of another schema or not of bnbench; the message names it.
    """
    try:
        table = pq.read_table(path, partitioning=None)
        if not table.schema.equals(LANDSCAPE_SCHEMA):
            raise ValueError(f"its columns are {', '.join(table.schema.names)}")
        details = json.loads((table.schema.metadata or {})[_METADATA])
        return FitResult(
            key=FitKey(**details["key"]),
            identity=details["identity"],
            protocol=Protocol.from_dict(details["protocol"]),
            landscape=table.to_pandas(),
            summary=pd.DataFrame(details["summary"]),
            trace=pd.DataFrame(details["trace"]),
            provenance=details["provenance"],
        )
    except (OSError, ValueError, KeyError, TypeError, pa.ArrowException) as error:
        reason = (
            "no bnbench metadata"
            if isinstance(error, KeyError)
            else (str(error).splitlines() or [type(error).__name__])[0]
        )
        raise StoreError(
            f"{path} is not a whole bnbench fit ({reason}); delete it and run again to compute it anew."
        ) from error


def is_done(folder: Path, key: FitKey, identity: str) -> bool:
    """Whether a fit's file exists and is whole.

    Raises:
        StoreError: the file is there but broken, or belongs to another version of the arm.
    """
    path = fit_path(folder, key)
    if not path.exists():
        return False
    try:
        stored = json.loads((pq.read_schema(path).metadata or {})[_METADATA])["identity"]
    except (OSError, ValueError, KeyError, pa.ArrowException):
        raise StoreError(
            f"{path} is truncated or not a bnbench fit; delete it and run again to compute it anew."
        ) from None
    if stored != identity:
        raise StoreError(f"{path} was computed by another version of the arm {key.arm}; give another --out folder.")
    return True


def write_failure(folder: Path, key: FitKey, kind: str, message: str, traceback: str = "") -> Path:
    """Record a fit that failed: one JSON file, replaced when it fails again, gone when it succeeds."""
    record = {"format": FORMAT, **asdict(key), "kind": kind, "message": message, "traceback": traceback}
    path = failure_path(folder, key)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, (json.dumps(record, indent=2) + "\n").encode())
    return path


def write_atomically(path: Path, content: bytes) -> None:
    """Write a file that appears whole or not at all, even if the machine stops."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with temporary.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def find_sweeps(root: Path) -> list[Path]:
    """Every results folder at or below ``root``, sorted."""
    return sorted(path.parent for path in root.rglob("protocol.json"))


def read_sweep(folder: Path) -> Sweep:
    """Read a results folder, finished or not; files that cannot be read are named, not fatal.

    Raises:
        StoreError: the folder has no readable protocol.
    """
    protocol = read_protocol(folder)
    results: list[FitResult] = []
    broken: list[str] = []
    for path in sorted((folder / "fits").glob("*.parquet")):
        try:
            result = read_fit(path)
            _check_member(path, result, protocol)
            results.append(result)
        except StoreError as error:
            broken.append(str(error))
    failures: list[dict[str, Any]] = []
    for path in sorted((folder / "failures").glob("*.json")):
        try:
            failures.append(json.loads(path.read_bytes()))
        except ValueError as error:
            broken.append(f"{path} is not a record of a failure ({error}); delete it.")
    return Sweep(
        folder=folder,
        protocol=protocol,
        landscapes=_joined((result.landscape for result in results), LANDSCAPE_SCHEMA),
        summaries=_joined(_keyed(result.summary, result.key) for result in results),
        traces=_joined(_keyed(result.trace, result.key) for result in results),
        provenance=_joined(_keyed(pd.json_normalize(result.provenance), result.key) for result in results),
        failures=failures,
        broken=broken,
    )


def load(folder: str | Path) -> pd.DataFrame:
    """All landscapes at or below a folder as one tidy frame: a row per pixel and fit.

    Args:
        folder: a results folder, or one above several.

    Returns:
        The columns of ``LANDSCAPE_SCHEMA`` after ``protocol``, such as ``quick-3f09a1b2c4d5``.

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
    tables = [sweep.landscapes.assign(protocol=sweep.protocol.id) for sweep in sweeps]
    return pd.concat(tables, ignore_index=True)[["protocol", *LANDSCAPE_SCHEMA.names]]


def _check_member(path: Path, result: FitResult, protocol: Protocol) -> None:
    if result.protocol.hash != protocol.hash:
        raise StoreError(
            f"{path} belongs to another protocol ({result.protocol.id}, not {protocol.id}); move it to its own folder."
        )
    if path.stem != fit_name(result.key):
        raise StoreError(f"{path} holds the fit {result.key}, which its name denies; delete the copy.")


def _keyed(table: pd.DataFrame, key: FitKey) -> pd.DataFrame:
    keyed = table.copy()
    for position, (name, value) in enumerate(asdict(key).items()):
        keyed.insert(position, name, value)
    return keyed


def _joined(tables: Iterator[pd.DataFrame], schema: pa.Schema = _KEY_SCHEMA) -> pd.DataFrame:
    found = list(tables)
    return pd.concat(found, ignore_index=True) if found else schema.empty_table().to_pandas()
