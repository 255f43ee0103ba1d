"""--shard: job arrays on one folder."""

from __future__ import annotations

import threading
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from bnbench.protocol.protocol import Grid
from bnbench.results import chunks, sweeps
from bnbench.sweep.plan import plan_sweep
from tests.cli.test_cli import TINY as COMMAND
from tests.cli.test_cli import bnbench
from tests.fits import TINY
from tests.sentences import numbers


@given(
    seeds=st.integers(1, 7),
    probs=st.lists(st.sampled_from([0.1, 0.25, 0.5, 0.9]), min_size=1, unique=True),
    shards=st.integers(1, 12),
)
def test_shards_are_disjoint_even_and_cover_the_grid(seeds: int, probs: list[float], shards: int) -> None:
    grid = Grid(("plain", "bn"), tuple(probs), tuple(range(1, seeds + 1)))
    parts = [plan_sweep(Path("nowhere"), TINY, grid, shard=(n, shards)).to_run for n in range(1, shards + 1)]
    assert sorted(str(key) for part in parts for key in part) == sorted(map(str, grid.fits()))
    assert max(map(len, parts)) - min(map(len, parts)) <= 1


def test_the_plan_line_of_a_shard(tmp_path: Path) -> None:
    plan = plan_sweep(tmp_path, TINY, Grid(("plain", "bn"), (0.5,), (1, 2, 3)), shard=(2, 4))
    assert "2/4" in str(plan)
    assert numbers(str(plan).replace("2/4", "")) == ["6", "2", "1", "3", "0", "2"], "fits, arms, p, seeds, done, to run"


def test_shards_share_a_folder_and_its_chunk(tmp_path: Path) -> None:
    """Of two at once no fit is computed twice: see claims, the choice of a chunk below, and by night the torture."""
    answers = [bnbench(*COMMAND, "--seeds", "2", "--shard", f"{n}/2", cwd=tmp_path) for n in (1, 2)]
    said = [answer.stderr for answer in answers]
    assert [answer.returncode for answer in answers] == [0, 0], said
    assert "1/2" in said[0]
    found = sweeps.read_sweep(tmp_path / "results" / "smoke").provenance
    assert len(found) == 4
    assert set(found["chunk"]) == {chunks.read_chunk(tmp_path / "results" / "smoke")}
    assert all(f"{found['chunk'].iloc[0]} pixels" in text or found["chunk"].iloc[0] == 1 for text in said)


def test_of_many_choices_of_a_chunk_at_once_one_holds(tmp_path: Path) -> None:
    assert_one_choice_holds(tmp_path)


def assert_one_choice_holds(tmp_path: Path) -> None:
    start = threading.Barrier(8)
    kept: list[int] = []

    def keep(chunk: int) -> None:
        start.wait()
        kept.append(chunks.keep_chunk(tmp_path, chunk))

    threads = [threading.Thread(target=keep, args=(chunk,)) for chunk in range(1, 9)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert set(kept) == {chunks.read_chunk(tmp_path)}
    assert [path.name for path in tmp_path.iterdir()] == ["execution.json"]


def test_of_many_that_find_a_damaged_choice_one_mends_it(tmp_path: Path) -> None:
    (tmp_path / "execution.json").write_text("{")
    assert_one_choice_holds(tmp_path)


def test_a_damaged_choice_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "execution.json").write_text("{")
    assert chunks.keep_chunk(tmp_path, 4) == chunks.read_chunk(tmp_path) == 4
