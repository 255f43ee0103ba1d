"""How soon is the mask there? Speed, said as speed, in a chapter of the page."""

from __future__ import annotations

import math

import pandas as pd

from bnbench.report.arms import ComparedArms, of_arms
from bnbench.report.chapters.chapter import Chapter, drawable
from bnbench.report.figures.measured_on_the_way import measured_on_the_way
from bnbench.report.tables import Table, sorted_by_arm
from bnbench.results.sweeps import Sweep
from bnbench.stats.speed import LEVEL, Race, per_arm, race, steps_until
from bnbench.wording import counted, percent, probability

NAME = "speed"
TITLE = f"How soon are {percent(LEVEL)} of the pixels right?"
_VALUE = "right"
_ARMS_NOTE = (
    f"Steps until {percent(LEVEL)} of the trained pixels are right, interpolated in the logarithm of the step; a fit "
    "that never was there counts as longer than all others: inf"
)
_FITS_NOTE = (
    "Steps as in the table above; state: reached, at first (the first measurement is there already: so many steps at "
    "most) or never (more than the last step measured)"
)


def chapter(sweep: Sweep, compared: ComparedArms | None) -> Chapter | None:
    """Return what these fits allow of the chapter: sentences, the courses, two tables; None where no fit was measured.

    Args:
        sweep: what was read, at least one fit.
        compared: the arms to compare, or None.
    """
    if "step" not in sweep.courses:
        return None
    courses = sweep.courses[sweep.courses["pixels"] == "trained"]
    sentences, shown = [measured_words(courses, len(sweep.identities))], []
    if _VALUE in courses and courses[_VALUE].notna().any():
        until = sorted_by_arm(steps_until(courses))
        arms = sorted_by_arm(per_arm(until))
        sentences.append(steps_words(arms))
        if compared:
            sentences.append(race_words(race(until, compared.first, compared.second), compared))
        shown.append(Table("speed", f"Steps until {percent(LEVEL)} are right", _ARMS_NOTE, arms))
        shown.append(Table("steps_until", "The same, fit by fit", _FITS_NOTE, until))
    every = sorted_by_arm(sweep.courses)
    shown.append(Table("courses", "All that was measured on the way", "A row per fit, step and pixels", every, False))
    figures = drawable([measured_on_the_way(courses)])
    return Chapter(NAME, TITLE, [text for text in sentences if text], figures, shown)


def measured_words(courses: pd.DataFrame, fits: int) -> str:
    """Say which fits were measured on the way, and that speed is not how far an arm comes."""
    there = courses[["arm", "p", "seed"]].drop_duplicates()
    some = f"{len(there)} of {counted(fits, 'fit')}" if len(there) < fits else counted(fits, "fit")
    some += " was" if len(there) == 1 else " were"
    return (
        f"{some} measured on the way, on the images and over the trained pixels of the headline. Where the learning "
        "rate falls over the steps, fits of another length have another course. And who is sooner says nothing of "
        "how far either comes in the end."
    )


def steps_words(arms: pd.DataFrame) -> str:
    """Say how many steps each arm took, and how many of its fits never got there."""
    texts, medians = {}, {}
    for row in arms.to_dict("records"):
        median = f"{row['median']:,.0f} steps" if math.isfinite(row["median"]) else "more steps than they had"
        texts[row["arm"]] = (
            f"{row['arm']} {median} (median; {row['reached']} of {counted(row['fits'], 'fit')} got there)"
        )
        medians[row["arm"]] = row["median"]
    return (
        f"Until {percent(LEVEL)} of the trained pixels were right it took {of_arms(medians, texts.__getitem__, '; ')}."
    )


def race_words(result: Race, compared: ComparedArms) -> str:
    """Say who is sooner, pair by pair, and by how much."""
    if not result.pairs:
        return "No pair of both arms was measured on the way."
    first, second = compared.first, compared.second
    text = (
        f"Of {counted(result.pairs, 'pair')}, {first} was sooner in {result.first_sooner} and {second} in "
        f"{result.second_sooner}"
    )
    text += f", and {result.undecided} cannot tell" if result.undecided else ""
    text += "." if math.isnan(result.sign_p) else f" (sign test, two-sided: p {probability(result.sign_p)})."
    if not math.isnan(result.ratio):
        text += f" In the median pair {first} took {result.ratio:.2f} times the steps of {second}"
        text += f"{_interval_words(result)}."
    elif not math.isnan(result.ratio_low):
        text += (
            f" Of the median ratio of their steps, {first} / {second}, only bounds are known{_interval_words(result)}."
        )
    return text


def _interval_words(result: Race) -> str:
    if math.isnan(result.ratio_low):
        return "; fewer than six pairs allow no interval"
    low = f"{result.ratio_low:.2f}" if result.ratio_low else "anything"
    high = f"{result.ratio_high:.2f}" if math.isfinite(result.ratio_high) else "anything"
    return f" (95 % interval {low} to {high})"
