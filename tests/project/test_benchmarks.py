"""The benchmarks run and agree with themselves, on the CPU and at their smallest."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


def said_by(script: str, *options: str) -> str:
    """What a script prints; where it fails, the test shows why."""
    command = [sys.executable, str(BENCHMARKS / script), *options]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.nightly
def test_the_gpu_benchmark_runs_on_any_device(tmp_path: Path) -> None:
    said_by("gpu.py", "--device", "cpu", "--out", str(tmp_path))
    found = json.loads((tmp_path / "gpu.json").read_text())
    assert list(found) == ["right", "steps", "ceilings", "resumed", "hour"]
    assert all(rows and not any(row.get("is_wrong") for row in rows) for rows in found.values())
    assert (tmp_path / "gpu.md").read_text().count("\n") == 2 + sum(map(len, found.values()))


@pytest.mark.nightly
def test_the_engine_benchmark_compares_equal_gradients(tmp_path: Path) -> None:
    options = ["--threads", "1", "--rounds", "1", "--json", str(tmp_path / "engine.json")]
    said_by("engine.py", "--shapes", "compact", "--arms", "plain", *options)
    (row,) = json.loads((tmp_path / "engine.json").read_text())["rows"]
    assert row["ratio"] == pytest.approx(row["naive_ms"] / row["engine_ms"])
    assert row["gflops"] > 0


@pytest.mark.nightly
def test_the_runner_benchmark_plans_copies_of_a_finished_fit(tmp_path: Path) -> None:
    said_by("runner.py", "--only", "plan", "--done", "8", "--json", str(tmp_path / "runner.json"))
    found = json.loads((tmp_path / "runner.json").read_text())["plan"]
    assert found["done"] == 8
    assert found["processor_seconds"] > 0


@pytest.mark.nightly
def test_the_bounds_benchmark_compares_equal_gradients() -> None:
    said = said_by("bounds.py", "--rounds", "1").splitlines()
    milliseconds = {line[:32].strip(): float(line[32:].split()[0]) for line in said}
    ways = {f"{arm}, {way}" for arm in ("plain", "bn") for way in ("vmap", "written by hand")}
    assert {"their sum", *ways} <= milliseconds.keys()
    assert all(value > 0 for value in milliseconds.values())


@pytest.mark.nightly
def test_the_demos_time_is_told_in_a_line_in_seconds_or_minutes(tmp_path: Path) -> None:
    for probs, fits in (("0.1:0.9:0.2", 10), ("0.5", 2)):
        said = said_by("demo_time.py", "--folder", str(tmp_path), "--seeds", "1", "--probs", probs)
        assert said.count("\n") == 1
        assert f" {fits} fits " in said
        # A machine at rest does two fits in less than the 90 s from which minutes are said.
        assert re.search(r": about \d+ (s|min|h \d+ min), until \d\d:\d\d on ", said)
    assert not [*tmp_path.iterdir()]
