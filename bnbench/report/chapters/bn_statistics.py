"""Does the answer depend on the statistics that batch normalization uses? Every policy measured, in a chapter."""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np
import pandas as pd

from bnbench.bn_policy import NO_BN
from bnbench.measures.registry import READING_NAMES
from bnbench.report.arms import arm_order
from bnbench.report.chapters.chapter import Chapter, drawable
from bnbench.report.chapters.measured_again import evaluations_of, measurements
from bnbench.report.figures.policies import compared_rows, policies, policies_table, statistics_name
from bnbench.results.sweeps import Sweep
from bnbench.wording import counted, interval_words, signed

NAME = "bn-statistics"
TITLE = "Does the answer depend on the batch-norm statistics?"
_WHY = (
    "A point of the plane has no running averages: at evaluation an arm with batch normalization takes its statistics "
    "from the batch that is measured (batch:N, in batches of N images) or from N training images run through that "
    "point's network first (recalibrate:N)."
)


def chapter(sweep: Sweep, evaluated: pd.DataFrame, fits: pd.DataFrame) -> Chapter | None:
    """Return what these fits allow of the chapter: sentences, the gap under every policy, a table; None without BN.

    Args:
        sweep: what was read, at least one fit.
        evaluated: its planes measured again, see :func:`bnbench.results.evaluations.read_evaluations`; may be empty.
        fits: a row per fit, see :func:`bnbench.report.tables.fits_table`.
    """
    current, stale = evaluations_of(sweep, evaluated)
    measured = measurements(sweep, current, fits)
    if measured.empty or set(measured["policy"]) == {str(NO_BN)}:
        return None
    reference = "plain" if "plain" in set(measured["arm"]) else None
    table = policies_table(measured, reference)
    sentences = [_WHY, *gap_words(table.frame, reference), evaluated_words(current, stale)]
    figures = drawable([policies(table, reference)])
    return Chapter(NAME, TITLE, [text for text in sentences if text], figures, [table])


def gap_words(table: pd.DataFrame, reference: str | None) -> list[str]:
    """Say each normalized arm's gap by every reading under every policy, and whether the order of the arms holds."""
    if reference is None:
        return []
    compared, sentences = compared_rows(table), []
    for arm, (reading, name) in product(arm_order(compared["arm"]), READING_NAMES.items()):
        rows = compared[(compared["arm"] == arm) & (compared["reading"] == reading)].to_dict("records")
        most = max((row["pairs"] for row in rows), default=0)
        texts = [f"{signed(row['gap'])} under {statistics_name(row)} ({_rests_on(row, most)})" for row in rows]
        order = _order_words(rows, reference, arm, reading) if len(rows) > 1 else ""
        if rows:
            sentences.append(f"Over trained pixels the gap {reference} − {arm} in {name} is {'; '.join(texts)}.{order}")
    return sentences


def _order_words(rows: list[dict[Any, Any]], reference: str, arm: str, reading: str) -> str:
    larger = "lower J" if reading == "objective" else f"larger {READING_NAMES[reading]}"
    known = [row for row in rows if not np.isnan(row["low"])]
    if not known:
        return " There is no interval yet."
    apart = {row["low"] > 0 for row in known if row["low"] > 0 or row["high"] < 0}  # whose gap is above 0
    open_ones = [statistics_name(row) for row in known if row["low"] <= 0 <= row["high"]]
    without = f" {len(rows) - len(known)} of the {len(rows)} have no interval yet." if len(known) < len(rows) else ""
    if len(apart) > 1:
        return f" Which arm has the {larger} depends on the policy.{without}"
    if not apart:
        return f" Under none of them do the pairs tell the arms apart.{without}"
    first = apart != {reading == "objective"}  # of J the lower one is ahead
    but = f"; under {', '.join(open_ones)} the pairs cannot tell the arms apart" if open_ones else ""
    which = "those whose interval leaves 0 out" if open_ones else "all of them"
    return f" The {larger} is that of {reference if first else arm} under {which}{but}.{without}"


def evaluated_words(current: pd.DataFrame, stale: int) -> str:
    """Say how many planes were measured again, and what was left out."""
    texts = []
    if len(current):
        planes = len(current.drop_duplicates(["arm", "p", "seed"]))
        texts.append(f"{counted(planes, 'plane')} measured again by bnbench evaluate, without training.")
    if stale:
        texts.append(f"Left out: {counted(stale, 'evaluation')} of planes whose fits are not in this folder.")
    return " ".join(texts)


def _rests_on(row: dict[Any, Any], most: int) -> str:
    """Say on how many pairs a gap rests, its interval and, of few, the same pairs' gap under the headline's policy."""
    parts = [counted(int(row["pairs"]), "pair")]
    if not np.isnan(row["low"]):
        parts.append(f"95 % interval {interval_words(row['low'], row['high'])}")
    if row["pairs"] < most and not np.isnan(row["headline gap"]):
        parts.append(f"their masks in the headline {signed(row['headline gap'])}")
    return ", ".join(parts)
