"""Capacity with each arm at its own best, at its smallest: what it takes from a search, fits, and pairs."""

from __future__ import annotations

import json
from pathlib import Path
from types import ModuleType

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


@pytest.fixture(scope="module")
def usual(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Fits with the profile's own values at two sizes."""
    folder = tmp_path_factory.mktemp("usual")
    for size in (5, 6):
        protocol, out = TINY.with_knobs(mask_size=(size, size)), folder / f"{size}x{size}"
        bnbench.run(protocol, probs=(0.5,), seeds=(1, 2), folder=out, backend="inline", devices="cpu", chunk=8)
    return folder


@pytest.fixture
def folders(usual: Path, tmp_path: Path) -> list[str]:
    """A search in which plain's best are the values of TUNED and bn's the profile's own, and where fits go."""
    (tmp_path / "tuning").mkdir()
    chosen = {"profile": "smoke", "steps": 6, "best": {"plain": TUNED, "bn": NOW}}
    (tmp_path / "tuning" / "best.json").write_text(json.dumps(chosen))
    return ["--tuning", str(tmp_path / "tuning"), "--usual", str(usual), "--out", str(tmp_path / "out")]


def cells_of(text: str) -> list[list[str]]:
    return [[cell.strip() for cell in line.split("|")[1:-1]] for line in text.splitlines() if line.startswith("| ")]


def test_each_arm_is_fitted_with_its_own_best_alone(
    script: ModuleType, folders: list[str], usual: Path, tmp_path: Path
) -> None:
    assert script.main([*OPTIONS, *folders]) == 0
    out = tmp_path / "out"
    assert sorted(path.name for path in out.iterdir() if path.is_dir()) == ["5x5-plain", "6x6-plain"]
    sweep = read_sweep(out / "5x5-plain")
    assert not sweep.protocol.differences(TINY.with_knobs(mask_size=(5, 5), **TUNED))
    written = pd.read_csv(out / "capacity.csv").set_index(["size", "trial", "arm", "seed"])
    assert len(written) == 12, "an arm whose best are the profile's values has no fits of its own"
    for name in ("5x5", "6x6"):
        folders_of = {"usual": usual / name, "best": out / f"{name}-plain"}
        for trial, folder in folders_of.items():
            expected = fits_table(read_sweep(folder))
            for fit in expected.to_dict("records"):
                for reading in ("objective", "right", "difference"):
                    found = written.loc[(name, trial, fit["arm"], fit["seed"]), reading]
                    assert found == pytest.approx(fit[f"{reading}_trained"], abs=1e-6)
    text = (out / "capacity.md").read_text()
    own = written.loc["5x5"]["objective"]
    rows = [row[2] for row in cells_of(text) if len(row) == 5 and row[0].startswith(("plain", "bn"))]
    change, same, now, best = rows[:4]
    tuned, plain, bn = own["best"]["plain"], own["usual"]["plain"], own["usual"]["bn"]
    assert numbers(change)[0] == signed((tuned - plain).mean())
    assert (numbers(now)[0], numbers(best)[0]) == (signed((plain - bn).mean()), signed((tuned - bn).mean()))
    assert not numbers(same)
    assert not numbers(text.splitlines()[0]), "nothing is missing"


def test_a_table_of_nothing_says_what_is_missing(script: ModuleType, folders: list[str], tmp_path: Path) -> None:
    assert script.main([*OPTIONS, *folders, "--table"]) == 0
    text = (tmp_path / "out" / "capacity.md").read_text()
    assert numbers(text.splitlines()[0]) == ["4"]
    assert [row[4] for row in cells_of(text) if len(row) == 7 and "5×5" in row] == ["0 of 2", "2 of 2"]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--sizes", "5,"], "--sizes"),
        (["--sizes", "5,7"], "--usual"),
        (["--seeds", "3"], "--usual"),
        (["--steps", "7"], "--steps 7"),
        (["--base", "quick"], "--base quick"),
        (["--tuning", "nowhere"], "--tuning nowhere"),
    ],
)
def test_a_request_that_cannot_be_is_refused_before_anything_is_computed(
    script: ModuleType,
    folders: list[str],
    tmp_path: Path,
    options: list[str],
    words: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(SystemExit) as ended:
        script.main([*OPTIONS, *folders, *options])
    assert ended.value.code == 2
    assert words in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_fits_of_another_protocol_are_no_partners(
    script: ModuleType, folders: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    own = tmp_path / "own"
    bnbench.run(
        TINY, probs=(0.5,), seeds=(1,), arms="plain", folder=own / "5x5", backend="inline", devices="cpu", chunk=8
    )
    with pytest.raises(SystemExit) as ended:
        script.main([*OPTIONS, *folders, "--usual", str(own)])
    assert ended.value.code == 2
    assert f"--usual {own}" in capsys.readouterr().err
