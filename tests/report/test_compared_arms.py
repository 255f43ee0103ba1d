"""Which two arms a report compares: by default, where a sweep was asked for others, and where it is told."""

from __future__ import annotations

import itertools
import json
from pathlib import Path

import pandas as pd
import pytest

from bnbench.errors import RequestError
from bnbench.protocol.protocol import Grid
from bnbench.report import build_report
from bnbench.report.arms import arms_to_compare, as_asked, compared_arms, names_of
from bnbench.report.chapters.reproduce import command
from bnbench.report.figures.strip import strip
from bnbench.report.tables import comparisons_table, fits_table
from bnbench.results.sweeps import read_sweep
from bnbench.stats import differences
from tests.synthetic import SMALL, write_sweep

ARMS = ("plain", "nets:gelu", "nets:bare", "skip")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("arms") / "sweep"
    write_sweep(folder, arms=ARMS, seeds=(1, 2))
    return folder


def test_the_first_two_that_share_a_mask_are_compared_in_the_order_asked_for(folder: Path) -> None:
    fits = fits_table(read_sweep(folder))
    for asked, two in (
        ((), ("plain", "skip")),
        (("nets:gelu", "nets:bare"), ("nets:gelu", "nets:bare")),
        (("nets:bare", "nets:gelu", "plain"), ("nets:bare", "nets:gelu")),
        (("gone", "skip", "nets:gelu"), ("skip", "nets:gelu")),
        (("nets:bare",), ("nets:bare", "plain")),
    ):
        found = compared_arms(fits, asked)
        assert found is not None
        assert (found.first, found.second) == two
    apart = fits[(fits["arm"] != "skip") | (fits["seed"] == 3)]
    found = compared_arms(apart, ("skip", "plain", "nets:gelu"))
    assert found is not None
    assert (found.first, found.second) == ("plain", "nets:gelu")
    assert as_asked(("nets:b", "bn", "nets:a", "plain")) == ["plain", "bn", "nets:b", "nets:a"]


def test_a_run_is_repeated_with_its_arms_in_their_order(folder: Path) -> None:
    fits = fits_table(read_sweep(folder))
    assert f"--arms {','.join(ARMS)}" in command(SMALL, fits, Grid(ARMS, (0.3, 0.5), (1, 2)))


def test_a_report_compares_the_arms_that_it_is_told(folder: Path, tmp_path: Path) -> None:
    called = names_of([read_sweep(folder)])
    for given in (("bare", "nets:gelu"), ("nets:bare", "gelu")):
        assert arms_to_compare(given, called, folder) == ("bare", "gelu")
    build_report(folder, tmp_path / "report", formats=("csv", "json"), arms=("bare", "nets:gelu"))
    record = json.loads((tmp_path / "report" / "report.json").read_text())["protocols"][0]
    assert any("--arms nets:bare,nets:gelu" in text for text in record["commands"])
    table = pd.read_csv(tmp_path / "report" / "tables" / "quantities.csv").set_index("quantity")
    pairs = differences.paired(fits_table(read_sweep(folder)), "nets:bare", "nets:gelu", "objective_trained")
    assert table.loc["objective J, trained pixels only", "gap"] == pytest.approx(pairs["gap"].mean(), rel=1e-6)


@pytest.mark.parametrize("given", [("plain",), ("plain", "plain"), ("plain", "gelo"), ("bare", "nets:bare"), ARMS[:3]])
def test_arms_that_cannot_be_compared_are_refused(folder: Path, tmp_path: Path, given: tuple[str, ...]) -> None:
    with pytest.raises(RequestError, match="--arms") as refused:
        build_report(folder, tmp_path / "report", formats=("csv",), arms=given)
    assert all(name in str(refused.value) for name in ("plain", "gelu", "bare", "skip"))
    assert not (tmp_path / "report").exists()


def test_arms_without_a_common_mask_are_refused(tmp_path: Path) -> None:
    write_sweep(tmp_path / "sweep", skip=[("bn", p, seed) for p in (0.3, 0.5) for seed in (1, 2, 3)])
    write_sweep(tmp_path / "other", arms=("bn",), protocol=SMALL.with_knobs(steps=7))
    with pytest.raises(RequestError, match="plain,bn"):
        build_report(tmp_path, tmp_path / "report", formats=("csv",), arms=("plain", "bn"))


def test_every_two_arms_are_compared_in_both_readings(folder: Path) -> None:
    fits = fits_table(read_sweep(folder))
    table = comparisons_table(fits)
    assert len(table) == 6 * 6
    for keys, rows in table.groupby(["first", "second"]):
        first, second = map(str, keys)
        columns = [f"{name}{over}" for name in ("difference", "objective", "right") for over in ("_trained", "")]
        gaps = [differences.paired(fits, first, second, column)["gap"].mean() for column in columns]
        assert sorted(rows["gap"]) == pytest.approx(sorted(gaps))
    assert set(itertools.combinations(("plain", "skip", "nets:bare", "nets:gelu"), 2)) == set(
        table[["first", "second"]].itertuples(index=False, name=None)
    )


def test_the_strip_has_the_arms_that_are_compared_and_says_that_there_are_more(folder: Path) -> None:
    landscapes = read_sweep(folder).landscapes
    figure = strip(landscapes, 2.5, first=("nets:gelu", "nets:bare"))
    assert set(figure.table.frame["arm"]) == {"nets:gelu", "nets:bare", "plain"}
    assert "3 of 4" in figure.caption
    assert " of 3 arms" not in strip(landscapes[landscapes["arm"] != "skip"], 2.5).caption
