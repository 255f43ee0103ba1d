"""The report's tables: what was measured, a row per fit, per p, per quantity."""

from __future__ import annotations

import itertools
import math
from collections.abc import Container, Sequence
from dataclasses import astuple, dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from bnbench.measures.registry import READINGS, compared_columns
from bnbench.report.arms import arm_order
from bnbench.results.failures import Failure
from bnbench.results.summary import headline_measures
from bnbench.results.sweeps import Sweep
from bnbench.stats import differences
from bnbench.wording import counted

MOST_ON_PAGE = 500  # rows of a table
_ADD_UP = ("fit_seconds", "wall_seconds")  # a sum of speeds or of peaks of memory means nothing
_MOST_VALUES, _NAMED = 6, 3  # values of a provenance that are all listed; of more, the ones that are
_TIMES = ("begun", "started", "finished")


@dataclass(frozen=True)
class Table:
    """A table to show and to write as CSV and Markdown.

    Attributes:
        name: of its files, without the ending.
        title: what it is, in a few words.
        note: what its columns mean.
        frame: plain columns; CSV keeps every digit, the page rounds.
        on_page: whether it is read at all; if not, it is a CSV file alone.
    """

    name: str
    title: str
    note: str
    frame: pd.DataFrame
    on_page: bool = True

    @property
    def header(self) -> list[str]:
        """Return the column names as they are read: ``black_mean`` is ``black mean``."""
        names = [str(column) for column in self.frame.columns]
        return [name.replace("_", " ") if name.isidentifier() else name for name in names]  # with a space: an own arm's

    @property
    def rows(self) -> list[list[str]]:
        """Return the cells as they are read."""
        return _read(self.frame)

    @cached_property
    def page_rows(self) -> list[list[str]]:
        """Return the rows that a page shows: of a very long table the first ones."""
        return _read(self.frame.head(MOST_ON_PAGE))

    @property
    def cut(self) -> str:
        """Say that the page shows some of the rows alone; empty where it shows all."""
        left = len(self.frame) > MOST_ON_PAGE
        return f"The first {MOST_ON_PAGE:,} of {len(self.frame):,} rows." if left else ""

    @cached_property
    def numeric(self) -> list[bool]:
        """Say which columns hold numbers, to be set flush right."""
        return [pd.api.types.is_numeric_dtype(self.frame[column]) for column in self.frame.columns]

    def markdown(self) -> str:
        """Return the table as GitHub reads it."""
        escaped = [[in_markdown(text) for text in row] for row in [self.header, *self.rows]]
        rule = ["---:" if numeric else "---" for numeric in self.numeric]
        lines = [escaped[0], rule, *escaped[1:]]
        return f"{in_markdown(f'{self.title}. {self.note}')}.\n\n" + "".join(
            f"| {' | '.join(line)} |\n" for line in lines
        )


def _read(frame: pd.DataFrame) -> list[list[str]]:
    return [[cell(value) for value in row] for row in frame.itertuples(index=False, name=None)]


def in_markdown(text: str) -> str:
    """Return text so that it starts no tag and no cell, on one line."""
    return text.replace("|", "\\|").replace("<", "&lt;").replace("\n", " ")


def cell(value: Any) -> str:
    """Return a value as text: three decimals, or all of a short one such as 0.0625; a missing one is a dash.

    A value that is nearer to 0 has one digit that says something, and below 0.00001 its power of ten beside that.
    """
    if value is None or value is pd.NaT or (isinstance(value, float) and math.isnan(value)):
        return "–"
    if not isinstance(value, float) or math.isinf(value):
        return str(value)
    if 0 < abs(value) < 0.00001:
        return f"{value:.0e}".replace("-", "−")
    if 0 < abs(value) < 0.0005:
        return np.format_float_positional(value, precision=1, fractional=False, trim="-").replace("-", "−")
    text = f"{value:.4f}".rstrip("0").rstrip(".") if round(value, 4) == value else f"{value:.3f}"
    return text.replace("-", "−", 1) if text.startswith("-") else text


def fits_table(sweep: Sweep) -> pd.DataFrame:
    """Return each fit's measures under its headline BN policy, on the images that the protocol measures on.

    Returns:
        A row per fit, sorted: ``arm, p, seed, policy``, the measures as
        :func:`bnbench.results.summary.headline_measures` gives them, ``wall_seconds``; no row without fits.
    """
    keys = ["arm", "p", "seed"]
    if sweep.summaries.empty:
        return pd.DataFrame(columns=[*keys, "policy", "black", "white", "difference", "difference_trained"])
    table = headline_measures(sweep.summaries, sweep.landscapes, sweep.protocol)
    if "wall_seconds" in sweep.provenance:
        table = table.merge(sweep.provenance[[*keys, "wall_seconds"]], on=keys, how="left")
    return sorted_by_arm(table)


def over_trained(fits: pd.DataFrame) -> pd.DataFrame:
    """Return the table of fits with black, white and difference over trained pixels alone, as the authors measure."""
    values = ("black", "white", "difference")
    return fits.assign(**{value: fits[f"{value}_trained"] for value in values})


def every_fit(fits: pd.DataFrame) -> Table:
    """Show what :func:`fits_table` gives as a table of the report."""
    note = "Trained: over trained pixels only; losses are means over all pixels of a colour"
    return Table("fits", "Every fit", note, fits)


def diverged_fits(sweep: Sweep) -> pd.DataFrame:
    """Return the fits that diverged and have no value: ``arm, p, seed``; those out of memory are not among them."""
    keys = [one.key for one in sweep.failures if one.kind == "diverged" and one.key not in sweep.identities]
    found = pd.DataFrame([astuple(key) for key in keys], columns=["arm", "p", "seed"])
    return found.astype({"p": float, "seed": int})


def quantities_table(fits: pd.DataFrame, first: str, second: str) -> pd.DataFrame:
    """Set two arms side by side in everything that was measured, with the paired difference: a row per quantity."""
    rows = []
    for name, pairs in compared_pairs(fits, first, second).values():
        sides = ((first, "first"), (second, "second"))
        means = {f"{arm} mean": differences.mean_over_p(pairs, side) for arm, side in sides}
        rows.append({"quantity": name, **means, **pairs_summary(pairs)})
    return pd.DataFrame(rows)


def quantities_per_p_table(fits: pd.DataFrame, first: str, second: str) -> pd.DataFrame:
    """Do the same at every p: both arms' n, mean and deviation, and the paired gap; a row per quantity and p."""
    parts = []
    for value, (name, pairs) in compared_pairs(fits, first, second).items():
        have = fits[fits["arm"].isin([first, second])].dropna(subset=[value])
        arms = differences.per_p(have, value).pivot(index="p", columns="arm")
        sides = {f"{arm} {column}": arms[column, arm] for arm in (first, second) for column in ("n", "mean", "sd")}
        gaps = differences.paired_per_p(pairs).set_index("p")
        gaps = gaps[["n", "mean", "sd", "low", "high"]].set_axis(["pairs", "gap", "gap sd", "low", "high"], axis=1)
        table = pd.DataFrame(sides).join(gaps).reset_index()
        table.insert(0, "quantity", name)
        parts.append(table)
    counts = [column for column in parts[0] if column == "pairs" or str(column).endswith(" n")]
    return pd.concat(parts, ignore_index=True).astype(dict.fromkeys(counts, "Int64"))  # an arm may lack a p


def compared_pairs(
    fits: pd.DataFrame, first: str, second: str, among: Container[str] | None = None
) -> dict[str, tuple[str, pd.DataFrame]]:
    """Return the columns in which two arms can be compared, with title and pairs: an earlier fit may lack a measure.

    Args:
        fits: a row per fit, see :func:`fits_table`.
        first: the arm that is counted positive.
        second: the arm that is subtracted.
        among: columns that are asked for; by default all.
    """
    wanted = {column: title for column, title in compared_columns().items() if among is None or column in among}
    columns = {column: title for column, title in wanted.items() if column in fits}
    pairs = {one: differences.paired(fits.dropna(subset=[one]), first, second, one) for one in columns}
    return {column: (title, pairs[column]) for column, title in columns.items() if len(pairs[column])}


def comparisons_table(fits: pd.DataFrame) -> pd.DataFrame:
    """Return both readings of every two arms that share a (p, seed): contrast, J and right, each over both pixels."""
    readings = [column for column in compared_columns() if column.removesuffix("_trained") in READINGS]
    rows = [
        {"first": first, "second": second, "quantity": title, **pairs_summary(pairs)}
        for first, second in itertools.combinations(arm_order(fits["arm"]), 2)
        for title, pairs in compared_pairs(fits, first, second, readings).values()
    ]
    return pd.DataFrame(rows)


def provenance_table(sweep: Sweep) -> pd.DataFrame:
    """Say where the numbers come from: each key that says anything, and its values with counts where fits differ."""
    rows = []
    said = sweep.provenance.replace("", None).dropna(axis="columns", how="all")
    for column in [name for name in said.columns if name not in ("arm", "p", "seed")]:
        values = said[column]
        if pd.api.types.is_float_dtype(values) and values.nunique() > 1:
            text = f"median {cell(float(values.median()))}, max {cell(float(values.max()))}"
            text += f", sum {cell(float(values.sum()))}" if column in _ADD_UP else ""
        elif column in _TIMES:
            text = f"{values.dropna().astype(str).min()} to {values.dropna().astype(str).max()}"
        else:
            text = _summed_up(values.map(cell).value_counts(sort=False))
        rows.append({"what": column, "value": text})
    return pd.DataFrame(rows)


def _summed_up(counts: pd.Series) -> str:
    """Write values with the number of their fits; of many the most frequent ones, and how many others there are."""
    if len(counts) == 1:
        return str(counts.index[0])
    shown = counts if len(counts) <= _MOST_VALUES else counts.sort_values(ascending=False, kind="stable")[:_NAMED]
    text = "; ".join(f"{value} ({counted(count, 'fit')})" for value, count in shown.items())
    others = len(counts) - len(shown)
    return (
        f"{text}; {counted(others, 'other value')} ({counted(int(counts.sum() - shown.sum()), 'fit')})"
        if others
        else text
    )


def failures_table(failures: Sequence[Failure]) -> pd.DataFrame:
    """List the fits that failed and why, without their tracebacks."""
    rows = [(*astuple(failure.key), failure.kind, failure.message, failure.tries) for failure in failures]
    return pd.DataFrame(rows, columns=["arm", "p", "seed", "kind", "message", "tries"])


def pairs_summary(pairs: pd.DataFrame) -> dict[str, Any]:
    """Return the columns that sum up a set of pairs, at least one: the gap, how sure, and how often it is positive."""
    whole = differences.overall(pairs)
    return {
        "pairs": whole.pairs,
        "gap": whole.mean,
        "low": whole.low,
        "high": whole.high,
        "df": whole.df,
        "effect_size": whole.d_z,
        "positive_gaps": whole.wins,
        "sign_flip_p": whole.sign_flip,
        "seed_flip_p": whole.seed_flip,
    }


def sorted_by_arm(table: pd.DataFrame) -> pd.DataFrame:
    """Sort rows by arm, in the order of arms, then by p and seed, or by step."""
    order = {arm: place for place, arm in enumerate(arm_order(table["arm"]))}
    keys = [key for key in ("p", "seed", "step") if key in table]
    places = table.assign(place=table["arm"].map(order)).sort_values(["place", *keys], ignore_index=True)
    return places.drop(columns="place")
