"""The chapter on capacity: which protocols get one, what it says of each arm, and its figure and files."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from matplotlib.axes import Axes

from bnbench.inputs.masks import draw_mask, is_trained
from bnbench.protocol.protocol import Protocol
from bnbench.report.build import build_report
from bnbench.report.chapters import capacity as chapter_of
from bnbench.report.chapters import capacity_words
from bnbench.report.chapters.capacity import chapters
from bnbench.report.figures.capacity import capacity_figure
from bnbench.report.figures.style import arm_colours, print_style
from bnbench.report.page import writer
from bnbench.results.sweeps import Sweep, read_sweeps
from bnbench.stats import capacity
from bnbench.stats.falling_curve import right_at
from tests.sentences import named, numbers
from tests.stats.test_capacity import made_up
from tests.synthetic import SMALL, write_sweep

SIZES = ((5, 5), (6, 8), (9, 9))


def write_sizes(folder: Path, sizes: Sequence[tuple[int, int]] = SIZES, **more: object) -> None:
    for rows, columns in sizes:
        protocol = SMALL.with_knobs(mask_size=(rows, columns))
        write_sweep(folder / f"{rows}x{columns}", probs=[0.5], protocol=protocol, **more)  # type: ignore[arg-type]  # passed on


def with_sizes(fits: pd.DataFrame) -> pd.DataFrame:
    """Made-up fits as the chapter has them."""
    size = [f"{side:.0f}x{side:.0f}" for side in fits["side"]]
    bits = capacity.mask_bits(fits["side"] ** 2, 0.5)
    return fits.assign(p=0.5, size=size, bits=bits, visits=1e6 / fits["side"] ** 2)


def said(fits: pd.DataFrame) -> list[str]:
    return chapter_of._chapter(SMALL, with_sizes(fits), "capacity").sentences


def test_three_sizes_of_one_protocol_have_a_chapter_of_every_number(tmp_path: Path) -> None:
    write_sizes(tmp_path, seeds=[1, 2, 3])
    sweeps, _ = read_sweeps(tmp_path)
    (chapter,) = chapters(sweeps)
    tables = {table.name: table.frame for table in chapter.tables}
    fits, sizes, arms = (tables[name] for name in ("capacity_fits", "capacity_sizes", "capacity"))
    assert len(fits) == 3 * 2 * 3
    assert sorted(set(fits["side"])) == pytest.approx([5, math.sqrt(48), 9])
    for row in sizes.to_dict("records"):
        right = fits.loc[(fits["arm"] == row["arm"]) & (fits["size"] == row["size"]), "right"]
        assert (row["n"], row["mean"], row["sd"]) == pytest.approx((3, right.mean(), right.std()))
        assert row["bits"] == pytest.approx(row["side"] ** 2)
        own = arms[arms["arm"] == row["arm"]].to_dict("records")[0]
        assert row["fitted"] == pytest.approx(float(right_at(row["side"], own["curve_side"], own["slope"])))
    assert arms["arm"].tolist() == ["plain", "bn"]
    assert (arms["numbers"] > 0).all()
    assert chapter.figures[0].table.name == "capacity_sizes"


@pytest.mark.nightly
def test_other_differences_and_fewer_sizes_have_none(tmp_path: Path) -> None:
    write_sizes(tmp_path / "two", SIZES[:2])
    write_sizes(tmp_path / "same area", [(4, 9), (9, 4), (6, 6)])
    for steps, size in ((200, (5, 5)), (250, (6, 8)), (290, (9, 9))):
        write_sweep(tmp_path / "steps" / str(steps), protocol=SMALL.with_knobs(mask_size=size, steps=steps))
    for name in ("two", "same area", "steps"):
        assert chapters(read_sweeps(tmp_path / name)[0]) == []


def test_two_protocols_have_chapters_of_their_own(tmp_path: Path) -> None:
    for steps in (200, 300):
        for size in SIZES:
            protocol = SMALL.with_knobs(mask_size=size, steps=steps)
            write_sweep(tmp_path / f"{steps}-{size[0]}", arms=["plain"], probs=[0.5], seeds=[1], protocol=protocol)
    found = chapters(read_sweeps(tmp_path)[0])
    assert [chapter.name for chapter in found] == ["capacity", "capacity-2"]
    names = [table.name for chapter in found for table in chapter.tables]
    assert len(set(names)) == len(names)


def test_a_crossing_is_said_with_its_interval_and_beyond_the_sizes_in_words() -> None:
    fits = made_up({"plain": 31.0, "bn": 26.0, "skip": 300.0})
    found = capacity.capacities(fits, 0.5, {}).set_index("arm")
    sentences = said(fits)
    (plain,) = [one for one in sentences if "for plain" in one]
    assert all(f"{found[name]['plain']:.1f}" in plain for name in ("side", "low", "high"))
    (skip,) = [one for one in sentences if "for skip" in one or "of skip" in one]
    seeds = str(fits["seed"].nunique())
    assert numbers(skip) == ["0.5", seeds, "80", "95", "80.0"], "p, seeds, the largest size, the interval; no side"
    (ratio,) = [one for one in sentences if "times that" in one]
    assert f"{capacity.capacity_gaps(fits, ['plain', 'bn']).to_dict('records')[0]['ratio']:.2f}" in ratio
    smallest = ["0.5", seeds, "14", "95", "14.0"]
    assert any(numbers(one) == smallest for one in said(made_up({"plain": 4.0})))


def test_a_curve_that_falls_between_two_sizes_is_said_to() -> None:
    for side, slope in ((24.0, 200.0), (31.0, 4.0)):
        rows = made_up({"plain": side}, noise=0, shift=0)
        rows["right"] = right_at(rows["side"], side, slope)
        (plain,) = [one for one in said(rows) if "for plain" in one]
        assert ("between two sizes" in plain) == (slope == 200)
        assert ("20.0 to 28.0" in plain) == (slope == 200)


def test_a_frame_holds_no_bits(tmp_path: Path) -> None:
    for rows, columns in ((7, 7), (8, 9), (12, 12)):
        protocol = SMALL.with_knobs(mask_size=(rows, columns), mask_kind="framed")
        write_sweep(tmp_path / f"{rows}x{columns}", arms=["plain"], probs=[0.3], protocol=protocol)
    (chapter,) = chapters(read_sweeps(tmp_path)[0])
    tables = {table.name: table.frame for table in chapter.tables}
    drawn_masks = {
        size: np.stack([draw_mask(0.3, seed, size, "framed") for seed in range(1, 60)])
        for size in ((7, 7), (8, 9), (12, 12))
    }
    for (rows, columns), masks in drawn_masks.items():
        varying = (masks.any(axis=0) & ~masks.all(axis=0)).sum()  # pixels that differ from mask to mask
        row = tables["capacity_sizes"].set_index("size").loc[f"{rows}x{columns}"]
        assert row["bits"] == pytest.approx(varying * 0.8812908992306927)


def test_only_an_interval_that_holds_one_is_said_not_to_tell() -> None:
    for bn, tells in ((24.0, True), (31.0, False)):
        (ratio,) = [one for one in said(made_up({"plain": 31.0, "bn": bn})) if "times that" in one]
        assert ("seeds" in ratio) != tells


@pytest.mark.parametrize(
    ("low", "high", "ends"),
    [
        (0.9984, 1.32, "0.998 to 1.32"),
        (1.0004, 1.32, "1.0004 to 1.32"),
        (0.91, 0.9962, "0.91 to 0.996"),
        (1, 2, "1.00 to 2.00"),
    ],
)
def test_an_end_of_a_ratio_shows_on_which_side_of_one_it_lies(low: float, high: float, ends: str) -> None:
    assert capacity_words._ratio_words(low, high) == ends


def test_levels_at_which_the_interval_says_something_else_are_named() -> None:
    fits = made_up({"plain": 28.0, "bn": 28.0}, noise=0.002, shift=0.02)
    (alike,) = [one for one in said(fits) if "times that" in one]
    assert not any("convention" in one for one in said(fits)), "as level at other levels as at 90 %"
    flatter = right_at(fits["side"], 28.0, 3.0) - right_at(fits["side"], 28.0, 4.0)
    fits["right"] += np.where(fits["arm"] == "bn", flatter, 0)
    (level, other) = [one for one in said(fits) if "ratio is" in one or "times that" in one]
    assert numbers(level)[:1] == numbers(alike)[:1] == ["1.00"]
    named = [one["level"] for one in gaps_of(fits) if one["low"] > 1 or one["high"] < 1]
    assert named == [0.95, 0.75, 0.6]
    assert all(f"{named_one:.0%}".removesuffix("%") in other for named_one in named)


def gaps_of(fits: pd.DataFrame) -> list[dict[Any, Any]]:
    tables = (capacity.capacity_gaps(fits, ["plain", "bn"], level) for level in chapter_of.LEVELS)
    return [row for table in tables for row in table.to_dict("records")]


def test_how_often_a_pixel_is_drawn_is_told_of_the_smallest_and_the_largest_size(tmp_path: Path) -> None:
    write_sizes(tmp_path, seeds=[1])
    (chapter,) = chapters(read_sweeps(tmp_path)[0])
    fits = {table.name: table.frame for table in chapter.tables}["capacity_fits"].set_index("size")
    for rows, columns in SIZES:
        mask = draw_mask(0.5, 1, (rows, columns))
        trained = is_trained(mask)
        black, white = (mask & trained).sum(), (~mask & trained).sum()
        drawn = min(black, SMALL.training.black_pixels) + min(white, SMALL.training.white_pixels)
        expected = SMALL.training.steps * drawn / (black + white)
        assert fits["visits"][f"{rows}x{columns}"].tolist() == pytest.approx([expected] * 2)
    (said_of,) = [one for one in chapter.sentences if "drawn" in one]
    assert all(f"{fits['visits'][size].iloc[0]:,.0f} times" in said_of for size in ("5x5", "9x9"))


def test_pairs_of_many_arms_are_counted_in_one_sentence() -> None:
    few = said(made_up({"plain": 20.0, "bn": 21.0, "skip": 40.0}))
    many = said(made_up({"plain": 20.0, "bn": 21.0, "skip": 40.0, "softplus": 60.0}))
    assert len([one for one in few if "times that" in one]) == 3
    assert not [one for one in many if "times that" in one]
    (sides,) = [one for one in many if "smallest" in one]
    assert named(sides, ["plain", "bn", "skip", "softplus"]) == {"plain", "softplus"}
    (counted,) = [one for one in many if "pairs" in one]
    assert numbers(counted)[0] == "6"


def test_what_is_in_no_curve_is_counted() -> None:
    fits = made_up({"plain": 31.0, "bn": 26.0, "skip": 30.0})
    lacking = fits[~((fits["seed"] == 2) & (fits["side"] == 80) & (fits["arm"] == "bn"))]
    lacking = lacking[~((lacking["arm"] == "skip") & (lacking["side"] > 50))]
    sentences = said(lacking)
    assert any("1 seed " in one for one in sentences)
    assert any("skip" in one and "curve" in one for one in sentences)
    none = said(fits[(fits["seed"] % 2 == 0) == (fits["side"] > 30)])  # every size has fits, and no seed has all sizes
    assert any("no curve" in one for one in none)


def drawn(fits: pd.DataFrame, found: pd.DataFrame) -> Axes:
    with print_style():
        (axes,) = capacity_figure("capacity", with_sizes(fits), found, 0.5).draw().axes
    return axes


def test_the_figure_draws_every_fit_and_the_crossing_where_it_is() -> None:
    fits = made_up({"plain": 31.0, "bn": 26.0})
    found = capacity.capacities(fits, 0.5, {})
    axes = drawn(fits, found)
    colours = arm_colours(["plain", "bn"])
    for row in found.to_dict("records"):
        own = [line for line in axes.lines if line.get_color() == colours[row["arm"]]]
        assert any(len(np.asarray(line.get_xdata())) == 30 for line in own)  # 5 seeds at 6 sizes
        (tick,) = [line for line in own if line.get_marker() == "|" and len(np.asarray(line.get_xdata())) == 1]
        assert np.asarray(tick.get_xdata()) == pytest.approx([row["bits"]])
    assert {text.get_text().split("\n")[0] for text in axes.get_xticklabels()} >= {"196", "6,400"}


def test_of_many_arms_each_has_a_panel_with_its_own_fits_and_crossing_before_every_curve() -> None:
    arms = {"plain": 31.0, "bn": 26.0, "skip": 20.0, "softplus": 40.0}
    fits = made_up(arms)
    found = capacity.capacities(fits, 0.5, {}).set_index("arm")
    figure = capacity_figure("capacity", with_sizes(fits), found.reset_index(), 0.5)
    assert figure.narrow is not None
    with print_style():
        wide, narrow = figure.draw(), figure.narrow(narrow=True)
    assert narrow.get_figwidth() < wide.get_figwidth()
    colours = arm_colours(list(arms))
    for drawing in (wide, narrow):
        panels = {axes.get_title(loc="left"): axes for axes in drawing.axes if axes.get_visible()}
        assert list(panels) == list(arms)
        for arm, axes in panels.items():
            assert not {line.get_color() for line in axes.lines} & set(colours.values()) - {colours[arm]}
            (tick,) = [line for line in axes.lines if line.get_marker() == "|" and len(line.get_xydata()) == 1]  # type: ignore[arg-type]  # an array
            assert tick.get_xydata()[0].tolist() == pytest.approx([found["bits"][arm], 0.9])  # type: ignore[index,union-attr]  # an array
            curves = [np.asarray(line.get_ydata()) for line in axes.lines if len(np.asarray(line.get_xdata())) == 200]
            sides = np.geomspace(fits["side"].min() * 0.93, fits["side"].max() * 1.07, 200)
            in_order = [*(other for other in arms if other != arm), arm]  # of two runs a file is the same
            expected = [right_at(sides, *found.loc[other, ["curve_side", "slope"]]) for other in in_order]
            np.testing.assert_allclose(curves, expected)


@pytest.mark.parametrize("seeds", [1, 3])
def test_the_figure_is_drawn_without_a_crossing_and_without_a_curve(seeds: int) -> None:
    fits = made_up({"plain": 1000.0, "own.module:factory": 30.0}, seeds=seeds)
    assert drawn(fits, capacity.capacities(fits, 0.5, {})).lines
    assert drawn(fits, pd.DataFrame()).lines


def test_while_fits_are_to_come_the_chapter_counts_them(tmp_path: Path) -> None:
    write_sizes(tmp_path, seeds=[1, 2], skip=[("bn", 0.5, 2)])
    (chapter,) = chapters(read_sweeps(tmp_path)[0])
    assert numbers(chapter.sentences[1])[:2] == ["9", "3"]
    write_sizes(tmp_path, seeds=[1, 2])
    (whole,) = chapters(read_sweeps(tmp_path)[0])
    assert "3" not in numbers(" ".join(whole.sentences))
    assert len(whole.sentences) == len(chapter.sentences) - 2, "no count, and no seed that is left out"


def test_sweeps_that_differ_in_size_alone_are_told_from_others(tmp_path: Path) -> None:
    write_sizes(tmp_path, arms=["plain"], seeds=[1])
    sizes, _ = read_sweeps(tmp_path)
    (empty,), _ = write_sweep_of(tmp_path / "empty", SMALL.with_knobs(mask_size=(7, 7)), seeds=[])
    (longer,), _ = write_sweep_of(tmp_path / "longer", SMALL.with_knobs(steps=400), seeds=[1])
    assert chapter_of.differ_in_size_alone(sizes)
    assert chapter_of.differ_in_size_alone([*sizes, empty]), "a size whose fits are to come"
    assert not chapter_of.differ_in_size_alone([*sizes, longer])
    assert not chapter_of.differ_in_size_alone(sizes[:2]), "two sizes have no curve"


def write_sweep_of(folder: Path, protocol: Protocol, seeds: list[int]) -> tuple[list[Sweep], list[str]]:
    write_sweep(folder, arms=["plain"], probs=[0.5], seeds=seeds, protocol=protocol)
    return read_sweeps(folder)


@pytest.mark.nightly
def test_the_report_of_a_folder_of_sizes_has_it_on_its_page_and_in_its_record(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    blank = b'<svg viewBox="0 0 10 10"></svg>'
    monkeypatch.setattr(writer, "draw_files", lambda draw, endings: dict.fromkeys(endings, blank))
    write_sizes(tmp_path / "results", arms=["plain"], seeds=[1])
    report = build_report(tmp_path / "results", tmp_path / "out", formats=("html", "csv", "md", "json"))
    assert {"capacity.csv", "capacity.md", "capacity_sizes.csv", "capacity_fits.csv", "captions.md"} <= {
        path.name for path in report.paths if path.parent.parent == tmp_path / "out"
    }
    page = (tmp_path / "out/index.html").read_text()
    assert page.index('id="capacity"') < page.index('class="answers"'), "of sizes alone it comes first"
    assert page.count('id="capacity"') == 1
    assert 'href="tables/capacity_sizes.csv"' in page
    across = json.loads((tmp_path / "out/report.json").read_text())["across"]
    (record,) = (chapter for chapter in across if "capacity" in chapter["tables"])
    assert record["tables"]["capacity"]["rows"][0]["arm"] == "plain"
    assert "capacity" in record["captions"]
