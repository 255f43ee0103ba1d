"""Two readings of every sweep: the accuracy contrast of figure 4, and the objective that was optimized.

    python benchmarks/readings.py [--results results] [--settling evidence/settling evidence/settling-gpu]

Reads the committed parquet files alone and prints Markdown tables: each sweep over all its pairs, on test and on
training images; how far its curves lie from the authors', over trained and over all pixels; how much of its gap in
white accuracy there is at equal white loss; and both readings against the steps of a fit. J is the mean black loss
minus the mean of min(white loss, threshold), in nats, and lower is better; right is the share of pixels on their
colour's side of the best cut through the losses.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Sequence
from itertools import combinations
from pathlib import Path

import numpy as np
import pandas as pd

from bnbench.measures.difference import accuracy_contrast
from bnbench.measures.measure import Pixels
from bnbench.measures.objective import objective
from bnbench.measures.right import right
from bnbench.report.arms import ComparedArms
from bnbench.report.chapters import verdict
from bnbench.report.chapters.protocols import distinct_names, in_order
from bnbench.report.figures.authors import authors_of
from bnbench.results.sweeps import Sweep, read_sweeps
from bnbench.stats import differences
from bnbench.wording import plain_number

ARMS = ("plain", "bn")
_MEASURES = {"difference": accuracy_contrast, "objective": objective, "right": right}


def readings(sweep: Sweep, images: str = "test", pixels: str = "trained") -> pd.DataFrame:
    """Compute both readings of every fit from its stored pixels.

    Args:
        sweep: what was read.
        images: ``test`` for those that the protocol measures on, or ``train``.
        pixels: ``trained`` or ``all``.

    Returns:
        A row per fit: ``arm, p, seed, difference, objective, right``.
    """
    rows = []
    for (arm, p, seed), fit in sweep.landscapes.groupby(["arm", "p", "seed"]):
        black, trained = fit["black"].to_numpy(bool), fit["trained"].to_numpy(bool)
        loss, accuracy = (fit[f"{images}_{name}"].to_numpy(float) for name in ("loss", "accuracy"))
        counted = trained if pixels == "trained" else trained | True
        found = Pixels(black, counted, loss, accuracy, sweep.protocol.training.threshold)
        rows.append({"arm": arm, "p": p, "seed": seed, **{name: of(found) for name, of in _MEASURES.items()}})
    return pd.DataFrame(rows)


def named(sweeps: Sequence[Sweep]) -> list[tuple[str, Sweep]]:
    """Each sweep under what tells its protocol from the others of its profile, in the order of these names."""
    ordered = in_order(sweeps)
    return list(zip(distinct_names([sweep.protocol for sweep in ordered]), ordered, strict=True))


def sweeps_table(sweeps: Sequence[Sweep]) -> list[list[str]]:
    """A row per sweep, kind of images and set of pixels: both arms' means, and in how many pairs plain is better."""
    table = [
        ["sweep", "pixels", "pairs", "difference: plain larger", "J plain / bn", "J: plain better", "right plain / bn"]
    ]
    for name, sweep in named(sweeps):
        for images in ("test", "train"):
            for pixels in ("trained", "all"):
                fits = readings(sweep, images, pixels)
                pairs = {measure: differences.paired(fits, *ARMS, measure) for measure in _MEASURES}
                count, ahead = len(pairs["right"]), (pairs["difference"]["gap"] > 0).sum()
                lower = (pairs["objective"]["gap"] < 0).sum()
                measured = f"{name}, {'training' if images == 'train' else images} images"
                both = [_means(pairs[measure]) for measure in ("objective", "right")]
                table.append(
                    [measured, pixels, f"{count}", f"{ahead} of {count}", both[0], f"{lower} of {count}", both[1]]
                )
    return table


def settings_counts(sweeps: Sequence[Sweep]) -> dict[str, str]:
    """What several protocols, each of one p, say of plain and bn, over trained pixels of the images that were measured.

    Returns:
        Texts: ``settings`` and ``seeds``, how many; in how many bn has the ``smaller`` mean difference, and the
        ``gaps`` of these means; by J in how many an interval or a test names an arm (``told``), finds a ``tie`` or
        neither (``open``); and the ``moves`` of an arm's mean difference between two protocols that differ in one knob.
    """
    counts, seeds, gaps = dict.fromkeys(("smaller", "told", "tie", "open"), 0), set(), []
    means: list[tuple[dict[str, object], dict[str, float]]] = []
    for sweep in sweeps:
        fits = readings(sweep)
        apart, by_j = (differences.paired(fits, *ARMS, name) for name in ("difference", "objective"))
        says = verdict.reading(by_j, ComparedArms(apart, *ARMS), "objective").says
        counts[{verdict.TIE: "tie", verdict.OPEN: "open"}.get(says, "told")] += 1
        gaps.append(differences.mean_over_p(apart, "gap"))
        counts["smaller"] += gaps[-1] > 0
        seeds.add(len(apart))
        means.append((dict(sweep.protocol.knobs()), {side: float(apart[side].mean()) for side in ("first", "second")}))
    moves = [
        abs(theirs[arm] - ours[arm])
        for (these, ours), (those, theirs) in combinations(means, 2)
        if sum(these[name] != those[name] for name in these) == 1
        for arm in ("first", "second")
    ]
    said = {name: number_word(count) for name, count in counts.items()}
    for name, found in (("gaps", gaps), ("moves", moves)):
        said[name] = f"{min(found):.2f} to {max(found):.2f}".replace("-", "−") if found else "none"
    return {**said, "settings": number_word(len(sweeps)), "seeds": " or ".join(map(number_word, sorted(seeds)))}


def number_word(count: int) -> str:
    """A number in words, up to twelve."""
    words = ["none", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve"]
    return words[count] if count < len(words) else str(count)


def authors_table(sweeps: Sequence[Sweep]) -> list[list[str]]:
    """A row per sweep and set of pixels: mean over p of the distance of each arm's mean curve to the authors'."""
    table = [["sweep", "pixels", *ARMS]]
    for name, sweep in named(sweeps):
        for pixels in ("trained", "all"):
            fits = readings(sweep, "test", pixels)
            authors = authors_of(sweep.protocol, fits)
            if authors is None:
                continue
            ours, theirs = (
                one.groupby(["arm", one["p"].round(3)])["difference"].mean().unstack("arm") for one in (fits, authors)
            )
            apart = (ours - theirs).abs().mean()
            table.append([name, pixels, *(f"{apart[arm]:.3f}" for arm in ARMS)])
    return table


def at_equal_white_loss(sweep: Sweep, bins: int = 20) -> tuple[float, float]:
    """How much of the gap in white accuracy there is between white pixels of equal loss.

    The losses of the trained white pixels of both arms, over the pairs that both have, are cut into bins of as many
    pixels each. With w the share of an arm's pixels in a bin, a fit's pixels weighing one together, and a their mean
    accuracy there,

        gap = Σ_k (w_plain,k + w_bn,k) / 2 · (a_plain,k − a_bn,k) + Σ_k (a_plain,k + a_bn,k) / 2 · (w_plain,k − w_bn,k)

    (Kitagawa, 1955): the first sum is the gap at equal loss, the second what the losses differ in. In a bin that an arm
    lacks both accuracies count as the other's, so that all of its gap is in the second.

    Returns:
        The gap plain − bn, and its first sum.
    """
    pixels = sweep.landscapes
    white = pixels[pixels["trained"] & ~pixels["black"] & pixels["arm"].isin(ARMS)]
    both = white.groupby(["p", "seed"])["arm"].transform("nunique") == len(ARMS)
    white = white[both].astype({"test_loss": float, "test_accuracy": float})
    weight = 1 / white.groupby(["arm", "p", "seed"])["test_loss"].transform("size")
    weight /= white.groupby(["p", "seed"]).ngroups
    edges = np.quantile(white["test_loss"], np.arange(1, bins) / bins)
    parts = pd.DataFrame(
        {
            "arm": white["arm"],
            "bin": np.searchsorted(edges, white["test_loss"]),
            "weight": weight,
            "sum": weight * white["test_accuracy"],
        }
    )
    sums = parts.groupby(["bin", "arm"]).sum().unstack("arm")
    shares, totals = (sums[name][list(ARMS)].fillna(0.0).to_numpy() for name in ("weight", "sum"))  # (bins, 2)
    means = np.divide(totals, shares, out=np.zeros_like(totals), where=shares > 0)
    apart = np.where((shares > 0).all(axis=1), means[:, 0] - means[:, 1], 0.0)
    return float(totals[:, 0].sum() - totals[:, 1].sum()), float((shares.mean(axis=1) * apart).sum())


def equal_loss_table(sweeps: Sequence[Sweep]) -> list[list[str]]:
    """A row per sweep: the gap plain − bn on trained white pixels, and how much of it there is at equal loss.

    No share is given where the two have opposite signs.
    """
    table = [["sweep", "gap on white pixels", "at equal white loss", "share of the gap"]]
    for name, sweep in named(sweeps):
        gap, equal = at_equal_white_loss(sweep)
        numbers = [plain_number(value) for value in (gap, equal)]
        # Of opposite signs, the one is no part of the other.
        share = f"{100 * equal / gap:.0f} %" if equal * gap > 0 else "–"
        table.append([name, *numbers, share])
    return table


def settling_table(sweeps: Iterable[Sweep], pixels: str = "trained") -> list[list[str]]:
    """A row per mask size and number of steps, sorted: both readings of either arm, means over its fits."""
    rows = []
    for sweep in sweeps:
        fits, size = readings(sweep, pixels=pixels), sweep.protocol.mask.mask_size
        pairs = {measure: differences.paired(fits, *ARMS, measure) for measure in _MEASURES}
        name = "×".join(map(str, size))
        texts = [_means(one) for one in pairs.values()]
        rows.append((size, sweep.protocol.training.steps, [name, str(len(pairs["right"])), *texts]))
    head = ["mask", "steps", "pairs", *(f"{name}, plain / bn" for name in ("difference", "J", "right"))]
    return [head, *([name, f"{steps:,}", *texts] for _, steps, (name, *texts) in sorted(rows))]


def markdown(table: Sequence[Sequence[str]]) -> str:
    """A table as GitHub reads it; its first row is the head."""
    lines = [table[0], ["---"] * len(table[0]), *table[1:]]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def _means(pairs: pd.DataFrame) -> str:
    """Either arm's mean over the pairs, with a true minus."""
    return " / ".join(plain_number(pairs[side].mean()) for side in ("first", "second"))


def read(roots: Iterable[Path]) -> list[Sweep]:
    """Every sweep at or below some folders that has a fit.

    Raises:
        SystemExit: a file cannot be read.
    """
    found = []
    for root in roots:
        sweeps, broken = read_sweeps(root)
        if broken:
            raise SystemExit(broken[0])
        found += [sweep for sweep in sweeps if len(sweep.landscapes)]
    return found


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--results", type=Path, default=Path("results"))
    settling = [Path("evidence/settling"), Path("evidence/settling-gpu")]
    parser.add_argument("--settling", type=Path, nargs="*", default=settling)
    asked = parser.parse_args(arguments)
    sweeps = read([asked.results])
    print(f"Every pair\n\n{markdown(sweeps_table(sweeps))}\n")
    print(f"Mean distance of the difference to the authors' curve\n\n{markdown(authors_table(sweeps))}\n")
    print(f"At equal white loss, 20 bins, trained pixels\n\n{markdown(equal_loss_table(sweeps))}\n")
    lengths = read(asked.settling)
    for pixels in ("trained", "all"):
        table = settling_table(lengths, pixels)
        print(f"Against the steps of a fit, {pixels} pixels, images as measured\n\n{markdown(table)}\n")


if __name__ == "__main__":
    main()
