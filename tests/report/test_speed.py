"""Speed in the report: the courses are drawn and summed up as they are, and nothing is said that they do not say."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from bnbench.report.arms import ComparedArms, compared_arms
from bnbench.report.build import build_report
from bnbench.report.chapters import speed
from bnbench.report.figures.measured_on_the_way import means, measured_on_the_way
from bnbench.report.figures.style import print_style
from bnbench.report.tables import fits_table
from bnbench.results import layout
from bnbench.results.fits import read_fit
from bnbench.results.store import write_fit
from bnbench.results.summary import headline_rows
from bnbench.results.sweeps import Sweep, read_sweep
from tests.sentences import numbers
from tests.synthetic import write_sweep

STEPS = (10, 30, 100, 300)
Rise = Callable[[str, int, int], float]


@pytest.fixture(scope="module")
def bare(tmp_path_factory: pytest.TempPathFactory) -> Sweep:
    """A sweep of ten pairs whose fits were not measured on the way; no test changes it."""
    folder = tmp_path_factory.mktemp("swept") / "results"
    write_sweep(folder, probs=[0.3, 0.5], seeds=range(1, 6))
    return read_sweep(folder)


def with_courses(sweep: Sweep, right: Rise, *, arms: tuple[str, ...] = ("plain", "bn")) -> Sweep:
    """The sweep as if some arms had been measured on the way: ``right`` says their share at a step."""
    rows = [
        {"arm": key.arm, "p": key.p, "seed": key.seed, "step": step, "pixels": pixels}
        | {
            "right": right(key.arm, key.seed, step),
            "objective": -right(key.arm, key.seed, step),
            "difference": step / 1000,
        }
        for key in sweep.identities
        if key.arm in arms
        for step in STEPS
        for pixels in ("all", "trained")
    ]
    return replace(sweep, courses=pd.DataFrame(rows))


def plain_first(arm: str, seed: int, step: int) -> float:
    """Plain is at 0.9 after about 30 steps and bn after about 100."""
    return 1 / (1 + math.exp(-4 * math.log10(step / (9 if arm == "plain" else 27) * (1 + seed / 100))))


def trained(sweep: Sweep) -> pd.DataFrame:
    return sweep.courses[sweep.courses["pixels"] == "trained"]


def compared(sweep: Sweep) -> ComparedArms:
    found = compared_arms(fits_table(sweep))
    assert found is not None
    return found


def test_without_a_measured_fit_there_is_no_chapter(bare: Sweep) -> None:
    assert speed.chapter(bare, compared(bare)) is None


def test_the_chapter_says_who_is_sooner_and_by_how_much(bare: Sweep) -> None:
    sweep = with_courses(bare, plain_first)
    chapter = speed.chapter(sweep, compared(sweep))
    assert chapter is not None
    race = chapter.sentences[-1]
    assert numbers(race)[:4] == ["10", "10", "0", "0.00195"]  # pairs, sooner: plain, bn; 2/2¹⁰
    tables = {table.name: table.frame for table in chapter.tables}
    arms = tables["speed"].set_index("arm")
    assert arms.index.tolist() == ["plain", "bn"]
    plain, bn = arms["median"].to_numpy(float)
    assert f"{plain / bn:.2f}" in numbers(race)
    assert len(tables["steps_until"]) == 20
    assert len(tables["courses"]) == 20 * len(STEPS) * 2
    assert [figure.name for figure in chapter.figures] == ["measured_on_the_way"]


def test_fits_that_never_get_there_are_counted_and_bound_the_ratio(bare: Sweep) -> None:
    sweep = with_courses(bare, lambda arm, seed, step: 0.6 if arm == "bn" else plain_first(arm, seed, step))
    chapter = speed.chapter(sweep, compared(sweep))
    assert chapter is not None
    _, steps, race = chapter.sentences
    assert "0 of 10" in steps
    assert numbers(race)[:3] == ["10", "10", "0"]
    assert "anything" in race, "one end of the interval is not known"


def test_nobody_is_sooner_where_nobody_gets_there(bare: Sweep) -> None:
    sweep = with_courses(bare, lambda arm, seed, step: 0.6)
    chapter = speed.chapter(sweep, compared(sweep))
    assert chapter is not None
    assert numbers(chapter.sentences[-1])[:4] == ["10", "0", "0", "10"], "pairs, sooner: plain, bn, nobody"


def test_one_arm_alone_is_no_race(bare: Sweep) -> None:
    sweep = with_courses(bare, plain_first, arms=("bn",))
    chapter = speed.chapter(sweep, compared(sweep))
    assert chapter is not None
    assert numbers(chapter.sentences[0])[:2] == ["10", "20"]
    assert numbers(chapter.sentences[-1]) == []
    alone = speed.chapter(sweep, None)
    assert alone is not None
    assert len(alone.sentences) == 2


def test_courses_from_before_a_measure_was_there_are_drawn_without_it(bare: Sweep) -> None:
    sweep = with_courses(bare, plain_first)
    sweep = replace(sweep, courses=sweep.courses.drop(columns=["right", "objective"]))
    chapter = speed.chapter(sweep, compared(sweep))
    assert chapter is not None
    assert [table.name for table in chapter.tables] == ["courses"]
    assert set(chapter.figures[0].table.frame["measure"]) == {"difference"}


def test_the_thick_line_is_the_mean_at_the_steps_that_all_fits_have(bare: Sweep) -> None:
    courses = trained(with_courses(bare, plain_first))
    missing = (courses["arm"] == "bn") & (courses["seed"] == 3) & (courses["step"] == 100)
    table = means(courses[~missing].sample(frac=1, random_state=0), "right")
    found = {(row["arm"], row["step"]): row for row in table.to_dict("records")}
    assert sorted(found) == sorted([*(("plain", s) for s in STEPS), *(("bn", s) for s in STEPS if s != 100)])
    for (arm, step), row in found.items():
        values = [plain_first(arm, seed, step) for seed in range(1, 6) for _ in (0.3, 0.5)]
        assert row["fits"] == 10
        assert row["mean"] == pytest.approx(sum(values) / 10)
        assert row["sd"] == pytest.approx(np.std(values, ddof=1))


def test_the_figure_has_a_line_for_each_fit_and_one_for_their_mean(bare: Sweep) -> None:
    figure = measured_on_the_way(trained(with_courses(bare, plain_first)))
    assert figure is not None
    assert figure.narrow is not None
    with print_style():
        wide, narrow = figure.draw(), figure.narrow(narrow=True)
    assert wide.get_figwidth() > narrow.get_figwidth()
    for drawing in (wide, narrow):
        assert len(drawing.axes) == 3
        assert {axes.get_xscale() for axes in drawing.axes} == {"log"}
        lines = [line for line in drawing.axes[1].lines if np.size(line.get_xdata()) == len(STEPS)]
        assert len(lines) == 20 + 2 * 2  # a mean has a white line behind it
    assert all(token in figure.caption for token in ("plain 10", "bn 10", "p = 0.3, 0.5"))
    assert set(figure.table.frame["measure"]) == {"right", "objective", "difference"}


def test_a_single_step_is_no_course() -> None:
    one = pd.DataFrame({"arm": ["bn"], "p": [0.5], "seed": [1], "step": [300], "right": [1.0]})
    assert measured_on_the_way(one) is None


def test_a_report_holds_the_courses_of_the_fits_that_have_one(tmp_path: Path) -> None:
    write_sweep(tmp_path / "results", probs=[0.5], seeds=(1, 2))
    path = layout.fit_paths(tmp_path / "results")[0]
    fit = read_fit(path)
    ends = {name: headline_rows(fit.summary, name).iloc[0] for name in ("all", "trained")}
    course = pd.DataFrame(
        {"step": step, "pixels": name, "black": float(row["black"]), "difference": float(row["difference"])}
        for step in (3, fit.protocol.training.steps)
        for name, row in ends.items()
    )
    write_fit(tmp_path / "results", replace(fit, course=course))
    build_report(tmp_path / "results", tmp_path / "report", formats=["csv"])
    table = pd.read_csv(tmp_path / "report" / "tables" / "courses.csv")
    assert len(table) == 4
    assert set(table["seed"]) == {fit.key.seed}
