"""The page's first sentence: what came out, for whoever knows networks and no statistics; and what it rests on.

Its rule is the verdict's (:mod:`bnbench.report.chapters.verdict`): which arm is ahead in accuracy contrast, and which
by the objective. Numbers stand without their intervals here, since the statistics follow.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import pandas as pd

from bnbench.report.arms import arm_order
from bnbench.report.chapters.verdict import DIFFER, OPEN, TIE, Reading, Verdict, case_of
from bnbench.stats import differences
from bnbench.wording import counted, percent_tenths, plain_number

ALONE, APART, NOTHING = "alone", "apart", "nothing"  # one arm; arms that share no mask; no fit
_COLOURS = "black pixels, where networks should classify well, and white ones, where they should not"


@dataclass(frozen=True)
class InShort:
    """What the first sentence says, and the sentence.

    Attributes:
        case: the verdict's, or :data:`ALONE`, :data:`APART` or :data:`NOTHING`.
        contrast: the arm with the larger accuracy contrast, or ``open``; empty without a pair.
        objective: the arm that bends further by the objective, or ``tie``, ``open`` or ``differ``; likewise.
        extremes: of more than two arms, those with the largest and the smallest contrast over the masks that all have;
            none where all are equal.
        sentence: all of it.
    """

    case: str
    contrast: str
    objective: str
    extremes: tuple[str, ...]
    sentence: str


def of_pairs(fits: pd.DataFrame, both: Verdict, first: str, second: str, share: str = "", steps: int = 0) -> InShort:
    """Say which of two arms bent further to the masks, by either reading; of more arms, which are the extremes.

    Args:
        fits: a row per fit: ``arm, p, seed, difference_trained``.
        both: what the two readings say.
        first: one arm.
        second: the other.
        share: how much of a sweep is done while it is unfinished, ``57 of 90 fits``; else empty.
        steps: how long each fit was trained; 0 leaves it out.
    """
    contrast, objective = both.contrast.says, both.objective
    ends, extremes_said = _extremes(fits)
    said = f"{_two_words(both, first, second, share, f'after {steps:,} steps, ' if steps else '')}{extremes_said}."
    said = said[0].upper() + said[1:]
    return InShort(both.case, contrast, objective, ends, said)


def of_no_pair(fits: pd.DataFrame) -> InShort:
    """Say why no two arms are compared: there is one, or no two were fitted to the same mask."""
    arms = arm_order(fits["arm"])
    if len(arms) == 1:
        black, white = (_mean(fits, name) for name in ("black_trained", "white_trained"))
        levels = "" if math.isnan(black) else f" (accuracy {plain_number(black)} and {plain_number(white)})"
        said = (
            f"Which arm bends further is open, since {arms[0]} alone has finished fits; they are to set apart "
            f"{_COLOURS}{levels}."
        )
        return InShort(ALONE, "", "", (), said)
    said = f"Which arm bends further is open, since no two of {', '.join(arms)} were fitted to the same mask."
    return InShort(APART, "", "", (), said)


def of_nothing() -> InShort:
    """Say that no fit is there."""
    said = "Which arm bends further is open, since no fit has finished."
    return InShort(NOTHING, "", "", (), said)


def _two_words(both: Verdict, first: str, second: str, share: str, when: str) -> str:
    """Say which of two arms bent further, by how much, or why that is open, as it is while pairs are to come."""
    contrast, objective = both.contrast.says, both.objective
    accuracy, asked = _accuracy_words(both.contrast, first, second), _objective_words(both, first, second)
    lead = f"it is open whether the loss landscape of {first} or that of {second} bends further to the masks"
    if share:
        link = "but" if case_of(contrast, objective) == "disagree" else "and"
        return f"with {share} done, {when}{lead}: so far {accuracy}, {link} {asked}"
    if both.case == "disagree":
        return (
            f"{when}which loss landscape is bent further to the masks depends on the measure: {accuracy}, but {asked}"
        )
    if objective in (first, second):
        other = second if objective == first else first
        further = f"{when}the loss landscape of {objective} is bent further to the masks than that of {other}"
        return f"{further}: {accuracy}, and {asked}" if contrast == objective else f"{further}: {asked}, but {accuracy}"
    if objective == TIE:
        equal = f"{when}the loss landscapes of {first} and {second} are bent equally far to the masks by the objective"
        return f"{equal}: {asked}, {'but' if contrast == OPEN else 'although'} {accuracy}"
    return f"{when}{lead}: {accuracy}, and {asked}"


def _accuracy_words(contrast: Reading, first: str, second: str) -> str:
    """Say what accuracy says of two arms, what the colours are, and both numbers."""
    values = {first: contrast.first, second: contrast.second}
    if contrast.says not in values:
        numbers = " and ".join(f"{plain_number(value)} for {arm}" for arm, value in values.items())
        return f"the difference in accuracy between {_COLOURS}, does not tell ({numbers})"
    ahead, other = (first, second) if contrast.says == first else (second, first)
    numbers = f"{plain_number(values[ahead])}, for {other} {plain_number(values[other])}"
    return f"accuracy differs more for {ahead} between {_COLOURS} ({numbers})"


def _objective_words(both: Verdict, first: str, second: str) -> str:
    """Say what the objective says of two arms, and how many pixels of each it finds right."""
    if both.right is None:
        return "these fits do not tell what the objective says"
    shares = {first: percent_tenths(both.right.first), second: percent_tenths(both.right.second)}
    if both.objective in shares:
        ahead, other = (first, second) if both.objective == first else (second, first)
        numbers = f"{shares[ahead]}, of {other} {shares[other]}"
        return f"by the objective more pixels of {ahead} have a loss on the right side ({numbers})"
    numbers = f"{shares[first]} of {first}, {shares[second]} of {second}"
    if both.objective == TIE:
        return f"about as many pixels have a loss on the right side ({numbers})"
    why = "the objective does not tell"
    if both.objective == DIFFER:
        why = "the two numbers of the objective name different arms"
    return f"{why} (pixels whose loss is on the right side: {numbers})"


def _extremes(fits: pd.DataFrame) -> tuple[tuple[str, ...], str]:
    """Return which of more than two arms have the largest and the smallest contrast, over the masks that all have."""
    arms = arm_order(fits["arm"])
    shared = fits[fits.groupby(["p", "seed"])["arm"].transform("nunique") == len(arms)]
    if len(arms) < 3 or shared.empty:
        return (), ""
    means = {arm: _mean(shared[shared["arm"] == arm], "difference_trained") for arm in arms}
    most, least = max(arms, key=means.__getitem__), min(arms, key=means.__getitem__)
    if means[most] == means[least]:
        return (), ""
    of_all = f"of all {counted(len(arms), 'arm')}"
    ends = f"({plain_number(means[most])}), {least} the smallest ({plain_number(means[least])})"
    return (most, least), f"; {of_all} {most} has the largest difference in accuracy {ends}"


def _mean(fits: pd.DataFrame, name: str) -> float:
    return differences.mean_over_p(fits, name) if name in fits else float("nan")
