"""Results folders below a root: copies, halves, links, and what else file systems and people put beside them."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from bnbench import load
from bnbench.evaluate.plan import EvaluationRequest, plan_evaluation
from bnbench.protocol.identity import identity_of
from bnbench.protocol.profiles import PROFILES
from bnbench.protocol.protocol import FitKey, Grid, Protocol
from bnbench.results import chunks, layout, store, sweeps
from bnbench.results.asked import effective_config, folder_of, write_config
from bnbench.results.failures import Failure, write_failure
from bnbench.results.fits import read_fit
from bnbench.results.folder_protocol import check_folder, open_folder, read_protocol
from bnbench.results.folders import find_sweeps
from bnbench.results.store import StoreError
from bnbench.sweep.devices import make_slots
from bnbench.sweep.execution import Execution
from bnbench.sweep.plan import plan_sweep
from bnbench.sweep.status import SweepStatus, read_statuses
from tests.cli.test_cli import bnbench
from tests.fits import KEY, SMOKE, TINY, make_result, status_of

OTHER = FitKey("bn", 0.3, 1)


def made(folder: Path, *keys: FitKey, protocol: Protocol = SMOKE) -> Path:
    open_folder(folder, protocol)
    for key in keys:
        store.write_fit(folder, make_result(key, protocol=protocol))
    return folder


def only(root: Path) -> tuple[sweeps.Sweep, SweepStatus]:
    """The one sweep that report and status find below a root."""
    (sweep,), broken = sweeps.read_sweeps(root)
    assert broken == []
    return sweep, status_of(root)


# Copies and halves.


def test_a_backup_counts_once_and_it_is_said(tmp_path: Path) -> None:
    shutil.copytree(made(tmp_path / "own", KEY, OTHER), tmp_path / "backup")
    with pytest.warns(UserWarning, match="2 fits") as warned:
        table = load(tmp_path)
    assert [warning.filename for warning in warned] == [__file__], "it points at the line that loads"
    pd.testing.assert_frame_equal(table, sweeps.load(tmp_path / "own"))
    sweep, status = only(tmp_path)
    assert len(sweep.identities) == status.counts["done"] == 2
    assert len(sweep.summaries) == 8
    assert [len(found.notes) for found in (sweep, status)] == [1, 1]
    plan = plan_evaluation(tmp_path, EvaluationRequest(tmp_path / "e", Execution(make_slots(("cpu",), 1, 1))))
    assert (len(plan.without_plane), len(plan.notes), plan.broken) == (2, 1, [])


def test_a_fit_computed_twice_with_equal_numbers_counts_once(tmp_path: Path) -> None:
    made(tmp_path / "one", KEY)
    there = make_result()
    open_folder(tmp_path / "two", SMOKE)
    store.write_fit(tmp_path / "two", make_result(provenance={**there.provenance, "device_name": "another"}))
    sweep, status = only(tmp_path)
    assert len(sweep.identities) == status.counts["done"] == 1
    assert len(sweep.notes) == len(status.notes) == 1


def test_different_results_of_one_fit_are_refused_with_both_paths(tmp_path: Path) -> None:
    made(tmp_path / "one", KEY, OTHER)
    open_folder(tmp_path / "two", SMOKE)
    there = make_result()
    trace = there.trace.assign(black_loss=1.0)
    store.write_fit(tmp_path / "two", make_result(trace=trace))
    paths = [str(layout.fit_path(tmp_path / name, KEY)) for name in ("one", "two")]
    with pytest.raises(StoreError) as refusal:
        sweeps.load(tmp_path)
    sweep, status = only(tmp_path)
    plan = plan_evaluation(tmp_path, EvaluationRequest(tmp_path / "e", Execution(make_slots(("cpu",), 1, 1))))
    for sentence in (str(refusal.value), *sweep.broken, *status.broken, *plan.broken):
        assert all(path in sentence for path in paths)
    assert len(sweep.broken) == len(status.broken) == len(plan.broken) == 1
    assert list(sweep.identities) == plan.without_plane == [OTHER]
    assert {fit.key: fit.state for fit in status.fits} == {OTHER: "done", KEY: "unreadable"}


def test_halves_of_two_machines_are_one_sweep(tmp_path: Path) -> None:
    for name, seed in (("one", 1), ("two", 2)):
        folder = made(tmp_path / name, FitKey("plain", 0.3, seed), FitKey("bn", 0.3, seed))
        write_config(folder, effective_config(SMOKE, Grid(("plain", "bn"), (0.3,), (seed,)), {}))
    sweep, status = only(tmp_path)
    assert sweep.asked == Grid(("plain", "bn"), (0.3,), (1, 2))
    assert len(sweep.identities) == status.counts["done"] == len(status.fits) == 4
    assert (sweep.broken, sweep.notes, status.broken, status.notes) == ([], [], [], [])
    assert {place.name for place in sweep.places.values()} == {"one", "two"}
    assert sweeps.load(tmp_path)["protocol"].nunique() == 1
    said = bnbench("status", str(tmp_path), cwd=tmp_path).stdout
    assert said.count(SMOKE.id) == 1
    assert "4 done, 0 to do" in said


def test_what_failed_here_and_is_done_there_is_done(tmp_path: Path) -> None:
    made(tmp_path / "one", OTHER)
    write_failure(tmp_path / "one", Failure(KEY, identity_of(KEY, SMOKE), "error", "why"))
    made(tmp_path / "two", KEY)
    sweep, status = only(tmp_path)
    assert sweep.failures == []
    assert status.of("failed") == []
    assert status.counts["done"] == 2


def test_a_failure_of_another_protocol_is_in_no_report(tmp_path: Path) -> None:
    folder = made(tmp_path / "own", OTHER)
    write_failure(folder, Failure(KEY, identity_of(KEY, SMOKE.with_knobs(steps=9)), "diverged", "why"))
    assert sweeps.read_sweep(folder).failures == []
    assert status_of(folder).of("failed") == []
    write_failure(folder, Failure(KEY, identity_of(KEY, SMOKE), "diverged", "why"))
    assert [failure.key for failure in sweeps.read_sweep(folder).failures] == [KEY]


# Links, and folders that are none of ours.


def test_links_are_followed_and_each_place_is_visited_once(tmp_path: Path) -> None:
    made(tmp_path / "elsewhere" / "own", KEY)
    root = tmp_path / "results"
    root.mkdir()
    (root / "linked").symlink_to(tmp_path / "elsewhere")
    (root / "again").symlink_to(tmp_path / "elsewhere" / "own")
    (root / "linked" / "up").symlink_to(root)
    (root / "itself").symlink_to("itself")
    (root / "nowhere").symlink_to("missing")
    found, broken = find_sweeps(root)
    assert [path.resolve() for path in found] == [tmp_path / "elsewhere" / "own"]
    assert broken == []
    sweep, status = only(root)
    assert len(sweep.identities) == status.counts["done"] == len(sweeps.load(root)) / 49 == 1
    assert sweep.notes == status.notes == []


def test_a_folder_goes_by_its_own_name_where_a_link_leads_to_it_too(tmp_path: Path) -> None:
    made(tmp_path / "own", KEY)
    (tmp_path / "a link").symlink_to("own")
    assert find_sweeps(tmp_path) == ([tmp_path / "own"], [])


@pytest.mark.parametrize("name", [".snapshot/hourly.0", ".zfs", "own/superseded/2026-01-01", "own/fits/cache"])
def test_snapshots_and_what_was_set_aside_are_left_alone(tmp_path: Path, name: str) -> None:
    made(tmp_path / "own", KEY)
    made(tmp_path / name, OTHER)
    assert find_sweeps(tmp_path) == ([tmp_path / "own"], [])
    sweep, status = only(tmp_path)
    assert list(sweep.identities) == [fit.key for fit in status.fits] == [KEY]
    assert list(sweeps.read_sweep(tmp_path / name).identities) == [OTHER], "they can be asked for"


def test_dot_files_beside_the_fits_are_left_alone_by_all(tmp_path: Path) -> None:
    folder = made(tmp_path / "own", KEY)
    for name in ("._plain_p0.300_seed1.parquet", ".plain_p0.300_seed2.parquet.123-ab", ".DS_Store"):
        (folder / "fits" / name).write_bytes(b"\0\5\x16\7 of an Apple")
    (folder / "failures").mkdir()
    (folder / "failures" / "._bn_p0.300_seed1.json").write_bytes(b"\0\5\x16\7")
    (folder / "running" / "._bn_p0.300_seed1.lock").write_bytes(b"\0\5\x16\7")
    sweep, status = only(folder)
    plan = plan_sweep(folder, SMOKE, Grid(("plain",), (0.3,), (1,)))
    assert sweep.broken == status.broken == plan.broken == []
    assert list(plan.done) == [KEY]
    assert len(sweeps.load(folder)) == 49
    assert layout.begun_paths(folder) == set()


@pytest.mark.parametrize("target", ["/nowhere/disk/fits", "fits", "own/protocol.json"])
def test_fits_on_a_disk_that_is_not_there_are_not_taken_for_none(tmp_path: Path, target: str) -> None:
    folder = made(tmp_path / "own", KEY)
    shutil.rmtree(folder / "fits")
    (folder / "fits").symlink_to(target if target != "own/protocol.json" else folder / "protocol.json")
    sweep, broken = sweeps.read_sweep(folder), status_of(folder).broken
    for sentences in (sweep.broken, broken):
        assert [str(folder / "fits") in sentence for sentence in sentences] == [True]
    with pytest.raises(StoreError, match="own/fits"):
        sweeps.load(tmp_path)
    answer = bnbench("run", "--profile", "smoke", "--out", "own", "--dry-run", cwd=tmp_path)
    assert answer.returncode == 2
    assert "own/fits" in answer.stderr


def test_what_is_called_fits_in_a_folder_of_another_kind_hides_no_sweep(tmp_path: Path) -> None:
    made(tmp_path / "other" / "own", KEY)
    (tmp_path / "other" / "fits").touch()
    assert find_sweeps(tmp_path) == ([tmp_path / "other" / "own"], [])
    made(tmp_path / "own", KEY)
    (tmp_path / "loop").mkdir()
    (tmp_path / "loop" / "fits").symlink_to("fits")
    found, broken = find_sweeps(tmp_path)
    assert found == [tmp_path / "other" / "own", tmp_path / "own"]
    assert [str(tmp_path / "loop") in sentence for sentence in broken] == [True]


@pytest.mark.parametrize("out", ["a file/below/it", "a dead link"])
def test_a_plan_promises_no_folder_that_cannot_be_made(tmp_path: Path, out: str) -> None:
    (tmp_path / "a file").touch()
    (tmp_path / "a dead link").symlink_to("nowhere")
    with pytest.raises(StoreError, match=re.escape(str(tmp_path / out.partition("/")[0]))):
        check_folder(tmp_path / out, SMOKE)


def test_a_folder_that_cannot_be_listed_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made(tmp_path / "own", KEY)
    (tmp_path / "shut").mkdir()
    real = Path.iterdir

    def refused(path: Path) -> object:
        if path.name in ("shut", "failures"):
            raise PermissionError(13, "Permission denied", str(path))
        return real(path)

    monkeypatch.setattr(Path, "iterdir", refused)
    found, broken = sweeps.read_sweeps(tmp_path)
    assert len(broken) == len(found[0].broken) == 1
    assert str(tmp_path / "shut") in broken[0]
    assert "Permission denied" in broken[0]
    assert str(tmp_path / "own" / "failures") in found[0].broken[0]


# What changes while it is read, and what is missing.


def test_a_fit_written_between_two_looks_is_not_unreadable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = made(tmp_path / "own", OTHER)
    write_config(folder, effective_config(SMOKE, Grid(("plain", "bn"), (0.3,), (1,)), {}))
    real = layout.fit_paths

    def listed(there: Path) -> list[Path]:
        found = real(there)
        store.write_fit(folder, make_result())
        return found

    monkeypatch.setattr(layout, "fit_paths", listed)
    status = status_of(folder)
    assert status.of("unreadable") == []
    assert status.broken == []


def test_a_fit_moved_aside_between_two_looks_is_no_damage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = made(tmp_path / "own", OTHER)
    gone = [*layout.fit_paths(folder), layout.fit_path(folder, KEY)]
    monkeypatch.setattr(layout, "fit_paths", lambda there: gone)
    plan = plan_sweep(folder, SMOKE, Grid(("plain", "bn"), (0.3,), (1,)))
    assert (list(plan.done), plan.to_run, plan.broken) == ([OTHER], [KEY], [])
    assert sweeps.read_sweep(folder).broken == status_of(folder).broken == []


def test_a_missing_protocol_is_told(tmp_path: Path) -> None:
    folder = made(tmp_path / "own", KEY)
    (folder / "protocol.json").unlink()
    for read in (sweeps.load, sweeps.read_sweep):
        with pytest.raises(StoreError, match=re.escape(str(folder / "protocol.json"))):
            read(folder)
    found, (sentence,) = read_statuses(folder, {})
    assert found == []
    assert str(folder / "protocol.json") in sentence
    for name in ("status", "report", "evaluate"):
        answer = bnbench(name, str(folder), cwd=tmp_path)
        assert answer.returncode in (1, 2)
        assert "protocol.json" in answer.stdout + answer.stderr
    with pytest.raises(StoreError, match="steps 300 there, 7 here"):
        open_folder(folder, SMOKE.with_knobs(steps=7))
    open_folder(folder, SMOKE)
    assert len(sweeps.load(folder)) == 49


def test_a_folder_in_a_fits_place_makes_no_folder_of_results(tmp_path: Path) -> None:
    layout.fit_path(tmp_path / "own", KEY).mkdir(parents=True)
    assert find_sweeps(tmp_path) == ([], [])
    open_folder(tmp_path / "own", TINY)
    assert read_protocol(tmp_path / "own") == TINY


# The folder's own files.


def test_a_configuration_belongs_to_the_folder_that_it_lies_in(tmp_path: Path) -> None:
    own = made(tmp_path / "results" / "own", KEY)
    config = layout.config_path(own)
    write_config(own, effective_config(SMOKE, Grid(("plain",), (0.3,), (1,)), {"out": "results/own"}))
    moved = tmp_path / "moved"
    own.rename(moved)
    assert folder_of(layout.config_path(moved)) == moved
    (tmp_path / "linked").symlink_to(moved)
    assert folder_of(tmp_path / "linked" / "config.toml") == tmp_path / "linked"
    (tmp_path / "mine.toml").symlink_to(layout.config_path(moved))
    assert folder_of(tmp_path / "mine.toml") == moved
    shutil.copy(layout.config_path(moved), tmp_path / "config.toml")
    shutil.copy(layout.config_path(moved), moved / "another.toml")
    assert folder_of(tmp_path / "config.toml") is None
    assert folder_of(moved / "another.toml") is None
    for file in (moved / "config.toml", tmp_path / "mine.toml"):
        answer = bnbench("run", "--config", str(file), "--dry-run", "--json", cwd=tmp_path)
        assert (
            json.loads(answer.stdout.splitlines()[0]).items() >= {"folder": str(moved), "done": 1, "to_run": 0}.items()
        )
    answer = bnbench(
        "run", "--config", str(moved / "config.toml"), "--out", "third", "--dry-run", "--json", cwd=tmp_path
    )
    assert json.loads(answer.stdout.splitlines()[0])["folder"] == "third"
    assert not config.exists()
    assert not (tmp_path / "third").exists()


@pytest.mark.parametrize("damage", ["{", '{"chunk": 0}', "[]"])
def test_a_damaged_chunk_is_said_and_that_of_the_fits_is_kept(tmp_path: Path, damage: str) -> None:
    folder = tmp_path / "own"
    open_folder(folder, SMOKE)
    provenance = make_result().provenance
    for seed in (1, 2):
        store.write_fit(folder, make_result(FitKey("plain", 0.3, seed), provenance={**provenance, "chunk": 7}))
    layout.execution_path(folder).write_text(damage)
    command = ("run", "--profile", "smoke", "--probs", "0.3", "--seeds", "3", "--arms", "plain", "--out", "own")
    answer = bnbench(*command, "--dry-run", "--json", cwd=tmp_path)
    assert str(Path("own") / "execution.json") in answer.stderr
    assert "computed 7 at once" in answer.stderr
    assert json.loads(answer.stdout.splitlines()[0])["chunk"] == 7
    assert layout.execution_path(folder).read_text() == damage, "a dry run writes nothing"
    assert chunks.keep_chunk(folder, 7) == chunks.read_chunk(folder) == 7


def test_a_fit_that_no_reader_would_believe_is_not_done(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from bnbench.sweep import fit_under_way
    from bnbench.sweep.backends.inline import Inline
    from bnbench.sweep.measure import measure_fit
    from bnbench.sweep.runner import Runner

    def infinite(*arguments: Any, **how: Any) -> tuple[pd.DataFrame, pd.DataFrame]:
        table, summary = measure_fit(*arguments, **how)
        return table.assign(test_loss=table["test_loss"].where(table.index != 3, float("inf"))), summary

    monkeypatch.setattr(fit_under_way, "measure_fit", infinite)
    open_folder(tmp_path, TINY)
    plan = plan_sweep(tmp_path, TINY, Grid(("plain",), (0.5,), (1,)))
    (outcome,) = Runner(plan, Execution(make_slots(("cpu",), 1, 1), chunk=4), Inline()).outcomes()
    assert outcome.state == "failed"
    assert "test_loss" in outcome.message
    assert layout.fit_paths(tmp_path) == []
    assert len(layout.failure_paths(tmp_path)) == 1


# What is committed.


@pytest.mark.nightly
def test_every_committed_fit_is_whole_and_none_stands_there_twice() -> None:
    root = Path(__file__).parents[2] / "results"
    found, broken = sweeps.read_sweeps(root)
    assert broken == [message for sweep in found for message in (*sweep.broken, *sweep.notes)] == []
    assert sum(len(sweep.identities) for sweep in found) == len(list(root.rglob("fits/*.parquet")))
    assert PROFILES["compact"].hash in {sweep.protocol.hash for sweep in found}


def test_a_link_to_a_fit_is_that_fit(tmp_path: Path) -> None:
    path = layout.fit_path(made(tmp_path / "own", KEY), KEY)
    shutil.move(path, tmp_path / "elsewhere.parquet")
    path.symlink_to(tmp_path / "elsewhere.parquet")
    assert read_fit(path).key == KEY
    assert len(sweeps.load(tmp_path)) == 49
