"""What a sweep came to, in a line or two at its end: the gap between its arms by both readings."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations

import pandas as pd

from bnbench.protocol.arm_names import short_names
from bnbench.results.store import StoreError
from bnbench.results.summary import headline_measures
from bnbench.results.sweeps import read_sweep
from bnbench.stats import differences
from bnbench.sweep.plan import Plan
from bnbench.wording import counted, signed

_MOST = 1_000  # fits that are read again for it; reading more takes longer than a line is worth
_MOST_ARMS = 3  # of which every two get a line; nine arms have 36 pairs, and their table is the report's
_READINGS = (
    ("difference_trained", "contrast (accuracy on black minus accuracy on white pixels)"),
    ("right_trained", "pixels on the right side of the objective's cut"),
    ("objective_trained", "J, the objective's loss, where lower is better"),
)


def result_lines(plan: Plan) -> Iterator[str]:
    """Say what all fits of a folder say so far, over trained pixels: a line for each two arms that share a mask.

    Of more than three arms there is a line for each beside the first. Nothing is said where no two share one, where
    there are too many fits to read them again, or where the folder was moved or deleted, which its fits have said.
    """
    if len(plan.grid.fits()) > _MOST:
        return
    try:
        sweep = read_sweep(plan.folder)
    except StoreError:
        return
    if sweep.summaries.empty:
        return
    fits = headline_measures(sweep.summaries, sweep.landscapes, sweep.protocol)
    arms = plan.grid.arms
    names = short_names(arms)
    pairs_of_arms = combinations(arms, 2) if len(arms) <= _MOST_ARMS else ((arms[0], other) for other in arms[1:])
    for first, second in pairs_of_arms:
        gaps = [gap for column, name in _READINGS if (gap := _gap(fits, first, second, column, name))]
        if gaps:
            pairs = len(differences.paired(fits, first, second, _READINGS[0][0]))
            over = f"mean over {counted(pairs, 'pair')} of fits, trained pixels alone"
            yield f"{names[first]} − {names[second]}, {over}: {'; '.join(gaps)}"


def _gap(fits: pd.DataFrame, first: str, second: str, column: str, name: str) -> str:
    """Write the mean gap of a reading; empty where no pair has it."""
    if column not in fits:
        return ""
    pairs = differences.paired(fits, first, second, column).dropna(subset="gap")
    return f"{name} {signed(differences.mean_over_p(pairs, 'gap'))}" if len(pairs) else ""
