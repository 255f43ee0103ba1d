"""What the first screen says beside one number for all p: where it is otherwise."""

from __future__ import annotations

import pandas as pd

from bnbench.report.arms import compared_arms
from bnbench.report.chapters.headline import answer
from bnbench.report.chapters.reservations import not_everywhere
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


def of_one_p(value: float, at: float) -> pd.DataFrame:
    """Arms alike in J, but for a gap at one p."""
    fits = fits_of(0.1, 0.0, 0.05)
    there = (fits["p"] == at) & (fits["arm"] == "plain")
    return fits.assign(objective_trained=fits["objective_trained"] + value * there)


def test_p_on_which_a_verdict_hangs_are_named() -> None:
    for value, says in ((-0.5, "plain"), (0.5, "bn")):  # without that p it is a tie
        fits = of_one_p(value, 0.5)
        assert says in answer(fits, NONE).objective.rsplit(":", 1)[1]
        note = notes_of(fits)[-1]
        assert (numbers(note), named(note, ("J", "right", "contrast", "tie"))) == (["0.5"], {"J"})
    both = of_one_p(-0.5, 0.5)
    both["objective_trained"] += 0.5 * ((both["p"] == 0.7) & (both["arm"] == "plain"))
    note = notes_of(both)[-1]  # a tie of two that are none
    assert (numbers(note), named(note, ("J", "tie"))) == (["0.5", "0.7"], {"J", "tie"})
    three = of_one_p(-0.5, 0.5)
    three["objective_trained"] -= 0.01 * ((three["p"] != 0.5) & (three["arm"] == "plain"))
    assert len(notes_of(three[three["p"].isin([0.5, 0.7, 0.9])])) == 1
    assert notes_of(three[three["p"].isin([0.5, 0.7])]) == [], "of two, one is half of all"


def test_the_first_screen_has_them() -> None:
    fits = turned(fits_of(0.1, -0.1, 0.05), "objective_trained", [0.1, 0.3])
    (note,) = notes_of(fits)
    assert note in answer(fits, NONE).notes
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
