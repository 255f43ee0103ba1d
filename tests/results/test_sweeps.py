"""Results folders as tables: what is there is read, what is damaged is named, and nothing is mixed."""

from __future__ import annotations

import re
from pathlib import Path

import pandas as pd
import pytest

from bnbench.protocol.protocol import FitKey
from bnbench.results import schemas, store, sweeps
from bnbench.results.failures import Failure, write_failure
from bnbench.results.folder_protocol import open_folder
from bnbench.results.store import StoreError
from tests.fits import KEY, SMOKE, make_result


def test_a_broken_record_of_a_failure_is_named(folder: Path) -> None:
    path = write_failure(folder, Failure(KEY, "id", "error", "why"))
    path.write_text("{")
    sweep = sweeps.read_sweep(folder)
    assert sweep.failures == []
    assert len(sweep.broken) == 1
    assert sweep.broken[0].startswith(str(path))


@pytest.mark.parametrize("content", ["", "{", "[]", "{}", '{"protocol": {"profile": "x"}}'])
def test_a_folder_whose_protocol_cannot_be_read(folder: Path, content: str) -> None:
    store.write_fit(folder, make_result())
    (folder / "protocol.json").write_text(content)
    for use in (sweeps.read_sweep, sweeps.load, lambda path: open_folder(path, SMOKE)):
        with pytest.raises(StoreError, match=r"protocol\.json .*move"):
            use(folder)


def test_a_fit_of_another_protocol_is_kept_out(folder: Path) -> None:
    other = SMOKE.with_knobs(steps=7)
    path = store.write_fit(folder, make_result(protocol=other))
    sweep = sweeps.read_sweep(folder)
    assert sweep.landscapes.empty
    (sentence,) = sweep.broken
    assert all(name in sentence for name in (str(path), other.id, SMOKE.id))


def test_a_copied_fit_is_not_counted_twice(folder: Path) -> None:
    path = store.write_fit(folder, make_result())
    copy = path.with_name("plain_p0.300_seed2.parquet")
    copy.write_bytes(path.read_bytes())
    sweep = sweeps.read_sweep(folder)
    assert len(sweep.landscapes) == 49
    (sentence,) = sweep.broken
    assert sentence.startswith(str(copy))
    assert "plain p=0.3 seed=1" in sentence, "which fit it is a copy of"


def test_two_versions_of_an_arm_are_not_mixed(folder: Path) -> None:
    store.write_fit(folder, make_result(FitKey("my:arm", 0.3, 1), source="one"))
    second = store.write_fit(folder, make_result(FitKey("my:arm", 0.3, 2), source="two"))
    sweep = sweeps.read_sweep(folder)
    assert sweep.landscapes["seed"].unique().tolist() == [1]
    (sentence,) = sweep.broken
    assert sentence.startswith(str(second))
    assert "my:arm" in sentence


@pytest.mark.parametrize("content", ["[1]", "{}", "3", "{", '{"arm": "plain"}'])
def test_a_record_of_a_failure_that_is_none_is_named(folder: Path, content: str) -> None:
    (folder / "failures").mkdir()
    path = folder / "failures" / "plain_p0.300_seed1.json"
    path.write_text(content)
    sweep = sweeps.read_sweep(folder)
    assert sweep.failures == []
    assert len(sweep.broken) == 1
    assert sweep.broken[0].startswith(str(path))


def test_held_out_measurements_say_so(folder: Path) -> None:
    store.write_fit(folder, make_result())
    assert sweeps.load(folder)["split"].unique().tolist() == ["test"]


def test_a_sweep_is_tables_keyed_by_the_fit(folder: Path) -> None:
    results = [make_result(FitKey(arm, 0.3, seed)) for arm in ("bn", "plain") for seed in (1, 2)]
    for result in reversed(results):
        store.write_fit(folder, result)
    sweep = sweeps.read_sweep(folder)
    assert (sweep.folder, sweep.protocol, sweep.failures, sweep.broken) == (folder, SMOKE, [], [])
    for table, length in [(sweep.landscapes, 49), (sweep.summaries, 4), (sweep.traces, 3), (sweep.provenance, 1)]:
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
    open_folder(tmp_path / "unstarted", SMOKE.with_knobs(steps=8))
    open_folder(tmp_path / "first", SMOKE)
    open_folder(tmp_path / "deeper" / "second", other)
    store.write_fit(tmp_path / "first", make_result())
    store.write_fit(tmp_path / "deeper" / "second", make_result(FitKey("bn", 0.7, 2), protocol=other))

    table = sweeps.load(str(tmp_path))
    assert list(table.columns) == ["protocol", "split", *schemas.LANDSCAPE_SCHEMA.names]
    assert table.groupby(["protocol", "arm", "p", "seed"]).size().to_dict() == {
        (SMOKE.id, "plain", 0.3, 1): 49,
        (other.id, "bn", 0.7, 2): 49,
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
