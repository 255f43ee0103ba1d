"""Capacity with each arm at its own best, at its smallest: what it takes from a search, fits, and pairs."""

from __future__ import annotations

import math
from pathlib import Path
from types import ModuleType
from typing import Any

import pandas as pd
import pytest

import bnbench
from bnbench.protocol.profiles import PROFILES
from bnbench.report.tables import fits_table
from bnbench.results.sweeps import read_sweep
from bnbench.wording import signed
from tests.benchmark_scripts import benchmark_script
from tests.fits import TINY
from tests.sentences import numbers

OPTIONS = ["--base", "smoke", "--seeds", "2", "--sizes", "5,6", "--backend", "inline", "--devices", "cpu"]
OPTIONS += ["--jobs", "1", "--chunk", "8"]
NOW = {name: dict(TINY.knobs())[name] for name in ("learning_rate", "initial_scale")}
TUNED = {"learning_rate": 0.01, "initial_scale": 0.2}


@pytest.fixture(scope="module")
def script() -> ModuleType:
    return benchmark_script("tuned_capacity")


@pytest.fixture(autouse=True)
def tiny(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(PROFILES, "smoke", TINY)


@pytest.fixture
def folders(tmp_path: Path) -> list[str]:
    """A search in which plain's best are the values of TUNED and bn's the profile's own, and where fits go."""
    objectives = {("trial00", "plain"): -1.0, ("trial00", "bn"): -1.0, ("trial01", "plain"): -2.0, ("trial01", "bn"): 0}
    rows = [
        {"trial": trial, **(TUNED if trial == "trial01" else NOW), "arm": arm, "p": 0.5, "seed": seed}
        | {"objective": value if seed < 103 else -5 - 2 * value, "right": 0.9, "difference": 0.1}
        for (trial, arm), value in objectives.items()
        for seed in (101, 102, 103)  # the third would turn both choices, and does not choose
    ]
    (tmp_path / "tuning").mkdir()
    pd.DataFrame(rows).to_csv(tmp_path / "tuning" / "tuning.csv", index=False)
    places = {"--tuning": "tuning", "--usual": "usual", "--out": "out"}
    return [part for option, name in places.items() for part in (option, str(tmp_path / name))]


def cells_of(text: str) -> list[list[str]]:
    return [[cell.strip() for cell in line.split("|")[1:-1]] for line in text.splitlines() if line.startswith("| ")]


def test_each_arm_is_fitted_with_its_own_best_alone(script: ModuleType, folders: list[str], tmp_path: Path) -> None:
    for size in (5, 6):
        usual = tmp_path / "usual" / f"{size}x{size}"
        protocol = TINY.with_knobs(mask_size=(size, size))
        bnbench.run(protocol, probs=(0.5,), seeds=(1, 2), folder=usual, backend="inline", devices="cpu", chunk=8)
    assert script.main([*OPTIONS, *folders]) == 0
    out = tmp_path / "out"
    assert sorted(path.name for path in out.iterdir() if path.is_dir()) == ["5x5-plain", "6x6-plain"]
    sweep = read_sweep(out / "5x5-plain")
    assert not sweep.protocol.differences(TINY.with_knobs(mask_size=(5, 5), **TUNED))
    written = pd.read_csv(out / "capacity.csv").set_index(["size", "trial", "arm", "seed"])
    for name in ("5x5", "6x6"):
        usual_fits, own_fits = (
            fits_table(read_sweep(folder)).set_index(["arm", "seed"])
            for folder in (tmp_path / "usual" / name, out / f"{name}-plain")
        )
        for seed in (1, 2):
            expected: dict[tuple[str, str], Any] = {
                ("usual", "plain"): usual_fits.loc[("plain", seed)],
                ("usual", "bn"): usual_fits.loc[("bn", seed)],
                ("best", "plain"): own_fits.loc[("plain", seed)],
                ("best", "bn"): usual_fits.loc[("bn", seed)],
            }
            for (trial, arm), fit in expected.items():
                for reading in ("objective", "right", "difference"):
                    found = written.loc[(name, trial, arm, seed), reading]
                    assert found == pytest.approx(fit[f"{reading}_trained"], abs=1e-6)
    text = (out / "capacity.md").read_text()
    (change, *_) = (row for row in cells_of(text) if len(row) == 5 and row[0].startswith("plain:"))
    own = written.loc["5x5"]["objective"].unstack("trial").loc["plain"]
    assert numbers(change[2])[0] == signed((own["best"] - own["usual"]).mean())
    assert not text.startswith("Unfinished")


def test_a_table_of_nothing_says_what_is_missing(script: ModuleType, folders: list[str], tmp_path: Path) -> None:
    assert script.main([*OPTIONS, *folders, "--table"]) == 0
    text = (tmp_path / "out" / "capacity.md").read_text()
    assert numbers(text.splitlines()[0]) == ["8"]
    assert [row[4] for row in cells_of(text) if len(row) == 7][2:] == ["0 of 2"] * 4
    assert not math.prod(pd.read_csv(tmp_path / "out" / "capacity.csv").shape[:1])


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--sizes", "5,"], "--sizes"),
        (["--chosen-on", "4", "--tuning", "nowhere"], "--tuning nowhere"),
    ],
)
def test_a_request_that_cannot_be_is_refused(
    script: ModuleType, folders: list[str], options: list[str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        script.main([*OPTIONS, *folders, *options])
    assert ended.value.code == 2
    assert words in capsys.readouterr().err


def test_a_search_whose_arms_are_not_whole_is_refused(
    script: ModuleType, folders: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table = tmp_path / "tuning" / "tuning.csv"
    fits = pd.read_csv(table)
    fits[(fits["arm"] != "bn") | (fits["seed"] != 102)].to_csv(table, index=False)
    with pytest.raises(SystemExit) as ended:
        script.main([*OPTIONS, *folders])
    assert ended.value.code == 2
    assert f"--tuning {tmp_path / 'tuning'}" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
