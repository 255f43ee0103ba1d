"""Does an arm at its own best bend to larger masks? What tuning.py chose, at two sizes of capacity.

    python benchmarks/tuned_capacity.py --steps 3000 --plan     what there is to do, and how long it takes
    python benchmarks/tuned_capacity.py --steps 3000            all of it; the same command goes on where it was stopped
    python benchmarks/tuned_capacity.py --steps 3000 --table    only the table of what there is so far

Each arm is fitted to masks of --sizes with rate and scale of its best trial in --tuning, on test images and capacity's
seeds, so that every fit has a partner in --usual, where the profile's own values were fitted to the same mask. Both
sizes lie beyond the side at which 90 % are right: on smaller masks there is hardly anything to gain. An arm whose best
are the profile's own values has no fit to do. The table is capacity.csv and capacity.md.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import pandas as pd
from readings import markdown
from rungs import ARMS, FIT, READINGS, Rung, base_and_grid, fits_of, options, read_rung, run_rung, say_plan, spread
from tuning_table import TUNED, best_trials, compared, means_table

from bnbench.errors import RequestError
from bnbench.protocol.mask_sizes import Size, parse_sizes, size_name
from bnbench.protocol.protocol import Grid, Protocol
from bnbench.wording import counted, plain_number

USUAL, BEST = "usual", "best"


def best_values(tuning: Path, chosen_on: int) -> dict[str, dict[str, float]]:
    """Rate and scale of each arm's best trial, by mean J on the first seeds of a search, after its tuning.csv.

    Raises:
        RequestError: there is no such table, or an arm has no trial of which these seeds are done.
    """
    if not (tuning / "tuning.csv").exists():
        raise RequestError(f"--tuning {tuning}: it has no tuning.csv; give a folder of benchmarks/tuning.py.")
    fits = pd.read_csv(tuning / "tuning.csv")
    means = means_table(fits, sorted(fits["seed"].unique())[:chosen_on])
    best, values = best_trials(means), means.set_index(["trial", "arm"])
    if missing := [arm for arm in ARMS if arm not in best]:
        raise RequestError(f"--tuning {tuning}: no trial of {missing[0]} is whole; finish benchmarks/tuning.py first.")
    return {arm: {name: float(values[name][trial, arm]) for name in TUNED} for arm, trial in best.items()}


def sweeps(base: Protocol, size: Size, best: dict[str, dict[str, float]]) -> tuple[Rung, list[Rung]]:
    """The sweep of a size with the profile's values, and one for each arm with its own."""
    usual = Rung(size_name(size), base.with_knobs(mask_size=size), {})
    tuned = [
        Rung(f"{size_name(size)}-{arm}", usual.protocol.with_knobs(**values), dict(values), arms=(arm,))
        for arm, values in best.items()
    ]
    return usual, tuned


def fits_table(asked: argparse.Namespace, usual: Rung, tuned: Sequence[Rung], grid: Grid) -> pd.DataFrame:
    """A row per fit of a size, ``trial`` ``usual`` or ``best``, ``arm, p, seed`` and every reading."""
    both = _fits(asked.usual, usual, grid).assign(trial=USUAL)
    parts = [both]
    for rung in tuned:
        is_usual = rung.protocol == usual.protocol
        own = both if is_usual else _fits(asked.out, rung, grid)
        parts.append(own[own["arm"].isin(rung.arms)].assign(trial=BEST))
    table = pd.concat([part for part in parts if len(part)] or parts[:1], ignore_index=True)
    return table.assign(size=usual.name)[["size", "trial", *FIT, *READINGS]]


def _fits(out: Path, rung: Rung, grid: Grid) -> pd.DataFrame:
    fits = fits_of(read_rung(out, rung), rung.protocol.training.threshold)
    is_asked = fits["p"].isin(grid.probs) & fits["seed"].isin(grid.seeds) & fits["arm"].isin(rung.arms)
    return fits[is_asked]


def table_text(fits: pd.DataFrame, sizes: Sequence[str], best: dict[str, dict[str, float]], wanted: int) -> str:
    """How many pixels are right at each size with both values, and what changes by every reading, as Markdown."""
    lines = [["mask", "arm", "rate", "s", "fits", "right, the profile's values", "right, its own best"]]
    left, after = 0, []
    for size in sizes:
        own, shown = fits[fits["size"] == size], size.replace("x", "×")
        for arm in ARMS:
            right = {trial: rows["right"] for trial, rows in own[own["arm"] == arm].groupby("trial")}
            none = pd.Series(dtype=float)
            cells = [
                spread(some.mean(), some.std(), plain_number)
                for some in (right.get(USUAL, none), right.get(BEST, none))
            ]
            done = len(right.get(BEST, none))
            left += wanted - done
            rate, scale = (f"{best[arm][name]:g}" for name in TUNED)
            lines.append([shown, arm, rate, scale, f"{done} of {wanted}", *cells])
        after.append(markdown(compared(own, USUAL, dict.fromkeys(ARMS, BEST), f"{shown}, paired")))
    said = f"Unfinished or failed: {counted(left, 'fit')}.\n\n" if left else ""
    return said + "\n\n".join([markdown(lines), *after]) + "\n"


def main(arguments: Sequence[str] | None = None) -> int:
    parser = options(__doc__, "evidence/tuned-capacity", "5")
    parser.add_argument("--sizes", default="28,40", help="mask sizes")
    parser.add_argument("--tuning", type=Path, default=Path("evidence/tuning"), help="folder of tuning.py")
    parser.add_argument("--chosen-on", type=int, default=2, help="how many of its seeds choose the best trials")
    parser.add_argument("--usual", type=Path, default=Path("results/capacity"), help="fits of the profile's own values")
    asked = parser.parse_args(arguments)
    try:
        base, grid = base_and_grid(asked)
        best = best_values(asked.tuning, asked.chosen_on)
        of_sizes = [sweeps(base.with_knobs(split="test"), size, best) for size in parse_sizes(asked.sizes, "--sizes")]
        to_do = [rung for usual, tuned in of_sizes for rung in tuned if rung.protocol != usual.protocol]
        if asked.plan:
            say_plan(asked, grid, to_do)
            return 0
        failed = 0 if asked.table else sum(run_rung(asked, grid, rung) for rung in to_do)
        tables = [fits_table(asked, usual, tuned, grid) for usual, tuned in of_sizes]
    except RequestError as error:
        parser.error(error.as_command)
    fits = pd.concat([table for table in tables if len(table)] or tables[:1], ignore_index=True)
    asked.out.mkdir(parents=True, exist_ok=True)
    fits.to_csv(asked.out / "capacity.csv", index=False)
    text = table_text(fits, [usual.name for usual, _ in of_sizes], best, len(grid.seeds))
    (asked.out / "capacity.md").write_text(text, encoding="utf-8")
    print(text)
    return int(failed > 0)


if __name__ == "__main__":
    sys.exit(main())
