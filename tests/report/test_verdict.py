"""The headline's rule: every case from a made table, and the metric always named."""

from __future__ import annotations

import itertools
import re
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from bnbench.measures.registry import compared_columns
from bnbench.protocol.protocol import FitKey, Grid
from bnbench.report.arms import ComparedArms, compared_arms
from bnbench.report.chapters.headline import answer
from bnbench.report.chapters.in_short import ALONE, APART, NOTHING, of_nothing
from bnbench.report.chapters.readings import readings_table
from bnbench.report.chapters.standing import Standing
from bnbench.report.chapters.verdict import DIFFER, OPEN, TIE, case_of, headline_of, objective_says, reading, so_far
from bnbench.report.figures import style
from bnbench.report.figures.authors import authors_figure4
from bnbench.report.figures.figure4 import figure4, figure4_all_pixels
from bnbench.report.figures.objective import objective
from bnbench.report.tables import fits_table
from bnbench.results.sweeps import read_sweep
from bnbench.stats import differences
from tests.sentences import named, numbers
from tests.synthetic import write_sweep

NONE = pd.DataFrame(columns=["arm", "p", "seed"])
SAID = ("plain", "bn", TIE, OPEN)


def fits_of(contrast: float, objective: float, right: float, sd: float = 0.002, seeds: int = 5) -> pd.DataFrame:
    """A sweep of nine p whose gaps plain − bn are these, with noise."""
    random = np.random.default_rng(1)
    means = {"difference_trained": contrast, "objective_trained": objective, "right_trained": right}
    rows = [
        {"arm": arm, "p": p / 10, "seed": seed}
        | {name: 0.5 + gap * (arm == "plain") + random.normal(0, sd) for name, gap in means.items()}
        for arm, p, seed in itertools.product(("plain", "bn"), range(1, 10), range(1, seeds + 1))
    ]
    return pd.DataFrame(rows)


@pytest.mark.parametrize(
    ("fits", "case", "further"),
    [
        (fits_of(0.1, -0.1, 0.05), "agree", "plain"),
        (fits_of(-0.1, 0.1, -0.05), "agree", "bn"),
        (fits_of(0.1, 0.1, -0.05), "disagree", "bn"),
        (fits_of(-0.1, -0.1, 0.05), "disagree", "plain"),
        (fits_of(0.1, 0.0, 0.0), "tie", ""),
        (fits_of(0.1, 0.005, -0.003), "tie", ""),  # beyond chance, and within the bounds
        (fits_of(0.1, 0.1, 0.0), "inconclusive", ""),  # J names an arm, and right finds a tie
        (fits_of(0.1, -0.1, -0.05), "inconclusive", ""),  # J and right name different arms
        (fits_of(0.0, -0.1, 0.05), "inconclusive", "plain"),  # the contrast is open, and the objective is not
        (fits_of(0.0, 0.0, 0.0), "inconclusive", ""),
        (fits_of(0.1, 0.0, 0.0, sd=0.3), "inconclusive", ""),
        (fits_of(0.1, -0.1, 0.05, seeds=1), "inconclusive", ""),
    ],
)
def test_each_case_from_a_made_table(fits: pd.DataFrame, case: str, further: str) -> None:
    found = answer(fits, NONE)
    assert found.case == case
    assert ("further" in found.headline) == bool(further)
    assert not further or re.findall(r"\b(?:plain|bn)\b", found.headline)[-1] == further, "by the objective"
    assert "right" in found.objective
    assert "J" in found.objective
    short = found.in_short
    assert (short.case, short.extremes) == (case, ())
    assert (short.objective if short.objective in ("plain", "bn") else "") == further
    assert ("it is open" in short.sentence.lower()) == (short.objective in (OPEN, DIFFER)), "as the headline has it"
    assert {"black", "white", "plain", "bn"} <= set(re.findall(r"\w+", short.sentence))
    assert "1,200" in answer(fits, NONE, steps=1_200).in_short.sentence
    means = fits.groupby("arm")[["difference_trained", "right_trained"]].mean()
    said = [f"{value:.3f}" for value in means["difference_trained"]]
    said += [f"{100 * value:.1f}" for value in means["right_trained"]]
    assert sorted(numbers(short.sentence)) == sorted(said)


def test_the_first_sentence_of_one_arm_of_arms_apart_and_of_many() -> None:
    fits, names = fits_of(0.1, -0.1, 0.05), ("plain", "bn", "skip")
    alone = answer(fits[fits["arm"] == "bn"], NONE).in_short
    assert (alone.case, alone.contrast, alone.objective, named(alone.sentence, names)) == (ALONE, "", "", {"bn"})
    apart = answer(fits[(fits["arm"] == "bn") == (fits["seed"] < 3)], NONE).in_short
    assert (apart.case, named(apart.sentence, names)) == (APART, {"plain", "bn"})
    worst = fits[fits["arm"] == "bn"].assign(arm="skip", difference_trained=-0.2)
    many = answer(pd.concat([fits, worst]), NONE).in_short
    assert (many.case, many.contrast, many.objective, many.extremes) == ("agree", "plain", "plain", ("plain", "skip"))
    assert numbers(many.sentence)[-1] == "−0.200"
    assert of_nothing().case == NOTHING


COMPARED = ComparedArms(differences.paired(fits_of(0.1, 0.1, 0.1), value="difference_trained"), "plain", "bn")
EVERY_CASE = list(itertools.product(("plain", "bn", OPEN), SAID, SAID))


@pytest.mark.parametrize(("contrast", "by_j", "by_right"), EVERY_CASE)
def test_every_headline_names_its_metrics(contrast: str, by_j: str, by_right: str) -> None:
    text, objective = headline_of(contrast, by_j, by_right, COMPARED), objective_says(by_j, by_right)
    assert "accuracy contrast" in text.lower()
    assert "objective" in text
    assert ("further" in text) == (objective in ("plain", "bn"))
    assert objective in (TIE, OPEN, DIFFER) or re.findall(r"\b(?:plain|bn)\b", text)[-1] == objective
    assert case_of(contrast, objective) in ("agree", "disagree", "tie", "inconclusive")
    if by_j != by_right:  # what each says stands there: J is not the objective by itself
        assert re.findall(r"\b(J|right)\b", text) == ["J", "right"]
        said = text[text.index("J ") :]
        assert re.findall(r"\b(?:plain|bn)\b", said) == [says for says in (by_j, by_right) if says in ("plain", "bn")]


@pytest.mark.parametrize(("contrast", "by_j", "by_right"), EVERY_CASE)
def test_no_arm_bends_further_while_pairs_are_to_come(contrast: str, by_j: str, by_right: str) -> None:
    text = so_far(contrast, by_j, by_right)
    assert "further" not in text
    assert text.startswith("No verdict")
    said = (contrast,) if contrast == by_j == by_right else (contrast, *dict.fromkeys((by_j, by_right)))
    arms = [says for says in said if says in ("plain", "bn")]
    assert re.findall(r"\b(?:plain|bn)\b", text) == arms


@pytest.mark.parametrize(
    ("by_j", "by_right", "together"),
    [
        ("plain", "plain", "plain"),
        ("plain", "bn", DIFFER),
        ("bn", "plain", DIFFER),
        ("plain", TIE, OPEN),
        (OPEN, "bn", OPEN),
        (TIE, TIE, TIE),
        (OPEN, TIE, OPEN),
        (TIE, OPEN, OPEN),
        (OPEN, OPEN, OPEN),
    ],
)
def test_j_and_right_make_one_reading(by_j: str, by_right: str, together: str) -> None:
    assert objective_says(by_j, by_right) == together


def test_a_lower_j_is_ahead_and_a_larger_right_is() -> None:
    pairs = differences.paired(fits_of(0.1, 0.1, 0.1), value="difference_trained")
    assert reading(pairs, COMPARED).says == "plain"
    assert reading(pairs, COMPARED, "right").says == "plain"
    assert reading(pairs, COMPARED, "objective").says == "bn"


def stands_at(done: pd.DataFrame, failed: Mapping[FitKey, str] = MappingProxyType({})) -> Standing:
    """How a sweep of two arms, nine p and five seeds stands: what is neither done nor failed is still to run."""
    grid = Grid(("plain", "bn"), tuple(p / 10 for p in range(1, 10)), (1, 2, 3, 4, 5))
    keys = {FitKey(arm, p, seed) for arm, p, seed in done[["arm", "p", "seed"]].itertuples(index=False)} - set(failed)
    return Standing(grid, keys, failed, [key for key in grid.fits() if key not in keys | failed.keys()])


LOST = {FitKey("bn", 0.3, 5): "diverged", FitKey("plain", 0.3, 5): "out of memory", FitKey("plain", 0.5, 5): "diverged"}


@pytest.mark.parametrize(
    ("gaps", "done", "failed", "case", "counts"),
    [
        ((0.1, -0.1, 0.05), 5, {}, "agree", None),
        ((0.1, -0.1, 0.05), 4, {}, "unfinished", None),  # nine pairs are to come
        ((0.1, 0.1, 0.0), 4, {}, "unfinished", None),
        ((0.1, 0.1, 0.0), 5, {}, "inconclusive", None),  # nothing is to come
        ((0.1, -0.1, 0.05), 5, LOST, "agree", "2 of 45"),  # nothing is to come, two pairs are lost
        ((0.1, 0.1, 0.0), 5, LOST, "inconclusive", "2 of 45"),
        ((0.1, -0.1, 0.05), 4, LOST, "unfinished", "2 of 45"),
    ],
)
def test_what_is_to_run_what_failed_and_what_does_not_tell_are_three_things(
    gaps: tuple[float, float, float], done: int, failed: dict[FitKey, str], case: str, counts: str | None
) -> None:
    fits = fits_of(*gaps)
    fits = fits[fits["seed"] <= done]
    fits = fits[[FitKey(*key) not in failed for key in fits[["arm", "p", "seed"]].itertuples(index=False)]]
    stands = stands_at(fits, failed)
    found = answer(fits, NONE, stands)
    assert found.case == case
    assert (counts is None) == ("failed" not in found.headline)
    assert counts is None or counts in found.headline
    assert (found.case == "unfinished") == found.headline.startswith("No verdict")
    assert (found.case == "unfinished") == found.objective.startswith("So far")
    assert found.in_short.case == case
    assert (numbers(found.in_short.sentence)[:2] == [str(len(fits)), "90"]) == (case == "unfinished")
    assert bool(stands.to_run) == ("Unfinished" in stands.note())
    for key, kind in failed.items():
        assert str(key) in stands.note()
        assert kind in stands.note()
    assert bool(stands.note()) == bool(failed or stands.to_run)


def test_pairs_to_come_and_lost_ones_are_those_of_a_loop() -> None:
    random = np.random.default_rng(3)
    grid = Grid(("plain", "bn", "skip"), (0.1, 0.5), (1, 2, 3, 4))
    for _ in range(20):
        states = {key: random.choice(["done", "failed", "to run"], p=[0.6, 0.2, 0.2]) for key in grid.fits()}
        done, failed, to_run = ([key for key in states if states[key] == name] for name in ("done", "failed", "to run"))
        stands = Standing(grid, set(done), dict.fromkeys(failed, "error"), to_run)
        both = [(states[FitKey("plain", p, s)], states[FitKey("bn", p, s)]) for p in grid.probs for s in grid.seeds]
        lost = sum("failed" in two for two in both)
        assert stands.pairs("plain", "bn") == (sum("to run" in two and "failed" not in two for two in both), lost)


def test_many_failures_of_a_kind_are_counted_and_few_are_named() -> None:
    grid = Grid(("bn",), (0.1, 0.2, 0.3), (1, 2, 3, 4, 5))
    failed = dict.fromkeys(grid.fits()[:-1], "diverged") | {grid.fits()[-1]: "timed out"}
    note = Standing(grid, set(), failed, []).note()
    assert "diverged: 14 fits" in note
    assert f"timed out: {grid.fits()[-1]}" in note


@pytest.mark.parametrize("lacks", [["objective_trained", "right_trained"], ["objective_trained"]])
def test_fits_that_do_not_tell_the_objective_are_read_by_contrast_alone(lacks: list[str]) -> None:
    fits = fits_of(0.1, -0.1, 0.05)
    for table in (fits.drop(columns=lacks), fits.assign(**dict.fromkeys(lacks, float("nan")))):
        found = answer(table, NONE)
        assert (found.case, found.objective) == ("inconclusive", "")
        assert (found.in_short.contrast, found.in_short.objective) == ("plain", OPEN)
        assert len(numbers(found.in_short.sentence)) == 2, "both contrasts, and no share of right pixels"


def test_of_equal_arms_none_has_more() -> None:
    equal = fits_of(0.0, 0.0, 0.0, sd=0.0)
    third = equal[equal["arm"] == "bn"].assign(arm="skip")
    found = answer(pd.concat([equal, third]), NONE)
    assert "larger" not in found.sentence
    assert (found.in_short.objective, found.in_short.extremes) == (TIE, ())
    assert "skip" not in found.in_short.sentence


def test_an_objective_of_some_pairs_alone_decides_nothing() -> None:
    fits = fits_of(0.1, -0.1, 0.05)
    assert answer(fits, NONE).case == "agree"
    found = answer(fits.assign(objective_trained=fits["objective_trained"].where(fits["seed"] < 3)), NONE)
    assert (found.case, found.in_short.objective) == ("inconclusive", OPEN)
    assert "18 pairs" in found.objective


def test_figure_4_is_over_trained_pixels_and_behind_its_switch_over_all(tmp_path: Path) -> None:
    write_sweep(tmp_path)
    fits = fits_table(read_sweep(tmp_path))
    for panel, value in (
        (figure4(fits, authors_figure4())[1], "difference_trained"),
        (figure4(fits, None)[1], "difference_trained"),
        (figure4_all_pixels(fits), "difference"),
    ):
        with style.print_style():
            drawn = {tuple(np.asarray(line.get_ydata(), float).tolist()) for line in panel.draw().axes[0].get_lines()}
        for arm in ("plain", "bn"):
            assert {(one,) for one in fits.loc[fits["arm"] == arm, value]} <= drawn, "every seed's point"
        assert {f"{name}_mean" for name in ("difference", "difference_trained")} <= set(panel.table.frame)


def test_the_objectives_figure_shows_every_fit_over_trained_pixels(tmp_path: Path) -> None:
    write_sweep(tmp_path)
    fits = fits_table(read_sweep(tmp_path))
    whole, *panels = objective(fits, 2.5)
    for panel, value in zip(panels, ("right_trained", "objective_trained"), strict=True):
        with style.print_style():
            drawn = {tuple(np.asarray(line.get_ydata(), float).tolist()) for line in panel.draw().axes[0].get_lines()}
        for arm in ("plain", "bn"):
            assert {(one,) for one in fits.loc[fits["arm"] == arm, value]} <= drawn
    means = whole.table.frame.set_index(["arm", "p"])["right_trained_mean"]
    expected = fits.groupby(["arm", "p"])["right_trained"].mean()
    np.testing.assert_allclose(means.loc[expected.index], expected)


def test_both_captions_take_their_means_over_the_same_fits(tmp_path: Path) -> None:
    write_sweep(tmp_path, seeds=(1, 2, 3), skip=[("bn", 0.5, 3)])
    fits = fits_table(read_sweep(tmp_path))
    shared = fits[(fits["p"] != 0.5) | (fits["seed"] != 3)]
    contrast, right = figure4(fits)[0].caption, objective(fits, 2.5)[0].caption
    for arm, mine in shared.groupby("arm"):
        means = mine.groupby("p").mean(numeric_only=True).mean()
        for caption, value in ((contrast, "difference_trained"), (right, "right_trained")):
            (said,) = [text for text in re.findall(r"Mean of .*?\.(?= |$)", caption) if f"Mean of {arm} " in text]
            assert f"{means[value]:.3f}" in said


def test_fits_without_the_measures_have_no_such_figure() -> None:
    assert objective(fits_of(0.1, 0.1, 0.1), 2.5) == []


def test_the_table_of_readings_holds_ties_and_the_interaction() -> None:
    fits = fits_of(0.1, 0.0, 0.05).assign(objective=0.3)
    fits.loc[fits["arm"] == "plain", "difference_trained"] += fits["p"]
    compared = compared_arms(fits)
    assert compared is not None
    rows = readings_table(fits, compared).frame.set_index("reading")
    titles = compared_columns()
    for column in ("difference_trained", "right_trained"):
        title = titles[column]
        wide = fits.pivot_table(index=["p", "seed"], columns="arm", values=column)
        gaps = wide["plain"] - wide["bn"]
        expected = stats.f_oneway(*(group.to_numpy() for _, group in gaps.groupby("p")))
        np.testing.assert_allclose([rows["gap"][title], rows["F"][title]], [gaps.mean(), expected.statistic])
    assert rows["interaction_p"][titles["difference_trained"]] < 1e-6
    assert rows["tie_p"][titles["objective_trained"]] < 0.05 < rows["tie_p"][titles["right_trained"]]
    assert np.isnan(rows["tie_p"][titles["difference_trained"]])
