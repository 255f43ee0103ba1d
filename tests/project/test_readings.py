"""The tables of both readings, from small folders, against what pandas says of the same pixels."""

from __future__ import annotations

import importlib
import re
from pathlib import Path
from types import ModuleType

import numpy as np
import pandas as pd
import pytest

from bnbench.measures.registry import REGISTERED
from bnbench.report.tables import fits_table
from bnbench.results.sweeps import load, read_sweep
from tests.synthetic import SMALL, write_sweep

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def script() -> ModuleType:
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(ROOT / "benchmarks")
        return importlib.import_module("readings")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("readings")
    write_sweep(folder / "results" / "quick", seeds=(1, 2))
    for steps in (300, 600):
        write_sweep(folder / "settling" / str(steps), probs=(0.5,), protocol=SMALL.with_knobs(steps=steps))
    return folder


@pytest.mark.parametrize("pixels", ["trained", "all"])
@pytest.mark.parametrize("images", ["test", "train"])
def test_readings_are_what_the_pixels_say(script: ModuleType, folder: Path, images: str, pixels: str) -> None:
    table = load(folder / "results" / "quick")
    counted = table[table["trained"]] if pixels == "trained" else table
    most = counted.assign(
        loss=counted[f"{images}_loss"].mask(~counted["black"], counted[f"{images}_loss"].clip(upper=2.5))
    )
    means = most.groupby(["arm", "p", "seed", "black"])[["loss", f"{images}_accuracy"]].mean().unstack("black")
    found = script.readings(read_sweep(folder / "results" / "quick"), images, pixels).set_index(["arm", "p", "seed"])
    assert len(found) == 8
    for name, column in (("objective", "loss"), ("difference", f"{images}_accuracy")):
        expected = means[column][True] - means[column][False]
        np.testing.assert_allclose(found[name], expected.loc[found.index], rtol=1e-5)


def test_readings_on_measured_images_are_those_of_the_report(script: ModuleType, folder: Path) -> None:
    sweep = read_sweep(folder / "results" / "quick")
    keys = ["arm", "p", "seed"]
    report = fits_table(sweep).set_index(keys)
    for pixels, ending in (("all", ""), ("trained", "_trained")):
        found = script.readings(sweep, pixels=pixels).set_index(keys).loc[report.index]
        for name in ("difference", "objective", "right"):
            np.testing.assert_allclose(found[name], report[f"{name}{ending}"], rtol=1e-6)
    assert {"difference", "objective", "right"} <= {measure.name for measure in REGISTERED}


def test_every_table_is_printed(script: ModuleType, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    script.main(["--results", str(folder / "results"), "--settling", str(folder / "settling")])
    lines = [line.strip("| ").split(" | ") for line in capsys.readouterr().out.splitlines() if line.startswith("|")]
    sweeps = [line for line in lines if line[0].startswith("quick, ")]
    assert [line[1:3] for line in sweeps] == [["trained", "4"], ["all", "4"]] * 2
    assert [line[1] for line in lines if line[0] == "quick"] == ["trained", "all"], "distance to the authors' curve"
    assert [line[:3] for line in lines if line[0] == "6×6"] == [["6×6", "300", "2"], ["6×6", "600", "2"]] * 2


def test_the_distance_to_the_authors_is_the_mean_over_p(script: ModuleType, folder: Path) -> None:
    sweep = read_sweep(folder / "results" / "quick")
    theirs = pd.read_csv(ROOT / "bnbench/report/figures/authors.csv").set_index(["arm", "p"])["difference"]
    fits = script.readings(sweep)
    for column, arm in ((2, "plain"), (3, "bn")):
        ours = fits[fits["arm"] == arm].groupby("p")["difference"].mean()
        apart = [abs(ours[p] - theirs[arm, p]) for p in (0.3, 0.5)]
        assert script.authors_table([sweep])[1][column] == f"{sum(apart) / 2:.3f}"


def test_a_folder_that_cannot_be_read_ends_it(script: ModuleType, tmp_path: Path) -> None:
    (tmp_path / "protocol.json").write_text("{")
    with pytest.raises(SystemExit, match=re.escape("protocol.json")):
        script.read([tmp_path])
