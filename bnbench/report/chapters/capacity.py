"""How large a random mask each arm bends to, where protocols differ in the size of the mask alone."""

from __future__ import annotations

import math
from collections.abc import Sequence

import pandas as pd

from bnbench.protocol.mask_sizes import frame_of, size_name
from bnbench.protocol.protocol import Protocol
from bnbench.protocol.weights import trained_numbers
from bnbench.report import tables
from bnbench.report.arms import arm_order
from bnbench.report.chapters.capacity_words import sentences_at, visits_words
from bnbench.report.chapters.chapter import Chapter
from bnbench.report.chapters.standing import standing
from bnbench.report.figures.capacity import capacity_figure
from bnbench.report.tables import Table, sorted_by_arm
from bnbench.results.sweeps import Sweep
from bnbench.stats import capacity
from bnbench.stats.falling_curve import LEVEL
from bnbench.stats.seed_capacity import seed_capacities

LEVELS = (LEVEL, *capacity.LEVELS)
_READING = "right_trained"
_ONE_SIZE = (30, 30)
_INTRODUCTION = (
    "Right is the share of trained pixels on their side of the best cut through the losses, balanced over the colours. "
    "Capacity is the size of the largest random mask of which 90 % are right after {steps} steps; it says nothing of "
    "how far apart the two colours are, and more steps bend to larger masks. Its bits are those of the mask: with 10 % "
    "of the pixels wrong about half of them can be read from the landscape."
)

_FRAME = (
    "The pixels of the frame are the same in every mask: they hold no bits, but they are trained and count in right as "
    "the others do."
)


def chapters(sweeps: Sequence[Sweep]) -> list[Chapter]:
    """Say how large a mask each arm bends to: a chapter for each protocol of which three mask sizes have fits."""
    found: list[Chapter] = []
    for group in _groups(sweeps).values():
        fits = _fits(group)
        if len(fits) and fits["side"].nunique() >= capacity.FEWEST_SIZES:
            found.append(_chapter(group[0].protocol, fits, f"capacity-{len(found) + 1}" if found else "capacity"))
            found[-1].sentences[1:1] = _unfinished(group)
    return found


def differ_in_size_alone(sweeps: Sequence[Sweep]) -> bool:
    """Return whether all sweeps with fits differ in the size of the mask alone, so that a report of them is on that."""
    return [len(group) for group in _groups(sweeps).values()] == [sum(len(one.identities) > 0 for one in sweeps)]


def _unfinished(sweeps: Sequence[Sweep]) -> list[str]:
    """Say that fits are to come, and that an interval which is looked at before they are there decides nothing."""
    stand = [standing(sweep) for sweep in sweeps]
    to_run, done = (sum(map(len, lists)) for lists in zip(*((one.to_run, one.done) for one in stand), strict=True))
    if not to_run:
        return []
    return [f"Unfinished: {done:,} fits of these sizes are done, {to_run:,} still to run, so this is no verdict yet."]


def seed_capacities_of(sweep: Sweep, sweeps: Sequence[Sweep]) -> pd.DataFrame:
    """Return the capacity of each arm and seed: ``arm, seed, capacity``, at p nearest one half.

    Args:
        sweep: whose protocol it is of, but for the size of the mask.
        sweeps: all that there are; without three mask sizes among them, or for a picture, there is no row.
    """
    fits = _fits([] if sweep.protocol.mask.picture else _groups(sweeps).get(_but_for_size(sweep), []))
    if fits.empty:
        return pd.DataFrame(columns=["arm", "seed", "capacity"])
    shown = min(fits["p"].unique(), key=lambda p: (abs(p - 0.5), p))
    return seed_capacities(_with_a_curve(fits[fits["p"] == shown]))


def _groups(sweeps: Sequence[Sweep]) -> dict[str, list[Sweep]]:
    """Return sweeps of random masks that differ in the size of the mask alone, three of them or more."""
    groups: dict[str, list[Sweep]] = {}
    for sweep in sweeps:
        if len(sweep.identities) and not sweep.protocol.mask.picture:
            groups.setdefault(_but_for_size(sweep), []).append(sweep)
    return {name: group for name, group in groups.items() if len(group) >= capacity.FEWEST_SIZES}


def _but_for_size(sweep: Sweep) -> str:
    return sweep.protocol.with_knobs(mask_size=_ONE_SIZE).hash


def _fits(sweeps: Sequence[Sweep]) -> pd.DataFrame:
    """Return a row per fit of all sizes: ``arm, p, seed, size, side, bits, right``; bits of random pixels alone."""
    parts = []
    for sweep in sweeps:
        (rows, columns), frame = sweep.protocol.mask.mask_size, frame_of(sweep.protocol.mask.mask_kind)
        table = tables.fits_table(sweep)
        if _READING in table:
            table = table[["arm", "p", "seed", _READING]].rename(columns={_READING: "right"}).dropna()
            bits = [float(capacity.mask_bits((rows - 2 * frame) * (columns - 2 * frame), p)) for p in table["p"]]
            table = table.assign(size=size_name((rows, columns)), side=math.sqrt(rows * columns), bits=bits)
            parts.append(table.assign(visits=_visits(sweep)))
    return sorted_by_arm(pd.concat(parts, ignore_index=True)) if parts else pd.DataFrame()


def _visits(sweep: Sweep) -> float:
    """Return how often a trained pixel is drawn in a fit, on the mean over masks: a step draws some of each colour."""
    training, pixels = sweep.protocol.training, sweep.landscapes
    there = pixels[pixels["trained"]].groupby(["arm", "p", "seed"])["black"].agg(["sum", "size"])
    black = there["sum"].clip(upper=training.black_pixels)
    white = (there["size"] - there["sum"]).clip(upper=training.white_pixels)
    return float((training.steps * (black + white) / there["size"]).mean())


def _chapter(protocol: Protocol, fits: pd.DataFrame, name: str) -> Chapter:
    arms, gaps, sentences = [], [], [_INTRODUCTION.format(steps=f"{protocol.training.steps:,}")]
    frame = frame_of(protocol.mask.mask_kind)
    if frame:
        sentences.append(_FRAME)
    sentences.append(visits_words(fits))
    numbers = {arm: count for arm in fits["arm"].unique() if (count := trained_numbers(arm, protocol)) is not None}
    probs: list[float] = sorted(fits["p"].unique().tolist())
    for p in probs:
        there = fits[fits["p"] == p]
        used = _with_a_curve(there)
        if used["side"].nunique() < capacity.FEWEST_SIZES:
            sentences.append(f"At p = {p:g} there is no curve: no seed has its fits at every one of three sizes yet.")
            continue
        arms.append(sorted_by_arm(capacity.capacities(used, p, numbers, frame)).assign(p=p))
        order = arm_order(used["arm"])
        gaps.append(pd.concat([capacity.capacity_gaps(used, order, one) for one in LEVELS]).assign(p=p))
        sentences += sentences_at(p, there, used, arms[-1], gaps[-1])
    found = pd.concat(arms, ignore_index=True) if arms else pd.DataFrame()
    shown = min(probs, key=lambda p: (abs(p - 0.5), p))
    drawn = found[found["p"] == shown] if arms else found
    figure = capacity_figure(name, fits[fits["p"] == shown], drawn, shown, frame)
    note = "Over trained pixels; visits: how often a trained pixel is drawn, on the mean over masks"
    every = Table(f"{name}_fits", "Right of every fit", note, fits, on_page=False)
    return Chapter(name, "How large a mask?", sentences, [figure], [*_tables(name, found, gaps), figure.table, every])


def _with_a_curve(fits: pd.DataFrame) -> pd.DataFrame:
    """Return the fits that curves are made of: arms that have every size, and seeds that all of these have."""
    sizes = fits.groupby("arm")["side"].nunique()
    whole = fits[fits["arm"].isin(sizes.index[sizes == fits["side"].nunique()])]
    means = whole.groupby(["arm", "seed", "side"])["right"].mean()  # 10x20 and 20x10 are one side
    return capacity.complete_seeds(means.rename("right").reset_index())


def _tables(name: str, found: pd.DataFrame, gaps: Sequence[pd.DataFrame]) -> list[Table]:
    if found.empty:
        return []
    first = ["p", "arm", "seeds", "crossing"]
    frame = found[[*first, *(column for column in found if column not in first)]]
    note = (
        "Side of a square mask of which 90 % are right, by the logistic curve, with its 95 % interval low to high; "
        "bits: random pixels of a mask of that side · H(p); numbers: 3n + 1 trained ones of a network of n weights; "
        "curve side: of the curve, also beyond the sizes; misfit: root mean square of the means off the curve; "
        "isotonic: the side by straight lines between falling means; between sizes: fewer than two sizes lie where the "
        "curve falls, and the interval holds those around the side"
    )
    shown = [Table(name, "Capacity of each arm", note, frame)]
    pairs = pd.concat(gaps, ignore_index=True)
    if len(pairs):
        note = (
            "Side of the first over that of the second at a level, a share of right pixels: ratio, 95 % interval, "
            "paired over seeds; log: natural; isotonic: the ratio by straight lines between falling means"
        )
        pairs = pairs[["p", "level", *pairs.columns.drop(["p", "level"])]]
        shown.append(Table(f"{name}_ratios", "Capacity of every two arms", note, pairs))
    return shown
