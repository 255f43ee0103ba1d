"""Results on disk: a folder for each protocol, one parquet file per fit. Where files lie is in layout.py."""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from bnbench import layout
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
_BRIEF = b"bnbench.brief"  # the same without what is long: a plan over thousands of fits reads no more
_LONG = ("protocol", "summary", "trace")


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


def empty_landscape() -> pd.DataFrame:
    """A landscape without pixels: the columns and their types."""
    table: pd.DataFrame = LANDSCAPE_SCHEMA.empty_table().to_pandas()
    return table


def check_folder(folder: Path, protocol: Protocol, *, with_images: bool = True) -> None:
    """Check that a results folder is free for a protocol: not there, without fits done or begun, or its own.

    Args:
        folder: the results folder.
        protocol: what is asked.
        with_images: whether the protocol's ``content`` is settled; before the data are loaded it is not.

    Raises:
        StoreError: it holds fits of another protocol, or a protocol that cannot be read, or is no folder.
    """
    if folder.exists() and not folder.is_dir():
        raise StoreError(f"--out {folder} cannot be written (it is a file); give a folder that you may write to.")
    if not (folder / "protocol.json").exists() or not (layout.fit_paths(folder) or layout.begun_paths(folder)):
        return
    stored = read_protocol(folder)
    if with_images and stored.hash == replace(protocol, content=stored.content).hash != protocol.hash:
        raise StoreError(
            f"--out {folder} holds fits on {stored.images}, and here are {protocol.images}; both are kept apart: "
            f"give another folder, such as --out {folder.parent / protocol.id}, or --data-folder with those images."
        )
    if stored.hash != replace(protocol, content=stored.content).hash:
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
        for name in ("fits", "running"):
            (folder / name).mkdir(parents=True, exist_ok=True)
        layout.write_atomically(folder / "protocol.json", (json.dumps(stored, indent=2) + "\n").encode())
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


def keep_chunk(folder: Path, chunk: int) -> int:
    """Keep the number of pixels computed at once for every later fit of a results folder.

    Returns:
        The one that is kept: of two runners that start at the same moment, the first one's choice.
    """
    content = (json.dumps({"format": FORMAT, "chunk": chunk}) + "\n").encode()
    with layout.locked(folder):  # of two that find it damaged, the second finds it mended
        if read_chunk(folder) is None:
            path = folder / "execution.json"
            # In this order: a file that is there is whole, so one that then cannot be read is not being written.
            damaged = path.exists() and read_chunk(folder) is None
            layout.write_atomically(path, content, replace=damaged)
    return read_chunk(folder) or chunk


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
    brief = {name: value for name, value in details.items() if name not in _LONG}
    table = table.replace_schema_metadata({_METADATA: json.dumps(details), _BRIEF: json.dumps(brief)})
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, compression="zstd")
    path = layout.fit_path(folder, result.key)
    path.parent.mkdir(parents=True, exist_ok=True)
    layout.write_atomically(path, sink.getvalue().to_pybytes())
    for outdated in (layout.failure_path(folder, result.key), layout.checkpoint_path(folder, result.key)):
        with suppress(OSError):  # the fit is done, whatever is in the way there
            outdated.unlink()
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
        metadata = pq.read_metadata(path).metadata or {}
        details: dict[str, Any] = json.loads(metadata.get(_BRIEF) or metadata[_METADATA])
        if not {"key", "hash", "provenance"} <= details.keys():
            raise ValueError("incomplete")
    except (OSError, ValueError, KeyError, AttributeError, pa.ArrowException):
        raise StoreError(
            f"{path} is truncated or not a bnbench fit; delete it and run again to compute it anew."
        ) from None
    return details
