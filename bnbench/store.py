"""Results on disk: one parquet file per fit. The only module that knows the file layout.

A results folder belongs to one protocol::

    results/quick/
      protocol.json                            the protocol and its hash
      execution.json                           the chunk that its fits are computed with
      fits/plain_p0.100_seed1.parquet          landscape; summary, trace, provenance in its metadata
      failures/bn_p0.300_seed2.json            a fit that failed, and why

A fit is done when its file exists: files appear whole (temporary file, fsync, rename) or not at all.
"""

from __future__ import annotations

import json
import os
import re
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from bnbench.errors import RequestError
from bnbench.protocol import FitKey, Protocol, knob_text

FORMAT = 1
# A row per pixel. test_loss and test_accuracy are of the split that the protocol measures on.
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
_METADATA = b"bnbench"


class StoreError(RequestError):
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
        source: hash of a foreign arm's source file; empty for a built-in arm.
    """

    key: FitKey
    identity: str
    protocol: Protocol
    landscape: pd.DataFrame
    summary: pd.DataFrame
    trace: pd.DataFrame
    provenance: dict[str, Any]
    source: str = ""


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


def fit_paths(folder: Path) -> list[Path]:
    """The files of finished fits, sorted by name."""
    return sorted((folder / "fits").glob("*.parquet"))


def failure_paths(folder: Path) -> list[Path]:
    """The records of failed fits, sorted by name."""
    return sorted((folder / "failures").glob("*.json"))


def empty_landscape() -> pd.DataFrame:
    """A landscape without pixels: the columns and their types."""
    table: pd.DataFrame = LANDSCAPE_SCHEMA.empty_table().to_pandas()
    return table


def check_folder(folder: Path, protocol: Protocol) -> None:
    """Check that a results folder is free for a protocol: not there, without fits, or its own.

    Raises:
        StoreError: it holds fits of another protocol, or a protocol that cannot be read.
    """
    if not (folder / "protocol.json").exists() or not fit_paths(folder):
        return
    stored = read_protocol(folder)
    if stored.hash != protocol.hash:
        differences = stored.differences(protocol).items()
        text = ", ".join(
            f"{name} {knob_text(name, there)} there, {knob_text(name, here)} here"
            for name, (there, here) in differences
        )
        raise StoreError(
            f"--out {folder} holds fits of another protocol ({text or 'another revision of bnbench'}); "
            f"both are kept apart: give another folder, such as --out {folder.parent / protocol.id}."
        )


def open_folder(folder: Path, protocol: Protocol) -> None:
    """Make a results folder for a protocol, or go on with one that is its own.

    Raises:
        StoreError: it cannot be written, or it belongs to another protocol.
    """
    check_folder(folder, protocol)
    stored = {"format": FORMAT, "hash": protocol.hash, "protocol": protocol.as_dict()}
    try:
        (folder / "fits").mkdir(parents=True, exist_ok=True)
        write_atomically(folder / "protocol.json", (json.dumps(stored, indent=2) + "\n").encode())
    except OSError as error:
        raise StoreError(
            f"--out {folder} cannot be written ({error.strerror}); give a folder that you may write to."
        ) from error


def read_chunk(folder: Path) -> int | None:
    """The number of pixels computed at once that a results folder was started with, if it was."""
    try:
        chunk = json.loads((folder / "execution.json").read_bytes())["chunk"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return chunk if isinstance(chunk, int) and chunk > 0 else None


def write_chunk(folder: Path, chunk: int) -> None:
    """Keep the number of pixels computed at once for every later fit of a results folder."""
    write_atomically(folder / "execution.json", (json.dumps({"format": FORMAT, "chunk": chunk}) + "\n").encode())


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
        "source": result.source,
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
            source=details.get("source", ""),
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


def read_details(path: Path) -> dict[str, Any]:
    """What a fit's file says of itself, from its footer alone: key, identity, source, provenance.

    Raises:
        StoreError: the file is truncated or not a bnbench fit; the message names it.
    """
    try:
        details: dict[str, Any] = json.loads((pq.read_schema(path).metadata or {})[_METADATA])
    except (OSError, ValueError, KeyError, pa.ArrowException):
        raise StoreError(
            f"{path} is truncated or not a bnbench fit; delete it and run again to compute it anew."
        ) from None
    return details


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
