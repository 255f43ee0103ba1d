"""The chapter on measures of smoothness: what it shows, and what it leaves out."""

from __future__ import annotations

from typing import Any

import pandas as pd

from bnbench.report.chapters.smoothness import chapter
from bnbench.results.smoothness import COLUMNS, MEASURES
from tests.sentences import named

ARMS = {"plain": 3.0, "bn": 2.0, "skip": 1.0}


def networks(arms: dict[str, float]) -> pd.DataFrame:
    """Every measure of an arm is its number; the seed adds a little."""
    rows: list[dict[str, Any]] = []
    for arm, value in arms.items():
        for seed in (1, 2):
            for step in (0, 10):
                row = dict.fromkeys(COLUMNS, value + seed / 100)
                row |= {"arm": arm, "seed": seed, "step": step, "identity": f"{arm}{seed}"}
                rows.append(row | {"settings": '{"steps": 10, "batch": 8, "minibatches": 2}'})
    return pd.DataFrame(rows)


def fits(arms: dict[str, float]) -> pd.DataFrame:
    rows = [
        {"arm": arm, "p": 0.5, "seed": seed, "difference_trained": value}
        for arm, value in arms.items()
        for seed in (1, 2)
    ]
    return pd.DataFrame(rows).assign(objective_trained=lambda table: -table["difference_trained"])


def test_without_networks_there_is_no_chapter() -> None:
    assert chapter(networks({}), fits(ARMS)) is None


def test_arms_in_one_order_agree_whatever_the_sign_of_a_reading() -> None:
    found = chapter(networks(ARMS), fits(ARMS))
    assert found is not None
    (taus,) = (table.frame for table in found.tables if table.name == "smoothness_tau")
    assert (taus["tau"] == 1).all()
    assert len(taus) == 2 * 2 * len(MEASURES), "readings, steps, measures"
    assert [figure.name for figure in found.figures] == ["smoothness", "smoothness_agreement"]


def test_the_control_is_told_and_counts_for_no_order() -> None:
    with_control = {**ARMS, "rescaled": 9.0}
    found = chapter(networks(with_control), fits(with_control))
    assert found is not None
    (taus,) = (table.frame for table in found.tables if table.name == "smoothness_tau")
    assert set(taus["arms"]) == {3}
    assert any("control" in sentence for sentence in found.sentences)


def test_two_arms_have_courses_and_no_order() -> None:
    two = {arm: ARMS[arm] for arm in ("plain", "bn")}
    found = chapter(networks(two), fits(two))
    assert found is not None
    assert [figure.name for figure in found.figures] == ["smoothness"]
    assert named(" ".join(found.sentences), ("skip",)) == set()
