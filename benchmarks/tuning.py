"""Each arm at its own best: learning rate and initial scale s, searched at random by J on held-out images.

    python benchmarks/tuning.py --plan     what there is to do, and how long it takes
    python benchmarks/tuning.py            all of it; the same command goes on where it was stopped
    python benchmarks/tuning.py --table    only the table of what there is so far

A trial is a results folder below --out with fits of both arms. The first has the profile's own values; the others are
drawn from a fixed seed, log-uniformly within a factor --factor of them, so that a larger budget (--fits) goes on with
the same search. An arm's best trial is that of its lowest mean J over trained pixels, of the trials whose every seed is
done: nothing is chosen by the difference between the arms, nor by the accuracy. The best of several is flattered by the
seeds that it was chosen on; it is a setting to run on others. The table is tuning.csv and tuning.md.
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from readings import markdown
from rungs import ARMS, READINGS, Rung, base_and_grid, fits_of, options, read_rung, run_rung, say_plan

from bnbench.errors import RequestError
from bnbench.protocol.protocol import Grid, Protocol
from bnbench.stats.differences import paired
from bnbench.wording import plain_number, signed

TUNED = ("learning_rate", "initial_scale")
_SEED = 0  # of the search


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


def fits_table(out: Path, tried: Sequence[Rung], grid: Grid) -> pd.DataFrame:
    """Every reading of each finished fit: ``trial, learning_rate, initial_scale, arm, p, seed`` and the readings."""
    parts = []
    for trial in tried:
        fits = fits_of(read_rung(out, trial), trial.protocol.training.threshold)
        fits = fits[fits["p"].isin(grid.probs) & fits["seed"].isin(grid.seeds)]
        values = {name: dict(trial.protocol.knobs())[name] for name in TUNED}
        parts.append(fits.assign(trial=trial.name, **values))
    table = pd.concat([part for part in parts if len(part)] or parts[:1], ignore_index=True)
    return table[["trial", *TUNED, "arm", "p", "seed", *READINGS]]


def means_table(fits: pd.DataFrame, grid: Grid) -> pd.DataFrame:
    """A row per trial and arm: how many of its fits are done, each reading's mean and ``_sd`` over seeds."""
    groups = fits.groupby(["trial", *TUNED, "arm"])
    means = groups[list(READINGS)].mean().join(groups[list(READINGS)].std().add_suffix("_sd"))
    counts = groups.size().rename("fits").to_frame().assign(wanted=len(grid.seeds))
    return counts.join(means).reset_index()


def best_trials(means: pd.DataFrame) -> dict[str, str]:
    """Each arm's trial of the lowest mean J, of those whose every fit is done; an arm without one is left out."""
    whole = means[means["fits"] == means["wanted"]].sort_values("objective")
    return {str(row["arm"]): str(row["trial"]) for row in whole.drop_duplicates("arm").to_dict("records")}


def table_text(fits: pd.DataFrame, tried: Sequence[Rung], grid: Grid) -> str:
    """Both tables as Markdown: every trial, and the arms paired at the profile's values and each at its own best."""
    means = means_table(fits, grid)
    best = best_trials(means)
    lines = [["trial", "rate", "s", "arm", "fits", "J", "right", "difference", "best of its arm"]]
    for row in means.to_dict("records"):
        cells = [_spread(row[name], row[f"{name}_sd"], plain_number) for name in ("objective", "right", "difference")]
        is_best = "yes" if best.get(row["arm"]) == row["trial"] else ""
        done = f"{row['fits']} of {row['wanted']}"
        lines.append([row["trial"], f"{row[TUNED[0]]:g}", f"{row[TUNED[1]]:g}", row["arm"], done, *cells, is_best])
    wanted = len(tried) * len(ARMS) * len(grid.seeds)
    missing = f"Unfinished: {wanted - len(fits)} of {wanted} fits are missing.\n\n" if len(fits) < wanted else ""
    compared = [["plain − bn, paired", "pairs", "J", "right", "difference"]]
    compared.append(_gaps(fits, "both at the profile's values", dict.fromkeys(ARMS, tried[0].name)))
    compared.append(_gaps(fits, "each at its own best", best))
    return f"{missing}{markdown(lines)}\n\n{markdown(compared)}\n"


def _gaps(fits: pd.DataFrame, name: str, trial_of: dict[str, str]) -> list[str]:
    """The paired gap of every reading, each arm in a trial of its own."""
    own = fits[fits["trial"] == fits["arm"].map(trial_of)]
    gaps = {reading: paired(own, *ARMS, reading)["gap"] for reading in ("objective", "right", "difference")}
    cells = [_spread(float(gap.mean()), float(gap.std()), signed) for gap in gaps.values()]
    return [name, f"{len(gaps['right'])}", *cells]


def _spread(mean: float, deviation: float, written: Any) -> str:
    if math.isnan(mean):
        return "–"
    return str(written(mean)) if math.isnan(deviation) else f"{written(mean)} ± {deviation:.3f}"


def affordable(asked: argparse.Namespace, grid: Grid) -> int:
    """How many trials the budget of fits is good for.

    Raises:
        RequestError: not even one, or a factor that spans nothing.
    """
    each = len(grid.arms) * len(grid.seeds)
    if asked.fits < each:
        raise RequestError(f"--fits {asked.fits}: a trial takes {each} fits; give at least as many.")
    if not 1 < asked.factor < math.inf:
        raise RequestError(f"--factor {asked.factor:g}: give a number above 1, such as 5.")
    return int(asked.fits // each)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = options(__doc__, "evidence/tuning", "101:105:1")
    parser.add_argument("--fits", type=int, default=120, help="budget, all trials together")
    parser.add_argument("--factor", type=float, default=5.0, help="how far from the profile's values, either way")
    asked = parser.parse_args(arguments)
    try:
        base, grid = base_and_grid(asked)
        tried = trials(base, affordable(asked, grid), asked.factor)
        if asked.plan:
            say_plan(asked, grid, tried)
            return 0
        failed = 0 if asked.table else sum(run_rung(asked, grid, trial) for trial in tried)
        fits = fits_table(asked.out, tried, grid)
    except RequestError as error:
        parser.error(error.as_command)
    asked.out.mkdir(parents=True, exist_ok=True)
    fits.to_csv(asked.out / "tuning.csv", index=False)
    text = table_text(fits, tried, grid)
    (asked.out / "tuning.md").write_text(text, encoding="utf-8")
    print(text)
    return int(failed > 0)


if __name__ == "__main__":
    sys.exit(main())
