"""The trials of tuning.py, which of them is an arm's best, and the tables of both.

An arm's best trial is that of its lowest mean J over trained pixels on the seeds that choose, of the trials where all
of these are done. On the other seeds it is compared with the profile's own values, and the arms with each other.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
from readings import markdown
from rungs import ARMS, FIT, READINGS, Rung, fits_of, read_rung, spread

from bnbench.measures.registry import SHORT_NAMES
from bnbench.protocol.protocol import Grid, Protocol
from bnbench.stats.differences import paired, stratified_interval
from bnbench.wording import counted, interval_words, plain_number, signed

TUNED = ("learning_rate", "initial_scale")
_SEED = 0  # of the search
SHOWN = ("objective", "right", "difference")


@dataclass(frozen=True)
class Search:
    """What is searched: all arms and seeds, those seeds that choose and the others, and the trials."""

    grid: Grid
    chosen_on: tuple[int, ...]
    others: tuple[int, ...]
    trials: tuple[Rung, ...]


def trials(base: Protocol, count: int, factor: float) -> list[Rung]:
    """The profile's own values, then ``count − 1`` drawn log-uniformly within a factor of them, to three digits.

    The first trials of a longer search are those of a shorter one.
    """
    random, now = np.random.default_rng(_SEED), dict(base.knobs())
    found = [Rung("trial00", base, {})]
    for number in range(1, count):
        powers = random.uniform(-1, 1, len(TUNED))
        drawn = {name: float(f"{now[name] * factor**power:.3g}") for name, power in zip(TUNED, powers, strict=True)}
        found.append(Rung(f"trial{number:02d}", base.with_knobs(**drawn), drawn))
    return found


def fits_table(out: Path, search: Search) -> pd.DataFrame:
    """Every reading of each finished fit: ``trial, learning_rate, initial_scale, arm, p, seed`` and the readings."""
    parts = []
    for trial in search.trials:
        fits = fits_of(read_rung(out, trial), trial.protocol.training.threshold)
        fits = fits[fits["p"].isin(search.grid.probs) & fits["seed"].isin(search.grid.seeds)]
        values = {name: dict(trial.protocol.knobs())[name] for name in TUNED}
        parts.append(fits.assign(trial=trial.name, **values))
    table = pd.concat([part for part in parts if len(part)] or parts[:1], ignore_index=True)
    return table[["trial", *TUNED, *FIT, *READINGS]]


def means_table(fits: pd.DataFrame, seeds: Sequence[int]) -> pd.DataFrame:
    """A row per trial and arm: how many fits of these seeds are done, each reading's mean and ``_sd`` over them."""
    groups = fits[fits["seed"].isin(seeds)].groupby(["trial", *TUNED, "arm"])
    means = groups[list(READINGS)].mean().join(groups[list(READINGS)].std().add_suffix("_sd"))
    counts = groups.size().rename("fits").to_frame().assign(wanted=len(seeds))
    return counts.join(means).reset_index()


def best_trials(means: pd.DataFrame) -> dict[str, str]:
    """Each arm's trial of the lowest mean J, of those whose every fit is done; an arm without one is left out."""
    whole = means[means["fits"] == means["wanted"]].sort_values("objective")
    found = dict(whole.drop_duplicates("arm").set_index("arm")["trial"])
    return {arm: found[arm] for arm in ARMS if arm in found}


def write_chosen(out: Path, fits: pd.DataFrame, search: Search) -> None:
    """Write best.json once every fit of the search is done: the protocol, the seeds that chose, each arm's values."""
    means = means_table(fits, search.chosen_on)
    best, values = best_trials(means), means.set_index(["trial", "arm"])
    if (means["fits"] == means["wanted"]).sum() < len(search.trials) * len(ARMS):
        return
    chosen = {
        "profile": search.trials[0].protocol.profile,
        "steps": search.trials[0].protocol.training.steps,
        "trials": len(search.trials),
        "chosen_on": list(search.chosen_on),
        "best": {
            arm: {"trial": trial, **{name: float(values[name][trial, arm]) for name in TUNED}}
            for arm, trial in best.items()
        },
    }
    (out / "best.json").write_text(json.dumps(chosen, indent=2) + "\n", encoding="utf-8")


def finals(tried: Sequence[Rung], best: Mapping[str, str]) -> list[Rung]:
    """What is fitted to the other seeds: the profile's own values, and each arm's best trial with that arm alone."""
    arms_of: dict[str, list[str]] = {}
    for arm, name in best.items():
        arms_of.setdefault(name, []).append(arm)
    own = [replace(trial, arms=tuple(arms_of[trial.name])) for trial in tried[1:] if trial.name in arms_of]
    return [tried[0], *own] if best else []


def table_text(fits: pd.DataFrame, search: Search) -> str:
    """Both tables as Markdown: every trial on the seeds that choose, and what the best ones do on the others."""
    means = means_table(fits, search.chosen_on)
    best = best_trials(means)
    lines = [["trial", "rate", "s", "arm", "fits", *(SHORT_NAMES[reading] for reading in SHOWN), "best of its arm"]]
    for row in means.to_dict("records"):
        cells = [spread(row[name], row[f"{name}_sd"], plain_number) for name in SHOWN]
        is_best = "yes" if best.get(row["arm"]) == row["trial"] else ""
        done = f"{row['fits']} of {row['wanted']}"
        lines.append([row["trial"], f"{row[TUNED[0]]:g}", f"{row[TUNED[1]]:g}", row["arm"], done, *cells, is_best])
    others = fits[fits["seed"].isin(search.others)]
    after = compared(others, search.trials[0].name, best, "on the other seeds, paired")
    return f"{_missing(fits, search, best)}{markdown(lines)}\n\n{markdown(after)}\n"


def _missing(fits: pd.DataFrame, search: Search, best: dict[str, str]) -> str:
    """What is not there of the search, and of the comparison as far as it is known, as a paragraph; else nothing."""
    chose, other = (fits[fits["seed"].isin(seeds)] for seeds in (search.chosen_on, search.others))
    of_comparison = {(trial.name, arm) for trial in finals(search.trials, best) for arm in trial.arms}
    compared = other.set_index(["trial", "arm"]).index.isin(of_comparison)
    left = {
        "search": len(search.trials) * len(ARMS) * len(search.chosen_on) - len(chose),
        "comparison": len(of_comparison) * len(search.others) - int(compared.sum()),
    }
    said = " and ".join(f"{counted(number, 'fit')} of the {part}" for part, number in left.items() if number)
    return f"Unfinished or failed: {said}.\n\n" if said else ""


def compared(fits: pd.DataFrame, usual: str, best: Mapping[str, str], title: str) -> list[list[str]]:
    """Rows of a table, paired over seeds: each arm's best less the usual trial, and the gaps between the arms.

    Means with deviations and, in brackets, 95 % t intervals.

    Args:
        fits: a row per fit, ``trial``, arm, p, seed and every reading.
        usual: the trial of the profile's own values.
        best: each arm's best trial.
        title: what stands above the rows.
    """
    rows = [[title, "pairs", *(SHORT_NAMES[reading] for reading in SHOWN)]]
    for arm, trial in best.items():
        if trial == usual:
            rows.append([f"{arm}: the profile's values are its best", *["–"] * (len(rows[0]) - 1)])
            continue
        rows.append(_row(f"{arm}: its best less the profile's values", paired_changes(fits, arm, usual, trial)))
    for name, trial_of in (("both at the profile's values", dict.fromkeys(ARMS, usual)), ("each at its best", best)):
        rows.append(_row(f"plain − bn, {name}", paired_gaps(fits, trial_of)))
    return rows


def paired_changes(fits: pd.DataFrame, arm: str, usual: str, best: str) -> pd.DataFrame:
    """What an arm's best trial changes from the usual one, a row for each mask that both have, by every reading."""
    own = fits[fits["arm"] == arm].set_index(["trial", "p", "seed"])[list(READINGS)]
    first, second = (own[own.index.get_level_values("trial") == trial].droplevel("trial") for trial in (best, usual))
    return pd.DataFrame((first - second).dropna())


def paired_gaps(fits: pd.DataFrame, trial_of: Mapping[str, str]) -> pd.DataFrame:
    """The gaps plain − bn of one trial for each arm, a row for each mask that both have, by every reading."""
    own = fits[fits["trial"] == fits["arm"].map(trial_of)]
    return pd.DataFrame({reading: paired(own, *ARMS, reading)["gap"] for reading in READINGS})


def gap_interval(values: pd.Series) -> tuple[float, float]:
    """The 95 % t interval of a mean over masks; not a number where there are not two."""
    if len(values) < 2:
        return math.nan, math.nan
    low, high = stratified_interval(values, np.zeros(len(values)))
    return float(low), float(high)


def _row(name: str, changes: pd.DataFrame) -> list[str]:
    cells = []
    for one in SHOWN:
        mean = spread(float(changes[one].mean()), float(changes[one].std()), signed)
        ends = gap_interval(changes[one])
        cells.append(mean if math.isnan(ends[0]) else f"{mean} ({interval_words(*ends, sign=True)})")
    return [name, f"{len(changes)}", *cells]
