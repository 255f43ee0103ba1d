"""The chapter on measures of smoothness: what it shows, and what it leaves out."""

from __future__ import annotations

from itertools import combinations
from typing import Any

import pandas as pd
import pytest

from bnbench.protocol.protocol import FitKey
from bnbench.report.chapters.chapter import Chapter
from bnbench.report.chapters.smoothness import POSITIVE, chapter
from bnbench.report.chapters.smoothness_agreement import Smoothness
from bnbench.report.figures.smoothness import _draw_along
from bnbench.report.figures.style import print_style
from bnbench.results.smoothness import COLUMNS, MEASURES, PIXEL
from tests.fits import TINY, make_result
from tests.sentences import named

Arms = dict[str, float]
ARMS = {"plain": 3.0, "bn": 2.0, "skip": 1.0}


@pytest.mark.parametrize("narrow", [False, True])
def test_panels_and_their_titles_stay_apart(narrow: bool) -> None:
    with print_style():
        drawing = _draw_along(networks({"plain": 1.0, "bn": 2.0}), narrow=narrow)
        drawing.draw_without_rendering()
    boxes = [box for axes in drawing.axes if axes.axison and (box := axes.get_tightbbox()) is not None]
    assert len(boxes) == len(MEASURES)
    assert not any(one.overlaps(other) for one, other in combinations(boxes, 2))
    assert max(box.x1 for box in boxes) <= drawing.bbox.x1


def networks(arms: Arms) -> pd.DataFrame:
    """Every measure of an arm is its number; the seed adds a little."""
    rows: list[dict[str, Any]] = []
    for arm, value in arms.items():
        for seed in (1, 2):
            for step in (0, 10):
                row: dict[str, Any] = dict.fromkeys(COLUMNS, value + seed / 100)
                row |= {"arm": arm, "seed": seed, "step": step, "identity": f"{arm}{seed}"}
                rows.append(row | {"settings": '{"steps": 10, "batch": 8, "minibatches": 2}'})
    return pd.DataFrame(rows)


def fits(arms: Arms) -> pd.DataFrame:
    rows = [
        {"arm": arm, "p": 0.5, "seed": seed, "difference_trained": value}
        for arm, value in arms.items()
        for seed in (1, 2)
    ]
    return pd.DataFrame(rows).assign(objective_trained=lambda table: -table["difference_trained"])


NONE = pd.DataFrame(columns=["arm", "seed", "capacity"])
NO_PLANES = pd.DataFrame(columns=[*COLUMNS, "settings", *PIXEL])


def planes(arms: Arms) -> pd.DataFrame:
    """Two pixels of each fit, as far above an arm's number as below."""
    own = networks(arms)
    rows = own[own["step"] == 10].assign(p=0.5, row=0, settings='{"pixels": 2}')
    shifted = [rows.assign(column=column) for column in (0, 1)]
    for column, part in enumerate(shifted):
        part[[*MEASURES]] += column - 0.5
    return pd.concat(shifted, ignore_index=True)


def told(
    arms: dict[str, float], at_pixels: pd.DataFrame = NO_PLANES, capacities: pd.DataFrame = NONE
) -> Chapter | None:
    landscapes = pd.concat(
        [make_result(FitKey(arm, 0.5, seed), protocol=TINY).landscape for arm in arms for seed in (1, 2)]
    )
    return chapter(Smoothness(networks(arms), at_pixels, capacities), fits(arms), landscapes, TINY.training)


def table_of(found: Chapter, name: str) -> pd.DataFrame:
    (frame,) = (table.frame for table in found.tables if table.name == name)
    return frame


def test_without_measures_there_is_no_chapter() -> None:
    nothing = Smoothness(networks({}), NO_PLANES, NONE)
    assert chapter(nothing, fits(ARMS), make_result(protocol=TINY).landscape, TINY.training) is None


def test_arms_in_one_order_agree_whatever_the_sign_of_a_reading() -> None:
    found = told(ARMS)
    assert found is not None
    taus = table_of(found, "smoothness_tau")
    at_steps = taus[taus["place"] == "training"]
    assert (at_steps["tau"] == 1).all()
    assert len(at_steps) == 2 * 2 * len(MEASURES), "readings, steps, measures"
    assert len(taus) - len(at_steps) == 2 * 2, "readings, and spectrum and variation of the landscapes"
    assert [figure.name for figure in found.figures] == ["smoothness", "smoothness_agreement"]
    counts = table_of(found, "smoothness_tau_counts").set_index(["place", "reading"])
    every = 2 * len(MEASURES)
    assert [counts[name]["training", "difference_trained"] for name in ("values", "above", "below")] == [
        every,
        every,
        0,
    ]
    assert any("apacity" in sentence for sentence in found.sentences), "what is missing is said"


def test_at_equal_loss_arms_are_ordered_by_what_they_are_there() -> None:
    """The arms that bend further are the smoother ones at each loss, and behind in training, so that steps hide it."""
    order = {"plain": 1.0, "bn": 2.0, "skip": 3.0}
    rows = networks(order)
    at_end = {"plain": 0.1, "bn": 0.2, "skip": 0.4}
    rows["loss"] = [2.5 if step == 0 else at_end[arm] for arm, step in zip(rows["arm"], rows["step"], strict=True)]
    for name in MEASURES:
        rows[name] = rows["loss"] ** 2 / rows["arm"].map(order)
    landscapes = pd.concat([make_result(FitKey(arm, 0.5, 1), protocol=TINY).landscape for arm in order])
    found = chapter(Smoothness(rows, NO_PLANES, NONE), fits(order), landscapes, TINY.training)
    assert found is not None
    taus = table_of(found, "smoothness_tau")
    equal = taus[taus["place"] == "equal loss"]
    assert dict.fromkeys(equal["at"]) == dict.fromkeys((2.0, 1.0, 0.5))
    assert (equal["tau"] == -1).all()
    assert (taus.loc[(taus["place"] == "training") & (taus["at"] > 0), "tau"] == 1).all()


def test_the_control_is_told_and_counts_for_no_order() -> None:
    found = told({**ARMS, "rescaled": 9.0})
    assert found is not None
    assert set(table_of(found, "smoothness_tau")["arms"]) == {3}
    assert any("control" in sentence for sentence in found.sentences)


def test_two_arms_have_courses_and_no_order() -> None:
    found = told({arm: ARMS[arm] for arm in ("plain", "bn")})
    assert found is not None
    assert [figure.name for figure in found.figures] == ["smoothness"]
    assert named(" ".join(found.sentences), ("skip",)) == set()


def test_pixels_of_planes_and_capacity_are_held_to_the_measures_too() -> None:
    sides = pd.DataFrame(
        [{"arm": arm, "seed": seed, "capacity": -value} for arm, value in ARMS.items() for seed in (1, 2)]
    )
    found = told(ARMS, planes(ARMS), sides)
    assert found is not None
    assert [figure.name for figure in found.figures][1:] == ["smoothness_agreement", "smoothness_capacity"]
    taus = table_of(found, "smoothness_tau")
    pixels = taus[taus["place"] == "planes"]
    assert set(pixels["reading"]) == {"difference_trained", "objective_trained", "capacity"}
    assert (pixels["tau"] == pixels["reading"].map(lambda name: -1 if name == "capacity" else 1)).all()
    means = table_of(found, "smoothness_planes").set_index(["measure", "arm"])
    assert means["mean"]["eigenvalue", "plain"] == pytest.approx(ARMS["plain"] + 0.015)
    (of_capacity,) = (sentence for sentence in found.sentences if "apacity" in sentence)
    assert f" {2 * len(MEASURES)} " in of_capacity, "of its values, at two steps"


def test_landscapes_have_their_roughness_beside_that_of_their_masks() -> None:
    found = told(ARMS)
    assert found is not None
    frame = table_of(found, "smoothness_landscapes")
    masks = frame[frame["measure"] == "fine_share_of_mask"]
    assert masks["mean"].nunique() == 1, "arms share their masks"
    assert set(frame["arm"]) == set(ARMS)


def test_the_positive_control_is_told_at_its_step_and_at_equal_loss() -> None:
    """It is behind plain on the same curve: rougher at equal steps, and neither at equal loss."""
    rows = networks({"plain": 1.0, POSITIVE: 1.0})
    losses = {("plain", 0): 2.5, ("plain", 10): 0.4, (POSITIVE, 0): 2.5, (POSITIVE, 10): 0.8}
    rows["loss"] = [losses[arm, step] for arm, step in zip(rows["arm"], rows["step"], strict=True)]
    for name in MEASURES:
        rows[name] = rows["loss"] ** 2
    landscapes = make_result(protocol=TINY).landscape
    found = chapter(Smoothness(rows, NO_PLANES, NONE), fits({"plain": 1.0}), landscapes, TINY.training)
    assert found is not None
    (said,) = (sentence for sentence in found.sentences if POSITIVE in sentence)
    assert f"rougher by {len(MEASURES)} of" in said
    counts = table_of(found, "smoothness_equal_loss")
    assert counts["level"].tolist() == [2.0, 1.0]
    assert table_of(found, "smoothness_equal_loss_values")["eigenvalue"].tolist() == pytest.approx([4, 1] * 4)
