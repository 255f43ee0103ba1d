"""The search of rate and initial scale at its smallest: what it draws, chooses by, and says of what is missing."""

from __future__ import annotations

import json
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

OPTIONS = [
    "--base",
    "smoke",
    "--seeds",
    "101,102",
    "--chosen-on",
    "1",
    "--fits",
    "9",
    "--backend",
    "inline",
    "--devices",
    "cpu",
]
OPTIONS += ["--jobs", "1", "--chunk", "8"]
TUNED = ("learning_rate", "initial_scale")
GRID = Grid(("plain", "bn"), (0.5,), (101, 102, 103, 104))


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
    rows += [
        {**row, "seed": 103, "objective": -9.0} for row in made_up("trial00", "plain", [(0, 0)])
    ]  # does not choose
    means = script.means_table(pd.DataFrame(rows), (101, 102)).set_index(["trial", "arm"])
    assert means["objective"]["trial00", "plain"] == pytest.approx(-1.1)
    best = script.best_trials(means.reset_index())
    assert best == {"plain": "trial01", "bn": "trial00"}
    finals = script.finals(script.trials(PROFILES["compact"], 3, 5.0), best)
    assert [(trial.name, trial.arms) for trial in finals] == [("trial00", ("plain", "bn")), ("trial01", ("plain",))]
    both = script.finals(script.trials(PROFILES["compact"], 3, 5.0), {"plain": "trial02", "bn": "trial02"})
    assert [(trial.name, trial.arms) for trial in both] == [("trial00", ("plain", "bn")), ("trial02", ("plain", "bn"))]


def test_the_best_are_compared_on_the_seeds_that_chose_nothing(script: ModuleType) -> None:
    chose = [(-9.0, 0.0), (-9.0, 0.0)]
    rows = made_up("trial00", "plain", [(-1.0, 0.4), (-1.0, 0.4), (-1.0, 0.4), (-1.2, 0.4)])
    rows += made_up("trial01", "plain", [*chose, (-2.0, 0.6), (-2.1, 0.9)])
    rows += made_up("trial00", "bn", [*chose, (-1.5, 0.1), (-1.5, 0.2)])
    search = script.Search(GRID, (101, 102), (103, 104), tuple(script.trials(PROFILES["compact"], 2, 5.0)))
    lines = script.table_text(pd.DataFrame(rows), search).splitlines()
    cells = [[cell.strip() for cell in line.split("|")[1:-1]] for line in lines]
    (header,) = (number for number, line in enumerate(cells) if "pairs" in line)
    plain, bn, usual, best = cells[header + 2 :]
    assert [numbers(cell)[:2] for cell in plain[2:]] == [["−0.950", "0.071"], ["+0.000", "0.000"], ["+0.350", "0.212"]]
    assert numbers(plain[2]) == ["−0.950", "0.071", "−1.585", "−0.315"], "12.706 deviations over √2, either way"
    assert bn[1:] == ["–"] * 4, "its best are the profile's own values"
    assert plain[1] == usual[1] == best[1] == "2", "pairs"
    assert [numbers(cell)[:2] for cell in usual[2:]] == [["+0.400", "0.141"], ["+0.000", "0.000"], ["+0.250", "0.071"]]
    assert [numbers(cell)[:2] for cell in best[2:]] == [["−0.550", "0.071"], ["+0.000", "0.000"], ["+0.600", "0.141"]]
    assert numbers(lines[0]) == ["2"], "fits of the search that are missing"
    rows += made_up("trial01", "bn", [(0.0, 0.0), (0.0, 0.0)])
    assert not numbers(script.table_text(pd.DataFrame(rows), search).splitlines()[0]), "nothing is missing"
    last = script.table_text(pd.DataFrame(rows).query("seed != 104 or trial != 'trial01'"), search).splitlines()[0]
    assert numbers(last) == ["1"], "a fit of the comparison"


def test_the_pages_say_what_the_search_chose_and_the_other_seeds_compare(tmp_path: Path) -> None:
    rows = made_up("trial00", "plain", [(-1.0, 0.4), (-1.2, 0.4), (-1.0, 0.5), (-1.2, 0.5)])
    rows += made_up("trial00", "bn", [(-0.9, 0.1), (-0.9, 0.1), (-0.8, 0.1), (-0.6, 0.1)])
    rows += made_up("trial01", "plain", [(-0.5, 0.9), (-0.5, 0.9)])
    rows += made_up("trial01", "bn", [(-1.5, 0.1), (-1.7, 0.1), (-1.0, 0.2), (-1.2, 0.3)])
    pd.DataFrame(rows).to_csv(tmp_path / "tuning.csv", index=False)
    values = {"learning_rate": 0.002, "initial_scale": 0.1}
    best = {"plain": {"trial": "trial00", **values}, "bn": {"trial": "trial01", **values}}
    (tmp_path / "best.json").write_text(json.dumps({"trials": 2, "chosen_on": [101, 102], "best": best}))
    found = benchmark_script("tuning_numbers").TuningNumbers(tmp_path)
    assert numbers(found.best("plain")) == numbers(found.best("bn")) == ["0.002", "0.1"]
    assert found.best("plain") != found.best("bn"), "one of them is the profile's own"
    assert numbers(found.chose_by("bn")) == ["−1.600", "−0.900"]
    assert (found.ahead_in("plain"), found.ahead_in("bn")) == (1, 1)
    assert numbers(found.others.change("bn", "objective")) == ["−0.400", "0.283"]
    assert numbers(found.others.gap("objective", tuned=False)) == ["−0.400", "0.283"]
    assert numbers(found.others.gap("objective", tuned=True)) == ["+0.000", "0.000"]
    assert numbers(found.others.gap("difference", tuned=True))[0] == "+0.250"
    assert (found.loses("plain"), found.loses("bn")) == ("0.600", "0.700")
    assert [found.others.told_apart(tuned=tuned) for tuned in (False, True)] == ["contrast", "none"]
    assert [numbers(found.others.bn_ahead(tuned=tuned)) for tuned in (False, True)] == [["0", "2"], ["0", "2"]]


def test_the_figure_shows_every_trial_where_it_was_tried(script: ModuleType) -> None:
    rows = [
        {"trial": trial, "arm": arm, "learning_rate": rate, "initial_scale": scale, "fits": fits, "wanted": 2}
        | {"objective": objective}
        for trial, rate, scale, fits, objectives in (
            ("trial00", 0.002, 0.1, 2, (-1.0, -1.6)),
            ("trial01", 0.004, 0.3, 2, (-1.2, -0.8)),
            ("trial02", 0.001, 0.02, 1, (-9.0, -9.0)),
        )
        for arm, objective in zip(("plain", "bn"), objectives, strict=True)
    ]
    figure = script.draw_search(pd.DataFrame(rows), "trial00")
    best = {"plain": (0.004, 0.3), "bn": (0.002, 0.1)}
    for axes, arm in zip(figure.axes, best, strict=True):
        assert arm in axes.get_title().replace(":", "").split()
        drawn = {points.get_gid(): [tuple(place) for place in points.get_offsets()] for points in axes.collections}
        assert drawn == {
            "trials": [(0.002, 0.1), (0.004, 0.3)],
            "begun": [(0.001, 0.02)],
            "best": [best[arm]],
            "usual": [(0.002, 0.1)],
        }
        (trials,) = (points for points in axes.collections if points.get_gid() == "trials")
        expected = [float(str(row["objective"])) for row in rows if row["arm"] == arm and row["fits"] == 2]
        assert list(trials.get_array()) == expected
        assert (trials.norm.vmin, trials.norm.vmax) == (-1.6, -0.8), "one scale for both arms"
        assert [numbers(label.get_text()) for label in axes.texts] == [[f"\N{MINUS SIGN}{-J:.3f}"] for J in expected]


@pytest.mark.nightly
def test_the_search_runs_goes_on_and_says_what_its_fits_say(script: ModuleType, tmp_path: Path) -> None:
    out = tmp_path / "tuning"
    assert script.main([*OPTIONS, "--out", str(out)]) == 0
    assert [path.name for path in sorted(out.iterdir()) if path.is_dir()] == ["trial00", "trial01"], (
        "9 fits pay for two, and for four on the other seed"
    )
    written = pd.read_csv(out / "tuning.csv")
    for trial, rows in written.groupby("trial"):
        expected = fits_table(read_sweep(out / str(trial))).set_index(["arm", "seed"])
        for row in rows.to_dict("records"):
            for reading in ("objective", "right", "difference"):
                assert row[reading] == pytest.approx(expected[f"{reading}_trained"][row["arm"], row["seed"]], abs=1e-6)
    first = written[written["seed"] == 101].set_index(["arm", "trial"])["objective"]
    others = written[written["seed"] == 102]
    best = {(arm, first[arm].idxmin()) for arm in ("plain", "bn")}
    assert {*zip(others["arm"], others["trial"], strict=True)} == best | {("plain", "trial00"), ("bn", "trial00")}
    chosen = json.loads((out / "best.json").read_text())
    assert (chosen["profile"], chosen["steps"], chosen["chosen_on"]) == ("smoke", TINY.training.steps, [101])
    for arm, values in chosen["best"].items():
        assert (arm, values["trial"]) in best
        (used,) = {*zip(*(written.loc[written["trial"] == values["trial"], name] for name in TUNED), strict=True)}
        assert used == tuple(values[name] for name in TUNED)
    before = {path: path.stat().st_mtime_ns for path in out.rglob("*.parquet")}
    assert script.main([*OPTIONS, "--fits", "10", "--out", str(out), "--table"]) == 0
    assert numbers((out / "tuning.md").read_text().splitlines()[0]) == ["2"]
    assert {path: path.stat().st_mtime_ns for path in out.rglob("*.parquet")} == before
    assert {sweep.measurement.split for sweep in (read_sweep(out / "trial01").protocol,)} == {"held-out"}


def test_a_table_of_nothing_is_one(script: ModuleType, tmp_path: Path) -> None:
    assert script.main([*OPTIONS, "--out", str(tmp_path / "none"), "--table"]) == 0
    assert not (tmp_path / "none" / "best.json").exists(), "an unfinished search has chosen nothing"
    assert numbers((tmp_path / "none" / "tuning.md").read_text().splitlines()[0]) == ["4"]
    assert np.array_equal(pd.read_csv(tmp_path / "none" / "tuning.csv").shape, (0, 9))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--fits", "5"], "--fits 5"),
        (["--factor", "1"], "--factor 1"),
        (["--chosen-on", "2"], "--chosen-on 2"),
        (["--chosen-on", "-1"], "--chosen-on -1"),
        (["--seeds", "101:101:1"], "--chosen-on 1"),
    ],
)
def test_a_search_that_cannot_be_is_refused(
    script: ModuleType, tmp_path: Path, options: list[str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        script.main([*OPTIONS, "--out", str(tmp_path), *options])
    assert ended.value.code == 2
    assert words in capsys.readouterr().err
