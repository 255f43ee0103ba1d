"""Is it smoothness? The field's measures on ordinary networks of the same arms, held to how far landscapes bend."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pandas as pd

from bnbench.protocol.sections import TrainingProtocol
from bnbench.report.chapters.chapter import Chapter
from bnbench.report.chapters.smoothness_agreement import (
    CONTROL,
    TRAINING,
    Smoothness,
    all_taus,
    places_of,
    readings_of,
    tables_of,
    words,
)
from bnbench.report.figures.smoothness import DRAWN_READINGS, along_training, bending_against_smoothness
from bnbench.report.tables import Table, sorted_by_arm
from bnbench.results.smoothness import INVARIANT, MEASURES
from bnbench.stats.equal_loss import at_equal_loss, held_to
from bnbench.stats.rank_agreement import FEWEST_ARMS
from bnbench.stats.roughness import roughness_of_fits
from bnbench.wording import counted

POSITIVE, FIRST = "softplus-centred", "plain"  # the positive control, and the arm that it is held to


def chapter(
    found: Smoothness, fits: pd.DataFrame, landscapes: pd.DataFrame, training: TrainingProtocol
) -> Chapter | None:
    """Return what networks measured along training, pixels of planes and landscapes say; None without such measures.

    Args:
        found: networks, planes and capacities of the sweep.
        fits: a row per fit: ``arm, p, seed`` and readings over trained pixels; it may have none.
        landscapes: of the fits, a row per pixel.
        training: of the fits, for the threshold and the number of steps.
    """
    networks, left_out = _of_one_setting(found.networks)
    planes, other_pixels = _of_one_setting(found.planes)
    if networks.empty and planes.empty:
        return None
    used = replace(found, networks=networks, planes=planes)
    sentences = [*_how(networks), *_left_out(left_out, "network"), *_left_out(other_pixels, "plane")]
    figures, shown = [], []
    if len(networks):
        sentences += [*_negative_words(networks), *_positive_words(networks)]
        figures.append(along_training(networks))
        shown += [figures[0].table, *_tables_held_to_plain(networks)]
    if len(planes):
        sentences.append(_planes_words(planes))
        shown.append(_planes_table(planes))
    if len(landscapes):
        shown.append(_landscapes_table(landscapes, training.threshold))
    readings = readings_of(fits, found.capacities)
    places = places_of(used, landscapes, training.threshold, training.steps)
    taus = all_taus(places, readings)
    if len(taus):
        shown += tables_of(taus)
        sentences += words(taus, found.capacities)
        last = [place for place in places if place.name == TRAINING][-1:]
        for place, values in ((place, place.values.merge(readings, on=["arm", "seed"])) for place in last):
            of_place = taus[(taus["place"] == place.name) & (taus["at"] == place.at)]
            for reading in (name for name in DRAWN_READINGS if name in values):
                own = values.dropna(subset=[reading])
                if own["arm"].nunique() >= FEWEST_ARMS:
                    figures.append(bending_against_smoothness(own, of_place, reading, int(place.at)))
                    shown.append(figures[-1].table)
    return Chapter("smoothness", "Is it smoothness?", sentences, figures, shown)


def _of_one_setting(rows: pd.DataFrame) -> tuple[pd.DataFrame, int]:
    """Return what was measured under the commonest settings, and how many networks or planes were not."""
    if rows.empty:
        return rows, 0
    settings = rows["settings"].value_counts().index[0]
    others = rows[rows["settings"] != settings]
    return rows[rows["settings"] == settings], int(others["identity"].nunique())


def _how(networks: pd.DataFrame) -> list[str]:
    if networks.empty:
        return []
    told = json.loads(str(networks["settings"].iloc[0]))
    return [
        f"Ordinary networks of {counted(networks['arm'].nunique(), 'arm')}, trained for {told['steps']:,} steps on "
        f"minibatches of {told['batch']} and measured on {told['minibatches']} × {told['batch']} images. "
        "Each measure asks how fast loss or gradient change around a network's weights; none of them asks how far a "
        "landscape can be bent."
    ]


def _left_out(count: int, what: str) -> list[str]:
    return [f"Left out: {counted(count, what)} measured under other settings."] if count else []


def _negative_words(networks: pd.DataFrame) -> list[str]:
    """Say by how much the function-preserving rescaling changes each measure, at most."""
    keys = ["seed", "step"]
    pairs = networks[networks["arm"] == CONTROL].merge(networks[networks["arm"] == FIRST], on=keys)
    if pairs.empty:
        return []
    changes = {name: float((pairs[f"{name}_x"] / pairs[f"{name}_y"] - 1).abs().max()) for name in ("loss", *MEASURES)}
    kept = max(changes[name] for name in ("loss", *INVARIANT))
    little = f"change by at most {100 * kept:.1g} % of their value" if kept else "do not change by a single bit"
    raw = ", ".join(f"the {name} by up to {100 * changes[name]:.0f} %" for name in ("eigenvalue", "trace"))
    return [
        f"The negative control: plain's networks with their layers rescaled, the same functions. Loss and "
        f"filter-normalized measures {little}, raw ones do: {raw}."
    ]


def _positive_words(networks: pd.DataFrame) -> list[str]:
    """Say by how many measures the positive control is smoother than plain: at the last step, and at equal loss."""
    last = networks[networks["step"] == networks["step"].max()]
    at_end = held_to(last, FIRST, [*MEASURES], "step")
    own = at_end[at_end["arm"] == POSITIVE]
    if own.empty:
        return []
    losses, at_end_words = last.groupby("arm")["loss"].mean(), _counts_words(own.to_dict("records")[0])
    text = (
        f"The positive control: {POSITIVE}, whose units have no kink and are 0 at 0. At step {last['step'].max():,} "
        f"its loss is {losses[POSITIVE]:.3f}, plain's {losses[FIRST]:.3f}; in every seed it is {at_end_words}."
    )
    arms = networks[networks["arm"] != CONTROL]  # as in the tables
    equal = held_to(at_equal_loss(arms, [*MEASURES]), FIRST, [*MEASURES])
    there = equal[equal["arm"] == POSITIVE]
    parts = [f"at {row['level']:g} {_counts_words(row)}" for row in there.to_dict("records")]
    if parts:
        text += f" At equal loss (nats, interpolated between the steps measured) it is {'; '.join(parts)}."
    return [f"{text} A measure that it does not lower is not read as smoothness by itself."]


def _counts_words(row: dict[Any, Any]) -> str:
    return f"smoother by {row['smoother']} and rougher by {row['rougher']} of {len(MEASURES)} measures"


def _tables_held_to_plain(networks: pd.DataFrame) -> list[Table]:
    """Return how arms compare with plain at each step and at each loss that all of them pass, and the values there."""
    arms = sorted_by_arm(networks[networks["arm"] != CONTROL])
    note = f"Of {len(MEASURES)} measures, those by which an arm is smoother, and rougher, than {FIRST} in every seed"
    by_step = held_to(arms, FIRST, [*MEASURES], "step")
    shown = [Table("smoothness_equal_step", f"Held to {FIRST} at equal steps", note, by_step)] if len(by_step) else []
    found = at_equal_loss(arms, [*MEASURES])
    counts = held_to(found, FIRST, [*MEASURES])
    if counts.empty:
        return shown
    steps = found.groupby(["level", "arm"])[["before", "after"]].agg({"before": "min", "after": "max"}).reset_index()
    note += (
        ", where the loss first falls to a level (nats); interpolated between the steps before and after, on logarithms"
    )
    return [
        *shown,
        Table(
            "smoothness_equal_loss", f"Held to {FIRST} at equal loss", note, counts.merge(steps, on=["level", "arm"])
        ),
        Table("smoothness_equal_loss_values", "Measures at equal loss", note, found, on_page=False),
    ]


def _planes_words(planes: pd.DataFrame) -> str:
    told = json.loads(str(planes["settings"].iloc[0]))
    count, arms = counted(planes["identity"].nunique(), "plane"), counted(planes["arm"].nunique(), "arm")
    return (
        f"Fitted planes: {count} of {arms}, up to {counted(told['pixels'], 'trained black pixel')} of each, "
        "the same for all arms, measured likewise."
    )


def _planes_table(planes: pd.DataFrame) -> Table:
    names = ["loss", *MEASURES]
    means = planes.groupby(["arm", "p", "seed"])[names].mean().reset_index()
    long = means.melt(["arm", "p", "seed"], names, var_name="measure")
    frame = _spread(long, ["measure", "arm", "p"], "value")
    note = "At black pixels of fitted planes: mean, deviation (ddof = 1) and extremes over n seeds of the pixels' mean"
    return Table("smoothness_planes", "Smoothness at black pixels", note, sorted_by_arm(frame))


def _landscapes_table(landscapes: pd.DataFrame, threshold: float) -> Table:
    found = roughness_of_fits(landscapes, threshold)
    names = ["fine_share", "fine_share_of_mask", "relative_variation"]
    long = found.melt(["arm", "p", "seed"], names, var_name="measure")
    note = (
        "Of min(loss, threshold) over the grid: share of the variance at frequencies above ¼ of a cycle a pixel, of "
        "the landscape and of its mask; total variation over that of the mask at the landscape's contrast; over n seeds"
    )
    frame = _spread(long, ["measure", "arm", "p"], "value")
    return Table("smoothness_landscapes", "Roughness of the found landscapes", note, sorted_by_arm(frame))


def _spread(long: pd.DataFrame, by: Sequence[str], value: str) -> pd.DataFrame:
    groups = long.groupby([*by], sort=False)[value]
    return groups.agg(n="count", mean="mean", sd="std", lowest="min", highest="max").reset_index()
