"""Measures of networks compared where their losses are equal, not where their steps are. Tables in, tables out.

Arms train at different speeds: at one step they are at different stages, and every measure of loss and gradient depends
on the stage. At equal loss that difference is gone; what remains is interpolated between the steps that were measured.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import pandas as pd

LEVELS = (2.0, 1.0, 0.5, 0.2)  # nats


def at_equal_loss(networks: pd.DataFrame, measures: Sequence[str], levels: Sequence[float] = LEVELS) -> pd.DataFrame:
    """Return each network's measures where its loss first falls to a level.

    Between the two measured steps around it the logarithm of a measure is taken to be straight in the logarithm of
    the loss: m = exp((1 − t) ln m₁ + t ln m₂), t = ln(l₁ / l) / ln(l₁ / l₂). Only levels that every network passes
    count, so that arms and seeds are the same at each.

    Args:
        networks: ``arm, seed, step, loss`` and the measures, a row per network and step.
        measures: columns.
        levels: nats.

    Returns:
        ``arm, seed, level, before, after`` (the steps around it) and the measures; one is not a number where a value
        around it is not above 0.
    """
    rows = []
    for (arm, seed), network in networks.groupby(["arm", "seed"], sort=False):
        course = network.sort_values("step").reset_index(drop=True)
        for level in levels:
            pairs = enumerate(pairwise(course["loss"]), 1)
            falls = [place for place, (before, after) in pairs if before >= level > after]
            if falls:
                rows.append({"arm": arm, "seed": seed, "level": level, **_between(course, falls[0], level, measures)})
    found = pd.DataFrame(rows, columns=["arm", "seed", "level", "before", "after", *measures])
    counts = found.groupby("level")["seed"].transform("size")
    return found[counts == len(networks[["arm", "seed"]].drop_duplicates())].reset_index(drop=True)


def held_to(found: pd.DataFrame, first: str, measures: Sequence[str], by: str = "level") -> pd.DataFrame:
    """Count by how many measures each arm is smoother or rougher than another one, in every seed.

    Args:
        found: ``arm, seed``, the measures and what ``by`` names, such as what :func:`at_equal_loss` gives.
        first: the arm that the others are held to.
        measures: columns; the less, the smoother.
        by: column of which each value is counted by itself.

    Returns:
        ``arm``, what ``by`` names, ``seeds, smoother, rougher, undecided``: measures that are lower in all seeds that
        both arms have, higher in all, and neither.
    """
    rows = []
    base = found[found["arm"] == first].set_index("seed")
    for (where, arm), own in found[found["arm"] != first].groupby([by, "arm"], sort=False):
        there = base[base[by] == where][[*measures]]
        gaps = (own.set_index("seed")[[*measures]] - there).dropna(how="all")
        lower, higher = int((gaps < 0).all().sum()), int((gaps > 0).all().sum())
        if len(gaps):
            counts = {"smoother": lower, "rougher": higher, "undecided": len(measures) - lower - higher}
            rows.append({by: where, "arm": arm, "seeds": len(gaps), **counts})
    return pd.DataFrame(rows, columns=[by, "arm", "seeds", "smoother", "rougher", "undecided"])


def _between(course: pd.DataFrame, place: int, level: float, measures: Sequence[str]) -> dict[str, float]:
    """Return the steps around a level, the second of them at ``place``, and the measures between."""
    around = course.iloc[place - 1 : place + 1]
    (before, after), losses = around["step"].tolist(), around["loss"].tolist()
    share = math.log(losses[0] / level) / math.log(losses[0] / losses[1]) if losses[1] > 0 else 0.0  # ln 0 is −∞
    ends = around[[*measures]].to_numpy(float)
    logs = np.log(np.where(ends > 0, ends, math.nan))
    values = np.exp((1 - share) * logs[0] + share * logs[1])
    return {"before": before, "after": after, **dict(zip(measures, values.tolist(), strict=True))}
