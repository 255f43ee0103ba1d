"""What the first screen says beside one number for all p: where it is otherwise."""

from __future__ import annotations

import pandas as pd
import pytest

from bnbench.report.arms import compared_arms
from bnbench.report.chapters.headline import answer
from bnbench.report.chapters.reservations import _without_one_p, not_everywhere
from bnbench.report.chapters.verdict import OPEN, TIE, reading
from bnbench.stats import differences
from tests.report.test_verdict import NONE, fits_of
from tests.sentences import named, numbers


def notes_of(fits: pd.DataFrame) -> list[str]:
    compared = compared_arms(fits)
    assert compared is not None
    return not_everywhere(fits, compared)


def turned(fits: pd.DataFrame, name: str, at: list[float]) -> pd.DataFrame:
    """The same with the arms' values of a column exchanged at some p."""
    there = fits["p"].isin(at)
    other = fits.assign(arm=fits["arm"].map({"plain": "bn", "bn": "plain"})).set_index(["arm", "p", "seed"])[name]
    keys = pd.MultiIndex.from_frame(fits[["arm", "p", "seed"]])
    return fits.assign(**{name: fits[name].where(~there, other.loc[keys].to_numpy())})


def test_p_at_which_the_other_arm_is_ahead_are_named() -> None:
    fits = fits_of(0.1, -0.1, 0.05)
    assert notes_of(fits) == []
    (note,) = notes_of(turned(fits, "objective_trained", [0.1, 0.3]))
    assert numbers(note) == ["0.1", "0.3"]
    assert named(note, ("plain", "bn", "J", "right", "contrast")) == {"bn", "J"}
    (note,) = notes_of(turned(fits_of(0.1, 0.1, 0.05), "objective_trained", [0.2]))
    assert (numbers(note), named(note, ("plain", "bn"))) == (["0.2"], {"plain"})
    contrast, right = notes_of(turned(turned(fits, "right_trained", [0.9]), "difference_trained", [0.5]))
    assert (numbers(contrast), named(contrast, ("plain", "bn", "contrast"))) == (["0.5"], {"bn", "contrast"})
    assert "better" not in contrast, "a larger contrast by itself is no better one"
    assert (numbers(right), named(right, ("plain", "bn", "right"))) == (["0.9"], {"bn", "right"})


def test_all_pixels_are_heard_where_they_say_otherwise() -> None:
    fits = fits_of(0.1, -0.1, 0.05)
    same = fits.assign(objective=fits["objective_trained"], right=fits["right_trained"])
    assert notes_of(same) == []
    (note,) = notes_of(same.assign(objective=fits_of(0.1, 0.1, 0.05)["objective_trained"]))
    assert named(note, ("plain", "bn", "J", "right")) == {"bn", "J"}
    (note,) = notes_of(same.assign(right=fits_of(0.1, 0.0, 0.0)["right_trained"]))
    assert named(note, ("plain", "bn", "J", "right", "tie")) == {"right", "tie"}


def with_gaps_in_j(gaps: dict[float, float], sd: float = 0.002) -> pd.DataFrame:
    """Arms of equal J but at some p, where it is so much more for plain; contrast and right name plain at every p."""
    fits = fits_of(0.1, 0.0, 0.05)
    noise = fits_of(0.0, 0.0, 0.0, sd=sd)["objective_trained"]
    there = fits["p"].map(gaps).fillna(0.0) * (fits["arm"] == "plain")
    return fits.assign(objective_trained=noise + there)


def without_one_p(fits: pd.DataFrame) -> tuple[str, list[str]]:
    """What J says of all p, and what is told of it with one p left out."""
    compared = compared_arms(fits)
    assert compared is not None
    pairs = differences.paired(fits, "plain", "bn", "objective_trained")
    one = reading(pairs, compared, "objective")
    return one.says, _without_one_p(pairs, one, "objective", compared)


WORDS = ("plain", "bn", "J", "right", "contrast", "tie")
OTHERS = [p / 10 for p in range(1, 10) if p != 5]


@pytest.mark.parametrize(
    ("gaps", "sd", "says", "without"),
    [
        ({0.5: -0.5}, 0.002, "plain", {"0.5": {"tie"}}),
        ({0.5: 0.5}, 0.002, "bn", {"0.5": {"tie"}}),
        ({0.5: -0.5, **dict.fromkeys(OTHERS, 0.03)}, 0.002, "plain", {"0.5": {"bn"}}),  # to the other arm
        ({0.5: -0.7}, 0.1, "plain", {"0.5": set()}),  # open
        ({0.5: -0.5, 0.7: 0.5}, 0.002, TIE, {"0.5": {"bn"}, "0.7": {"plain"}}),
    ],
)
def test_what_is_said_without_one_p_is_told_with_that_p(
    gaps: dict[float, float], sd: float, says: str, without: dict[str, set[str]]
) -> None:
    fits = with_gaps_in_j(gaps, sd)
    found, notes = without_one_p(fits)
    assert found == says
    assert {numbers(note)[0]: named(note, WORDS) for note in notes} == {p: {"J", *of} for p, of in without.items()}
    assert set(notes) <= set(answer(fits, NONE).reserved)


def test_several_p_that_do_the_same_are_one_sentence_and_an_open_number_or_few_p_have_none() -> None:
    many = with_gaps_in_j(dict.fromkeys([0.2, 0.4, 0.6], -0.075))  # each alone takes it from 0.025 to within ±0.02
    _, (note,) = without_one_p(many)
    assert numbers(note) == ["0.2", "0.4", "0.6"]
    is_open = with_gaps_in_j({**dict.fromkeys(OTHERS, -0.1), 0.1: 0.7}, sd=0.1)
    assert answer(is_open[is_open["p"] != 0.1], NONE).case == "agree", "one p hides it"
    assert without_one_p(is_open) == (OPEN, [])
    few = with_gaps_in_j({0.5: -0.5})
    assert len(without_one_p(few[few["p"].isin([0.5, 0.7, 0.9])])[1]) == 1
    assert without_one_p(few[few["p"].isin([0.5, 0.7])])[1] == [], "of two, one is half of all"


def test_the_first_screen_has_them() -> None:
    fits = turned(fits_of(0.1, -0.1, 0.05), "objective_trained", [0.1, 0.3])
    (note,) = notes_of(fits)
    assert note in answer(fits, NONE).notes
    assert answer(fits, NONE).reserved == [note]
    one_seed = fits[fits["seed"] == 1]
    assert set(notes_of(one_seed)) <= set(answer(one_seed, NONE).notes)


def test_the_objective_counts_the_pairs_of_the_arm_that_is_better() -> None:
    fits = turned(fits_of(0.1, -0.1, 0.05), "objective_trained", [0.1, 0.3])
    assert "36 of 45" not in answer(fits, NONE).objective
    said = answer(fits, NONE).objective.split("; ")
    counts = [text.split(" in ")[1].split(")")[0] for text in said if "better for plain in" in text]
    assert counts == ["45 of 45 pairs", "35 of 45 pairs"]


def test_pairs_that_are_equal_are_none_of_either_arm() -> None:
    fits = fits_of(0.1, -0.1, 0.05)
    equal = fits["p"] < 0.35
    columns = ["right_trained", "difference_trained"]
    same = fits.assign(**{name: fits[name].where(~equal, 0.5) for name in columns})
    said = answer(same, NONE)
    right = next(text for text in said.objective.split("; ") if "better for plain in" in text)
    assert numbers(right.split("better for plain in")[1].split(")")[0]) == ["30", "45", "15"]
    assert numbers(said.notes[0].split("(")[0]) == ["30", "45", "15"]
