"""Both readings of two arms in one table: each number's gap, whether it is a tie, and whether it depends on p."""

from __future__ import annotations

import pandas as pd

from bnbench.measures.registry import READINGS, compared_columns
from bnbench.report.arms import ComparedArms
from bnbench.report.chapters.verdict import reading
from bnbench.report.tables import Table
from bnbench.stats import differences
from bnbench.stats.equivalence import BOUNDS
from bnbench.stats.interaction import interaction

_NOTE = (
    "Means and gap over p, every p weighing the same, with the 95 % t interval; bound, tie p: two one-sided t tests "
    "that the gap lies within ± the bound, which was fixed beforehand; F, interaction p: F test of whether the gap "
    "depends on p"
)


def readings_table(fits: pd.DataFrame, compared: ComparedArms) -> Table:
    """Return a row for the accuracy contrast, J and right, over all and over trained pixels, as far as fits tell.

    Args:
        fits: a row per fit, see :func:`bnbench.report.tables.fits_table`.
        compared: the arms to compare.
    """
    rows = []
    for column, title in compared_columns().items():
        name = column.removesuffix("_trained")
        if name not in READINGS or column not in fits:
            continue
        pairs = differences.paired(fits.dropna(subset=[column]), compared.first, compared.second, column)
        if pairs.empty:
            continue
        one, over_p = reading(pairs, compared, name), interaction(pairs["gap"], pairs["p"])
        whole, bound = one.whole, BOUNDS.get(name, float("nan"))
        rows.append(
            {
                "reading": title,
                f"{compared.first} mean": one.first,
                f"{compared.second} mean": one.second,
                **{"pairs": whole.pairs, "gap": whole.mean, "low": whole.low, "high": whole.high},
                **{
                    "bound": bound,
                    "tie_p": one.equivalence,
                    "F": float(over_p.f),
                    "interaction_p": float(over_p.p_value),
                },
            }
        )
    return Table("readings", f"Both readings of {compared.gap_name}", _NOTE, pd.DataFrame(rows))
