"""bnbench.plot draws what the tables say, into the axes that it was given, and the report draws the same."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterator
from pathlib import Path

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection

import bnbench
from bnbench import plot
from bnbench.errors import RequestError
from bnbench.measures.registry import compared_columns
from bnbench.report.figures.figure4 import figure4 as report_figure4
from bnbench.report.tables import fits_table, quantities_table
from bnbench.results.sweeps import read_sweep
from tests.sentences import named
from tests.synthetic import write_sweep


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("made")
    write_sweep(folder, probs=(0.3, 0.5), seeds=(1, 2, 3))
    return folder


@pytest.fixture(scope="module")
def fits(made: Path) -> pd.DataFrame:
    return fits_table(read_sweep(made))


@pytest.fixture(scope="module")
def pixels(made: Path) -> pd.DataFrame:
    return bnbench.load(made)


@pytest.fixture(autouse=True)
def no_window() -> Iterator[None]:
    mpl.use("agg")
    yield
    plt.close("all")


def curves(axes: Axes) -> list[list[float]]:
    """The heights of every line that is drawn through several places."""
    return [
        np.asarray(line.get_ydata(), float).tolist() for line in axes.lines if len(np.atleast_1d(line.get_ydata())) > 1
    ]


@pytest.mark.parametrize(("pixels_", "column"), [("trained", "difference_trained"), ("all", "difference")])
def test_figure4_draws_mean_and_deviation_over_seeds(fits: pd.DataFrame, pixels_: str, column: str) -> None:
    given = plt.subplots()[1]
    assert plot.figure4(fits, given, pixels=pixels_) is given
    whiskers = [one.get_segments() for one in given.collections if isinstance(one, LineCollection)]
    for arm, drawn in zip(("plain", "bn"), whiskers, strict=True):
        means = []
        for p, (low, high) in zip((0.3, 0.5), drawn, strict=True):
            values = [row[column] for _, row in fits.iterrows() if (row["arm"], row["p"]) == (arm, p)]
            means.append(statistics.mean(values))
            assert (high[1] - low[1]) / 2 == pytest.approx(statistics.stdev(values))
        assert any(line == pytest.approx(means) for line in curves(given))
    legend = given.get_legend()
    assert legend is not None
    assert {"plain", "bn"} <= {text.get_text() for text in legend.get_texts()}


def test_the_report_draws_its_figure4_with_the_same_function(fits: pd.DataFrame) -> None:
    panel = next(figure for figure in report_figure4(fits) if figure.name == "figure4a")
    assert curves(panel.draw().axes[0]) == curves(plot.figure4(fits))


def test_paired_draws_every_gap_and_their_mean(fits: pd.DataFrame) -> None:
    axes = plot.paired(fits)
    value = fits.set_index(["arm", "p", "seed"])["difference_trained"]
    gaps = [value["plain", p, seed] - value["bn", p, seed] for p in (0.3, 0.5) for seed in (1, 2, 3)]
    assert any(line == pytest.approx(gaps) for line in curves(axes))
    swapped = plot.paired(fits, arms=("bn", "plain"))
    assert any(line == pytest.approx([-gap for gap in gaps]) for line in curves(swapped))


def test_an_arm_goes_by_its_label_where_that_names_one(fits: pd.DataFrame) -> None:
    own = fits.replace({"arm": {"bn": "nets:gelu"}})
    by_name, by_label = (plot.paired(own, arms=("plain", arm)) for arm in ("nets:gelu", "gelu"))
    assert curves(by_label) == curves(by_name)
    both = pd.concat([own, fits[fits["arm"] == "bn"].assign(arm="others:gelu")])
    with pytest.raises(RequestError) as refused:
        plot.paired(both, arms=("plain", "gelu"))
    assert named(str(refused.value), ["plain", "nets:gelu", "others:gelu"]) == {"plain", "nets:gelu", "others:gelu"}


@pytest.mark.parametrize("pixels", ["trained", "all"])
def test_gaps_are_those_of_the_report(fits: pd.DataFrame, pixels: str) -> None:
    ending = "_trained" if pixels == "trained" else ""
    readings = {"contrast": "difference", "J": "objective", "right": "right"}
    found = bnbench.gaps(fits, pixels=pixels).set_index("reading")
    theirs = quantities_table(fits, "plain", "bn").set_index("quantity")
    for reading, name in readings.items():
        row = theirs.loc[compared_columns()[f"{name}{ending}"]]
        ours = found.loc[reading, ["gap", "low", "high", "pairs"]].to_numpy(float)
        assert ours == pytest.approx(row[["gap", "low", "high", "pairs"]].to_numpy(float), nan_ok=True)
    swapped = bnbench.gaps(fits, ("bn", "plain"), pixels=pixels).set_index("reading")
    assert swapped["gap"].to_numpy() == pytest.approx(-found["gap"].to_numpy())


@pytest.mark.parametrize("value", ["black", "test_loss", "test_accuracy", "train_loss"])
def test_a_landscape_shows_each_pixel_where_it_lies(pixels: pd.DataFrame, value: str) -> None:
    fit = pixels.query("arm == 'bn' and p == 0.5 and seed == 2")
    given = plt.subplots()[1]
    assert plot.landscape(fit.sample(frac=1, random_state=1), given, value=value) is given
    (image,) = given.images
    array = image.get_array()
    assert array is not None
    shown = np.asarray(array)
    low, high = image.get_clim()
    for _, pixel in fit.iterrows():
        wanted = min(max(float(pixel[value]), float(low or 0)), float(high or 0))
        assert shown[pixel["row"], pixel["column"]] == pytest.approx(wanted)


def test_figure3_has_a_column_for_the_mask_and_each_arm(pixels: pd.DataFrame) -> None:
    fit = pixels.query("p == 0.3 and seed == 1")
    grid = plot.figure3(fit)
    assert grid.shape == (2, 3)
    assert [axes.get_title() for axes in grid[0]] == ["mask", "plain", "bn"]
    given = plt.subplots(2, 3)[1]
    assert plot.figure3(fit, given)[1, 2] is given[1, 2]


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda fits, pixels: plot.figure4(fits.drop(columns="seed")), "seed"),
        (lambda fits, pixels: plot.figure4(fits[["arm", "p", "seed"]]), "difference"),
        (lambda fits, pixels: plot.figure4(fits.iloc[:0]), "no row"),
        (lambda fits, pixels: plot.figure4(pixels), "a row per pixel"),
        (lambda fits, pixels: plot.figure4(fits, pixels="some"), "'some'"),
        (lambda fits, pixels: plot.figure4(fits, pixels="all", authors=True), "authors"),
        (lambda fits, pixels: plot.figure4(fits.drop(columns="difference_trained"), authors=True), "authors"),
        (lambda fits, pixels: plot.paired(fits[fits["arm"] == "bn"]), "plain and bn"),
        (lambda fits, pixels: plot.paired(fits, arms=("plain", "skip")), "plain and skip"),
        (lambda fits, pixels: plot.paired(pd.concat([fits, fits])), "twice"),
        (lambda fits, pixels: bnbench.gaps(fits.drop(columns="arm")), "arm"),
        (lambda fits, pixels: bnbench.gaps(fits[["arm", "p", "seed"]]), "right_trained"),
        (lambda fits, pixels: bnbench.gaps(fits, ("plain", "none")), "plain, bn"),
        (lambda fits, pixels: bnbench.gaps(fits, pixels="some"), "'some'"),
        (lambda fits, pixels: plot.landscape(pixels), "12 fits"),
        (lambda fits, pixels: plot.landscape(pixels, value="loss"), "loss"),
        (lambda fits, pixels: plot.figure3(pixels), "6 (p, seed)"),
        (lambda fits, pixels: plot.figure3(pixels.query("p == 0.3 and seed == 1"), plt.subplots(2, 2)[1]), "(2, 2)"),
    ],
)
def test_a_table_that_cannot_be_drawn_is_refused_by_its_name(
    call: Callable[[pd.DataFrame, pd.DataFrame], object], said: str, fits: pd.DataFrame, pixels: pd.DataFrame
) -> None:
    with pytest.raises(RequestError) as refused:
        call(fits, pixels)
    assert said in str(refused.value)
