"""Black pixels of fitted planes: the same measures as an ordinary network of these weights has."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from torch import Tensor

from bnbench.arms.own_arm import load_arm
from bnbench.cli import main
from bnbench.inputs.data import load_data
from bnbench.mpo.plane import fresh_network
from bnbench.protocol.protocol import FitKey, Grid
from bnbench.results import layout
from bnbench.results.fits import read_fit
from bnbench.results.folder_protocol import open_folder
from bnbench.results.planes import load_plane
from bnbench.results.smoothness import (
    COLUMNS,
    MEASURES,
    PIXEL,
    MeasuredNetwork,
    MeasuredPlane,
    find_plane_smoothness,
    find_smoothness,
)
from bnbench.results.smoothness_settings import PlaneSettings, SmoothnessSettings
from bnbench.smoothness.fitted_planes import sampled_pixels
from bnbench.smoothness.measures import measure, measured_minibatches
from bnbench.sweep.backends.inline import Inline
from bnbench.sweep.devices import make_slots
from bnbench.sweep.execution import Execution
from bnbench.sweep.plan import plan_sweep
from bnbench.sweep.runner import Runner
from tests import fits

TINY = fits.TINY.with_knobs(hidden=4)
DATA = load_data(TINY.data, TINY.measurement)
PROTOCOL = replace(TINY, content=DATA.content)
SETTINGS = ["--batch", "12", "--minibatches", "2", "--pixels", "2"]


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("planes") / "results"
    open_folder(folder, PROTOCOL)
    grid = Grid(("plain", "bn"), (0.5,), (1,))
    execution = Execution(make_slots(("cpu",), 1, 1), keep_planes=True)
    outcomes = list(Runner(plan_sweep(folder, PROTOCOL, grid), execution, Inline()).outcomes())
    assert [outcome.state for outcome in outcomes] == ["done"] * 2
    return folder


@pytest.fixture
def results(kept: Path, tmp_path: Path) -> Path:
    return shutil.copytree(kept, tmp_path / "results")


def bnbench(*arguments: str) -> int:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    return int(ended.value.code or 0)


@pytest.mark.nightly
def test_a_pixel_has_the_measures_of_an_ordinary_network_of_its_weights(
    results: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert bnbench("smoothness", "--planes", str(results), *SETTINGS) == 0
    assert "%" in capsys.readouterr().err, "the plan says the cost beside that of the fits"
    table, broken = find_plane_smoothness([results], PROTOCOL.id)
    assert broken == []
    assert [*table.columns] == [*COLUMNS, "settings", *PIXEL]
    assert find_smoothness([results], PROTOCOL.id)[0].empty, "the primary place has files of its own"
    places = {arm: own[["row", "column"]].to_numpy().tolist() for arm, own in table.groupby("arm")}
    assert places["plain"] == places["bn"]
    for row in table.drop_duplicates("arm").to_dict("records"):
        key = FitKey(str(row["arm"]), 0.5, 1)
        landscape = read_fit(layout.fit_path(results, key)).landscape
        own = landscape[(landscape["row"] == row["row"]) & (landscape["column"] == row["column"])]
        assert bool((own["black"] & own["trained"]).all())
        network = fresh_network(load_arm(key.arm, DATA.image_shape, DATA.classes, PROTOCOL.network), 0)
        asked = MeasuredNetwork(PROTOCOL, SmoothnessSettings(batch=12, minibatches=2), key)
        weights = weights_at(results, key, int(row["row"]), int(row["column"]))
        found = measure(asked, network, weights, measured_minibatches(DATA.train, asked.settings))
        for name in ("loss", *MEASURES):
            assert row[name] == pytest.approx(found[name], rel=1e-6), name


def weights_at(results: Path, key: FitKey, row: int, column: int) -> Tensor:
    """Eq. 1 and 2 as the paper writes them."""
    plane = load_plane(layout.plane_path(results, key))
    origin, phi, up = plane.vectors.detach().double()
    right = phi - (phi @ up) / (up @ up) * up
    right = (up @ up) ** 0.5 / (right @ right) ** 0.5 * right
    rows, columns = PROTOCOL.mask.mask_size
    alpha, beta = column - (columns - 1) / 2, (rows - 1) / 2 - row
    weights: Tensor = origin + plane.scale.item() * (alpha * right + beta * up)
    return weights


def test_what_is_done_is_skipped_and_what_would_be_lost_is_refused(
    results: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    one = ["smoothness", "--planes", str(results), "--arms", "plain", *SETTINGS]
    assert bnbench(*one) == 0
    (path,) = layout.smoothness_paths(results, of_planes=True)
    before = path.stat().st_mtime_ns
    assert bnbench(*one) == 0
    assert bnbench(*one[:5], "--pixels", "1", "--batch", "12") == 2
    assert path.stat().st_mtime_ns == before
    capsys.readouterr()
    plane = layout.plane_path(results, FitKey("bn", 0.5, 1))
    plane.write_bytes(plane.read_bytes()[:-8])
    assert bnbench("smoothness", "--planes", str(results), *SETTINGS, "--dry-run") == 0
    assert str(plane) in capsys.readouterr().err
    assert layout.smoothness_paths(results, of_planes=True) == [path]


@pytest.mark.parametrize(
    ("options", "named"),
    [
        (["--planes", "there", "--steps", "5"], "--steps"),
        (["--planes", "there", "--out", "elsewhere"], "--out"),
        (["--pixels", "5"], "--planes"),
        (["--planes", "nowhere"], "nowhere"),
        (["--planes", "there", "--batch", "5000"], "5000"),
        (["--planes", "there", "--seeds", "7,8"], "there"),
    ],
)
def test_bad_input_is_refused(
    options: list[str],
    named: str,
    results: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(results.parent)
    results.rename("there")
    assert bnbench("smoothness", *options) == 2
    assert named in capsys.readouterr().err


def test_pixels_are_drawn_by_p_and_seed_alone(kept: Path) -> None:
    def pixels(arm: str, count: int) -> list[list[int]]:
        asked = MeasuredPlane(PROTOCOL, PlaneSettings(pixels=count), FitKey(arm, 0.5, 1), "", kept)
        return [[int(value) for value in row] for row in sampled_pixels(asked)]

    assert pixels("plain", 3) == pixels("bn", 3)
    assert len({*map(tuple, pixels("plain", 1000))}) == len(pixels("plain", 1000)) <= 16
    assert [*map(tuple, pixels("plain", 3))] == sorted(map(tuple, pixels("plain", 3)))
