"""The search of rate and initial scale at its smallest: what it draws, chooses by, and says of what is missing."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pandas as pd
import pytest

from bnbench.protocol.profiles import PROFILES
from bnbench.protocol.protocol import Grid
from bnbench.report.tables import fits_table
from bnbench.results.sweeps import read_sweep
from tests.benchmark_scripts import benchmark_script
from tests.fits import TINY
from tests.sentences import numbers

OPTIONS = ["--base", "smoke", "--seeds", "101:101:1", "--fits", "5", "--backend", "inline", "--devices", "cpu"]
OPTIONS += ["--jobs", "1", "--chunk", "8"]
GRID = Grid(("plain", "bn"), (0.5,), (101, 102))


@pytest.fixture(scope="module")
def script() -> ModuleType:
    return benchmark_script("tuning")


@pytest.fixture(autouse=True)
def tiny(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(PROFILES, "smoke", TINY)


def made_up(trial: str, arm: str, values: list[tuple[float, float]]) -> list[dict[str, Any]]:
    """A trial's fits of an arm, a seed each, from pairs of J and difference."""
    return [
        {"trial": trial, "learning_rate": 1.0, "initial_scale": 0.1, "arm": arm, "p": 0.5, "seed": 101 + number}
        | {"objective": objective, "difference": difference, "right": 0.9}
        for number, (objective, difference) in enumerate(values)
    ]


@pytest.mark.parametrize("factor", [1.5, 5.0])
def test_trials_start_at_the_profiles_values_and_stay_within_the_factor(script: ModuleType, factor: float) -> None:
    found = script.trials(PROFILES["compact"], 12, factor)
    assert found[0].protocol == PROFILES["compact"]
    for trial in found[1:]:
        changed = trial.protocol.differences(PROFILES["compact"])
        assert changed.keys() == {"learning_rate", "initial_scale"}
        assert all(
            1 / factor <= here / there * 1.005 and here / there <= factor * 1.005 for here, there in changed.values()
        )
    assert len({trial.protocol.hash for trial in found}) == 12
    assert script.trials(PROFILES["compact"], 5, factor) == found[:5], "a larger budget goes on with the same search"


def test_an_arms_best_is_its_own_lowest_objective_whatever_the_difference(script: ModuleType) -> None:
    rows = made_up("trial00", "plain", [(-1.0, 0.9), (-1.2, 0.9)]) + made_up("trial01", "plain", [(-1.3, 0), (-1.1, 0)])
    rows += made_up("trial00", "bn", [(-1.5, 0.1), (-1.5, 0.1)]) + made_up("trial01", "bn", [(-1.4, 0.8), (-1.4, 0.8)])
    rows += made_up("trial02", "bn", [(-2.0, 0.5)])  # one of two seeds: not comparable yet
    assert script.best_trials(script.means_table(pd.DataFrame(rows), GRID)) == {"plain": "trial01", "bn": "trial00"}


def test_both_arms_are_paired_by_seed_each_in_its_own_best_trial(script: ModuleType) -> None:
    rows = made_up("trial00", "plain", [(-1.0, 0.4), (-1.0, 0.4)]) + made_up(
        "trial01", "plain", [(-2.0, 0.6), (-2.1, 0.9)]
    )
    rows += made_up("trial00", "bn", [(-1.5, 0.1), (-1.5, 0.2)])
    tried = script.trials(PROFILES["compact"], 2, 5.0)
    text = script.table_text(pd.DataFrame(rows), tried, GRID)
    (own,) = [line for line in text.splitlines() if "own best" in line]
    assert [cell.strip() for cell in own.split("|")[2:-1]] == [
        "2",
        "−0.550 ± 0.071",
        "+0.000 ± 0.000",
        "+0.600 ± 0.141",
    ]
    assert ["2", "8"] in list(map(numbers, text.splitlines())), "fits that are missing"


@pytest.mark.nightly
def test_the_search_runs_goes_on_and_says_what_its_fits_say(script: ModuleType, tmp_path: Path) -> None:
    out = tmp_path / "tuning"
    assert script.main([*OPTIONS, "--out", str(out)]) == 0
    assert [path.name for path in sorted(out.iterdir()) if path.is_dir()] == ["trial00", "trial01"], (
        "5 fits pay for two"
    )
    written = pd.read_csv(out / "tuning.csv")
    for trial, rows in written.groupby("trial"):
        expected = fits_table(read_sweep(out / str(trial))).set_index("arm")
        for row in rows.to_dict("records"):
            for reading in ("objective", "right", "difference"):
                assert row[reading] == pytest.approx(expected[f"{reading}_trained"][row["arm"]], abs=1e-6)
    before = {path: path.stat().st_mtime_ns for path in out.rglob("*.parquet")}
    assert script.main([*OPTIONS, "--fits", "6", "--out", str(out), "--table"]) == 0
    assert ["2", "6"] in list(map(numbers, (out / "tuning.md").read_text().splitlines()))
    assert {path: path.stat().st_mtime_ns for path in out.rglob("*.parquet")} == before
    assert {sweep.measurement.split for sweep in (read_sweep(out / "trial01").protocol,)} == {"held-out"}


def test_a_table_of_nothing_is_one(script: ModuleType, tmp_path: Path) -> None:
    assert script.main([*OPTIONS, "--out", str(tmp_path / "none"), "--table"]) == 0
    assert ["4", "4"] in list(map(numbers, (tmp_path / "none" / "tuning.md").read_text().splitlines()))
    assert np.array_equal(pd.read_csv(tmp_path / "none" / "tuning.csv").shape, (0, 9))


@pytest.mark.parametrize(("options", "words"), [(["--fits", "1"], "--fits 1"), (["--factor", "1"], "--factor 1")])
def test_a_search_that_cannot_be_is_refused(
    script: ModuleType, tmp_path: Path, options: list[str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        script.main([*OPTIONS, "--out", str(tmp_path), *options])
    assert ended.value.code == 2
    assert words in capsys.readouterr().err
