"""Each figure's caption, written with its own numbers."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from bnbench.bn_policy import NO_BN
from bnbench.report.figures.style import arm_order
from bnbench.stats import differences
from bnbench.wording import counted, signed

AUTHORS_NOTE = (
    "Pale dashed lines with hollow points: the authors' own figure 4, read off their published plot (± 0.005), "
    "30×30 masks and their protocol"
)


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
    n = seeds_words(fits)
    if fits.groupby(["arm", "p"]).size().max() == 1:
        return f"Points: single fits, {n}, so there is no deviation."
    whisker = "whiskers: ± one standard deviation over seeds (ddof = 1)"
    return f"Lines: mean over seeds; {whisker}; small points: every seed; {n}."


def seeds_words(fits: pd.DataFrame) -> str:
    """How many seeds there are at how many p, once for all arms where they agree."""
    counts = {arm: fits[fits["arm"] == arm].groupby("p").size() for arm in arm_order(fits["arm"])}
    texts = {arm: f"{_n_words(count)} at {counted(len(count), 'fill probability')}" for arm, count in counts.items()}
    same = all(count.equals(next(iter(counts.values()))) for count in counts.values())
    return next(iter(texts.values())) if same else ", ".join(f"{text} ({arm})" for arm, text in texts.items())


def _n_words(counts: pd.Series) -> str:
    low, high = int(counts.min()), int(counts.max())
    if high == 1:
        return "n = 1 seed"
    return f"n = {low}" if low == high else f"n = {low} to {high}"


def _levels(fits: pd.DataFrame, panel: str) -> list[str]:
    """Each arm's means over the (p, seed) that all arms have: others would not compare."""
    arms = arm_order(fits["arm"])
    pairs = fits.groupby(["p", "seed"])["arm"].transform("nunique")
    shared = fits[pairs == len(arms)] if (pairs == len(arms)).any() else fits
    over = "" if len(shared) == len(fits) else f" over the {len(shared) // len(arms)} (p, seed) that all arms have"
    if not (pairs == len(arms)).any():
        over = " over its own fits, of other (p, seed) than another arm's"
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
    whole = differences.overall(pairs)
    head = f"Paired difference {first} − {second} of black − white accuracy: both arms on one mask and data order. "
    if pairs.groupby("p").size().max() == 1:
        return head + f"One pair at each p, so there is no interval; dashed line: mean {signed(whole.mean)}.{theirs}"
    head += (
        "Diamonds: mean at each p; whiskers: 95 % t interval, df = n − 1, where there are two pairs (with few pairs "
        "they may run out of the frame; the table has them whole); small points: every pair. "
    )
    mean = f"mean of all {whole.pairs} pairs, {signed(whole.mean)}"
    if whole.df == 0:
        return f"{head}Dashed line: {mean}, without an interval while a p has a single pair.{theirs}"
    return (
        f"{head}Dashed line and band: {mean}, and its 95 % interval "
        f"{signed(whole.low)} to {signed(whole.high)} (variance within each p, df = {whole.df}).{theirs}"
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


def comparison_caption(
    sweeps: Sequence[tuple[str, pd.DataFrame]], elsewhere: Sequence[str] = (), *, authors: bool = False
) -> str:
    """Caption of figure 4a of several sweeps; ``elsewhere``: those that were not measured on test images."""
    counts = [f"{name}: {counted(len(fits), 'fit')}, {seeds_words(fits)}" for name, fits in sweeps]
    text = (
        "Figure 4a of all protocols. Colour: arm; marker and kind of line: protocol. "
        f"Mean over seeds ± one standard deviation (ddof = 1). {'; '.join(counts)}."
    )
    if elsewhere:
        text += f" On held-out training images, not on test images: {'; '.join(elsewhere)}."
    if authors:
        text += f" {AUTHORS_NOTE}{', on test images' if elsewhere else ''}."
    return text


def curves_caption(traces: pd.DataFrame, fits: pd.DataFrame, windows: int) -> str:
    """Caption of the learning curves; ``fits`` says which arms have batch normalization."""
    normalized = arm_order(fits.loc[fits["policy"] != str(NO_BN), "arm"])
    own = f"{' and '.join(normalized)} under the minibatch's own statistics: " if normalized else "other images: "
    number = traces.groupby(["arm", "p", "seed"]).ngroups
    return (
        f"Learning curves of {counted(number, 'fit')}: accuracy on training minibatches over trained black pixels (the "
        f"arm's colour) and white pixels (dotted), averaged over up to {windows} windows of steps; {own}"
        "levels differ from figure 4. Thin: single fits; thick: their mean."
    )


def time_caption(fits: pd.DataFrame) -> str:
    """Caption of the wall times."""
    medians = (fits.groupby("arm")["wall_seconds"].median() / 60).to_dict()
    texts = [f"{arm} {medians[arm]:.3g} min" for arm in arm_order(fits["arm"])]
    medians_text = f"Wall time of every fit, a point each; bar: median ({', '.join(texts)})."
    return f"{medians_text} Fits that ran side by side share the machine."
