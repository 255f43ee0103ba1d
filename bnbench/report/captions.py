"""Words from numbers: the answer in a sentence, and each figure's caption."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import NamedTuple

import pandas as pd

from bnbench import stats
from bnbench.report.style import arm_order
from bnbench.wording import counted, plain_number, probability, signed

AUTHORS_NOTE = (
    "Pale dashed lines with hollow points: the authors' own figure 4, read off their published plot (± 0.005), "
    "30×30 masks and their protocol"
)


_FEW_SEEDS = 5  # Flipping whole seeds gives p ≥ 2 / 2ⁿ: with fewer it is above 0.1.


@dataclass(frozen=True)
class Answer:
    """What a reader sees first.

    Attributes:
        headline: a few words.
        sentence: the same with its numbers.
        notes: what limits it, a sentence each.
    """

    headline: str
    sentence: str
    notes: list[str]


class Two(NamedTuple):
    """Two arms and their pairs, as :func:`bnbench.stats.paired` gives them; at least one pair."""

    pairs: pd.DataFrame
    first: str
    second: str


def headline_arms(fits: pd.DataFrame) -> Two | None:
    """The two arms that the page compares: plain and bn, else the first two that share a pair."""
    for first, second in combinations(arm_order(fits["arm"]), 2):
        if len(pairs := stats.paired(fits, first, second)):
            return Two(pairs, first, second)
    return None


def answer(fits: pd.DataFrame) -> Answer:
    """Which arm bends further, by how much and how sure.

    Args:
        fits: a row per fit: ``arm, p, seed, difference``.
    """
    if fits.empty:
        return Answer("No fit to report", "No whole fit could be read, so there is nothing to say yet.", [])
    two = headline_arms(fits)
    if two is None:
        return _without_pairs(fits)
    first, second, whole = two.first, two.second, stats.overall(two.pairs)
    more, less = (first, second) if whole.mean > 0 else (second, first)
    support = f"Over {counted(whole.pairs, 'pair')} of (p, seed) at {counted(whole.probabilities, 'fill probability')}"
    gap = f"the difference in accuracy, black − white, is {abs(whole.mean):.3f} larger for {more} than for {less}"
    wins = f"{first} has the larger difference in {whole.wins} of {counted(whole.pairs, 'pair')}"
    notes = [
        f"{wins} (sign-flip test: p {probability(whole.sign_flip)}).",
        "A larger difference is a landscape bent closer to its mask; a smaller one, a landscape that gave way less.",
    ]
    seeds = two.pairs["seed"].nunique()
    if seeds < _FEW_SEEDS:
        notes.append(f"With {counted(seeds, 'seed')}, a test that flips whole seeds cannot say anything yet.")
    if whole.df == 0:
        sentence = f"{support}, {gap}; with one seed at each p there is no interval."
        return Answer(f"{first} or {second}: it cannot be said yet", sentence, [*notes, "Run at least two seeds."])
    low, high = sorted([whole.low, whole.high] if whole.mean > 0 else [-whole.low, -whole.high])
    interval = f"95 % interval {plain_number(low)} to {plain_number(high)}"
    sentence = f"{support}, {gap} ({interval}: t, variance pooled within p, {whole.df} degrees of freedom)."
    if whole.low > 0 or whole.high < 0:
        return Answer(f"{more} bends its landscape further than {less}", sentence, notes)
    return Answer(f"{first} or {second}: these fits cannot say which bends further", sentence, notes)


def _without_pairs(fits: pd.DataFrame) -> Answer:
    arms = arm_order(fits["arm"])
    values = {arm: fits.loc[fits["arm"] == arm, "difference"] for arm in arms}
    parts = [f"{arm} {values[arm].mean():.3f} over {counted(len(values[arm]), 'fit')}" for arm in arms]
    sentence = f"Mean difference in accuracy, black − white: {', '.join(parts)}."
    if len(arms) == 1:
        note = "A comparison needs a second arm on the same masks, such as --arms plain,bn."
        return Answer(f"{arms[0]} alone, nothing to compare it with", sentence, [note])
    return Answer("No pair to compare yet", sentence, ["No (p, seed) has been fitted with two arms."])


def missing_note(fits: pd.DataFrame, failures: int) -> str:
    """What the grid of arms × p × seeds that was found lacks; empty when it is whole.

    Args:
        fits: a row per finished fit.
        failures: how many failed.
    """
    expected = max(grid_size(fits), len(fits) + failures)
    if expected == len(fits):
        return ""
    failed = f" ({failures} failed)" if failures else ""
    return f"Unfinished: {len(fits)} of {expected} fits are done{failed}."


def grid_size(fits: pd.DataFrame) -> int:
    """How many fits the grid of all arms, p and seeds that were found has."""
    return int(fits["arm"].nunique() * fits["p"].nunique() * fits["seed"].nunique())


def figure4_caption(fits: pd.DataFrame, split: str, panel: str, *, authors: bool) -> str:
    """Caption of figure 4: ``panel`` is ``ab``, ``a`` or ``b``."""
    letters = {
        "a": "Difference of the mean {0} accuracy over black and over white pixels",
        "b": "the two means of {0} accuracy",
    }
    parts = [f"({letter}) " * (len(panel) > 1) + letters[letter].format(split) for letter in panel]
    what = "; ".join(parts)
    text = f"Figure 4{panel if len(panel) == 1 else ''}. {what[0].upper()}{what[1:]} against the fill probability p. "
    if "b" in panel:
        text += "Solid: black pixels, dotted: white pixels. "
    text += f"{_whisker(fits)} "
    text += " ".join(_levels(fits, panel))
    return text + (f" {AUTHORS_NOTE}." if authors else "")


def _whisker(fits: pd.DataFrame) -> str:
    counts = fits.groupby(["arm", "p"]).size()
    low, high = int(counts.min()), int(counts.max())
    places = counted(fits["p"].nunique(), "fill probability")
    if high == 1:
        return f"Points: single fits, n = 1 seed at {places}, so there is no deviation."
    n = f"n = {low}" if low == high else f"n = {low} to {high}"
    whisker = "whiskers: ± one standard deviation over seeds (ddof = 1)"
    return f"Lines: mean over seeds; {whisker}; small points: every seed; {n} at {places}."


def _levels(fits: pd.DataFrame, panel: str) -> list[str]:
    """Each arm's means over the (p, seed) that all arms have: others would not compare."""
    arms = arm_order(fits["arm"])
    pairs = fits.groupby(["p", "seed"])["arm"].transform("nunique")
    shared = fits[pairs == len(arms)] if (pairs == len(arms)).any() else fits
    over = "" if len(shared) == len(fits) else f" over the {len(shared) // len(arms)} (p, seed) that all arms have"
    texts = []
    for arm in arms:
        mine = shared[shared["arm"] == arm]
        values = f"difference {mine['difference'].mean():.3f}" if panel != "b" else ""
        both = f"black {mine['black'].mean():.3f}, white {mine['white'].mean():.3f}" if "b" in panel else ""
        texts.append(f"Mean of {arm}{over}: {', '.join(text for text in (values, both) if text)}.")
    return texts


def paired_caption(pairs: pd.DataFrame, first: str, second: str, *, authors: bool) -> str:
    """Caption of the paired difference."""
    theirs = f" {AUTHORS_NOTE}; one arm minus the other." if authors else ""
    whole = stats.overall(pairs)
    head = f"Paired difference {first} − {second} of black − white accuracy: both arms on one mask and data order. "
    if whole.df == 0:
        return head + f"One pair at each p, so there is no interval; dashed line: mean {signed(whole.mean)}.{theirs}"
    return (
        f"{head}Diamonds: mean at each p; whiskers: 95 % t interval, df = n − 1 (with few pairs they may run out "
        "of the frame; the table has them whole); small points: every pair. "
        f"Dashed line and band: mean of all {whole.pairs} pairs, {signed(whole.mean)}, and its 95 % interval "
        f"{signed(whole.low)} to {signed(whole.high)} (variance pooled within p, df = {whole.df}).{theirs}"
    )


def figure3_caption(landscapes: pd.DataFrame, p: float, seed: int, threshold: float, split: str) -> str:
    """Caption of figure 3, with each shown fit's own means."""
    shown = landscapes[(landscapes["p"] == p) & (landscapes["seed"] == seed)]
    texts = []
    for arm in arm_order(shown["arm"]):
        mine = shown[shown["arm"] == arm]
        black, white = (mine.loc[mine["black"] == colour, "test_accuracy"].mean() for colour in (True, False))
        texts.append(f"{arm} {black:.3f} on black and {white:.3f} on white pixels")
    return (
        f"Figure 3. The mask of p = {p:g}, seed {seed}, and the landscapes bent to it; "
        "one pixel is one weight vector of the plane. "
        f"Above, or left: {split} loss, one logarithmic scale for all arms, the threshold {threshold:g} marked; "
        "arrows: the 1 % of pixels beyond either end. "
        f"Below, or right: {split} accuracy: {'; '.join(texts)}. "
        "Dark is low loss and high accuracy: a well-bent landscape looks like its mask."
    )


def training_caption(landscapes: pd.DataFrame, p: float, seed: int, split: str) -> str:
    """Caption of training against test, with what every shown arm loses from one to the other."""
    shown = landscapes[(landscapes["p"] == p) & (landscapes["seed"] == seed)]
    texts = []
    for arm in arm_order(shown["arm"]):
        mine = shown[shown["arm"] == arm]
        apart = (mine["train_accuracy"] - mine["test_accuracy"]).groupby(mine["black"]).mean()
        texts.append(f"{arm} {signed(apart[True])} on black and {signed(apart[False])} on white pixels")
    return (
        f"Training against {split} images, p = {p:g}, seed {seed}; a point is a pixel of figure 3, filled where black, "
        "hollow where white; dashed line: equal. Mean loss, on logarithmic axes, and accuracy. "
        f"Mean accuracy, training − {split}: {'; '.join(texts)}."
    )


def comparison_caption(sweeps: Sequence[tuple[str, pd.DataFrame]]) -> str:
    """Caption of figure 4a of several sweeps."""
    counts = [f"{name} ({counted(len(fits), 'fit')})" for name, fits in sweeps]
    return (
        "Figure 4a of all protocols. Colour: arm; marker and kind of line: protocol. "
        f"Mean over seeds ± one standard deviation (ddof = 1) of {'; '.join(counts)}."
    )


def curves_caption(traces: pd.DataFrame, windows: int) -> str:
    """Caption of the learning curves."""
    fits = traces.groupby(["arm", "p", "seed"]).ngroups
    return (
        f"Learning curves of {counted(fits, 'fit')}: accuracy on training minibatches over trained black pixels (the "
        f"arm's colour) and white pixels (dotted), averaged over up to {windows} windows of steps; bn under its "
        "minibatch's own statistics, so levels differ from figure 4. Thin: single fits; thick: their mean."
    )


def time_caption(fits: pd.DataFrame) -> str:
    """Caption of the wall times."""
    medians = (fits.groupby("arm")["wall_seconds"].median() / 60).to_dict()
    texts = [f"{arm} {medians[arm]:.3g} min" for arm in arm_order(fits["arm"])]
    medians_text = f"Wall time of every fit, a point each; bar: median ({', '.join(texts)})."
    return f"{medians_text} Fits that ran side by side share the machine."
