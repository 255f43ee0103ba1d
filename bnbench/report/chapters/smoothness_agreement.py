"""Do arms that bend further come out rougher? Kendall's τ between readings of bending and measures of smoothness."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from bnbench.report.arms import with_names
from bnbench.report.chapters.capacity import seed_capacities_of
from bnbench.report.tables import Table
from bnbench.results.smoothness import MEASURES, find_plane_smoothness, find_smoothness
from bnbench.results.sweeps import Sweep
from bnbench.stats.equal_loss import at_equal_loss
from bnbench.stats.rank_agreement import FEWEST_ARMS, agreement
from bnbench.stats.roughness import roughness_of_fits
from bnbench.wording import counted

CONTROL = "rescaled"  # plain's function at other weights: a point of its own would count plain twice
READING = "difference_trained"
READINGS = {READING: 1, "objective_trained": -1, "right_trained": 1, "capacity": 1}
TRAINING, EQUAL_LOSS, PLANES, LANDSCAPES = "training", "equal loss", "planes", "landscapes"
ROUGHNESS = ("fine_share", "relative_variation")  # of a found landscape, see bnbench.stats.roughness


@dataclass(frozen=True)
class Smoothness:
    """What there is of one sweep's arms beside its fits.

    Attributes:
        networks: ordinary networks, as :func:`bnbench.results.smoothness.find_smoothness` gives them.
        planes: pixels of fitted planes, likewise.
        capacities: ``arm, seed, capacity``; no row where no three sizes of masks were fitted.
    """

    networks: pd.DataFrame
    planes: pd.DataFrame
    capacities: pd.DataFrame


def read_smoothness(sweep: Sweep, sweeps: Sequence[Sweep]) -> tuple[Smoothness, list[str]]:
    """Return what there is of a sweep, and a sentence for each file that is left out.

    Args:
        sweep: which.
        sweeps: all that there are, for those that differ in the size of the mask.
    """
    networks, broken = find_smoothness(sweep.folders, sweep.protocol.id)
    planes, unread = find_plane_smoothness(sweep.folders, sweep.protocol.id)
    names = {arm: name for name, arm in sweep.full_names.items()}
    networks, planes = with_names(networks, names), with_names(planes, names)
    return Smoothness(networks, planes, seed_capacities_of(sweep, sweeps)), broken + unread


@dataclass(frozen=True)
class Place:
    """Where measures were taken.

    Attributes:
        name: :data:`TRAINING`, :data:`EQUAL_LOSS`, :data:`PLANES` or :data:`LANDSCAPES`.
        at: the step, of training or the last of the fits; at equal loss the loss, nats.
        values: ``arm, seed`` and the measures, a row per arm and seed.
        measures: columns.
    """

    name: str
    at: float
    values: pd.DataFrame
    measures: tuple[str, ...]


def places_of(found: Smoothness, landscapes: pd.DataFrame, threshold: float, steps: int) -> list[Place]:
    """Return every place at which three arms or more were measured; pixels and fill probabilities are averaged.

    Args:
        found: networks and planes, under one setting each.
        landscapes: of the fits.
        threshold: of eq. 3, nats.
        steps: of a fit.
    """
    keys, measures = ["arm", "seed"], tuple(MEASURES)
    networks = found.networks
    by_step = [(step, networks[networks["step"] == step]) for step in sorted({int(step) for step in networks["step"]})]
    equal = at_equal_loss(networks[networks["arm"] != CONTROL], measures)
    by_loss = [(loss, equal[equal["level"] == loss]) for loss in sorted({float(loss) for loss in equal["level"]})]
    rough = roughness_of_fits(landscapes, threshold)
    places = [
        *(Place(TRAINING, step, own[[*keys, *measures]], measures) for step, own in by_step),
        *(Place(EQUAL_LOSS, loss, own[[*keys, *measures]], measures) for loss, own in reversed(by_loss)),
        Place(PLANES, steps, found.planes.groupby(keys)[[*measures]].mean().reset_index(), measures),
        Place(LANDSCAPES, steps, rough.groupby(keys)[[*ROUGHNESS]].mean().reset_index(), ROUGHNESS),
    ]
    return [place for place in places if place.values["arm"].nunique() >= FEWEST_ARMS]


def readings_of(fits: pd.DataFrame, capacities: pd.DataFrame) -> pd.DataFrame:
    """Return what says how far landscapes bend: a row per arm and seed, means over the fill probabilities.

    The negative control is no arm of its own here.
    """
    names = [name for name in READINGS if name in fits]
    table = fits.groupby(["arm", "seed"])[names].mean().reset_index().merge(capacities, on=["arm", "seed"], how="left")
    read = table[table["arm"] != CONTROL]
    return read.dropna(axis=1, how="all") if len(read) else read


def all_taus(places: Sequence[Place], readings: pd.DataFrame) -> pd.DataFrame:
    """Return Kendall's τ of each reading with each measure at each place.

    Returns:
        ``place, at``, and what :func:`bnbench.stats.rank_agreement.agreement` gives; no row without three arms.
    """
    tables = []
    for place in places:
        joined = place.values.merge(readings, on=["arm", "seed"])
        for reading in (name for name in READINGS if name in readings):
            there = joined.dropna(subset=[reading])
            if there["arm"].nunique() >= FEWEST_ARMS:
                found = agreement(there, {reading: READINGS[reading]}, place.measures)
                tables.append(found.assign(place=place.name, at=place.at))
    columns = ["place", "at", "reading", "measure", "arms", "seeds", "tau", "low", "high"]
    return pd.concat(tables, ignore_index=True)[columns] if tables else pd.DataFrame(columns=columns)


def counts_of(taus: pd.DataFrame) -> pd.DataFrame:
    """Count the values of τ, and those whose interval over seeds lies on one side of 0, by place and reading."""
    signs = taus.assign(values=taus["tau"].notna(), above=taus["low"] > 0, below=taus["high"] < 0)
    counted = signs.groupby(["place", "reading"], sort=False)[["values", "above", "below"]].sum().reset_index()
    return counted.astype({"values": int, "above": int, "below": int})


def tables_of(taus: pd.DataFrame) -> list[Table]:
    """Return τ of everything, and how many of its values are clear."""
    note = (
        "Kendall's τ over the arms' means, 95 % interval low to high over seeds (bootstrap, t quantiles); objective "
        "with its sign changed, so that more is better; positive: arms with more of it are rougher; at: the step, "
        "or the loss (nats) at equal loss; none where a reading ties more than half of the pairs of arms"
    )
    clear = (
        "above: arms that bend further by this reading are rougher (the sign of the objective is changed); below: "
        "smoother; by the interval over seeds, not corrected"
    )
    return [
        Table("smoothness_tau_counts", "Values of τ whose interval leaves 0 out", clear, counts_of(taus)),
        Table("smoothness_tau", "Does bending say what the measure says?", note, taus),
    ]


def words(taus: pd.DataFrame, capacities: pd.DataFrame) -> list[str]:
    """Say what τ says of accuracy contrast and of capacity along training, and which reading is missing."""
    of_contrast = taus[taus["reading"] == READING]
    own, equal = (of_contrast[of_contrast["place"] == place] for place in (TRAINING, EQUAL_LOSS))
    said = []
    if len(own):
        counts = counts_of(own).iloc[0]
        text = (
            f"Over {own['arms'].max()} arms, of {counts['values']} values of Kendall's τ between accuracy contrast and "
            f"a measure at a step, the interval over seeds is above 0 (arms of more contrast are rougher) in "
            f"{counts['above']} and below 0 in {counts['below']}."
        )
        if len(equal):
            counts = counts_of(equal).iloc[0]
            sides = f"above 0 in {counts['above']} and below 0 in {counts['below']}"
            text += f" At equal loss, of {counts['values']} it is {sides}."
        said.append(
            f"{text} The intervals are not corrected for their number, and the arms are no sample of any others."
        )
    of_capacity = taus[(taus["reading"] == "capacity") & (taus["place"] == TRAINING)]
    if len(of_capacity):
        counts, arms, seeds = counts_of(of_capacity).iloc[0], of_capacity["arms"].max(), of_capacity["seeds"].max()
        said.append(
            f"Held to capacity, of {counted(arms, 'arm')} and {counted(seeds, 'seed')} with a curve each, the interval "
            f"of {counts['values']} values of τ is above 0 in {counts['above']} and below 0 in {counts['below']}. "
            "The curve of a single seed is noisy, the more so the fewer sizes it has."
        )
    if capacities.empty:
        said.append("Capacity is not held to the measures: it takes fits of three sizes of masks, which are not here.")
    return said
