"""What both readings say of two arms: the accuracy contrast of figure 4, and the objective by J and by right.

The rule was fixed before any result was looked at; what was added since makes it say less. A reading names an arm where
its 95 % interval leaves out zero, and a tie where two one-sided t tests find it within its bound
(:data:`bnbench.stats.equivalence.BOUNDS`), whichever side of zero it lies; else it is open. The contrast has no bound
and so no tie. J and right together name what both name. While pairs are still to come, whatever the rest says, a sweep
is unfinished and has no verdict: an interval that is looked at after every fit, until it leaves out zero, is none of 95
%. One of which no pair is to come, and of which a reading is open, or J and right name different arms or are known of
some pairs alone, is inconclusive. Pairs that a failed fit has cost do not come, and the headline counts them.
"""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd

from bnbench.report.arms import ComparedArms
from bnbench.stats import differences
from bnbench.stats.equivalence import BOUNDS, TEST_LEVEL, two_one_sided
from bnbench.wording import counted, interval_words, plain_number, probability, signed

TIE, OPEN = "tie", "open"
DIFFER = "differ"  # of J and right: each names another arm
_COLUMNS = {"objective": "objective_trained", "right": "right_trained"}


@dataclass(frozen=True)
class Reading:
    """What one number says of two arms over all p.

    Attributes:
        says: the arm that is ahead, ``TIE`` or ``OPEN``.
        whole: the paired gap over all p.
        first: the first arm's mean.
        second: the second arm's mean.
        equivalence: p-value of the two one-sided tests; NaN where there is no bound or no interval.
    """

    says: str
    whole: differences.Overall
    first: float
    second: float
    equivalence: float


@dataclass(frozen=True)
class Verdict:
    """Both readings together.

    Attributes:
        case: ``agree``, ``disagree``, ``tie`` (of the objective), ``inconclusive`` or ``unfinished``.
        headline: a few words that name the metric of each claim.
        sentence: what the objective says, with its numbers; empty where the fits do not tell.
        contrast: what accuracy contrast says.
        objective: what J and right say together.
        right: what right says; None where the fits do not tell.
        gaps: the gap of each reading, with its interval where there is one.
    """

    case: str
    headline: str
    sentence: str
    contrast: Reading
    objective: str
    right: Reading | None
    gaps: str


def verdict(fits: pd.DataFrame, compared: ComparedArms, *, to_come: int = 0, lost: int = 0) -> Verdict:
    """Write the headline by rules from both readings.

    Args:
        fits: a row per fit: ``arm, p, seed``, and ``objective_trained`` and ``right_trained`` where they are known.
        compared: the two arms and the pairs of their contrast.
        to_come: pairs of the sweep that are still to run.
        lost: pairs that never come, since a fit of theirs failed.
    """
    contrast = reading(compared.pairs, compared)
    found: dict[str, Reading] = {}
    for name, column in _COLUMNS.items():
        if column in fits:
            pairs = differences.paired(fits.dropna(subset=[column]), compared.first, compared.second, column)
            found |= {name: reading(pairs, compared, name)} if len(pairs) else {}
    is_whole = len(found) == len(_COLUMNS)
    has_all = is_whole and all(one.whole.pairs == contrast.whole.pairs for one in found.values())
    by_j, by_right = (found[name].says if has_all else OPEN for name in _COLUMNS)
    asked = objective_says(by_j, by_right)
    headline, case = headline_of(contrast.says, by_j, by_right, compared), case_of(contrast.says, asked)
    if to_come:
        headline, case = so_far(contrast.says, by_j, by_right), "unfinished"
    if lost:
        headline += f" ({lost} of {counted(len(compared.pairs) + to_come + lost, 'pair')} failed)"
    sentence = _sentence(found, compared, "So far, by" if to_come else "By") if is_whole else ""
    right = found["right"] if is_whole else None
    return Verdict(case, headline, sentence, contrast, asked, right, _gaps(contrast, found, compared))


def better(gap: float, name: str, compared: ComparedArms) -> str:
    """Return the arm that a gap other than zero is in favour of: lower is better of J alone."""
    return compared.first if (gap > 0) != (name == "objective") else compared.second


def reading(pairs: pd.DataFrame, compared: ComparedArms, name: str = "") -> Reading:
    """Read two arms by one number; lower is better of J alone, and a number without a bound has no tie."""
    whole = differences.overall(pairs)
    bound = BOUNDS.get(name, 0.0)
    equal = float(two_one_sided(whole.mean, whole.se, whole.df, bound)) if bound else float("nan")
    says = OPEN
    if equal <= TEST_LEVEL:
        says = TIE
    elif whole.low > 0 or whole.high < 0:
        says = better(whole.mean, name, compared)
    means = (differences.mean_over_p(pairs, "first"), differences.mean_over_p(pairs, "second"))
    return Reading(says, whole, *means, equal)


def objective_says(by_j: str, by_right: str) -> str:
    """Return what J and right say together: the arm that both name, or a tie where both tie.

    Where each names another arm they differ; where only one of them names an arm, or a tie, it is open.
    """
    if by_j == by_right:
        return by_j
    return OPEN if {by_j, by_right} & {OPEN, TIE} else DIFFER


def case_of(contrast: str, objective: str) -> str:
    """Return which case two readings are where no pair is to come: inconclusive where either names nothing."""
    if {contrast, objective} & {OPEN, DIFFER}:
        return "inconclusive"
    if objective == TIE:
        return "tie"
    return "agree" if contrast == objective else "disagree"


def headline_of(contrast: str, by_j: str, by_right: str, compared: ComparedArms) -> str:
    """Say both in a few words, each claim with its metric; only the objective says which arm bends further."""
    objective = objective_says(by_j, by_right)
    if contrast == by_j == by_right == OPEN:
        return f"Neither accuracy contrast nor the objective tells {compared.first} and {compared.second} apart"
    large = _contrast_words(contrast)
    if objective in (OPEN, DIFFER):
        why = "" if by_j == by_right else f": {_apart_words(by_j, by_right)}"
        return f"{large[0].upper()}{large[1:]}; by the objective it is open which arm is ahead{why}"
    if objective == TIE:
        return f"{large[0].upper()}{large[1:]}; by the objective {compared.first} and {compared.second} tie"
    if contrast == objective:
        return f"{objective} bends its landscape further by the objective, and its accuracy contrast is larger"
    further = f"by the objective {objective} bends its landscape further"
    if contrast == OPEN:
        return f"{large[0].upper()}{large[1:]}; {further}"
    return f"The readings disagree: {large}, but {further}"


def so_far(contrast: str, by_j: str, by_right: str) -> str:
    """Say what both readings are while pairs are to come, and that this is no verdict: no arm bends further yet."""
    both = _apart_words(by_j, by_right)
    if contrast == by_j == by_right != OPEN:
        return f"No verdict yet: so far {contrast} is ahead in accuracy contrast, J and right"
    if by_j == by_right:
        both = {OPEN: "J and right do not tell", TIE: "J and right tie"}.get(by_j, f"J and right are better for {by_j}")
    return f"No verdict yet: so far {_contrast_words(contrast)}, and {both}"


def _contrast_words(says: str) -> str:
    return f"accuracy contrast {'does not tell the arms apart' if says == OPEN else f'is larger for {says}'}"


def _apart_words(by_j: str, by_right: str) -> str:
    """Say what J says and what right says, where these are two things."""
    words = {OPEN: "does not tell", TIE: "finds a tie"}
    return ", ".join(
        f"{name} {words.get(says, f'is better for {says}')}" for name, says in (("J", by_j), ("right", by_right))
    )


def _sentence(found: dict[str, Reading], compared: ComparedArms, begins: str) -> str:
    """Say the objective's two numbers over trained pixels, each with its interval and what it says.

    Args:
        found: J and right.
        compared: the two arms.
        begins: the sentence's first words, which say whether this is an end.
    """
    texts = []
    for name, title, unit in (("right", "pixels right", ""), ("objective", "J (lower is better)", " nats")):
        one = found[name]
        interval = "no interval yet"
        if one.whole.df > 0:
            interval = f"95 % interval {interval_words(one.whole.low, one.whole.high, sign=True)}"
        said = {
            TIE: f"a tie within ±{BOUNDS[name]:g}{unit}, two one-sided t tests: p {probability(one.equivalence)}",
            OPEN: f"undecided, since these fits show neither a gap nor a tie within ±{BOUNDS[name]:g}{unit}",
        }.get(one.says, f"{one.says} ahead")
        if one.whole.df > 0 and one.whole.wins == one.whole.losses == 0:
            interval, said = "equal in every pair", "a tie, and no test is needed"
        means = " / ".join(map(plain_number, (one.first, one.second)))
        counts = _counts(one.whole, name, compared)
        texts.append(f"{title} {means}, gap {signed(one.whole.mean)} ({interval}{counts}): {said}")
    over = f"over trained pixels of {counted(found['right'].whole.pairs, 'pair')}"
    return f"{begins} the objective, {over}, {compared.first} / {compared.second}: {'; '.join(texts)}."


def _counts(whole: differences.Overall, name: str, compared: ComparedArms) -> str:
    """Say in how many pairs the arm with the better mean is ahead, and how many are equal; nothing of equal means."""
    if whole.mean == 0:
        return ""
    count, equal = whole.wins if whole.mean > 0 else whole.losses, whole.pairs - whole.wins - whole.losses
    ties = f", equal in {equal}" if equal else ""
    return f"; better for {better(whole.mean, name, compared)} in {count} of {counted(whole.pairs, 'pair')}{ties}"


def _gaps(contrast: Reading, found: dict[str, Reading], compared: ComparedArms) -> str:
    """Write the gap of each reading, the interval once in words."""
    texts: list[str] = []
    for title, one in (("accuracy contrast", contrast), ("right", found.get("right")), ("J", found.get("objective"))):
        if one is None:
            continue
        interval = interval_words(one.whole.low, one.whole.high, sign=True)
        interval = f" ({interval if texts else f'95 % interval {interval}'})" if one.whole.df > 0 else ""
        texts.append(f"{title} {signed(one.whole.mean)}{interval}{', where lower is better' if title == 'J' else ''}")
    return f"{compared.gap_name}: {'; '.join(texts)}."
