"""Results on disk: what is written is read back, files are whole or absent, and nothing is mixed."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from bnbench import store, sweeps
from bnbench.profiles import PROFILES
from bnbench.protocol import FitKey
from bnbench.store import FitResult, StoreError

SMOKE = PROFILES["smoke"]
KEY = FitKey("plain", 0.3, 1)
IDENTITY = "a1b2"


def make_result(key: FitKey = KEY, **changes: Any) -> FitResult:
    """A fit's result with numbers that no rounding leaves alone."""
    random = np.random.default_rng(key.seed)
    rows, columns = np.indices((3, 4)).reshape(2, -1)
    landscape = pd.DataFrame(
        {
            "arm": key.arm,
            "p": key.p,
            "seed": np.int32(key.seed),
            "row": rows.astype(np.int16),
            "column": columns.astype(np.int16),
            "black": random.random(12) < key.p,
            "trained": random.random(12) < 0.8,
            **{
                f"{images}_{measure}": random.random(12, dtype=np.float32)
                for images in ("test", "train")
                for measure in ("loss", "accuracy")
            },
        }
    )
    summary = pd.DataFrame(
        {
            "policy": ["batch:512", "recalibrate:512"],
            "headline": [True, False],
            "split": "test",
            "pixels": "all",
            **{name: random.random(2) for name in ("black", "white", "difference", "black_loss", "white_loss")},
        }
    )
    trace = pd.DataFrame(
        {"step": [0, 50, 100], "black_loss": random.random(3), "gradient_norm": [1e-300, np.pi, np.nan]}
    )
    provenance = {"device": "cpu", "threads": 1, "seconds": 0.1 + 0.2, "versions": {"torch": "2.14.1"}}
    parts: dict[str, Any] = {"landscape": landscape, "summary": summary, "trace": trace, "provenance": provenance}
    return FitResult(**{"key": key, "identity": IDENTITY, "protocol": SMOKE, **parts, **changes})


def assert_same(found: FitResult, written: FitResult) -> None:
    assert (found.key, found.identity, found.protocol) == (written.key, written.identity, written.protocol)
    assert found.provenance == written.provenance
    for name in ("landscape", "summary", "trace"):
        pd.testing.assert_frame_equal(getattr(found, name), getattr(written, name), check_exact=True)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """An empty results folder of the smoke protocol."""
    path = tmp_path / "results"
    store.open_folder(path, SMOKE)
    return path


def test_a_fit_is_read_back_bit_by_bit(folder: Path) -> None:
    written = make_result()
    path = store.write_fit(folder, written)
    assert path == store.fit_path(folder, KEY) == folder / "fits" / "plain_p0.300_seed1.parquet"
    assert_same(store.read_fit(path), written)


def test_equal_results_are_equal_files(folder: Path) -> None:
    first = store.write_fit(folder, make_result()).read_bytes()
    assert store.write_fit(folder, make_result()).read_bytes() == first


def test_the_tables_can_be_read_without_bnbench(folder: Path) -> None:
    for seed in (1, 2):
        store.write_fit(folder, make_result(FitKey("plain", 0.3, seed)))
    table = pd.read_parquet(folder / "fits")
    assert list(table.columns) == store.LANDSCAPE_SCHEMA.names
    assert table.groupby("seed").size().to_dict() == {1: 12, 2: 12}


def test_every_fit_has_a_file_of_its_own() -> None:
    arms = ["plain", "bn", "my.module:net", "my.module_net", "a_b:c", "a:b_c", "my-arm", "my:réseau", "my:roseau"]
    keys = [FitKey(arm, p, seed) for arm in arms for p in (0.1, 0.101) for seed in (1, 11)]
    names = [store.fit_name(key) for key in keys]
    assert len(set(names)) == len(names)
    assert not any(re.search(r'[:/\\*?"<>|\s]', name) for name in names)


def test_a_fit_says_what_it_is_in_its_footer(folder: Path) -> None:
    assert store.fit_paths(folder) == []
    path = store.write_fit(folder, make_result())
    assert store.fit_paths(folder) == [path]
    details = store.read_details(path)
    assert (details["identity"], details["hash"]) == (IDENTITY, SMOKE.hash)
    assert FitKey(**details["key"]) == KEY


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
    way_out = "delete it and run again to compute it anew."

    with pytest.raises(StoreError, match=f"^{re.escape(str(path))} is not a whole bnbench fit .*{way_out}$"):
        store.read_fit(path)
    with pytest.raises(StoreError, match=f"^{re.escape(str(path))} is truncated or not a bnbench fit; {way_out}$"):
        store.read_details(path)
    with pytest.raises(StoreError, match=re.escape(str(path))):
        sweeps.load(folder)

    sweep = sweeps.read_sweep(folder)  # the others are still read
    assert [message.split(" is not")[0] for message in sweep.broken] == [str(path)]
    assert sweep.landscapes["arm"].unique().tolist() == ["bn"]


def test_another_schema_names_its_columns(folder: Path) -> None:
    path = store.write_fit(folder, make_result())
    replace_by_another_table(path)
    with pytest.raises(StoreError, match=r"\(its columns are x, y\)"):
        store.read_fit(path)


KILLED_WHILE_WRITING = """
import os, signal, sys
from pathlib import Path
from bnbench.store import write_atomically
os.fsync = lambda file: os.kill(os.getpid(), signal.SIGKILL)
write_atomically(Path(sys.argv[1]), b"x" * 1_000_000)
"""


@pytest.mark.parametrize("before", [None, b"an earlier version"])
def test_a_killed_write_leaves_no_partial_file(folder: Path, before: bytes | None) -> None:
    store.write_fit(folder, make_result(FitKey("bn", 0.3, 1)))
    path = store.fit_path(folder, KEY)
    if before:
        path.write_bytes(before)
    run = subprocess.run([sys.executable, "-c", KILLED_WHILE_WRITING, str(path)], check=False)
    assert run.returncode == -signal.SIGKILL
    assert (path.read_bytes() if path.exists() else None) == before
    if not before:
        assert len(sweeps.load(folder)) == len(pd.read_parquet(folder / "fits")) == 12


def test_a_failed_write_leaves_nothing_behind(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fill_disk(file: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", fill_disk)
    with pytest.raises(OSError, match="No space left"):
        store.write_fit(folder, make_result())
    assert list((folder / "fits").iterdir()) == []


def test_a_failure_is_recorded_replaced_and_gone_after_success(folder: Path) -> None:
    path = store.write_failure(folder, KEY, "RuntimeError", "the first", "Traceback …")
    assert path == store.failure_path(folder, KEY) == folder / "failures" / "plain_p0.300_seed1.json"
    store.write_failure(folder, KEY, "OneColourError", "the second")
    (record,) = sweeps.read_sweep(folder).failures
    expected = {"arm": "plain", "p": 0.3, "seed": 1, "kind": "OneColourError", "message": "the second", "traceback": ""}
    assert {name: record[name] for name in expected} == expected

    store.write_fit(folder, make_result())
    assert sweeps.read_sweep(folder).failures == []


def test_a_broken_record_of_a_failure_is_named(folder: Path) -> None:
    path = store.write_failure(folder, KEY, "RuntimeError", "why")
    path.write_text("{")
    sweep = sweeps.read_sweep(folder)
    assert sweep.failures == []
    assert len(sweep.broken) == 1
    assert sweep.broken[0].startswith(f"{path} is not a record of a failure")


def test_a_folder_is_opened_again_by_the_same_protocol(folder: Path) -> None:
    before = (folder / "protocol.json").read_bytes()
    store.open_folder(folder, SMOKE)
    assert (folder / "protocol.json").read_bytes() == before
    assert store.read_protocol(folder) == SMOKE
    assert sorted(path.name for path in folder.iterdir()) == ["fits", "protocol.json"]


def test_a_folder_of_another_protocol_says_what_differs(folder: Path) -> None:
    store.write_fit(folder, make_result())
    asked = SMOKE.with_knobs(steps=7, mask_size=(8, 9))
    message = (
        f"--out {folder} holds fits of another protocol (mask_size 7x7 there, 8x9 here, steps 300 there, 7 here); "
        f"both are kept apart: give another folder, such as --out {folder.parent / asked.id}."
    )
    with pytest.raises(StoreError, match=f"^{re.escape(message)}$"):
        store.open_folder(folder, asked)
    assert store.read_protocol(folder) == SMOKE


def test_a_folder_without_fits_is_free_for_any_protocol(folder: Path) -> None:
    asked = SMOKE.with_knobs(steps=7)
    store.check_folder(folder, asked)
    assert store.read_protocol(folder) == SMOKE, "checking writes nothing"
    store.open_folder(folder, asked)
    assert store.read_protocol(folder) == asked


def test_a_folder_of_an_earlier_revision_says_so(tmp_path: Path) -> None:
    earlier = replace(SMOKE, revision=0)
    store.open_folder(tmp_path, earlier)
    store.write_fit(tmp_path, make_result(protocol=earlier))
    with pytest.raises(StoreError, match=r"holds fits of another protocol \(another revision of bnbench\)"):
        store.open_folder(tmp_path, SMOKE)


@pytest.mark.parametrize("way", ["", "deeper", "deeper/still"])
def test_a_folder_that_cannot_be_written(tmp_path: Path, way: str) -> None:
    (tmp_path / "file").write_text("in the way")
    folder = tmp_path / "file" / way
    with pytest.raises(StoreError, match=f"^--out {re.escape(str(folder))} cannot be written") as refusal:
        store.open_folder(folder, SMOKE)
    assert str(refusal.value).endswith("give a folder that you may write to.")


@pytest.mark.parametrize("content", ["", "{", "[]", "{}", '{"protocol": {"profile": "x"}}'])
def test_a_folder_whose_protocol_cannot_be_read(folder: Path, content: str) -> None:
    store.write_fit(folder, make_result())
    (folder / "protocol.json").write_text(content)
    for use in (sweeps.read_sweep, sweeps.load, lambda path: store.open_folder(path, SMOKE)):
        with pytest.raises(
            StoreError, match=r"protocol\.json is not a protocol that this version reads .*move the folder"
        ):
            use(folder)


def test_a_fit_of_another_protocol_is_kept_out(folder: Path) -> None:
    other = SMOKE.with_knobs(steps=7)
    path = store.write_fit(folder, make_result(protocol=other))
    sweep = sweeps.read_sweep(folder)
    assert sweep.landscapes.empty
    assert sweep.broken == [
        f"{path} belongs to another protocol ({other.id}, not {SMOKE.id}); move it to its own folder."
    ]


def test_a_copied_fit_is_not_counted_twice(folder: Path) -> None:
    path = store.write_fit(folder, make_result())
    copy = path.with_name("plain_p0.300_seed2.parquet")
    copy.write_bytes(path.read_bytes())
    sweep = sweeps.read_sweep(folder)
    assert len(sweep.landscapes) == 12
    assert sweep.broken == [f"{copy} holds the fit plain p=0.3 seed=1, which its name denies; delete the copy."]


def test_two_versions_of_an_arm_are_not_mixed(folder: Path) -> None:
    store.write_fit(folder, replace(make_result(FitKey("my:arm", 0.3, 1)), source="one"))
    second = store.write_fit(folder, replace(make_result(FitKey("my:arm", 0.3, 2)), source="two"))
    sweep = sweeps.read_sweep(folder)
    assert sweep.landscapes["seed"].unique().tolist() == [1]
    assert sweep.broken == [f"{second} was computed by another version of the arm my:arm; move it to its own folder."]


@pytest.mark.parametrize("content", ["[1]", "{}", "3", "{", '{"arm": "plain"}'])
def test_a_record_of_a_failure_that_is_none_is_named(folder: Path, content: str) -> None:
    (folder / "failures").mkdir()
    path = folder / "failures" / "plain_p0.300_seed1.json"
    path.write_text(content)
    sweep = sweeps.read_sweep(folder)
    assert sweep.failures == []
    assert len(sweep.broken) == 1
    assert sweep.broken[0].startswith(f"{path} is not a record of a failure")


def test_held_out_measurements_say_so(folder: Path) -> None:
    store.write_fit(folder, make_result())
    assert sweeps.load(folder)["split"].unique().tolist() == ["test"]


def test_a_sweep_is_tables_keyed_by_the_fit(folder: Path) -> None:
    results = [make_result(FitKey(arm, 0.3, seed)) for arm in ("bn", "plain") for seed in (1, 2)]
    for result in reversed(results):
        store.write_fit(folder, result)
    sweep = sweeps.read_sweep(folder)
    assert (sweep.folder, sweep.protocol, sweep.failures, sweep.broken) == (folder, SMOKE, [], [])
    for table, length in [(sweep.landscapes, 12), (sweep.summaries, 2), (sweep.traces, 3), (sweep.provenance, 1)]:
        assert list(table.columns[:3]) == ["arm", "p", "seed"]
        found = [(arm, p, seed, len(rows)) for (arm, p, seed), rows in table.groupby(["arm", "p", "seed"])]
        assert found == [(result.key.arm, 0.3, result.key.seed, length) for result in results]
    assert sweep.provenance["versions.torch"].unique().tolist() == ["2.14.1"]
    expected = pd.concat([result.landscape for result in results], ignore_index=True)
    pd.testing.assert_frame_equal(sweep.landscapes, expected, check_exact=True)


def test_an_unstarted_sweep_has_empty_tables(folder: Path) -> None:
    sweep = sweeps.read_sweep(folder)
    for table in (sweep.landscapes, sweep.summaries, sweep.traces, sweep.provenance):
        assert table.empty
        assert list(table.columns[:3]) == ["arm", "p", "seed"]


def test_load_joins_the_folders_below(tmp_path: Path) -> None:
    other = SMOKE.with_knobs(steps=7)
    store.open_folder(tmp_path / "unstarted", SMOKE.with_knobs(steps=8))
    store.open_folder(tmp_path / "first", SMOKE)
    store.open_folder(tmp_path / "deeper" / "second", other)
    store.write_fit(tmp_path / "first", make_result())
    store.write_fit(tmp_path / "deeper" / "second", make_result(FitKey("bn", 0.7, 2), protocol=other))

    table = sweeps.load(str(tmp_path))
    assert list(table.columns) == ["protocol", "split", *store.LANDSCAPE_SCHEMA.names]
    assert table.groupby(["protocol", "arm", "p", "seed"]).size().to_dict() == {
        (SMOKE.id, "plain", 0.3, 1): 12,
        (other.id, "bn", 0.7, 2): 12,
    }
    types = make_result().landscape.dtypes
    assert table.dtypes.drop(["protocol", "split"]).to_dict() == types.to_dict()
    pd.testing.assert_frame_equal(
        sweeps.load(tmp_path / "first").drop(columns=["protocol", "split"]), make_result().landscape
    )


def test_load_of_nothing_says_what_to_give(tmp_path: Path) -> None:
    message = f"{tmp_path} holds no results of bnbench; give a folder that bnbench run wrote, such as results/quick."
    with pytest.raises(StoreError, match=f"^{re.escape(message)}$"):
        sweeps.load(tmp_path)
