"""Is it smoothness? The field's measures on ordinary networks of the same arms, held to how far landscapes bend."""

from __future__ import annotations

import json

import pandas as pd

from bnbench.report.chapters.chapter import Chapter
from bnbench.report.figures.smoothness import along_training, bending_against_smoothness
from bnbench.report.tables import Table
from bnbench.results.smoothness import INVARIANT, MEASURES
from bnbench.stats.rank_agreement import FEWEST_ARMS, agreement
from bnbench.wording import counted

CONTROL = "rescaled"  # plain's function at other weights: a point of its own would count plain twice
_READING = "difference_trained"
_READINGS = {_READING: 1, "objective_trained": -1, "right_trained": 1}


def chapter(networks: pd.DataFrame, fits: pd.DataFrame) -> Chapter | None:
    """Return what the networks measured along training say; None where there are none.

    Args:
        networks: what :func:`bnbench.results.smoothness.find_smoothness` gives of the sweep's folders.
        fits: a row per fit: ``arm, p, seed`` and readings over trained pixels.
    """
    if networks.empty:
        return None
    settings = str(networks["settings"].value_counts().index[0])
    used = networks[networks["settings"] == settings]
    told = json.loads(settings)
    sentences = [
        f"Ordinary networks of {counted(used['arm'].nunique(), 'arm')}, trained for {told['steps']:,} steps on "
        f"minibatches of {told['batch']} and measured on {counted(told['minibatches'], 'minibatch')} of as many. "
        "Each measure asks how fast loss or gradient change around a network's weights; none of them asks how far a "
        "landscape can be bent."
    ]
    if len(used) < len(networks):
        others = networks[networks["settings"] != settings]["identity"].nunique()
        sentences.append(f"Left out: {counted(others, 'network')} measured under other settings.")
    sentences += _control_words(used)
    figures, shown = [along_training(used)], [along_training(used).table]
    joined = _joined(used, fits)
    if joined["arm"].nunique() >= FEWEST_ARMS:
        by_step = {int(step): part for step, part in joined.groupby("step")}
        readings = {name: sign for name, sign in _READINGS.items() if name in joined}
        taus = pd.concat([agreement(part, readings, [*MEASURES]).assign(step=step) for step, part in by_step.items()])
        last = max(by_step)
        values = by_step[last][["arm", "seed", *readings, *MEASURES]]
        figures.append(bending_against_smoothness(values, taus[taus["step"] == last], _READING, last))
        shown += [_tau_table(taus), figures[-1].table]
        sentences.append(_agreement_words(taus[taus["reading"] == _READING], joined["arm"].nunique()))
    return Chapter("smoothness", "Is it smoothness?", sentences, figures, shown)


def _joined(networks: pd.DataFrame, fits: pd.DataFrame) -> pd.DataFrame:
    """Return a row per arm, seed and step that both have; readings are means over the fill probabilities."""
    readings = fits.groupby(["arm", "seed"])[[name for name in _READINGS if name in fits]].mean().reset_index()
    found = networks.merge(readings, on=["arm", "seed"])
    return found[found["arm"] != CONTROL]


def _control_words(networks: pd.DataFrame) -> list[str]:
    """Say by how much the function-preserving rescaling changes each measure, at most."""
    keys = ["seed", "step"]
    pairs = networks[networks["arm"] == CONTROL].merge(networks[networks["arm"] == "plain"], on=keys)
    if pairs.empty:
        return []
    changes = {name: float((pairs[f"{name}_x"] / pairs[f"{name}_y"] - 1).abs().max()) for name in ("loss", *MEASURES)}
    kept = max(changes[name] for name in ("loss", *INVARIANT))
    raw = ", ".join(f"{MEASURES[name].lower()} by {changes[name]:.0%}" for name in ("eigenvalue", "trace"))
    return [
        f"The negative control: plain's networks with their layers rescaled, the same functions. Loss and "
        f"filter-normalized measures change by at most {kept:.1g} of their value, raw ones by more: {raw}."
    ]


def _tau_table(taus: pd.DataFrame) -> Table:
    note = (
        "Kendall's τ over the arms' means, 95 % interval low to high over seeds (percentile bootstrap); objective with "
        "its sign changed, so that more is bent further; positive: what bends further is rougher"
    )
    return Table("smoothness_tau", "Does bending say what the measure says?", note, taus[["step", *taus.columns[:-1]]])


def _agreement_words(taus: pd.DataFrame, arms: int) -> str:
    clear = taus[(taus["low"] > 0) | (taus["high"] < 0)]
    positive = int((clear["low"] > 0).sum())
    return (
        f"Over {arms} arms, of {len(taus)} values of Kendall's τ between accuracy contrast and a measure at a step, "
        f"{positive} have an interval over seeds above 0 (what bends further is rougher) and {len(clear) - positive} "
        "one below 0. The intervals are not corrected for their number, and the arms are no sample of any others."
    )
