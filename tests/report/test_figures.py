"""What the report draws and says, piece by piece: headlines, figures, cells, commands."""

from __future__ import annotations

import math
import shlex
from collections.abc import Callable
from itertools import combinations
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.container import ErrorbarContainer
from matplotlib.figure import Figure as Drawing
from matplotlib.layout_engine import ConstrainedLayoutEngine

from bnbench.inputs.masks import draw_mask
from bnbench.protocol.parsing import parse_probs, parse_seeds
from bnbench.protocol.profiles import PROFILES
from bnbench.protocol.protocol import BUILT_IN, FitKey
from bnbench.report import tables
from bnbench.report.arms import arm_order, compared_arms
from bnbench.report.chapters import headline, reproduce
from bnbench.report.figures import style
from bnbench.report.figures.authors import authors_figure4, draw_authors
from bnbench.report.figures.figure import Figure
from bnbench.report.figures.figure3 import figure3
from bnbench.report.figures.figure4 import draw_difference, figure4
from bnbench.report.figures.landscapes import choose_pair
from bnbench.report.figures.learning_curves import learning_curves
from bnbench.report.figures.objective import objective
from bnbench.report.figures.paired import _draw as pairs_drawn
from bnbench.report.figures.paired import paired_objective
from bnbench.report.figures.training_against_test import training_against_test
from bnbench.report.figures.wall_time import _draw as times_drawn
from bnbench.results import sweeps
from bnbench.stats import differences
from tests.fits import TINY, make_result
from tests.sentences import named, numbers
from tests.synthetic import SMALL, write_sweep

NONE = pd.DataFrame(columns=["arm", "p", "seed"])


def fits_of(gaps: dict[tuple[float, int], float], arms: tuple[str, ...] = ("plain", "bn")) -> pd.DataFrame:
    rows = [
        {"arm": arm, "p": p, "seed": seed, "difference_trained": 0.4 - (number * gap)}
        for (p, seed), gap in gaps.items()
        for number, arm in enumerate(arms)
    ]
    return pd.DataFrame(rows)


@pytest.mark.parametrize(
    ("fits", "case", "arms"),
    [
        (fits_of({(0.5, 1): 0.05, (0.5, 2): 0.06, (0.5, 3): 0.055}), "inconclusive", {"plain"}),
        (fits_of({(0.5, 1): -0.05, (0.5, 2): -0.06, (0.5, 3): -0.055}), "inconclusive", {"bn"}),
        (fits_of({(0.5, 1): 0.05, (0.5, 2): -0.06}), "inconclusive", {"plain", "bn"}),
        (fits_of({(0.5, 1): 0.05, (0.3, 1): 0.06}), "inconclusive", {"plain", "bn"}),
        (fits_of({(0.5, 1): 0.05}, arms=("skip",)), "", {"skip"}),
        (fits_of({(0.5, 1): 0.05, (0.5, 2): 0.051}, arms=("bn", "a:b")), "inconclusive", {"bn"}),
        (pd.concat([fits_of({(0.5, 1): 0}, ("bn",)), fits_of({(0.3, 1): 0}, ("plain",))]), "", set()),
    ],
)
def test_the_headline_names_one_arm_only_where_the_interval_does(fits: pd.DataFrame, case: str, arms: set[str]) -> None:
    found = headline.answer(fits, NONE)
    assert (found.case, named(found.headline, ("plain", "bn", "skip", "a:b"))) == (case, arms)


def test_figure_3_shows_the_fit_nearest_one_half_with_most_arms() -> None:
    rows = [("plain", 0.3, 1), ("bn", 0.3, 1), ("plain", 0.6, 1), ("plain", 0.6, 2), ("bn", 0.6, 2), ("bn", 0.6, 3)]
    table = pd.DataFrame(rows, columns=["arm", "p", "seed"])
    assert choose_pair(table) == (0.6, 2)
    assert choose_pair(pd.DataFrame([("bn", 0.4, 5), ("bn", 0.6, 1)], columns=["arm", "p", "seed"])) == (0.4, 5)


def test_figure_3_has_row_0_on_top_and_one_scale_for_all_arms(tmp_path: Path) -> None:
    write_sweep(tmp_path, probs=[0.5], seeds=[1], protocol=SMALL.with_knobs(mask_size=(5, 7)))
    table = sweeps.read_sweep(tmp_path).landscapes
    with style.print_style():
        figure = figure3(table.sample(frac=1, random_state=0), 0.5, 1, 2.5).draw()
    mask, plain, bn = (axes.images[0] for axes in figure.axes[:3])
    expected = table[table["arm"] == "plain"].pivot(index="row", columns="column", values="black")
    np.testing.assert_array_equal(mask.get_array(), expected.to_numpy(dtype=float))
    assert mask.origin == plain.origin == "upper"
    assert mask.cmap(1.0)[:3] == (0, 0, 0)
    assert plain.norm is bn.norm
    low, high = plain.get_clim()
    assert low <= 2.5 <= high
    with pytest.raises(ValueError, match=r"p=0\.5 .*\b9\b"):
        figure3(table, 0.5, 9, 2.5)


def test_losses_that_are_not_numbers_still_draw(tmp_path: Path) -> None:
    write_sweep(tmp_path / "results", probs=[0.5], seeds=[1])
    table = sweeps.read_sweep(tmp_path / "results").landscapes
    for loss, ending in ((math.nan, "png"), (math.inf, "svg")):
        with style.print_style():
            figure = figure3(table.assign(test_loss=loss), 0.5, 1, 2.5).draw()
            (path,) = style.save(figure, tmp_path, "figure3", [ending])
        assert path.stat().st_size > 0


@pytest.mark.nightly
@pytest.mark.parametrize("draw", [figure3, training_against_test])
def test_titles_of_many_arms_stay_apart_and_in_the_picture(draw: Callable[..., Figure]) -> None:
    fits = [make_result(FitKey(arm, 0.5, 1), protocol=TINY).landscape for arm in BUILT_IN]
    last = 2.5 if draw is figure3 else "test"
    with style.print_style():
        drawing = draw(pd.concat(fits), 0.5, 1, last).draw()
        drawing.draw_without_rendering()
    boxes = [axes.title.get_window_extent() for axes in drawing.axes if axes.get_title()]
    assert len(boxes) >= 2 * len(BUILT_IN), "rows that go on below say both times whose panel is whose"
    assert all(box.x0 >= 0 and box.x1 <= drawing.bbox.width for box in boxes)
    assert not any(one.overlaps(other) for one, other in combinations(boxes, 2))
    assert min(float(axes.title.get_fontsize()) for axes in drawing.axes) > 6, "points: they can be read"


def test_the_authors_curve_is_theirs() -> None:
    authors = authors_figure4()
    assert len(authors) == 27
    assert set(authors["arm"]) == {"plain", "bn", "skip"}
    np.testing.assert_allclose(authors["black"] - authors["white"], authors["difference"], atol=0.0015)


def test_the_authors_arms_are_told_apart_without_colour() -> None:
    authors = authors_figure4()
    axes = Drawing().subplots()
    draw_authors(axes, authors, authors, ("difference",))
    assert len({line.get_marker() for line in axes.lines}) == 3


@pytest.mark.parametrize("probs", [[0.5], [0.4, 0.5, 0.6]])
def test_the_authors_leave_the_panel_to_the_fits(tmp_path: Path, probs: list[float]) -> None:
    arms = ["plain", "bn", "skip", "bn-skip", "groupnorm", "layernorm", "standardized", "softplus", "softplus-centred"]
    write_sweep(tmp_path, arms=arms, probs=probs, seeds=[1, 2, 3])
    fits = tables.over_trained(tables.fits_table(sweeps.read_sweep(tmp_path)))
    axes = Drawing().subplots()
    draw_difference(axes, fits, authors_figure4(), "test")
    ends = axes.get_xlim()
    assert ends[1] - ends[0] <= 1.5 * max(0.1, np.ptp(probs)), "as wide as without them"
    theirs = [line for line in axes.lines if line.get_markerfacecolor() == "none"]
    assert [len(np.atleast_1d(line.get_xdata())) for line in theirs] == [len(probs)] * 3
    ours = [bars.lines[0] for bars in axes.containers if isinstance(bars, ErrorbarContainer)]
    with_arm = [
        any(np.array_equal(line.get_xdata(), mine.get_xdata()) for mine in ours if mine.get_color() == line.get_color())
        for line in theirs
    ]
    assert all(with_arm) == (len(probs) == 1), "of a single p each marker stands with its arm"
    caption = figure4(fits, authors_figure4())[1].caption
    assert ("dashed lines" in caption) == (len(probs) > 1)


@pytest.mark.parametrize(
    "arms",
    [
        pytest.param(["plain"], marks=pytest.mark.nightly),
        pytest.param(["plain", "bn"], marks=pytest.mark.nightly),
        ["plain", "bn", "skip", "my.nets:a_rather_long_name"],
    ],
)
@pytest.mark.parametrize("with_authors", [True, False])
def test_the_panels_of_figure_4_have_letters_in_one_figure_alone_and_begin_where_their_neighbours_do(
    tmp_path: Path, arms: list[str], with_authors: bool
) -> None:
    write_sweep(tmp_path, arms=arms)
    fits = tables.fits_table(sweeps.read_sweep(tmp_path))
    authors = authors_figure4() if with_authors else None
    whole, *panels = figure4(fits, authors)
    _, *of_objective = objective(fits, 2.5, authors)
    with style.print_style():
        assert [axes.get_title(loc="left") for axes in whole.draw().axes] == ["a", "b"]
    for row in zip(panels, of_objective, strict=True):  # as they stand on a page
        boxes = []
        for panel in row:
            with style.print_style():
                figure = panel.draw()
                figure.draw_without_rendering()
            assert figure.axes[0].get_title(loc="left") == "", "a page shows panels of several figures"
            boxes.append(figure.axes[0].get_position())
        np.testing.assert_allclose([boxes[0].y0, boxes[0].y1], [boxes[1].y0, boxes[1].y1], atol=8e-3)  # two pixels


def test_arms_keep_their_colours_whoever_stands_beside_them() -> None:
    few, many = style.arm_colours(["bn", "plain"]), style.arm_colours(["z:z", "skip", "bn", "plain", "a:a"])
    assert all(many[arm] == colour for arm, colour in few.items())
    assert len(set(many.values())) == 5
    assert arm_order(many) == ["plain", "bn", "skip", "a:a", "z:z"]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.12345, "0.123"),
        (-0.5, "−0.5"),
        (45, "45"),
        (1e-5, "0.00001"),
        (9.4e-10, "9e−10"),
        (float("nan"), "–"),
        (0.1, "0.1"),
        (0.0625, "0.0625"),
        (45.0, "45"),
        (111136.2, "111136.2"),
        ("a", "a"),
    ],
)
def test_cells_are_short(value: float | str, text: str) -> None:
    assert tables.cell(value) == text


@given(st.lists(st.integers(1, 999), min_size=1, max_size=12, unique=True))
def test_the_command_names_the_same_probabilities(permille: list[int]) -> None:
    values = pd.Series([number / 1000 for number in permille])
    assert parse_probs(reproduce.probs_text(values)) == tuple(sorted(values))


@given(st.lists(st.integers(1, 50), min_size=1, max_size=12, unique=True))
def test_the_command_names_the_same_seeds(seeds: list[int]) -> None:
    assert parse_seeds(reproduce.seeds_text(pd.Series(seeds))) == tuple(sorted(seeds))


def test_the_command_names_what_differs_from_the_profile() -> None:
    fits = pd.DataFrame([("plain", 0.1 * p, 1) for p in range(1, 10)], columns=["arm", "p", "seed"])
    protocol = PROFILES["quick"].with_knobs(mask_size=(12, 8), learning_rate=0.001, widths=(4, 4, 8, 8, 8, 8))
    words = shlex.split(reproduce.command(protocol, fits))
    assert words[:4] == ["bnbench", "run", "--profile", "quick"]
    options = dict(zip(words[4::2], words[5::2], strict=True))
    assert options == {
        "--probs": "0.1:0.9:0.1",
        "--seeds": "1",
        "--arms": "plain",
        "--mask-size": "12x8",
        "--learning-rate": "0.001",
        "--widths": "4,4,8,8,8,8",
    }


def test_the_paper_has_no_departure_from_itself() -> None:
    assert reproduce.departures(PROFILES["paper"]) == []
    assert {"images", "steps", "pool"} <= {name for name, *_ in reproduce.departures(PROFILES["quick"])}


def test_the_learning_curves_of_plain_alone_speak_of_no_batch_normalization(tmp_path: Path) -> None:
    write_sweep(tmp_path, probs=[0.5], seeds=[1])
    sweep = sweeps.read_sweep(tmp_path)
    fits = tables.fits_table(sweep)
    both, alone = (learning_curves(sweep.traces, some) for some in (fits, fits[fits["arm"] == "plain"]))
    assert both is not None
    assert alone is not None
    assert "statistics" in both.caption
    assert "statistics" not in alone.caption


def test_provenance_adds_up_times_alone_and_leaves_out_what_says_nothing(tmp_path: Path) -> None:
    write_sweep(tmp_path, arms=["plain"], provenance={"note": ""})
    sweep = sweeps.read_sweep(tmp_path)
    sweep.provenance["gflops"] = [1.0, 2.0, 3.5, 4.0]
    text = tables.provenance_table(sweep).set_index("what")["value"]
    assert numbers(text["gflops"]) == ["2.75", "4"]
    assert "sum" in text["wall_seconds"]
    assert "note" not in text


def test_provenance_says_of_times_from_when_to_when(tmp_path: Path) -> None:
    write_sweep(tmp_path, arms=["plain"])
    sweep = sweeps.read_sweep(tmp_path)
    times = [f"2026-11-28T1{hour}:00:00+00:00" for hour in (3, 1, 4, 2)]
    for name in ("begun", "started", "finished"):
        sweep.provenance[name] = times
    sweep.provenance["host"] = ["one", "other", "one", "one"]
    text = tables.provenance_table(sweep).set_index("what")["value"]
    for name in ("begun", "started", "finished"):
        assert [time for time in sorted(times) if time in text[name]] == [min(times), max(times)]
        assert text[name].index(min(times)) < text[name].index(max(times))
    assert "(1 fit)" in text["host"]


def test_of_framed_masks_a_report_says_how_many_pixels_are_alike() -> None:
    for size in ((9, 9), (7, 12)):
        masks = np.stack([draw_mask(0.5, seed, size, "framed") for seed in range(1, 60)])
        alike = int((masks.all(axis=0) | ~masks.any(axis=0)).sum())
        text = reproduce.masks_text(PROFILES["quick"].with_knobs(mask_size=size, mask_kind="framed"))
        assert str(alike) in numbers(text)
    assert len(numbers(reproduce.masks_text(PROFILES["quick"]))) == 2, "rows and columns"


def test_the_cost_counts_threads() -> None:
    table = pd.DataFrame({"wall_seconds": [1800.0, 1800.0], "threads": [2, 1], "device": ["cpu", "cuda:0"]})
    assert numbers(reproduce.cost(table)) == ["60", "30"]


def test_no_two_arms_share_a_colour_or_a_marker() -> None:
    further = [f"own:{number}" for number in range(len(style._FURTHER))]
    for looks in (style.arm_colours, style.arm_markers):
        assert len({*looks([*style._LOOKS, *further]).values()}) == len(style._LOOKS) + len(further)
        assert len({*looks(BUILT_IN).values()}) == len(BUILT_IN)


def test_many_fits_are_a_band_and_an_image_and_each_mean_opens_its_first_seed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_sweep(tmp_path, probs=(0.3, 0.5), seeds=(2, 3, 4))
    sweep = sweeps.read_sweep(tmp_path)
    fits = tables.fits_table(sweep)
    for module in ("figure4", "learning_curves", "paired", "wall_time"):
        monkeypatch.setattr(f"bnbench.report.figures.{module}.MANY_FITS", 11)
    figure = learning_curves(sweep.traces, fits)
    assert figure is not None
    assert "Band" in figure.caption
    with style.print_style():
        panel, curves = figure4(fits)[1].draw().axes[0], figure.draw().axes[0]
    assert len(curves.lines) == 4, "both means with their edges"
    assert len(curves.collections) == 2
    names = {str(line.get_gid()) for line in panel.lines} - {"None"}
    assert names == {f"fit-difference-{arm}-{p:g}-2" for arm in (0, 1) for p in (0.3, 0.5)}
    assert sum(bool(line.get_rasterized()) for line in panel.lines) == 2
    pairs = differences.paired(fits, "plain", "bn", "difference_trained")
    for drawn in (pairs_drawn(pairs, "plain", "bn"), times_drawn(fits)):
        assert any(one.get_rasterized() for one in [*drawn.axes[0].lines, *drawn.axes[0].collections])


def test_gaps_that_are_all_none_have_a_frame_around_them() -> None:
    keys = {"p": [0.3, 0.3, 0.5, 0.5], "seed": [1, 2, 1, 2]}
    both = pd.DataFrame(keys).assign(difference_trained=0.2, right_trained=1.0, objective_trained=-2.0)
    fits = pd.concat([both.assign(arm="plain"), both.assign(arm="bn")])
    compared = compared_arms(fits)
    assert compared is not None
    (figure,) = paired_objective(fits, compared)
    with style.print_style():
        limits = [axes.get_ylim() for axes in figure.draw().axes]
    assert all(low < -1e-3 and high > 1e-3 for low, high in limits)


class LastBitsOff(ConstrainedLayoutEngine):
    """Lays out as usual, but for the last bits of each place: these depend on where the solver's unknowns lie."""

    def execute(self, fig: Drawing) -> None:
        super().execute(fig)
        for axes in fig.axes:
            left, bottom, width, height = axes.get_position(original=True).bounds
            axes.set_position((left, bottom * (1 + 4e-16), width * (1 - 4e-16), height), which="original")


def test_the_last_bits_of_a_layout_change_no_byte_of_a_file() -> None:
    files = []
    with style.print_style():
        for engine in (ConstrainedLayoutEngine(), LastBitsOff()):
            drawing = Drawing(figsize=(3, 2), layout=engine)
            for axes in drawing.subplots(1, 2):
                axes.imshow(np.eye(3))
                axes.plot([0, 1], [0, 2])
            files.append(style.as_files(drawing))
    assert files[0] == files[1]
