"""Each arm at its own best: learning rate and initial scale s, searched at random by J on held-out images.

    python benchmarks/tuning.py --plan     what there is to do, and how long it takes
    python benchmarks/tuning.py            all of it; the same command goes on where it was stopped
    python benchmarks/tuning.py --table    only the table of what there is so far

A trial is a results folder below --out. The first has the profile's own values; the others are drawn from a fixed seed,
log-uniformly within a factor --factor of them, so that a larger budget (--fits) goes on with the same search. Both arms
are fitted in every trial to the first --chosen-on seeds, and an arm's best trial is that of its lowest mean J over
trained pixels, of the trials where all of these are done: nothing is chosen by the difference between the arms, nor by
the accuracy. The best of several is flattered by the seeds that chose it, so the arms are compared on the other seeds
and the same images, to which only each arm's best and the profile's own values are fitted. The table is tuning.csv and
tuning.md.
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
from readings import markdown
from rungs import ARMS, FIT, READINGS, Rung, base_and_grid, fits_of, options, read_rung, run_rung, say_plan, spread

from bnbench.errors import RequestError
from bnbench.protocol.protocol import Grid, Protocol
from bnbench.stats.differences import paired
from bnbench.wording import counted, plain_number, signed

TUNED = ("learning_rate", "initial_scale")
_SEED = 0  # of the search
_SHOWN = ("objective", "right", "difference")


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
    lines = [["trial", "rate", "s", "arm", "fits", "J", "right", "difference", "best of its arm"]]
    for row in means.to_dict("records"):
        cells = [spread(row[name], row[f"{name}_sd"], plain_number) for name in _SHOWN]
        is_best = "yes" if best.get(row["arm"]) == row["trial"] else ""
        done = f"{row['fits']} of {row['wanted']}"
        lines.append([row["trial"], f"{row[TUNED[0]]:g}", f"{row[TUNED[1]]:g}", row["arm"], done, *cells, is_best])
    return f"{_missing(fits, search, best)}{markdown(lines)}\n\n{markdown(_compared(fits, search, best))}\n"


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


def _compared(fits: pd.DataFrame, search: Search, best: dict[str, str]) -> list[list[str]]:
    """Paired over the seeds that chose nothing: each arm's best less the profile's values, and the arms' gaps."""
    others, usual = fits[fits["seed"].isin(search.others)], search.trials[0].name
    rows = [["on the other seeds, paired", "pairs", "J", "right", "difference"]]
    for arm, trial in best.items():
        own = others[others["arm"] == arm].set_index(["trial", "p", "seed"])[list(READINGS)]
        if {usual, trial} <= {*own.index.get_level_values("trial")}:
            changes = own.xs(trial) - own.xs(usual)
            rows.append(_row(f"{arm}: its best less the profile's values", pd.DataFrame(changes.dropna())))
    for name, trial_of in (("both at the profile's values", dict.fromkeys(ARMS, usual)), ("each at its best", best)):
        own = others[others["trial"] == others["arm"].map(trial_of)]
        gaps = {reading: paired(own, *ARMS, reading)["gap"] for reading in READINGS}
        rows.append(_row(f"plain − bn, {name}", pd.DataFrame(gaps)))
    return rows


def _row(name: str, changes: pd.DataFrame) -> list[str]:
    cells = [spread(float(changes[one].mean()), float(changes[one].std()), signed) for one in _SHOWN]
    return [name, f"{len(changes)}", *cells]


def planned(asked: argparse.Namespace) -> Search:
    """The trials that the budget of fits is good for, and the seeds that choose.

    Raises:
        RequestError: it pays for no trial, no seed is left that chose nothing, or the factor spans nothing.
    """
    base, grid = base_and_grid(asked)
    if not 1 <= asked.chosen_on < len(grid.seeds):
        raise RequestError(
            f"--chosen-on {asked.chosen_on}: of the {counted(len(grid.seeds), 'seed')} (--seeds {asked.seeds}) one or "
            "more have to choose and one or more to compare; give fewer, or more seeds."
        )
    first, others = grid.seeds[: asked.chosen_on], grid.seeds[asked.chosen_on :]
    of_a_trial, of_finals = len(ARMS) * len(first), 2 * len(ARMS) * len(others)
    if asked.fits < of_a_trial + of_finals:
        raise RequestError(
            f"--fits {asked.fits}: a trial takes {of_a_trial} fits and the comparison {of_finals}; "
            f"give {of_a_trial + of_finals} or more."
        )
    if not 1 < asked.factor < math.inf:
        raise RequestError(f"--factor {asked.factor:g}: give a number above 1, such as 5.")
    count = (asked.fits - of_finals) // of_a_trial
    return Search(grid, first, others, tuple(trials(base, count, asked.factor)))


def _finals_now(out: Path, search: Search) -> list[Rung]:
    return finals(search.trials, best_trials(means_table(fits_table(out, search), search.chosen_on)))


def _say_search(asked: argparse.Namespace, search: Search) -> None:
    """Print what is left of the search and of the comparison, which is known when the search is done."""
    print("search:", flush=True)
    say_plan(asked, replace(search.grid, seeds=search.chosen_on), search.trials)
    print("comparison, of the best so far:", flush=True)
    say_plan(asked, replace(search.grid, seeds=search.others), _finals_now(asked.out, search) or search.trials[:1])


def main(arguments: Sequence[str] | None = None) -> int:
    parser = options(__doc__, "evidence/tuning", "101:105:1")
    parser.add_argument("--fits", type=int, default=120, help="budget, search and comparison together")
    parser.add_argument("--factor", type=float, default=5.0, help="how far from the profile's values, either way")
    parser.add_argument("--chosen-on", type=int, default=2, help="how many of the seeds choose the best trials")
    asked = parser.parse_args(arguments)
    try:
        search = planned(asked)
        choosing = replace(search.grid, seeds=search.chosen_on)
        if asked.plan:
            _say_search(asked, search)
            return 0
        failed = 0
        if not asked.table:
            failed += sum(run_rung(asked, choosing, trial) for trial in search.trials)
            others = replace(search.grid, seeds=search.others)
            failed += sum(run_rung(asked, others, trial) for trial in _finals_now(asked.out, search))
        fits = fits_table(asked.out, search)
    except RequestError as error:
        parser.error(error.as_command)
    asked.out.mkdir(parents=True, exist_ok=True)
    fits.to_csv(asked.out / "tuning.csv", index=False)
    text = table_text(fits, search)
    (asked.out / "tuning.md").write_text(text, encoding="utf-8")
    print(text)
    return int(failed > 0)


if __name__ == "__main__":
    sys.exit(main())
