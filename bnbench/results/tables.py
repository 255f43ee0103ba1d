"""Tables in parquet that carry a digest: how they are written, and the one way to read them.

Files of earlier versions have no digest; they are read all the same.
"""

from __future__ import annotations

import json

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from bnbench.process.reading import plain_json
from bnbench.results.digests import CHANGED, digest_of

DIGEST = b"bnbench.digest"
MOST_ROWS = 2**27
_FEW_ROWS = 2**16
_MOST_BYTES = 2**34  # of a table that is unpacked: the landscape of the largest mask is one
_BYTES = 8  # of a value, at most
_ATTRIBUTES = b"PANDAS_ATTRS"  # where pandas, too, looks for them
_SCHEMA = b"ARROW:schema"  # earlier versions stored all metadata a second time there


def packed(table: pa.Table) -> bytes:
    """Return a table as a parquet file: each page with its checksum, its metadata once."""
    bare, sink = table.replace_schema_metadata(None), pa.BufferOutputStream()
    with pq.ParquetWriter(
        sink, bare.schema, compression="zstd", write_page_checksum=True, store_schema=False
    ) as writer:
        writer.write_table(bare)
        writer.add_key_value_metadata(table.schema.metadata or {})
    content: bytes = sink.getvalue().to_pybytes()
    return content


def opened(content: bytes) -> pq.ParquetFile:
    """Return a parquet file whose pages are held to their checksums when they are read.

    Raises:
        ValueError: its metadata stand there twice and are not the same.
        Exception: of any kind, from pyarrow: it is damaged, or none.
    """
    file = pq.ParquetFile(pa.BufferReader(content), page_checksum_verification=True)
    plain, second = metadata_of(file), file.schema_arrow.metadata or {}
    if any(plain.get(name) != value for name, value in second.items() if name != _SCHEMA):
        raise ValueError("its metadata stand there twice, and the two differ")
    return file


def metadata_of(file: pq.ParquetFile) -> dict[bytes, bytes]:
    """Return a parquet file's own metadata, the one copy that every reader uses."""
    return dict(file.metadata.metadata or {})


def check_size(file: pq.ParquetFile, size_of_file: int, most_rows: int = MOST_ROWS) -> None:
    """Refuse a table from its footer, before memory is taken for it.

    Raises:
        ValueError: it has too many rows, or needs too much memory.
    """
    rows = file.metadata.num_rows
    if rows > most_rows:
        raise ValueError(f"its table has {rows:,} rows, and {most_rows:,} are the most")
    # Measured numbers take more than a byte each, however they are packed; equal ones, written by us, may take less.
    if DIGEST not in metadata_of(file) and rows > max(_FEW_ROWS, size_of_file):
        raise ValueError(f"its table has {rows:,} rows in {size_of_file:,} bytes")
    groups = range(file.metadata.num_row_groups)
    packed_size = sum(file.metadata.row_group(number).total_byte_size for number in groups)
    if (size := max(packed_size, rows * file.metadata.num_columns * _BYTES)) > _MOST_BYTES:
        raise ValueError(f"its table needs {size:,} bytes")


def has_digest(content: bytes) -> bool:
    """Return whether a parquet file carries a digest of its own."""
    return DIGEST in metadata_of(opened(content))


def write_table(table: pd.DataFrame) -> bytes:
    """Return a table with its ``attrs`` and a digest of both as a parquet file."""
    packable = pa.Table.from_pandas(table, preserve_index=False)
    metadata = dict(packable.schema.metadata or {})
    if table.attrs:
        metadata[_ATTRIBUTES] = json.dumps(table.attrs).encode()
    as_read: pd.DataFrame = packable.to_pandas(use_threads=False)  # values of mixed types come back as those of one
    as_read.attrs = json.loads(metadata.get(_ATTRIBUTES, b"{}"))
    metadata[DIGEST] = _digest(as_read).encode()
    return packed(packable.replace_schema_metadata(metadata))


def read_table(content: bytes, most_rows: int = MOST_ROWS) -> tuple[pd.DataFrame, bool]:
    """Return a table, and whether it has a digest: files of earlier versions have none.

    Args:
        content: of a parquet file.
        most_rows: with more it is refused.

    Raises:
        ValueError: it is damaged, or was changed after it was written.
        Exception: of any kind, from pyarrow: it is damaged, or none.
    """
    file = opened(content)
    check_size(file, len(content), most_rows)
    metadata = metadata_of(file)
    table: pd.DataFrame = file.read(use_threads=False).to_pandas(use_threads=False)
    table.attrs = plain_json(metadata.get(_ATTRIBUTES, b"{}"), with_nan=True)
    if DIGEST in metadata and metadata[DIGEST] != _digest(table).encode():
        raise ValueError(CHANGED)
    return table, DIGEST in metadata


def _digest(table: pd.DataFrame) -> str:
    arrays = ((str(name), values.to_numpy()) for name, values in table.items())
    return digest_of(table.attrs, arrays)
