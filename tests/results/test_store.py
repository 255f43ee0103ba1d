"""Results on disk: what is written is read back, files are whole or absent, and nothing is mixed."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from bnbench.protocol.protocol import FitKey
from bnbench.results import layout, schemas, store, sweeps
from bnbench.results.failures import Failure, write_failure
from bnbench.results.fits import read_fit
from bnbench.results.folder_protocol import check_folder, open_folder, read_protocol
from bnbench.results.store import FitResult, StoreError
from tests.fits import IDENTITY, KEY, SMOKE, make_result


def assert_same(found: FitResult, written: FitResult) -> None:
    assert (found.key, found.identity, found.protocol) == (written.key, written.identity, written.protocol)
    assert found.provenance == written.provenance
    for name in ("landscape", "summary", "trace"):
        pd.testing.assert_frame_equal(getattr(found, name), getattr(written, name), check_exact=True)


def test_a_fit_is_read_back_bit_by_bit(folder: Path) -> None:
    written = make_result()
    path = store.write_fit(folder, written)
    assert path == layout.fit_path(folder, KEY) == folder / "fits" / "plain_p0.300_seed1.parquet"
    assert_same(read_fit(path), written)


@pytest.mark.parametrize("number", schemas.SCHEMAS)
def test_fits_of_earlier_formats_are_read_when_a_column_is_added(
    folder: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    """As CONTRIBUTING says to add a number for each pixel."""
    written = make_result()
    path = store.write_fit(folder, written)
    if number == 1:  # as it was before there were digests
        table = pq.read_table(path)
        details = {**json.loads(table.schema.metadata[b"bnbench"]), "format": 1}
        pq.write_table(table.replace_schema_metadata({b"bnbench": json.dumps(details).encode()}), path)
    newer = schemas.LANDSCAPE_SCHEMA.append(pa.field("entropy", pa.float32()))
    monkeypatch.setattr(schemas, "SCHEMAS", {**schemas.SCHEMAS, 3: newer})
    monkeypatch.setattr(schemas, "LANDSCAPE_SCHEMA", newer)
    monkeypatch.setattr(schemas, "FORMAT", 3)
    found = read_fit(path)
    assert found.landscape.pop("entropy").isna().all()
    assert_same(found, written)
    landscape = written.landscape.assign(entropy=pd.Series(0.5, written.landscape.index, "float32"))
    assert_same(
        read_fit(store.write_fit(folder, replace(written, landscape=landscape))), replace(written, landscape=landscape)
    )


def test_equal_results_are_equal_files(folder: Path) -> None:
    first = store.write_fit(folder, make_result()).read_bytes()
    assert store.write_fit(folder, make_result()).read_bytes() == first


def test_the_tables_can_be_read_without_bnbench(folder: Path) -> None:
    for seed in (1, 2):
        store.write_fit(folder, make_result(FitKey("plain", 0.3, seed)))
    table = pd.read_parquet(folder / "fits")
    assert list(table.columns) == schemas.LANDSCAPE_SCHEMA.names
    assert table.groupby("seed").size().to_dict() == {1: 49, 2: 49}


def test_every_fit_has_a_file_of_its_own() -> None:
    arms = ["plain", "bn", "my.module:net", "my.module_net", "a_b:c", "a:b_c", "my-arm", "my:réseau", "my:roseau"]
    keys = [FitKey(arm, p, seed) for arm in arms for p in (0.1, 0.101) for seed in (1, 11)]
    names = [layout.fit_name(key) for key in keys]
    assert len(set(names)) == len(names)
    assert not any(re.search(r'[:/\\*?"<>|\s]', name) for name in names)


def test_a_fit_says_what_it_is(folder: Path) -> None:
    assert layout.fit_paths(folder) == []
    path = store.write_fit(folder, make_result())
    assert layout.fit_paths(folder) == [path]
    found = read_fit(path)
    assert (found.key, found.identity, found.protocol.hash) == (KEY, IDENTITY, SMOKE.hash)


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-100])


def empty(path: Path) -> None:
    path.write_bytes(b"")


def replace_by_text(path: Path) -> None:
    path.write_text("no parquet at all")


def replace_by_another_table(path: Path) -> None:
    pq.write_table(pa.table({"x": [1], "y": [2]}), path)


def drop_the_metadata(path: Path) -> None:
    pq.write_table(pq.read_table(path).replace_schema_metadata(None), path)


def garble_the_metadata(path: Path) -> None:
    pq.write_table(pq.read_table(path).replace_schema_metadata({b"bnbench": b"{"}), path)


DAMAGES = [truncate, empty, replace_by_text, replace_by_another_table, drop_the_metadata, garble_the_metadata]


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_broken_file_is_named_everywhere(folder: Path, damage: Any) -> None:
    whole = make_result(FitKey("bn", 0.3, 1))
    store.write_fit(folder, whole)
    path = store.write_fit(folder, make_result())
    damage(path)
    with pytest.raises(StoreError, match=f"^{re.escape(str(path))} ") as named:
        read_fit(path)
    assert "delete" not in str(named.value)
    with pytest.raises(StoreError, match=re.escape(str(path))):
        sweeps.load(folder)

    sweep = sweeps.read_sweep(folder)  # the others are still read
    assert [message.split(" is not")[0] for message in sweep.broken] == [str(path)]
    assert sweep.landscapes["arm"].unique().tolist() == ["bn"]


def test_another_schema_names_its_columns(folder: Path) -> None:
    path = store.write_fit(folder, make_result())
    replace_by_another_table(path)
    with pytest.raises(StoreError, match="x, y"):
        read_fit(path)


KILLED_WHILE_WRITING = """
import os, signal, sys
from pathlib import Path
from bnbench.results.layout import write_atomically
os.fsync = lambda file: os.kill(os.getpid(), signal.SIGKILL)
write_atomically(Path(sys.argv[1]), b"x" * 1_000_000)
"""


@pytest.mark.parametrize("before", [None, b"an earlier version"])
def test_a_killed_write_leaves_no_partial_file(folder: Path, before: bytes | None) -> None:
    store.write_fit(folder, make_result(FitKey("bn", 0.3, 1)))
    path = layout.fit_path(folder, KEY)
    if before:
        path.write_bytes(before)
    run = subprocess.run([sys.executable, "-c", KILLED_WHILE_WRITING, str(path)], check=False)
    assert run.returncode == -signal.SIGKILL
    assert (path.read_bytes() if path.exists() else None) == before
    if not before:
        assert len(sweeps.load(folder)) == len(pd.read_parquet(folder / "fits")) == 49


def test_a_failed_write_leaves_nothing_behind(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fill_disk(file: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", fill_disk)
    with pytest.raises(OSError, match="28"):
        store.write_fit(folder, make_result())
    assert list((folder / "fits").iterdir()) == []


def test_a_failure_is_recorded_replaced_and_gone_after_success(folder: Path) -> None:
    path = write_failure(folder, Failure(KEY, "id", "error", "the first", "Traceback …"))
    assert path == layout.failure_path(folder, KEY) == folder / "failures" / "plain_p0.300_seed1.json"
    second = Failure(KEY, IDENTITY, "one-colour mask", "the second", tries=2, slot="cpu#0", host="ab", time="now")
    write_failure(folder, second)
    assert sweeps.read_sweep(folder).failures == [second]

    store.write_fit(folder, make_result())
    assert sweeps.read_sweep(folder).failures == []


@pytest.mark.parametrize(
    "said", ["a file named \udce9", "beginning" + 2**24 * "x" + "end"], ids=["half a letter", "megabytes"]
)
def test_a_failure_is_read_back_whatever_its_arm_has_said(folder: Path, said: str) -> None:
    write_failure(folder, Failure(KEY, IDENTITY, "error", said, said))
    (found,) = sweeps.read_sweep(folder).failures
    for text in (found.message, found.traceback):
        assert (text[:5], text[-2:]) == (said[:5], {"d": "nd", "\udce9": "e9"}[said[-1]])


def test_a_folder_is_opened_again_by_the_same_protocol(folder: Path) -> None:
    before = (folder / "protocol.json").read_bytes()
    open_folder(folder, SMOKE)
    assert (folder / "protocol.json").read_bytes() == before
    assert read_protocol(folder) == SMOKE
    assert sorted(path.name for path in folder.iterdir()) == ["fits", "protocol.json", "running"]


def test_a_folder_of_another_protocol_says_what_differs(folder: Path) -> None:
    store.write_fit(folder, make_result())
    asked = SMOKE.with_knobs(steps=7, mask_size=(8, 9))
    message = (
        f"--out {folder} holds fits of another protocol (mask_size 7x7 there, 8x9 here, steps 300 there, 7 here); "
        f"both are kept apart: give another folder, such as --out {folder.parent / asked.id}."
    )
    with pytest.raises(StoreError, match=f"^{re.escape(message)}$"):
        open_folder(folder, asked)
    assert read_protocol(folder) == SMOKE


def test_a_folder_without_fits_is_free_for_any_protocol(folder: Path) -> None:
    asked = SMOKE.with_knobs(steps=7)
    check_folder(folder, asked)
    assert read_protocol(folder) == SMOKE, "checking writes nothing"
    open_folder(folder, asked)
    assert read_protocol(folder) == asked


def test_a_folder_of_an_earlier_revision_says_so(tmp_path: Path) -> None:
    earlier = replace(SMOKE, revision=0)
    open_folder(tmp_path, earlier)
    store.write_fit(tmp_path, make_result(protocol=earlier))
    with pytest.raises(StoreError, match="revision"):
        open_folder(tmp_path, SMOKE)


@pytest.mark.parametrize("way", ["", "deeper", "deeper/still"])
def test_a_folder_that_cannot_be_written(tmp_path: Path, way: str) -> None:
    (tmp_path / "file").write_text("in the way")
    folder = tmp_path / "file" / way
    with pytest.raises(StoreError, match=f"^--out {re.escape(str(folder))} "):
        open_folder(folder, SMOKE)


def test_a_file_is_named_for_one_arm_alone() -> None:
    of_arm = layout.fit_path(Path("results"), FitKey("mine:net_plus", 0.5, 1))
    named = [arm for arm in ("mine:net", "mine:net_plus", "mine:net_p", "plain") if layout.is_named_for(of_arm, arm)]
    assert named == ["mine:net_plus"]


def test_the_name_of_a_fit_is_on_the_disk_before_its_checkpoint_goes(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a power cut either is there: bytes, name, the folder's names, and only then the checkpoint's end."""
    checkpoint = layout.checkpoint_path(folder, KEY)
    checkpoint.touch()
    calls: list[str] = []
    replace_file, unlink = Path.replace, Path.unlink

    def synced(descriptor: int) -> None:
        is_folder = os.path.samestat(os.fstat(descriptor), (folder / "fits").stat())
        calls.append("folder synced" if is_folder else "file synced")

    def replaced(self: Path, target: Path) -> Path:
        calls.append("renamed")
        return replace_file(self, target)

    def unlinked(self: Path, missing_ok: bool = False) -> None:
        calls.extend(["checkpoint removed"] if self == checkpoint else [])
        unlink(self, missing_ok=missing_ok)

    with monkeypatch.context() as patch:
        patch.setattr("os.fsync", synced)
        patch.setattr(Path, "replace", replaced)
        patch.setattr(Path, "unlink", unlinked)
        store.write_fit(folder, make_result())
    assert calls == ["file synced", "renamed", "folder synced", "checkpoint removed"]
