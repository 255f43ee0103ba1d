"""What is stored is believed only as it was written: a changed bit is named, or changes no number."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from bnbench.protocol.mask_sizes import LARGEST_SIDE
from bnbench.protocol.protocol import FitKey
from bnbench.results import digests, layout, store, tables
from bnbench.results.schemas import LANDSCAPE_SCHEMA
from bnbench.results.tables import read_table, write_table
from bnbench.sweep.sweep import LARGEST_GRID
from tests.fits import IDENTITY, make_result

TABLE = pd.DataFrame(
    {
        "arm": ["plain", "réseau"],
        "black": [True, False],
        "row": np.array([1, 2], np.int16),
        "loss": np.array([np.nan, 1.5], np.float32),
        "accuracy": [0.1, 1e-300],
    }
)
TABLE.attrs = {"bnbench": {"seconds": 1.5, "arm": "plain"}}


def flips(content: bytes, count: int) -> Iterable[bytes]:
    """Copies of a file, each with one bit of it turned over."""
    for place in np.linspace(0, 8 * len(content) - 1, count).astype(int):
        flipped = bytearray(content)
        flipped[place // 8] ^= 1 << place % 8
        yield bytes(flipped)


def test_a_table_is_read_back_bit_by_bit_and_pandas_reads_it_too(tmp_path: Path) -> None:
    content = write_table(TABLE)
    found, has_digest = read_table(content)
    path = tmp_path / "table.parquet"
    path.write_bytes(content)
    assert has_digest
    for read in (found, pd.read_parquet(path)):
        pd.testing.assert_frame_equal(read, TABLE, check_exact=True)
        assert read.attrs == TABLE.attrs


def test_a_table_of_an_earlier_version_is_read_and_has_no_digest(tmp_path: Path) -> None:
    TABLE.to_parquet(path := tmp_path / "table.parquet", compression="zstd")
    found, has_digest = read_table(path.read_bytes())
    assert not has_digest
    pd.testing.assert_frame_equal(found, TABLE, check_exact=True)


@pytest.mark.parametrize(
    "values", [np.zeros(300_000, np.float32), ["same"] * 100_000, [1, None], [True, None], [None, None]]
)
def test_whatever_is_written_is_read_back(values: Any) -> None:
    found, has_digest = read_table(write_table(pd.DataFrame({"value": pd.Series(values)})))
    assert has_digest
    assert len(found) == len(values)


@pytest.mark.parametrize("change", ["accuracy", "arm", "attrs", "name", "type"])
def test_a_table_that_was_changed_and_written_again_is_refused(change: str, tmp_path: Path) -> None:
    """By somebody's script, which keeps the metadata."""
    path = tmp_path / "table.parquet"
    path.write_bytes(write_table(TABLE))
    there = pq.read_table(path)
    metadata = dict(pq.read_metadata(path).metadata)
    if change == "attrs":
        metadata[b"PANDAS_ATTRS"] = metadata[b"PANDAS_ATTRS"].replace(b"1.5", b"2.5")
    elif change == "name":
        there = there.rename_columns([name.replace("loss", "gain") for name in there.column_names])
    elif change == "type":
        there = there.set_column(3, "loss", there["loss"].cast(pa.float64()))
    else:
        other = pa.array([0.2, 1e-300] if change == "accuracy" else ["plain", "other"])
        there = there.set_column(there.column_names.index(change), change, other)
    with pytest.raises(ValueError, match="digest"):
        read_table(tables.packed(there.replace_schema_metadata(metadata)))
    read_table(tables.packed(pq.read_table(path).replace_schema_metadata(pq.read_metadata(path).metadata)))


def test_a_flipped_bit_of_a_table_is_refused_or_changes_nothing() -> None:
    content, refused = write_table(TABLE), 0
    for flipped in flips(content, 60):
        try:
            found = read_table(flipped)[0]
        except Exception:  # whatever pyarrow raises
            refused += 1
            continue
        pd.testing.assert_frame_equal(found, TABLE, check_exact=True)
        assert found.attrs == TABLE.attrs
    assert refused > 20


def test_limits_let_through_the_largest_that_can_be_asked_for() -> None:
    """A landscape that nobody could read, or a list of digests that makes fits unreadable, would be lost work."""
    pixels, columns = LARGEST_SIDE**2, len(LANDSCAPE_SCHEMA)
    group = SimpleNamespace(total_byte_size=0)
    footer = SimpleNamespace(num_rows=pixels, num_columns=columns, num_row_groups=1, row_group=lambda number: group)
    tables.check_size(cast(Any, SimpleNamespace(metadata=SimpleNamespace(metadata={}, **vars(footer)))), pixels, pixels)
    line = f"{64 * 'f'}  planes/{layout.fit_name(FitKey('standardized', 0.5, 2**31 - 1))}.safetensors\n"
    assert 2 * LARGEST_GRID * len(line) < digests._LARGEST


def test_a_huge_table_in_a_small_file_is_refused_before_it_is_unpacked(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = store.write_fit(folder, make_result())
    fit = pq.read_table(path, partitioning=None).replace_schema_metadata(pq.read_metadata(path).metadata)
    many = fit.take(np.zeros(10**6, int))  # with a digest or without one
    bare = many.replace_schema_metadata({b"bnbench": fit.schema.metadata[b"bnbench"]})
    monkeypatch.setattr(pq.ParquetFile, "read", lambda *_, **__: pytest.fail("unpacked"))
    for table, read in ((many, store.parse_fit), (bare, store.parse_fit), (bare.select(["row"]), read_table)):
        with pytest.raises(ValueError, match="1,000,000 rows"):
            read(tables.packed(table))


def test_a_file_holds_its_metadata_once_and_a_checksum_of_each_page(folder: Path) -> None:
    content = store.write_fit(folder, make_result()).read_bytes()
    assert content.count(b"bnbench.digest") == content.count(IDENTITY.encode()) == 1
    file = tables.opened(content)
    assert tables.metadata_of(file).keys() == {b"bnbench", b"bnbench.digest"}
    noise = np.random.default_rng(1).integers(2**62, size=1000)  # nothing that a packer could tell from other noise
    content = tables.packed(pa.table({"noise": noise}))
    flipped = bytearray(content)
    flipped[len(content) // 2] ^= 1
    with pytest.raises(OSError, match="CRC"):
        read_table(bytes(flipped))


def test_metadata_that_stand_there_twice_must_be_one(folder: Path) -> None:
    path = store.write_fit(folder, make_result())
    table = pq.read_table(path)
    metadata = dict(pq.read_metadata(path).metadata)
    pq.write_table(table.replace_schema_metadata(metadata), path)  # as earlier versions stored them
    content = path.read_bytes()
    store.parse_fit(content)
    place = content.index(b'"seed": 1')
    changed = content[:place] + b'"seed": 2' + content[place + 9 :]
    with pytest.raises(ValueError, match=r"twice|digest"):
        store.parse_fit(changed)
