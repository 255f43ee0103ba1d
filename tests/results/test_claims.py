"""Claims: the kernel frees them, and no two processes ever hold one together."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from multiprocessing.connection import Connection
from multiprocessing.synchronize import Event
from pathlib import Path

import pytest

from bnbench.protocol.protocol import FitKey
from bnbench.results import layout
from bnbench.results.claims import (
    Progress,
    claim,
    discard_left_behind,
    is_claimed,
    running,
    was_left_behind,
    write_progress,
)

KEY = FitKey("plain", 0.5, 1)
SAID = Progress("plain", 0.5, 1, "cpu#0", "host", 1, "token", 0.0, 0, 3, 9)
SPAWN = multiprocessing.get_context("spawn")


def hold(folder: Path, pipe: Connection) -> None:
    with claim(folder, KEY) as is_ours:
        write_progress(folder, SAID)
        pipe.send(is_ours)
        time.sleep(600)


@contextmanager
def held_elsewhere(folder: Path) -> Iterator[int]:
    """Another process holds the claim; gives its process."""
    here, there = SPAWN.Pipe()
    holder = SPAWN.Process(target=hold, args=(folder, there))
    holder.start()
    assert here.recv()
    assert holder.pid is not None
    try:
        yield holder.pid
    finally:
        holder.kill()
        holder.join()


def test_a_claim_is_ours_alone_and_leaves_nothing(tmp_path: Path) -> None:
    assert not is_claimed(tmp_path, KEY)
    with claim(tmp_path, KEY) as is_ours:
        assert is_ours
        assert is_claimed(tmp_path, KEY)
        write_progress(tmp_path, SAID)
        assert running(tmp_path) == [SAID]
        with claim(tmp_path, KEY) as again:
            assert not again
        with claim(tmp_path, replace_seed(2)) as other:
            assert other
    assert not is_claimed(tmp_path, KEY)
    assert list((tmp_path / "running").iterdir()) == []


def test_the_kernel_frees_the_claim_of_a_killed_process(tmp_path: Path) -> None:
    with held_elsewhere(tmp_path) as holder:
        assert is_claimed(tmp_path, KEY)
        assert running(tmp_path) == [SAID]
        with claim(tmp_path, KEY) as is_ours:
            assert not is_ours
        discard_left_behind(tmp_path, [KEY])
        assert layout.progress_path(tmp_path, KEY).exists(), "a living process is left alone"
        os.kill(holder, signal.SIGKILL)
        while is_claimed(tmp_path, KEY):
            time.sleep(0.01)
    assert was_left_behind(tmp_path, KEY)
    assert running(tmp_path) == []
    with claim(tmp_path, KEY) as is_ours:
        assert is_ours


def test_what_the_dead_leave_is_cleared_away_but_their_checkpoint(tmp_path: Path) -> None:
    other = replace_seed(11)  # its name begins like that of seed 1
    leave_behind(tmp_path, KEY)
    leave_behind(tmp_path, other)
    discard_left_behind(tmp_path, [KEY])
    left = {path.name for path in tmp_path.rglob("*") if path.is_file()}
    assert "plain_p0.500_seed1.pt" in left
    assert {name for name in left if "seed1." in name} == {"plain_p0.500_seed1.pt"}
    assert len({name for name in left if "seed11." in name}) == 5


def test_a_fit_that_is_done_keeps_no_checkpoint_of_the_dead(tmp_path: Path) -> None:
    leave_behind(tmp_path, KEY)
    layout.fit_path(tmp_path, KEY).write_bytes(b"done")
    discard_left_behind(tmp_path, [KEY])
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == [layout.fit_path(tmp_path, KEY)]


def compete(folder: Path, start: Event, rounds: int, held: str) -> None:
    """Claim again and again; a second file that only one may make shows that nobody else holds the claim."""
    start.wait()
    won = 0
    while won < rounds:
        with claim(folder, KEY) as is_ours:
            if is_ours:
                os.close(os.open(held, os.O_CREAT | os.O_EXCL))
                won += 1
                Path(held).unlink()
        is_claimed(folder, KEY)


def test_many_that_compete_for_a_claim_never_hold_it_together(tmp_path: Path) -> None:
    """Each holder deletes the lock file: whoever has opened it before must not take it for the claim."""
    start = SPAWN.Event()
    arguments = (tmp_path, start, 60, str(tmp_path / "held"))
    rivals = [SPAWN.Process(target=compete, args=arguments) for _ in range(4)]
    for rival in rivals:
        rival.start()
    start.set()
    for rival in rivals:
        rival.join()
    assert [rival.exitcode for rival in rivals] == [0] * 4
    assert list((tmp_path / "running").iterdir()) == []


def look(folder: Path, ready: Event, enough: Event) -> None:
    ready.set()
    while not enough.is_set():
        is_claimed(folder, KEY)
        running(folder)


def test_lookers_never_keep_a_claimer_out_for_good(tmp_path: Path) -> None:
    (tmp_path / "running").mkdir()
    layout.lock_path(tmp_path, KEY).touch()
    ready, enough = SPAWN.Event(), SPAWN.Event()
    looker = SPAWN.Process(target=look, args=(tmp_path, ready, enough))
    looker.start()
    ready.wait()
    won = 0
    for _ in range(200):
        with claim(tmp_path, KEY) as is_ours:
            won += is_ours
        layout.lock_path(tmp_path, KEY).touch()
    enough.set()
    looker.join()
    assert won > 150, "a claimer that was kept out once comes again"


@pytest.mark.parametrize("content", [b"", b"{", b"[1]", b"\xff", b'{"arm": "plain"}', b'"text"', b"null"])
def test_rubbish_for_a_progress_file_is_nobodys_progress(tmp_path: Path, content: bytes) -> None:
    with claim(tmp_path, KEY):
        layout.progress_path(tmp_path, KEY).write_bytes(content)
        assert running(tmp_path) == []


@pytest.mark.parametrize(
    ("trace", "is_told"), [([], True), ([[0, 2.3, 2.5]], True), ([[0, 2.3]], False), ([[0, "x", 1]], False), (7, False)]
)
def test_a_trace_is_rows_of_three_numbers(tmp_path: Path, trace: object, is_told: bool) -> None:
    with claim(tmp_path, KEY):
        layout.progress_path(tmp_path, KEY).write_text(json.dumps(asdict(SAID) | {"trace": trace}))
        assert [progress.trace for progress in running(tmp_path)] == ([trace] if is_told else [])


def test_a_folder_in_place_of_a_lock_claims_nothing(tmp_path: Path) -> None:
    layout.lock_path(tmp_path, KEY).mkdir(parents=True)
    layout.progress_path(tmp_path, KEY).write_text(json.dumps(asdict(SAID)))
    assert not is_claimed(tmp_path, KEY)
    assert running(tmp_path) == []
    discard_left_behind(tmp_path, [KEY])
    with pytest.raises(IsADirectoryError), claim(tmp_path, KEY):
        pass


def leave_behind(folder: Path, key: FitKey) -> None:
    """What a process that is killed in the worst moments leaves of a fit."""
    (folder / "running").mkdir(exist_ok=True)
    (folder / "fits").mkdir(exist_ok=True)
    name = layout.fit_name(key)
    for path in (
        layout.lock_path(folder, key),
        layout.checkpoint_path(folder, key),
        folder / "running" / f".{name}.pt.7",
    ):
        path.touch()
    (folder / "fits" / f".{name}.parquet.7").touch()
    write_progress(folder, replace(SAID, seed=key.seed))


def replace_seed(seed: int) -> FitKey:
    return replace(KEY, seed=seed)
