"""The answer in a sentence: what both readings say of two arms, by how much, how sure, and what the sweep lacks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import pandas as pd

from bnbench.report.arms import ComparedArms, arm_order, compared_arms
from bnbench.report.chapters.in_short import InShort, of_no_pair, of_pairs
from bnbench.report.chapters.reservations import limits_of_interval, listed, not_everywhere
from bnbench.report.chapters.standing import Standing
from bnbench.report.chapters.verdict import OPEN, verdict
from bnbench.stats import differences
from bnbench.wording import counted, interval_words, probability, signed

_MEANING = (
    "Accuracy contrast is what figure 4 draws and tables call difference. How far a landscape is bent is what the "
    "objective says: once the loss of a white pixel is past the threshold, nothing asks its accuracy to fall further."
)
_NAMED = 10  # fill probabilities that a sentence names; more are counted


@dataclass(frozen=True)
class Answer:
    """What a reader sees first.

    Attributes:
        headline: a few words.
        sentence: the same with its numbers.
        notes: what limits it, a sentence each.
        case: how both readings stand to each other, see :class:`bnbench.report.chapters.verdict.Verdict`; empty
            without pairs.
        objective: what the objective says, with its numbers; empty where the fits do not tell.
        in_short: the first sentence, for whoever knows no statistics.
        gaps: how far apart the arms are by each reading; empty without pairs.
        reserved: those of the notes that say where one number for all p hides something else.
    """

    headline: str
    sentence: str
    notes: list[str]
    in_short: InShort
    case: str = ""
    objective: str = ""
    gaps: str = ""
    reserved: list[str] = field(default_factory=list)


def answer(
    fits: pd.DataFrame,
    diverged: pd.DataFrame,
    standing: Standing | None = None,
    *,
    order: Sequence[str] = (),
    by_colour: bool = False,
    steps: int = 0,
) -> Answer:
    """Answer by both readings of two arms: who is ahead, by how much and how sure.

    Args:
        fits: a row per fit, at least one: ``arm, p, seed, difference_trained``; for the objective also
            ``objective_trained`` and ``right_trained``; with ``by_colour`` also ``black_trained, white_trained``.
        diverged: a row per fit that diverged: ``arm, p, seed``.
        standing: how far the whole sweep is; None where these fits are all that there is to say.
        order: which arms come first, see :func:`bnbench.report.arms.compared_arms`.
        by_colour: whether the sentence must say which colour the gap comes from.
        steps: how long each fit was trained, for what that leaves open; 0 leaves it out.
    """
    compared = compared_arms(fits, order)
    if compared is None:
        return _without_pairs(fits, diverged, standing.per_arm if standing else 0)
    first, second, whole = compared.first, compared.second, differences.overall(compared.pairs)
    to_come, lost = standing.pairs(first, second) if standing else (0, 0)
    both = verdict(fits, compared, to_come=to_come, lost=lost)
    short = of_pairs(fits, both, first, second, standing.share if standing and to_come else "", steps)
    support = f"Over {counted(whole.pairs, 'pair')} of (p, seed) at {counted(whole.probabilities, 'fill probability')}"
    more, less = (first, second) if whole.mean > 0 else (second, first)
    larger = f"{abs(whole.mean):.3f} larger for {more} than for {less}"
    gap = (
        "accuracy contrast, black − white over trained pixels, is "
        f"{larger if whole.mean else f'equal for {first} and {second} on the mean'}"
    )
    colours = f" {colours_words(fits, compared)}" if by_colour else ""
    equal = whole.pairs - whole.wins - whole.losses
    wins = f"{first} has the larger contrast in {whole.wins} of {counted(whole.pairs, 'pair')}"
    wins += f", and {equal} {'is' if equal == 1 else 'are'} equal" if equal else ""
    length = [f"All of this is after {steps:,} steps; what more steps would change, longer fits alone tell."] * bool(
        steps
    )
    reserved = not_everywhere(fits, compared)
    said = (short, both.case, both.sentence, both.gaps, reserved)
    if whole.df == 0:
        sentence = f"{support}, {gap}; {_no_interval_words(compared.pairs)}.{colours}"
        needs = f"An interval needs two pairs at every p{'' if to_come else ': run a second seed'}."
        notes = [f"{wins}.", _MEANING, *reserved, *length, needs]
        return Answer(both.headline, sentence, notes, *said)
    notes = [
        f"{wins} (sign-flip test: p {probability(whole.sign_flip)}).",
        _MEANING,
        *reserved,
        *length,
        *limits_of_interval(compared.pairs),
    ]
    low, high = sorted([whole.low, whole.high] if whole.mean > 0 else [-whole.low, -whole.high])
    interval = f"95 % interval {interval_words(low, high)}"
    undecided = ", which does not tell the arms apart" if both.contrast.says == OPEN else ""
    freedom = f"{whole.df:.3g} {'degree' if whole.df == 1 else 'degrees'} of freedom"
    sentence = f"{support}, {gap} ({interval}: t, variance within each p, {freedom}){undecided}.{colours}"
    return Answer(both.headline, sentence, notes, *said)


def colours_words(fits: pd.DataFrame, compared: ComparedArms) -> str:
    """Say which colour the gap over trained pixels comes from: it is that on black pixels minus that on white ones."""
    gap, black, white = (
        differences.mean_over_p(differences.paired(fits, compared.first, compared.second, value), "gap")
        for value in ("difference_trained", "black_trained", "white_trained")
    )
    return (
        f"The gap {compared.gap_name} over trained pixels is {signed(gap)}: {signed(black)} on black pixels, "
        f"{signed(white)} on white ones."
    )


def _no_interval_words(pairs: pd.DataFrame) -> str:
    """Say why there is no interval: which p have a single pair."""
    counts = pairs.groupby("p").size()
    single = counts.index[counts == 1]
    if len(pairs) == 1:
        return "with one pair there is no interval"
    if len(single) == len(counts):
        return "with one pair at each p there is no interval"
    which = f"{len(single)} of {counted(len(counts), 'p')}" if len(single) > _NAMED else f"p = {listed(single)}"
    lacks = "lacks a second pair" if len(single) == 1 else "lack a second pair"
    return f"there is no interval yet, since {which} {lacks}"


def _without_pairs(fits: pd.DataFrame, diverged: pd.DataFrame, per_arm: int) -> Answer:
    """Say what each arm has where no two share a (p, seed), and why that is no comparison."""
    arms = arm_order(fits["arm"])
    mine = {arm: fits[fits["arm"] == arm] for arm in arms}
    parts = [
        f"{arm} {differences.mean_over_p(table, 'difference_trained'):.3f} over {counted(len(table), 'fit')} "
        f"at p {listed(table['p'].unique())}"
        for arm, table in mine.items()
    ]
    sentence = f"Mean difference in accuracy, black − white over trained pixels: {'; '.join(parts)}."
    lost = diverged.loc[~diverged["arm"].isin(arms), "arm"].value_counts()
    why = [_diverged_sentence(arm, int(lost[arm]), per_arm) for arm in arm_order(lost.index)]
    short = of_no_pair(fits)
    if len(arms) > 1:
        sentence += " No (p, seed) has been fitted with two arms, so these means are of other masks and do not compare."
        return Answer("No pair to compare yet", sentence, why, short)
    if why:
        names = " and ".join(arm_order(lost.index))
        rest = f"every fit of {names} diverged" if (lost == per_arm).all() else f"no fit of {names} has a value yet"
        return Answer(f"{arms[0]} alone: {rest}", sentence, why, short)
    note = "A comparison needs a second arm on the same masks, such as --arms plain,bn."
    return Answer(f"{arms[0]} alone, nothing to compare it with", sentence, [note], short)


def _diverged_sentence(arm: str, lost: int, expected: int) -> str:
    """Say how many fits of an arm without any value diverged."""
    if lost == expected:
        return f"All {counted(lost, 'fit')} of {arm} diverged, and such a fit has no value."
    return f"{lost} of {counted(expected, 'fit')} of {arm} diverged, and no other one has finished."


def diverged_note(diverged: pd.DataFrame, compared: ComparedArms | None) -> str:
    """Say for the first screen how many fits diverged, and that no headline holds their pairs; empty if none did."""
    if diverged.empty:
        return ""
    counts = diverged["arm"].value_counts()
    shares = ", ".join(f"{counts[arm]} of {arm}" for arm in arm_order(counts.index))
    text = f"{counted(len(diverged), 'fit')} diverged ({shares}) and {'has' if len(diverged) == 1 else 'have'} no value"
    lost = compared is not None and bool(diverged["arm"].isin([compared.first, compared.second]).any())
    return f"{text}: their pairs are not in the headline." if lost else f"{text}."
