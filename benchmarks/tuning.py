"""Each arm at its own best: learning rate and initial scale s, searched at random by J on held-out images.

    python benchmarks/tuning.py --plan     what there is to do, and how long it takes
    python benchmarks/tuning.py            all of it; the same command goes on where it was stopped
    python benchmarks/tuning.py --table    only the table of what there is so far

A trial is a results folder below --out. The first has the profile's own values; the others are drawn from a fixed seed,
log-uniformly within a factor --factor of them, so that a larger budget (--fits) goes on with the same search. Both arms
are fitted in every trial to the first --chosen-on seeds, and an arm's best trial is that of its lowest mean J over
trained pixels, of the trials where all of these are done: nothing is chosen by the difference between the arms, nor by
the accuracy. The best of several is flattered by the seeds that chose it, so the arms are compared on the other seeds
and the same images, to which only each arm's best and the profile's own values are fitted. The tables are tuning.csv
and tuning.md; tuning.svg draws the search, and best.json says what it chose once it is done.
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from rungs import ARMS, Rung, base_and_grid, options, run_rung, say_plan
from tuning_figure import draw_search
from tuning_table import Search, best_trials, finals, fits_table, means_table, table_text, trials, write_chosen

from bnbench.errors import RequestError
from bnbench.report.figures.style import print_style, save
from bnbench.wording import counted


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
    write_chosen(asked.out, fits, search)
    text = table_text(fits, search)
    (asked.out / "tuning.md").write_text(text, encoding="utf-8")
    with print_style():
        drawn = draw_search(means_table(fits, search.chosen_on), search.trials[0].name)
        save(drawn, asked.out, "tuning", ["svg"])
    print(text)
    return int(failed > 0)


if __name__ == "__main__":
    sys.exit(main())
