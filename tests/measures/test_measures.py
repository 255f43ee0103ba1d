"""Measures: found as files, computed at a fit's end or from its pixels, and read by every table."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import bnbench.measures
from bnbench.inputs.masks import draw_mask, is_trained
from bnbench.measures import registry
from bnbench.measures.measure import FittedPlane, Measure, Pixels
from bnbench.protocol.protocol import FitKey
from bnbench.report import tables
from bnbench.results.checks import check_fit
from bnbench.results.fits import content_of, read_fit
from bnbench.results.folder_protocol import open_folder
from bnbench.results.store import write_fit
from bnbench.results.summary import headline_rows
from bnbench.results.sweeps import read_sweep
from bnbench.sweep.measure import measure_fit
from tests.cases import make_plane
from tests.fits import SMOKE, make_result
from tests.mpo.test_landscape import PROTOCOL, make_data

KEYS = [FitKey(arm, p, seed) for arm in ("plain", "bn") for p in (0.4, 0.6) for seed in (1, 2)]


def worst_black(pixels: Pixels) -> float:
    return float(pixels.loss[pixels.counted_black].max())


def plane_scale(fitted: FittedPlane) -> float:
    assert len(fitted.measured) == 30
    assert fitted.pixels.counted.all()
    return fitted.plane.scale.item()


WORST = Measure(
    "worst",
    "loss, worst black pixel",
    low=0.0,
    of_pixels=worst_black,
    trained_column=True,
    trained_title="the same, trained",
)
SCALE = Measure("scale", "scale of the plane", low=0.0, of_plane=plane_scale)


@pytest.fixture
def later(monkeypatch: pytest.MonkeyPatch) -> None:
    """A measure of each kind that fits from before it lack."""
    monkeypatch.setattr(registry, "REGISTERED", (*registry.REGISTERED, WORST, SCALE))


def measured(arm: str) -> tuple[pd.DataFrame, pd.DataFrame]:
    mask = draw_mask(0.5, 1, (6, 7))
    return measure_fit(make_plane(arm), FitKey(arm, 0.5, 1), mask, is_trained(mask), make_data(), PROTOCOL)


def test_every_file_of_the_room_is_a_measure() -> None:
    files = {path.stem for path in Path(bnbench.measures.__path__[0]).glob("*.py")}
    assert {measure.name for measure in registry.REGISTERED} == files - {"__init__", "measure", "registry"}
    assert all(measure.title and measure.better in ("", "higher", "lower") for measure in registry.REGISTERED)


@pytest.mark.parametrize("functions", [{}, {"of_pixels": worst_black, "of_plane": plane_scale}])
def test_a_measure_is_computed_in_one_way(functions: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="odd"):
        Measure("odd", "odd", **functions)


def test_arms_are_compared_over_trained_pixels_only_where_the_table_of_fits_has_them() -> None:
    with pytest.raises(ValueError, match="trained_column"):
        replace(WORST, trained_column=False)


def test_the_measures_of_a_landscape_worked_out_by_hand() -> None:
    black = np.array([[True, False], [True, False]])
    counted = np.array([[True, True], [True, False]])
    pixels = Pixels(black, counted, np.array([[1.0, 2.0], [3.0, 9.0]]), np.array([[0.9, 0.2], [0.5, 0.0]]), 2.5)
    found = registry.pixel_values(pixels)
    accuracies = {"black": 0.7, "white": 0.2, "difference": 0.5}
    losses = {"black_loss": 2.0, "white_loss": 2.0, "objective": 0.0, "right": 0.75}
    assert found == pytest.approx({**accuracies, **losses})


@pytest.mark.usefixtures("later")
@pytest.mark.parametrize("arm", ["plain", "bn"])
def test_a_fit_stores_a_measure_of_each_kind(arm: str) -> None:
    table, summary = measured(arm)
    (row,), (trained,) = (headline_rows(summary, pixels).to_dict("records") for pixels in ("all", "trained"))
    black = table[table["black"]]
    assert row["worst"] == pytest.approx(black["test_loss"].max())
    assert trained["worst"] == pytest.approx(black.loc[black["trained"], "test_loss"].max())
    assert row["scale"] == pytest.approx(make_plane(arm).scale.item())
    assert summary["scale"].notna().sum() == 1, "a plane is measured once"
    assert summary["worst"].notna().all()


def test_a_fit_is_read_back_whole_with_measures_that_came_later(tmp_path: Path) -> None:
    result = make_result()
    summary = result.summary.assign(worst=2.0, scale=[0.3, *[np.nan] * (len(result.summary) - 1)], unheard_of=-7.0)
    path = write_fit(tmp_path, replace(result, summary=summary))
    pd.testing.assert_frame_equal(read_fit(path).summary, summary)


def test_copies_of_a_fit_are_one_result_whichever_measures_they_hold() -> None:
    fit = make_result()
    later = replace(fit, summary=fit.summary.assign(worst=1.0))
    other = replace(fit, summary=fit.summary.assign(black=fit.summary["black"] / 2))
    assert content_of(later) == content_of(fit) != content_of(other)


def test_a_file_of_the_room_without_a_measure_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "unfinished.py").write_text("def unfinished(): ...\n")
    with monkeypatch.context() as patch:
        patch.setattr(bnbench.measures, "__path__", [*bnbench.measures.__path__, str(tmp_path)])
        with pytest.raises(TypeError, match="unfinished"):
            registry._discovered()
    monkeypatch.delitem(sys.modules, "bnbench.measures.unfinished")


def test_two_measures_of_one_title_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (right,) = [measure for measure in registry.REGISTERED if measure.name == "right"]
    (tmp_path / "again.py").write_text(
        "from dataclasses import replace\nfrom bnbench.measures.right import MEASURE as ONE\n"
        "MEASURE = replace(ONE, name='again')\n"
    )
    with monkeypatch.context() as patch:
        patch.setattr(bnbench.measures, "__path__", [*bnbench.measures.__path__, str(tmp_path)])
        with pytest.raises(ValueError, match=right.title):
            registry._discovered()
    monkeypatch.delitem(sys.modules, "bnbench.measures.again")


@pytest.mark.usefixtures("later")
def test_a_measure_out_of_its_range_is_refused() -> None:
    result = make_result()
    check_fit(replace(result, summary=result.summary.assign(scale=np.nan)))
    with pytest.raises(ValueError, match="scale"):
        check_fit(replace(result, summary=result.summary.assign(scale=-1.0)))


@pytest.mark.usefixtures("later")
def test_tables_have_a_later_measure_of_fits_that_store_it_and_of_those_that_do_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    open_folder(tmp_path, SMOKE)
    for number, key in enumerate(KEYS):
        with monkeypatch.context() as patch:
            if key.seed == 2:  # written before either measure
                patch.setattr(registry, "REGISTERED", registry.REGISTERED[:-2])
            result = make_result(key)
        summary = result.summary
        if key.seed == 1:
            summary = summary.assign(scale=[0.1 * number, *[np.nan] * (len(summary) - 1)])
        write_fit(tmp_path, replace(result, summary=summary))
    sweep = read_sweep(tmp_path)
    fits = tables.fits_table(sweep)
    worst = sweep.landscapes[sweep.landscapes["black"]].groupby(["arm", "p", "seed"])["test_loss"].max()
    assert fits.set_index(["arm", "p", "seed"])["worst"].sort_index().tolist() == pytest.approx(worst.tolist())
    assert (fits["worst_trained"] <= fits["worst"]).all()
    assert fits.loc[fits["seed"] == 2, "scale"].isna().all()
    assert fits.loc[fits["seed"] == 1, "scale"].notna().all()
    compared = tables.quantities_table(fits, "plain", "bn").set_index("quantity")
    assert dict(compared["pairs"].loc[[WORST.title, WORST.trained_title, SCALE.title]]) == {
        WORST.title: 4,
        WORST.trained_title: 4,
        SCALE.title: 2,
    }
    per_p = tables.quantities_per_p_table(fits, "plain", "bn").set_index(["quantity", "p"])
    assert per_p.loc[(SCALE.title, 0.4), "pairs"] == 1


@pytest.mark.usefixtures("later")
def test_a_measure_that_no_fit_has_is_in_no_table(tmp_path: Path) -> None:
    open_folder(tmp_path, SMOKE)
    for key in KEYS[:1] + KEYS[4:5]:
        write_fit(tmp_path, make_result(key))
    fits = tables.fits_table(read_sweep(tmp_path))
    assert "scale" not in fits
    assert SCALE.title not in set(tables.quantities_table(fits, "plain", "bn")["quantity"])
