"""How large a random mask each arm bends to, where protocols differ in the size of the mask alone."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import pandas as pd

from bnbench.protocol.mask_sizes import frame_of, size_name
from bnbench.protocol.protocol import Protocol
from bnbench.protocol.weights import trained_numbers
from bnbench.report import tables
from bnbench.report.arms import arm_order
from bnbench.report.chapters.chapter import Chapter
from bnbench.report.chapters.standing import standing
from bnbench.report.figures.capacity import capacity_figure
from bnbench.report.tables import Table, sorted_by_arm
from bnbench.results.sweeps import Sweep
from bnbench.stats import capacity
from bnbench.stats.seed_capacity import seed_capacities
from bnbench.wording import counted

_APART = 0.05  # of log side: from here on the text says that curve and means disagree
_READING = "right_trained"
_ONE_SIZE = (30, 30)
_INTRODUCTION = (
    "Right is the share of trained pixels on their side of the best cut through the losses, balanced over the colours. "
    "Capacity is the size of the largest random mask of which 90 % are right after {steps} steps; it says nothing of "
    "how far apart the two colours are, and more steps bend to larger masks."
)

_FEW_ARMS = 3  # beyond these a table says more than a sentence for each
_FEW_PAIRS = 3  # of arms, likewise
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
            parts.append(table.assign(size=size_name((rows, columns)), side=math.sqrt(rows * columns), bits=bits))
    return sorted_by_arm(pd.concat(parts, ignore_index=True)) if parts else pd.DataFrame()


def _chapter(protocol: Protocol, fits: pd.DataFrame, name: str) -> Chapter:
    arms, gaps, sentences = [], [], [_INTRODUCTION.format(steps=f"{protocol.training.steps:,}")]
    frame = frame_of(protocol.mask.mask_kind)
    if frame:
        sentences.append(_FRAME)
    numbers = {arm: count for arm in fits["arm"].unique() if (count := trained_numbers(arm, protocol)) is not None}
    probs: list[float] = sorted(fits["p"].unique().tolist())
    for p in probs:
        there = fits[fits["p"] == p]
        used = _with_a_curve(there)
        if used["side"].nunique() < capacity.FEWEST_SIZES:
            sentences.append(f"At p = {p:g} there is no curve: no seed has its fits at every one of three sizes yet.")
            continue
        arms.append(sorted_by_arm(capacity.capacities(used, p, numbers, frame)).assign(p=p))
        gaps.append(capacity.capacity_gaps(used, arm_order(used["arm"])).assign(p=p))
        sentences += _sentences(p, there, used, arms[-1], gaps[-1])
    found = pd.concat(arms, ignore_index=True) if arms else pd.DataFrame()
    shown = min(probs, key=lambda p: (abs(p - 0.5), p))
    drawn = found[found["p"] == shown] if arms else found
    figure = capacity_figure(name, fits[fits["p"] == shown], drawn, shown, frame)
    every = Table(f"{name}_fits", "Right of every fit", "Over trained pixels", fits, on_page=False)
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
        note = "Side of the first over that of the second: ratio, 95 % interval, paired over seeds; log: natural"
        pairs = pairs[["p", *pairs.columns.drop("p")]]
        shown.append(Table(f"{name}_ratios", "Capacity of every two arms", note, pairs))
    return shown


def _sentences(p: float, fits: pd.DataFrame, used: pd.DataFrame, found: pd.DataFrame, gaps: pd.DataFrame) -> list[str]:
    inside = found[~found["crossing"].isin([capacity.ABOVE, capacity.BELOW])].sort_values("side")
    told, said, over = found, [], f"At p = {p:g}, over {counted(used['seed'].nunique(), 'seed')},"
    if len(inside) > _FEW_ARMS:
        least, most = inside.iloc[0], inside.iloc[-1]
        told = found.drop(inside.index)
        said.append(
            f"{over} the side at which 90 % are right is smallest for {least['arm']}, {least['side']:.1f}, and "
            f"largest for {most['arm']}, {most['side']:.1f}; the table has every arm with its interval."
        )
    said += [f"{over} {_crossing_words(row, used)}." for row in told.to_dict("records")]
    if len(gaps) > _FEW_PAIRS:
        apart = int(((gaps["low"] > 1) | (gaps["high"] < 1)).sum())
        said.append(f"Of {len(gaps)} pairs of arms {apart} have sides whose ratio's 95 % interval leaves 1 out.")
    else:
        said += [_pair_words(row) for row in gaps.to_dict("records")]
    if lost := fits["seed"].nunique() - used["seed"].nunique():
        said.append(f"{counted(lost, 'seed')} that an arm lacks at some size {'is' if lost == 1 else 'are'} left out.")
    if missing := [arm for arm in arm_order(fits["arm"]) if arm not in set(used["arm"])]:
        said.append(f"Without a curve, for lack of a size: {', '.join(missing)}.")
    return said


def _pair_words(row: dict[Any, Any]) -> str:
    """Return how many times one arm's side is another's, as a sentence."""
    interval = "" if math.isnan(row["low"]) else f" (95 % interval {_ratio_words(row['low'], row['high'])})"
    holds_one = interval and row["low"] <= 1 <= row["high"]
    verdict = ", so these seeds do not tell which is larger" if holds_one else ""
    return f"The side of {row['first']} is {row['ratio']:.2f} times that of {row['second']}{interval}{verdict}."


def _ratio_words(low: float, high: float) -> str:
    """Return the ends of a ratio's interval, either of which may be open; each shows on which side of 1 it lies."""
    least = _beside_one(low) if low else "anything"
    return f"{least} to {_beside_one(high) if math.isfinite(high) else 'anything'}"


def _beside_one(ratio: float) -> str:
    texts = [f"{ratio:.{digits}f}" for digits in (2, 3, 4)]
    return next((text for text in texts if float(text) != 1), texts[0])


def _crossing_words(row: dict[Any, Any], used: pd.DataFrame) -> str:
    """Return what is known of one arm's side, as a clause."""
    arm, smallest, largest = row["arm"], used["side"].min(), used["side"].max()
    if row["crossing"] == capacity.ABOVE:
        known = "" if math.isnan(row["low"]) else f" (95 % interval {_least(row['low'])} to above the largest size)"
        return f"by its curve the side of {arm} lies above the largest size, {largest:.4g}{known}"
    if row["crossing"] == capacity.BELOW:
        known = "" if math.isnan(row["low"]) else f" (95 % interval below the smallest size to {_most(row['high'])})"
        return f"by its curve the side of {arm} lies below the smallest size, {smallest:.4g}{known}"
    interval = "" if math.isnan(row["low"]) else f" (95 % interval {_least(row['low'])} to {_most(row['high'])})"
    numbers = "" if math.isnan(row["numbers"]) else f", for {row['numbers']:,.0f} trained numbers"
    text = f"90 % are right at a side of {row['side']:.1f}{interval} for {arm}: {row['bits']:,.0f} bits{numbers}"
    if row["between_sizes"]:
        text += "; its curve falls between two sizes, so the side is only known to lie around there"
    if abs(math.log(row["isotonic"] / row["side"])) > _APART:
        text += f"; straight lines between the means say {row['isotonic']:.1f}"
    return text


def _least(side: float) -> str:
    return "below the smallest size" if side == 0 else f"{side:.1f}"


def _most(side: float) -> str:
    return "above the largest size" if side == math.inf else f"{side:.1f}"
