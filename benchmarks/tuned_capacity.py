"""Does an arm at its own best bend to larger masks? What tuning.py chose, at two sizes of capacity.

    python benchmarks/tuned_capacity.py --steps 3000 --plan     what there is to do, and how long it takes
    python benchmarks/tuned_capacity.py --steps 3000            all of it; the same command goes on where it was stopped
    python benchmarks/tuned_capacity.py --steps 3000 --table    only the table of what there is so far

Each arm is fitted to masks of --sizes with rate and scale of its best trial in --tuning, on test images and capacity's
seeds, so that every fit has a partner in --usual, where the profile's own values were fitted to the same mask. The
values were chosen on masks of the profile's size and held-out images; nothing is tuned at these sizes. Both lie beyond
the side at which 90 % are right: on smaller masks there is hardly anything to gain. An arm whose best are the profile's
own values has no fit to do. The table is capacity.csv and capacity.md.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd
from readings import markdown
from rungs import ARMS, FIT, READINGS, Rung, base_and_grid, fits_of, options, read_rung, run_rung, say_plan, spread
from tuning_table import TUNED, compared

from bnbench.errors import RequestError
from bnbench.protocol.mask_sizes import Size, parse_sizes, size_name
from bnbench.protocol.protocol import Grid, Protocol
from bnbench.wording import counted, plain_number

USUAL, BEST = "usual", "best"
Values = Mapping[str, Mapping[str, float]]  # rate and scale by arm


def best_values(tuning: Path, base: Protocol) -> Values:
    """Rate and scale that a whole search of this profile and these steps has chosen for each arm.

    Raises:
        RequestError: there is none, or it was of another protocol.
    """
    path = tuning / "best.json"
    if not path.exists():
        raise RequestError(f"--tuning {tuning}: it has no best.json; finish benchmarks/tuning.py there first.")
    chosen = json.loads(path.read_text(encoding="utf-8"))
    for option, there, asked in (
        ("--base", chosen["profile"], base.profile),
        ("--steps", chosen["steps"], base.training.steps),
    ):
        if there != asked:
            raise RequestError(f"{option} {asked}: the search in {tuning} has {there}; give {option} {there}.")
    return {arm: {name: float(values[name]) for name in TUNED} for arm, values in chosen["best"].items()}


def sweeps(base: Protocol, size: Size, best: Values) -> tuple[Rung, list[Rung]]:
    """The sweep of a size with the profile's values, and one for each arm whose own best are others."""
    usual = Rung(size_name(size), base.with_knobs(mask_size=size), {})
    tuned = [
        Rung(f"{size_name(size)}-{arm}", usual.protocol.with_knobs(**values), dict(values), arms=(arm,))
        for arm, values in best.items()
    ]
    return usual, [rung for rung in tuned if rung.protocol != usual.protocol]


def readings_of(out: Path, rung: Rung, grid: Grid, option: str = "--out") -> pd.DataFrame:
    """The readings of a rung's finished fits that are asked for, a row each."""
    fits = fits_of(read_rung(out, rung, option=option), rung.protocol.training.threshold)
    is_asked = fits["p"].isin(grid.probs) & fits["seed"].isin(grid.seeds) & fits["arm"].isin(rung.arms)
    return fits[is_asked]


def partners(folder: Path, usual: Rung, grid: Grid) -> pd.DataFrame:
    """The readings of the fits with the profile's values, all of which have to be there.

    Raises:
        RequestError: they are of another protocol, or one is missing.
    """
    fits = readings_of(folder, usual, grid, "--usual")
    if missing := len(ARMS) * len(grid.seeds) - len(fits):
        raise RequestError(
            f"--usual {folder}: of {usual.name} {counted(missing, 'fit')} with the profile's values "
            f"{'is' if missing == 1 else 'are'} not there; give a folder that has them, other --sizes or fewer --seeds."
        )
    return fits


def fits_table(out: Path, usual: pd.DataFrame, tuned: Sequence[Rung], grid: Grid) -> pd.DataFrame:
    """A row per fit of a size, ``trial`` ``usual`` or ``best``, ``arm, p, seed`` and every reading."""
    parts = [usual.assign(trial=USUAL), *(readings_of(out, rung, grid).assign(trial=BEST) for rung in tuned)]
    table = pd.concat([part for part in parts if len(part)], ignore_index=True)
    return table[["trial", *FIT, *READINGS]]


def table_text(fits: pd.DataFrame, best: Values, trials: Mapping[str, str], wanted: int) -> str:
    """How many pixels are right at each size with both values, and what changes by every reading, as Markdown.

    Args:
        fits: a row per fit, what :func:`fits_table` returns of every size, with its ``size``.
        best: rate and scale of each arm at its best.
        trials: whether these are the usual ones or others, by arm.
        wanted: how many seeds there are.
    """
    lines = [["mask", "arm", "rate", "s", "fits", "right, the profile's values", "right, its own best"]]
    left, after = 0, []
    for size, own in fits.groupby("size", sort=False):
        shown = str(size).replace("x", "×")
        for arm in ARMS:
            right = [own.loc[(own["arm"] == arm) & (own["trial"] == trial), "right"] for trial in (USUAL, trials[arm])]
            left += wanted - len(right[-1])
            rate, scale = (f"{best[arm][name]:g}" for name in TUNED)
            cells = [spread(some.mean(), some.std(), plain_number) for some in right]
            lines.append([shown, arm, rate, scale, f"{len(right[-1])} of {wanted}", *cells])
        after.append(markdown(compared(own, USUAL, trials, f"{shown}, paired")))
    said = f"Unfinished or failed: {counted(left, 'fit')}.\n\n" if left else ""
    return said + "\n\n".join([markdown(lines), *after]) + "\n"


def main(arguments: Sequence[str] | None = None) -> int:
    parser = options(__doc__, "evidence/tuned-capacity", "5")
    parser.add_argument("--sizes", default="28,40", help="mask sizes")
    parser.add_argument("--tuning", type=Path, default=Path("evidence/tuning"), help="folder of tuning.py")
    parser.add_argument("--usual", type=Path, default=Path("results/capacity"), help="fits of the profile's own values")
    asked = parser.parse_args(arguments)
    try:
        base, grid = base_and_grid(asked)
        best = best_values(asked.tuning, base)
        of_sizes = [sweeps(base.with_knobs(split="test"), size, best) for size in parse_sizes(asked.sizes, "--sizes")]
        usual = [partners(asked.usual, rung, grid) for rung, _ in of_sizes]  # before anything is computed
        to_do = [rung for _, tuned in of_sizes for rung in tuned]
        if asked.plan:
            say_plan(asked, grid, to_do)
            return 0
        failed = 0 if asked.table else sum(run_rung(asked, grid, rung) for rung in to_do)
        tables = [
            fits_table(asked.out, fits, tuned, grid).assign(size=rung.name)
            for fits, (rung, tuned) in zip(usual, of_sizes, strict=True)
        ]
    except RequestError as error:
        parser.error(error.as_command)
    fits = pd.concat(tables, ignore_index=True)
    asked.out.mkdir(parents=True, exist_ok=True)
    fits[["size", *fits.columns.drop("size")]].to_csv(asked.out / "capacity.csv", index=False)
    others = {arm for rung in to_do for arm in rung.arms}
    trials = {arm: BEST if arm in others else USUAL for arm in ARMS}
    text = table_text(fits, best, trials, len(grid.seeds))
    (asked.out / "capacity.md").write_text(text, encoding="utf-8")
    print(text)
    return int(failed > 0)


if __name__ == "__main__":
    sys.exit(main())
