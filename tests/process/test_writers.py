"""What killed writers leave is removed by the next run; what a living one writes is not."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
from matplotlib.figure import Figure as Drawing

from bnbench.cli.check import _write_baseline
from bnbench.evaluate.measure import evaluate_planes
from bnbench.evaluate.plan import EvaluationRequest
from bnbench.export import export_tensorboard
from bnbench.process import writers
from bnbench.process.writers import host_hash, remove_dead_scratch
from bnbench.report.figures.style import save
from bnbench.report.page.manifest import remove_outdated
from bnbench.results import layout
from bnbench.results.folder_protocol import open_folder
from bnbench.results.store import StoreError, write_fit
from bnbench.results.verify import record
from bnbench.sweep.devices import make_slots
from bnbench.sweep.execution import Execution
from bnbench.sweep.interrupts import discard_old_markers
from tests.fits import KEY, SMOKE, TINY, make_result


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


def opens(folder: Path) -> None:
    """What run, smoothness and a worker of Dask begin with."""
    open_folder(folder, TINY)


def evaluates(folder: Path) -> None:
    request = EvaluationRequest(folder, Execution(make_slots(("cpu",), 1, 1)))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("bnbench.evaluate.measure.each_in_processes", lambda *_: iter(()))
        assert list(evaluate_planes([], request)) == []


def verifies(folder: Path) -> None:
    open_folder(folder, TINY)
    with suppress(StoreError):  # there is nothing to list
        record(folder)


def exports(folder: Path) -> None:
    write_fit(folder.parent / "results", make_result())
    open_folder(folder.parent / "results", SMOKE)
    export_tensorboard(folder.parent / "results", folder)


def updates(folder: Path) -> None:
    _write_baseline(folder / "baseline.json", {})


def draws(folder: Path) -> None:
    save(Drawing(), folder, "strip", ["svg"])


def reports(folder: Path) -> None:
    remove_outdated(folder, {folder / "index.html": "", folder / "figures" / "figure4.svg": ""})


def strays_of(path: Path, dead: int) -> tuple[list[Path], list[Path]]:
    """Half-written files that have to go, and others that have to stay."""

    def named(writer: str, name: str = path.name, *, is_old: bool = False) -> Path:
        return put(path.with_name(f".{name}.{writer}-ab12cd34"), is_old=is_old)

    gone = [named(f"{host_hash()}-{dead}"), named("00000000-1", is_old=True)]
    return gone, [
        named(f"{host_hash()}-{os.getpid()}", is_old=True),
        named("00000000-2"),
        put(path.with_name(".hidden"), is_old=True),
    ]


# Every place that writes through a temporary name, and what the same command begins with.
WRITING = [
    *((opens, name) for name in ("protocol.json", "config.toml", "execution.json", "fits/a.parquet")),
    *((opens, name) for name in ("failures/a.json", "running/a.json", "planes/a.safetensors")),
    *((opens, name) for name in ("smoothness/a.parquet", "smoothness/planes/a.parquet", "smoothness/running/.trial")),
    *((evaluates, name) for name in ("quick-0a/summaries/a.parquet", "quick-0a/landscapes/a.parquet")),
    (exports, f"{SMOKE.id}/{layout.fit_name(KEY)}/events.out.tfevents.0.bnbench"),
    (verifies, "SHA256SUMS"),
    (updates, "baseline.json"),
    (draws, "strip.svg"),
    *((reports, name) for name in ("index.html", "figures/figure4.svg", "bnbench-files.sha256")),
]  # bend: tests/bending/test_bend.py
IN_ANY_FOLDER = (exports, updates, draws)  # where others may have files that are named as ours are


@pytest.mark.parametrize(("writes", "name"), WRITING)
def test_the_next_run_removes_what_the_dead_were_writing(
    writes: Callable[[Path], None], name: str, dead: int, tmp_path: Path
) -> None:
    path = tmp_path / "here" / name
    gone, kept = strays_of(path, dead)
    if writes in IN_ANY_FOLDER:
        kept.append(put(path.with_name(".other.00000000-1-ab12"), is_old=True))
    writes(tmp_path / "here")
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


def test_a_download_removes_what_killed_downloads_have_left(dead: int, tmp_path: Path) -> None:
    gone = put(tmp_path / f".bnbench-{host_hash()}-{dead}-ab12" / "images")
    kept = put(tmp_path / f".bnbench-{host_hash()}-{os.getpid()}-ab12" / "images")
    remove_dead_scratch(tmp_path, ".")
    assert (gone.parent.exists(), kept.exists()) == (False, True)
