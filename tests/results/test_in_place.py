"""What may stand in place of a file of results, a pipe, a folder or rubbish, is named and costs nothing else."""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bnbench.evaluate.plan import EvaluationRequest, plan_evaluation
from bnbench.report.page import manifest
from bnbench.results import chunks, claims, layout, sweeps
from bnbench.results.checkpoints import load_checkpoint
from bnbench.results.evaluations import find_evaluations
from bnbench.results.failures import failure_of
from bnbench.results.folder_protocol import open_folder
from bnbench.results.planes import read_plane_details
from bnbench.results.store import StoreError
from bnbench.sweep.devices import make_slots
from bnbench.sweep.execution import Execution
from bnbench.sweep.plan import plan_sweep
from bnbench.sweep.status import read_statuses
from tests.fits import status_of
from tests.results.damaged import DEEP, GRID, SHORT, VICTIM, WHOLE, assert_named_and_left_out


def a_pipe(path: Path) -> None:
    os.mkfifo(path)


def a_folder(path: Path) -> None:
    path.mkdir()


def a_socket(path: Path) -> None:
    here = Path.cwd()
    os.chdir(path.parent)  # the name of a socket has at most a hundred letters
    try:
        with socket.socket(socket.AF_UNIX) as bound:
            bound.bind(path.name)
    finally:
        os.chdir(here)


def a_loop_of_links(path: Path) -> None:
    path.symlink_to(path.name)


def a_link_to_nothing(path: Path) -> None:
    path.symlink_to("nothing")


def a_link_to_a_pipe(path: Path) -> None:
    os.mkfifo(path.with_name(f".{path.name}"))
    path.symlink_to(f".{path.name}")


def content(written: bytes) -> Callable[[Path], Any]:
    return lambda path: path.write_bytes(written)


def a_huge_file(path: Path) -> None:
    with path.open("wb") as file:
        file.truncate(2**41)  # of holes


IN_PLACE: dict[str, Callable[[Path], Any]] = {
    **{make.__name__: make for make in (a_pipe, a_folder, a_socket, a_loop_of_links, a_link_to_nothing)},
    **{make.__name__: make for make in (a_link_to_a_pipe, a_huge_file)},
    "nothing in it": content(b""),
    "a zero": content(b"\0"),
    "text": content(b"no such thing"),
    "a list": content(b"[]"),
    "an empty mapping": content(b"{}"),
    "null": content(b"null"),
    "not UTF-8": content(b'{"chunk": "\xff"}'),
    "nested too deeply": content(DEEP.encode()),
    "nested too deeply in TOML": content(f"seeds = {DEEP}".encode()),
    "a name twice": content(b'{"chunk": 1, "chunk": 2}'),
    "a chunk of text": content(b'{"chunk": "8", "protocol": 1, "arm": 3, "p": "0.3", "seed": [], "hash": null}'),
}


def replaced(path: Path, name: str) -> None:
    path.parent.mkdir(exist_ok=True)
    path.unlink(missing_ok=True)
    IN_PLACE[name](path)


@pytest.mark.parametrize("name", IN_PLACE)
def test_what_is_in_place_of_a_fit_is_named(sweep: Path, name: str) -> None:
    path = layout.fit_path(sweep, VICTIM)
    replaced(path, name)
    assert_named_and_left_out(sweep, path)


@pytest.mark.parametrize("name", IN_PLACE)
def test_what_is_in_place_of_a_protocol_is_named_and_nothing_else_is_read(sweep: Path, name: str) -> None:
    path = sweep / "protocol.json"
    replaced(path, name)
    for read in (sweeps.read_sweep, sweeps.load, lambda folder: open_folder(folder, SHORT)):
        with pytest.raises(StoreError) as refusal:
            read(sweep)
        assert str(path) in str(refusal.value)
        assert "delete" not in str(refusal.value)
    shutil.copytree(sweep / "fits", sweep.parent / "other" / "fits")
    (sweep.parent / "other" / "protocol.json").write_text(
        json.dumps({"hash": SHORT.hash, "protocol": SHORT.as_dict(), "format": 1})
    )
    for found, broken in (sweeps.read_sweeps(sweep.parent), read_statuses(sweep.parent, {})):
        assert len(found) == len(broken) == 1
        assert str(path) in broken[0]


@pytest.mark.parametrize("name", IN_PLACE)
def test_what_is_in_place_of_another_file_is_no_traceback_and_costs_no_fit(sweep: Path, name: str) -> None:
    layout.fit_path(sweep, VICTIM).unlink()
    for path_of in (layout.failure_path, layout.lock_path, layout.progress_path, layout.checkpoint_path):
        replaced(path_of(sweep, VICTIM), name)
    replaced(layout.config_path(sweep), name)
    replaced(layout.execution_path(sweep), name)
    read, status, plan = sweeps.read_sweep(sweep), status_of(sweep), plan_sweep(sweep, SHORT, GRID)
    for broken in (read.broken, status.broken):
        for path in (layout.failure_path(sweep, VICTIM), layout.config_path(sweep)):
            assert len([sentence for sentence in broken if str(path) in sentence]) == 1, broken
        assert not any("delete" in sentence for sentence in broken)
    assert list(read.identities) == [WHOLE] == list(plan.done)
    assert plan.to_run == [VICTIM]
    assert [fit.key for fit in status.of("done")] == [WHOLE]
    assert claims.running(sweep) == []
    with pytest.raises(StoreError, match="--chunk"):
        chunks.read_chunk(sweep)
    with pytest.raises(StoreError, match="failures"):
        failure_of(sweep, VICTIM)
    with pytest.raises(StoreError, match="whole checkpoint"):
        load_checkpoint(sweep, VICTIM, "")
    assert can_be_claimed(sweep) or not layout.lock_path(sweep, VICTIM).is_file()


def can_be_claimed(sweep: Path) -> bool:
    """Whether a claim is had; nobody waits for a pipe."""
    try:
        with claims.claim(sweep, VICTIM) as is_ours:
            return is_ours
    except OSError:
        return False


@pytest.mark.parametrize("name", [name for name in IN_PLACE if name not in ("a_link_to_nothing",)])
def test_what_is_in_place_of_a_plane_is_named(sweep: Path, name: str) -> None:
    path = layout.plane_path(sweep, WHOLE)
    replaced(path, name)
    with pytest.raises(StoreError, match=re.escape(str(path))):
        read_plane_details(path)
    plan = plan_evaluation(sweep, EvaluationRequest(sweep / "evaluations", Execution(make_slots(("cpu",), 1, 1))))
    assert [str(path) in sentence for sentence in plan.broken] == [True]
    assert plan.tasks == []


@pytest.mark.parametrize("name", ["a_pipe", "a_folder", "a_socket", "a_loop_of_links", "nothing in it", "null"])
def test_what_is_in_place_of_an_evaluation_or_a_list_of_files_is_no_traceback(sweep: Path, name: str) -> None:
    path = layout.evaluation_path(sweep / "evaluations", SHORT, WHOLE, "none_test-1000_0123")
    path.parent.mkdir(parents=True)
    replaced(path, name)
    found, broken = find_evaluations([sweep / "evaluations"])
    assert len(found) == 0
    assert [str(path) in sentence for sentence in broken] == [True]
    out = sweep.parent / "report"
    out.mkdir()
    replaced(out / manifest.NAME, name)
    if name != "a_folder":  # what cannot be replaced is told by the report
        assert manifest.remove_outdated(out, {}).is_file()
