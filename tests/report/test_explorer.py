"""What the page's script is given: every pixel of every fit, within the error that it states."""

from __future__ import annotations

import base64
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bnbench.report.figures.figure3 import figure3, scales_of
from bnbench.report.figures.strip import strip
from bnbench.report.page import explorer
from bnbench.report.page.explorer import accuracy_codes, explorer_data, loss_codes, with_files
from bnbench.results import sweeps
from tests.synthetic import SMALL, write_sweep


def losses_of(codes: np.ndarray) -> np.ndarray:
    """What the script makes of a loss's codes."""
    values = explorer.LEAST_LOSS * 10.0 ** (codes.astype(float) / explorer.STEPS_PER_DECADE)
    return np.where(codes == explorer.MISSING, np.nan, np.where(codes == explorer.INFINITE, np.inf, values))


@given(st.lists(st.floats(1e-6, 9e11), min_size=1))
def test_a_loss_is_within_0_032_percent(losses: list[float]) -> None:
    np.testing.assert_allclose(losses_of(loss_codes(np.array(losses))), losses, rtol=3.2e-4)


@given(st.lists(st.floats(0, 1), min_size=1))
def test_an_accuracy_is_within_0_00001(accuracies: list[float]) -> None:
    decoded = accuracy_codes(np.array(accuracies)) / explorer.ACCURACY_STEPS
    np.testing.assert_allclose(decoded, accuracies, rtol=0, atol=1e-5)


def test_what_is_no_number_stays_none() -> None:
    decoded = losses_of(loss_codes(np.array([np.nan, np.inf, 1e30, 0.0, 1e-9])))
    np.testing.assert_allclose(decoded, [np.nan, np.inf, 1e12, 1e-6, 1e-6], rtol=1e-3)
    assert accuracy_codes(np.array([np.nan, 0, 1])).tolist() == [explorer.MISSING, 0, explorer.ACCURACY_STEPS]


def test_pixels_keep_their_places_whatever_their_order(tmp_path: Path) -> None:
    write_sweep(tmp_path, probs=[0.5], seeds=[1, 2], protocol=SMALL.with_knobs(mask_size=(5, 7)))
    table = sweeps.read_sweep(tmp_path).landscapes
    data = explorer_data(table.sample(frac=1, random_state=0), 2.5, "test")
    assert (data["rows"], data["columns"]) == (5, 7)
    mine = table[(table["arm"] == "bn") & (table["seed"] == 2)].sort_values(["row", "column"])
    loss = np.frombuffer(base64.b64decode(data["fits"]["0.5|2|bn"][0]), "<u2")
    np.testing.assert_allclose(losses_of(loss), mine["test_loss"], rtol=3.2e-4)
    mask = np.frombuffer(base64.b64decode(data["masks"]["0.5|2"]), np.uint8)
    np.testing.assert_array_equal(mask, mine["black"] + 2 * mine["trained"])
    assert json.dumps(data) == json.dumps(explorer_data(table, 2.5, "test"))


def test_pixels_of_a_large_sweep_lie_in_files_none_large_and_nothing_is_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_sweep(tmp_path, probs=[0.3, 0.5], seeds=[1, 2], skip=[("plain", 0.3, 2)])
    data = explorer_data(sweeps.read_sweep(tmp_path).landscapes, 2.5, "test")
    assert with_files(data) == (data, {}), "a small one stays in its page"
    monkeypatch.setattr(explorer, "MOST_INLINE", 100)
    monkeypatch.setattr(explorer, "_MOST_IN_FILE", 1000)
    held = {kind: dict(data[kind]) for kind in ("masks", "fits")}
    page, files = with_files(data)
    assert (page["masks"], page["fits"]) == ({}, {})
    assert len(files) == 4
    parts = {name: json.loads(content.decode().removeprefix("takeLandscapes(")[:-3]) for name, content in files.items()}
    for kind in ("masks", "fits"):
        assert {key: value for part in parts.values() for key, value in part[kind].items()} == held[kind]
    for name in held["fits"]:
        key = name.rpartition("|")[0]
        part = parts[f"landscapes/{page['files'][key]}.js"]
        assert name in part["fits"]
        assert key in part["masks"]


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_sweep_without_any_number_still_has_scales(tmp_path: Path, value: float) -> None:
    write_sweep(tmp_path, arms=["plain"], probs=[0.5], seeds=[1])
    table = sweeps.read_sweep(tmp_path).landscapes
    data = explorer_data(table.assign(test_loss=value, train_loss=value, test_accuracy=np.nan), 2.5, "test")
    low, high = data["scales"]["log"]
    assert 0 < low < 2.5 < high
    json.dumps(data, allow_nan=False)


def test_ninety_fits_of_30_by_30_are_a_megabyte(tmp_path: Path) -> None:
    write_sweep(tmp_path, arms=["plain"], probs=[0.5], seeds=[1], protocol=SMALL.with_knobs(mask_size=(30, 30)))
    data = explorer_data(sweeps.read_sweep(tmp_path).landscapes, 2.5, "test")
    assert 90 * (len(json.dumps(data["fits"])) + len(json.dumps(data["masks"]))) < 1_100_000


def linear_scale(losses: list[float]) -> list[float]:
    """Of made-up losses, whose logarithmic scale the page shares with its figures."""
    table = pd.DataFrame({"test_loss": losses, "test_accuracy": 0.5}, dtype=float)
    ends = explorer._ends(scales_of(table, 2.5).loss)
    return explorer._linear_scale(np.array(losses, dtype=float), ends, 2.5)


@pytest.mark.parametrize(
    ("losses", "top"),
    [
        ([0.5, 2, 3, 9, 4000], 10),  # four thresholds
        ([0.5, 20, 30, 40, 4000], 40),  # the 75th percentile
        ([0.5, 1, 2, 3, 4], 3.96),  # no further than there are losses
    ],
)
def test_the_linear_scale_is_not_stretched_by_a_few_huge_losses(losses: list[float], top: float) -> None:
    low, high = linear_scale(losses)
    assert high == pytest.approx(top)
    assert 0 < low < 2.5 < high


@pytest.mark.parametrize("losses", [[], [np.nan, np.inf]])
def test_without_a_loss_the_linear_scale_holds_the_threshold(losses: list[float]) -> None:
    low, high = linear_scale(losses)
    assert low < 2.5 < high


def test_every_picture_of_a_page_shares_one_scale_for_a_quantity(tmp_path: Path) -> None:
    """Of all fits: the strip, figure 3 and the explorer, whichever they show."""
    write_sweep(tmp_path, seeds=[1, 2])
    table = sweeps.read_sweep(tmp_path).landscapes
    table.loc[table["seed"] == 2, ["test_loss", "train_loss"]] *= 40  # of a fit that figure 3 does not show
    table.loc[table["seed"] == 2, "train_accuracy"] = 1.0
    scales = explorer_data(table, 2.5, "test")["scales"]
    drawings = figure3(table, 0.5, 1, 2.5).draw(), strip(table, 2.5).draw()
    shown = [axes.images[0] for drawing in drawings for axes in drawing.axes if axes.images]
    assert len(shown) == 5 + 6
    ends = {str(image.get_cmap().name): image.get_clim() for image in shown}
    losses, accuracies = (ends[name] for name in ("mako", "rocket_r"))
    assert losses == pytest.approx(scales["log"], rel=1e-3)
    assert accuracies == pytest.approx(scales["accuracy"]) == (0.0, 1.0)
    assert all(image.get_clim() == ends[str(image.get_cmap().name)] for image in shown)
