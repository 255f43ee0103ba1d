"""bnbench export: a run of TensorBoard for each fit, read back, with the same bytes each time."""

from __future__ import annotations

import sys
from pathlib import Path

import pandas as pd
import pytest

from bnbench.export import _measured, export_tensorboard
from bnbench.protocol.protocol import FitKey
from bnbench.results import layout
from bnbench.results.fits import read_fit
from tests.cli.test_cli import assert_refused, bnbench
from tests.fits import SMOKE, make_result
from tests.synthetic import SMALL, write_sweep

KEY = FitKey("bn", 0.3, 2)
MISSING = "the extra tensorboard is not installed: what is written is NOT read back; pip install tensorboard"


@pytest.fixture
def sweep(tmp_path: Path) -> Path:
    folder = tmp_path / "results" / "own"
    write_sweep(folder, probs=(0.3,), seeds=(1, 2))
    return folder


def read_back(run: Path) -> dict[str, dict[int, float]]:
    """Every chart of a run: step to value."""
    module = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator", reason=MISSING)
    events = module.EventAccumulator(str(run), size_guidance={"scalars": 0})
    events.Reload()
    tags = events.Tags()["scalars"]
    return {tag: {event.step: event.value for event in events.Scalars(tag)} for tag in tags}


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_run_has_the_traces_and_the_measures_of_its_fit(sweep: Path, tmp_path: Path) -> None:
    pytest.importorskip("tensorboard", reason=MISSING)
    before = contents(sweep)
    exported = export_tensorboard(sweep.parent, tmp_path / "runs")
    assert len(exported.runs) == 4
    charts = read_back(tmp_path / "runs" / SMALL.id / layout.fit_name(KEY))
    fit = read_fit(layout.fit_path(sweep, KEY))
    traced = {"training loss/black": "black_loss", "training loss/white": "white_loss"}
    for chart, column in (traced | {"training/learning rate": "learning_rate"}).items():
        assert list(charts[chart]) == fit.trace["step"].tolist()
        assert list(charts[chart].values()) == pytest.approx(fit.trace[column].tolist(), rel=1e-6)
    end = fit.summary[fit.summary["headline"] & (fit.summary["split"] == "test") & (fit.summary["pixels"] == "trained")]
    assert charts["trained pixels/difference"] == {300: pytest.approx(end["difference"].item(), rel=1e-6)}
    assert contents(sweep) == before


def test_what_was_measured_on_the_way_is_there_at_its_steps() -> None:
    steps = SMOKE.training.steps
    course = [
        {"step": step, "pixels": pixels, "difference": value, "right": 2 * value, "objective": -value}
        for step, value in ((10, 0.125), (steps, 0.25))
        for pixels in ("all", "trained")
    ]
    fit = make_result(course=pd.DataFrame(course))
    rows = sorted(_measured(fit, steps), key=lambda row: row[0])
    assert [step for step, _ in rows] == [10, 10, steps, steps]
    assert rows[0][1] == {"all pixels/difference": 0.125, "all pixels/right": 0.25, "all pixels/objective": -0.125}


def test_the_same_again_writes_the_same_and_adds_what_is_new(sweep: Path, tmp_path: Path) -> None:
    pytest.importorskip("tensorboard", reason=MISSING)
    runs = tmp_path / "runs"
    export_tensorboard(sweep, runs)
    before, times = contents(runs), {path: path.stat().st_mtime_ns for path in runs.rglob("*")}
    export_tensorboard(sweep, runs)
    assert contents(runs) == before
    assert all(path.stat().st_mtime_ns == time for path, time in times.items()), "nothing to read again"
    write_sweep(sweep, probs=(0.3,), seeds=(3,))
    export_tensorboard(sweep, runs)
    assert len(contents(runs)) == 6
    assert contents(runs).items() > before.items()


def test_a_damaged_fit_is_named_and_costs_no_other(sweep: Path, tmp_path: Path) -> None:
    pytest.importorskip("tensorboard", reason=MISSING)
    damaged = layout.fit_path(sweep, KEY)
    damaged.write_bytes(damaged.read_bytes()[:200])
    answer = bnbench("export", str(sweep), "--tensorboard", "runs", cwd=tmp_path)
    assert answer.returncode == 1
    assert damaged.name in answer.stderr
    assert len(contents(tmp_path / "runs")) == 3


@pytest.mark.parametrize("place", [".", "fits", "below/it", "..", "../../file", "../../file/below"])
def test_results_and_files_are_no_place_to_write_to(sweep: Path, tmp_path: Path, place: str) -> None:
    pytest.importorskip("tensorboard", reason=MISSING)
    (tmp_path / "file").touch()
    before = contents(sweep.parent)
    answer = bnbench("export", str(sweep.parent), "--tensorboard", str(sweep / place), cwd=sweep)
    assert answer.returncode == 2
    assert "--tensorboard" in answer.stderr
    assert contents(sweep.parent) == before


def test_a_file_in_the_place_of_the_folder_is_named_with_its_option(sweep: Path, tmp_path: Path) -> None:
    pytest.importorskip("tensorboard", reason=MISSING)
    (tmp_path / "taken").write_text("mine")
    assert_refused(bnbench("export", str(sweep), "--tensorboard", "taken", cwd=tmp_path), "--tensorboard taken")
    assert (tmp_path / "taken").read_text() == "mine"


def test_without_the_package_or_a_folder_one_sentence_says_what_to_do(
    sweep: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "tensorboard", None)
    for arguments, named in ((("--tensorboard", str(tmp_path / "runs")), "pip install"), ((), "--tensorboard")):
        assert_refused(bnbench("export", str(sweep), *arguments, cwd=tmp_path), named)
    assert not (tmp_path / "runs").exists()
