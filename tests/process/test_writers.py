"""What killed writers leave is removed by the next run; what a living one writes is not."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from bnbench.process import writers
from bnbench.process.writers import host_hash, remove_dead_scratch
from bnbench.report.page.manifest import remove_outdated
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


def test_shared_memory_of_a_dead_runner_goes_with_its_scratch_folder(
    dead: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a process that has no such folder it is not ours, dead or not."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "scratch"))
    monkeypatch.setattr(writers, "_SHARED_MEMORY", tmp_path / "shared")
    put(tmp_path / "scratch" / f"bnbench-{host_hash()}-{dead}-ab12" / "stop")
    put(tmp_path / "scratch" / f"bnbench-{host_hash()}-{os.getpid()}-ab12" / "stop")
    for pid in (dead, os.getpid(), 10 * dead):
        put(tmp_path / "shared" / f"sem.loky-{pid}-ab12")
        put(tmp_path / "shared" / f"joblib_memmapping_folder_{pid}_ab_cd" / "array")
    open_folder(tmp_path / "out", TINY)
    left = sorted(path.name for path in (tmp_path / "shared").iterdir())
    kept = (os.getpid(), 10 * dead)
    names = ("joblib_memmapping_folder_{}_ab_cd", "sem.loky-{}-ab12")
    assert left == sorted(name.format(pid) for pid in kept for name in names)


def test_a_report_removes_what_killed_reports_were_writing(dead: int, tmp_path: Path) -> None:
    page = put(tmp_path / "index.html")
    figure = put(tmp_path / "figures" / "figure4.svg")
    gone = [put(path.with_name(f".{path.name}.{host_hash()}-{dead}-ab12")) for path in (page, figure)]
    kept = put(tmp_path / f".index.html.{host_hash()}-{os.getpid()}-ab12")
    remove_outdated(tmp_path, dict.fromkeys((page, figure), ""))
    assert [path.exists() for path in (*gone, kept, page, figure)] == [False, False, True, True, True]


def test_a_download_removes_what_killed_downloads_have_left(dead: int, tmp_path: Path) -> None:
    gone = put(tmp_path / f".bnbench-{host_hash()}-{dead}-ab12" / "images")
    kept = put(tmp_path / f".bnbench-{host_hash()}-{os.getpid()}-ab12" / "images")
    remove_dead_scratch(tmp_path, ".")
    assert (gone.parent.exists(), kept.exists()) == (False, True)
