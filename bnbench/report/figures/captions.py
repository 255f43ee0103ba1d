"""What captions of figures 3 and 4 and the like say: seeds, whiskers and each arm's means."""

from __future__ import annotations

import pandas as pd

from bnbench.report.arms import arm_order, of_arms
from bnbench.report.figures.authors import authors_beside, authors_note
from bnbench.stats import differences
from bnbench.wording import counted

_WORDS = {"difference": "contrast"}  # what a column is called in a sentence
LEAST_SEEDS = 3  # of two, a deviation says little more than their distance, which the points show


def figure4_caption(
    fits: pd.DataFrame, split: str, panel: str, *, pixels: str, authors: pd.DataFrame | None = None
) -> str:
    """Return the caption of figure 4 over ``all`` or over ``trained`` pixels: ``panel`` is ``ab``, ``a`` or ``b``."""
    theirs = authors_note(authors_beside(fits, authors))
    letters = {
        "a": "Accuracy contrast, mean {0} accuracy over black pixels minus that over white ones",
        "b": "the two means of {0} accuracy"
        if len(panel) > 1
        else "mean {0} accuracy over black and over white pixels",
    }
    parts = [f"({letter}) " * (len(panel) > 1) + letters[letter].format(split) for letter in panel]
    what = "; ".join(parts)
    text = f"Figure 4{panel if len(panel) == 1 else ''}. {what[0].upper()}{what[1:]} against the fill probability p. "
    if "b" in panel:
        text += "Solid: black pixels, dotted: white pixels. "
    meant = " (those with a neighbour of the other colour)" if pixels == "trained" else ""
    text += f"Over {pixels} pixels{meant}{', which alone the authors measure' if theirs else ''}. "
    text += f"{whisker_words(fits)} "
    text += _mean_words(fits, panel)
    drawn = "lines" if fits["p"].nunique() > 1 else "markers"
    which = f"; of an arm's two {drawn} the upper one is of black pixels" if "b" in panel else ""
    return text + (f" {theirs}{which}." if theirs else "")


def figure3_caption(shown: pd.DataFrame, p: float, seed: int, threshold: float, split: str) -> str:
    """Return the caption of figure 3, with each shown fit's own means; arguments as figure 3 has them."""
    levels = {}
    for arm in arm_order(shown["arm"]):
        mine = shown[shown["arm"] == arm]
        levels[arm] = [mine.loc[mine["black"] == colour, "test_accuracy"].mean() for colour in (True, False)]
    contrasts = {arm: black - white for arm, (black, white) in levels.items()}
    accuracies = of_arms(
        contrasts, lambda arm: "{} {:.3f} on black and {:.3f} on white pixels".format(arm, *levels[arm]), "; "
    )
    return (
        f"Figure 3. The mask of p = {p:g}, seed {seed}, and the landscapes bent to it; "
        "one pixel is one weight vector of the plane. "
        f"Above, or left: {split} loss, one logarithmic scale for all fits, the threshold {threshold:g} marked; "
        "arrows: up to 1 % of the losses of all fits, training and test, lie beyond an end. "
        f"Below, or right: {split} accuracy: {accuracies}. "
        "Dark is low loss and high accuracy: a well-bent landscape looks like its mask."
    )


def whisker_words(fits: pd.DataFrame) -> str:
    """Say what lines, whiskers and points are, and how many seeds there are."""
    n = seeds_words(fits)
    if fits.groupby(["arm", "p"]).size().max() == 1:
        return f"Points: single fits, {n}, so there is no deviation."
    counts = fits.groupby(["arm", "p"]).size()
    whisker = "whiskers: ± one standard deviation over seeds (ddof = 1)"
    if counts.min() < LEAST_SEEDS:
        whisker += f", where there are at least {LEAST_SEEDS} seeds"
    drawn = f"{whisker}; " if counts.max() >= LEAST_SEEDS else ""
    return f"Lines: mean over seeds; {drawn}small points: every seed; {n}."


def seeds_words(fits: pd.DataFrame) -> str:
    """Say how many seeds there are at how many p, once for all arms where they agree."""
    counts = {arm: fits[fits["arm"] == arm].groupby("p").size() for arm in arm_order(fits["arm"])}
    texts = {
        arm: f"{_seed_count_words(count)} at {counted(len(count), 'fill probability')}" for arm, count in counts.items()
    }
    return (
        next(iter(texts.values()))
        if len(set(texts.values())) == 1
        else ", ".join(f"{text} ({arm})" for arm, text in texts.items())
    )


def _seed_count_words(counts: pd.Series) -> str:
    low, high = int(counts.min()), int(counts.max())
    if high == 1:
        return "n = 1 seed"
    return f"n = {low}" if low == high else f"n = {low} to {high}"


def of_all_arms(fits: pd.DataFrame) -> tuple[pd.DataFrame, str]:
    """Return the fits of the (p, seed) that all arms have, and which these are in words; empty words where that is all.

    Where there is no such (p, seed) they are all fits, and the words say that each arm's are its own.
    """
    arms = fits["arm"].nunique()
    there = fits.groupby(["p", "seed"])["arm"].transform("nunique") == arms
    if not there.any():
        return fits, " over its own fits, of other (p, seed) than another arm's"
    words = "" if there.all() else f" over the {there.sum() // arms} (p, seed) that all arms have"
    return fits[there], words


def _mean_words(fits: pd.DataFrame, panel: str) -> str:
    """Say each arm's means over the (p, seed) that all arms have, every p weighing the same: others do not compare."""
    shared, over = of_all_arms(fits)
    values = [*(["difference"] if panel != "b" else []), *(["black", "white"] if "b" in panel else [])]
    contrasts, texts = {}, {}
    for arm in arm_order(fits["arm"]):
        mine = shared[shared["arm"] == arm]
        contrasts[arm] = differences.mean_over_p(mine, "difference")
        means = [f"{_WORDS.get(value, value)} {differences.mean_over_p(mine, value):.3f}" for value in values]
        texts[arm] = f"Mean of {arm}{over}: {', '.join(means)}"
    return f"{of_arms(contrasts, texts.__getitem__, '. ')}."
