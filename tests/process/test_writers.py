"""What killed writers leave is removed by the next run; what a living one writes is not."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from bnbench.process.writers import host_hash
from bnbench.results.folder_protocol import open_folder
from bnbench.sweep.interrupts import discard_old_markers
from tests.fits import TINY


@pytest.fixture
def dead() -> int:
    with subprocess.Popen([sys.executable, "-S", "-c", ""]) as process:
        process.wait()
    return process.pid


def put(path: Path, *, is_old: bool = False) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
    if is_old:
        os.utime(path, (0, 0))
    return path


@pytest.mark.parametrize(
    "name", ["protocol.json", "config.toml", "fits/a.parquet", "planes/a.safetensors", "smoothness/a.parquet"]
)
def test_the_next_run_removes_what_the_dead_were_writing(name: str, dead: int, tmp_path: Path) -> None:
    path = tmp_path / name
    ours, theirs = f"{host_hash()}-{dead}", "00000000-1"
    gone = [
        put(path.with_name(f".{path.name}.{ours}-ab12cd34")),
        put(path.with_name(f".{path.name}.{theirs}-ab12cd34"), is_old=True),
    ]
    kept = [
        put(path.with_name(f".{path.name}.{host_hash()}-{os.getpid()}-ab12cd34"), is_old=True),
        put(path.with_name(f".{path.name}.{theirs}-ff12cd34")),
        put(path.with_name(".hidden"), is_old=True),
    ]
    open_folder(tmp_path, TINY)
    assert [one for one in gone if one.exists()] == []
    assert [one for one in kept if not one.exists()] == []


def test_scratch_folders_and_markers_of_the_dead_go(dead: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "scratch"))
    living = f"{host_hash()}-{os.getpid()}-ab12"
    gone = put(tmp_path / "scratch" / f"bnbench-{host_hash()}-{dead}-ab12" / "stop")
    kept = put(tmp_path / "scratch" / f"bnbench-{living}" / "stop")
    marker = put(tmp_path / "out" / "running" / f"here-{host_hash()}-{dead}-ab12")
    neighbour = put(tmp_path / "out" / "running" / f"here-{living}", is_old=True)
    open_folder(tmp_path / "out", TINY)
    discard_old_markers(tmp_path / "out" / "running")
    assert (gone.parent.exists(), marker.exists()) == (False, False)
    assert kept.exists()
    assert neighbour.exists()
