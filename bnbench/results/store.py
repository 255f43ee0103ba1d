"""The file of one finished fit: what it holds, written and parsed. Where it lies is in layout.py."""

from __future__ import annotations

import hashlib
import json
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa

from bnbench.errors import RequestError
from bnbench.process.reading import plain_json
from bnbench.protocol.protocol import FitKey, Protocol
from bnbench.results import layout, schemas, tables
from bnbench.results.digests import CHANGED

_METADATA = b"bnbench"
_DIGEST = tables.DIGEST


class StoreError(RequestError):
    """A file or folder of results cannot be used; the message names it and says why."""


@dataclass(frozen=True)
class FitResult:
    """Everything that one finished fit leaves behind.

    Attributes:
        key: which fit it is.
        identity: hash of all that the numbers depend on: protocol, arm (with an own arm's source), p, seed.
        protocol: what was asked.
        landscape: one row per pixel, columns of :data:`bnbench.results.schemas.LANDSCAPE_SCHEMA`.
        summary: rows of BN policy × split × pixels: ``policy, headline, split, pixels`` and every measure
            (``bnbench.measures``): ``black, white, difference, black_loss, white_loss``, and later ones.
        trace: rows of training: ``step, black_loss, white_loss, black_accuracy, white_accuracy,
            clamped, gradient_norm, scale, learning_rate`` (``TraceRow`` in ``bnbench.mpo.trace``).
        provenance: versions, device, threads, wall time and the like; changes no number.
        source: hash of an own arm's source file; empty for a built-in arm.
        course: rows of step × pixels: ``step, pixels`` and every measure of the headline's pixels, at the steps of
            ``--measure-at`` and the last; no column where it was not asked for.
    """

    key: FitKey
    identity: str
    protocol: Protocol
    landscape: pd.DataFrame
    summary: pd.DataFrame
    trace: pd.DataFrame
    provenance: dict[str, Any]
    source: str = ""
    course: pd.DataFrame = field(default_factory=pd.DataFrame)


def write_fit(folder: Path, result: FitResult) -> Path:
    """Write one finished fit, whole or not at all."""
    details = {
        "format": schemas.FORMAT,
        "key": asdict(result.key),
        "identity": result.identity,
        "protocol": result.protocol.as_dict(),
        "hash": result.protocol.hash,
        "summary": result.summary.to_dict(orient="records"),
        "trace": result.trace.to_dict(orient="list"),
        "provenance": result.provenance,
        "source": result.source,
    }
    if not result.course.empty:
        details["course"] = result.course.to_dict(orient="list")
    table = pa.Table.from_pandas(result.landscape, schema=schemas.LANDSCAPE_SCHEMA, preserve_index=False)
    text = json.dumps(details).encode()
    table = table.replace_schema_metadata({_METADATA: text, _DIGEST: _digest(text, table)})
    path = layout.fit_path(folder, result.key)
    path.parent.mkdir(parents=True, exist_ok=True)
    layout.write_atomically(path, tables.packed(table))
    for outdated in (layout.failure_path(folder, result.key), layout.checkpoint_path(folder, result.key)):
        with suppress(OSError):  # the fit is done, whatever is in the way there
            outdated.unlink()
    return path


def parse_fit(content: bytes) -> FitResult:
    """Return what a fit's file holds; whether that can be the fit is for :func:`bnbench.results.fits.read_fit` to say.

    Raises:
        Exception: of any kind, from pyarrow or from here: it is damaged, changed, or no fit of bnbench.
    """
    file = tables.opened(content)
    metadata = tables.metadata_of(file)
    if not any(file.schema_arrow.equals(schema) for schema in schemas.SCHEMAS.values()):
        raise ValueError(f"its columns are {', '.join(file.schema_arrow.names)}")
    if _METADATA not in metadata:
        raise ValueError("no bnbench metadata")
    details = plain_json(metadata[_METADATA], with_nan=True)
    tables.check_size(file, len(content), _pixels(details))
    table = file.read(use_threads=False)
    if any(column.null_count for column in table.columns):
        raise ValueError("its table has gaps")
    if type(details["format"]) is not int or details["format"] not in schemas.SCHEMAS:
        raise ValueError(
            f"its format is {details['format']}, this version reads {', '.join(map(str, schemas.SCHEMAS))}"
        )
    if not file.schema_arrow.equals(schemas.SCHEMAS[details["format"]]):
        raise ValueError(f"its columns are not those of its format, {details['format']}")
    if (_DIGEST in metadata) != (details["format"] > 1):
        raise ValueError(
            f"its format is {details['format']}, but its digest is {'there' if _DIGEST in metadata else 'missing'}"
        )
    if _DIGEST in metadata and metadata[_DIGEST] != _digest(metadata[_METADATA], table):
        raise ValueError(CHANGED)
    key, protocol = FitKey(**details["key"]), _protocol(json.dumps(details["protocol"]))
    if protocol.hash != details["hash"]:
        raise ValueError("its hash is not that of its protocol")
    return FitResult(
        key=key,
        identity=details["identity"],
        protocol=protocol,
        landscape=schemas.with_later_columns(table.to_pandas(use_threads=False)),
        summary=pd.DataFrame(details["summary"]),
        trace=pd.DataFrame(details["trace"]),
        provenance=details["provenance"],
        source=details.get("source", ""),
        course=pd.DataFrame(details.get("course", {})),
    )


def _pixels(details: Any) -> int:
    """Return the number of rows that a fit's table has, from its protocol."""
    rows, columns = _protocol(json.dumps(details["protocol"])).mask.mask_size
    return rows * columns


@lru_cache(maxsize=64)  # the fits of a folder have one
def _protocol(text: str) -> Protocol:
    return Protocol.from_dict(json.loads(text))


def _digest(text: bytes, table: pa.Table) -> bytes:
    """Return SHA-256 over the metadata as it stands and each column's values, however the file packs them."""
    digest = hashlib.sha256(text)
    for name in table.column_names:
        values = table.column(name).to_numpy()
        is_text = values.dtype == object
        digest.update(f"\n{name} {len(values)}\n".encode())
        digest.update("\0".join(values).encode() if is_text else values.astype(values.dtype.newbyteorder("<")))
    return digest.hexdigest().encode()
