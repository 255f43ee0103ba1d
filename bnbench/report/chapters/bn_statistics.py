"""Does the answer depend on the statistics that batch normalization uses? Every policy measured, in a chapter."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from bnbench.bn_policy import NO_BN, BnPolicy
from bnbench.protocol.protocol import FitKey
from bnbench.protocol.sections import DATASETS
from bnbench.report.figures.axes import legend_above
from bnbench.report.figures.figure import ReportFigure
from bnbench.report.figures.style import INK, PAPER, SINGLE, arm_colours, arm_labels, arm_markers, arm_order, new_figure
from bnbench.report.page.page import Chapter, Picture
from bnbench.report.page.writer import Writer
from bnbench.report.tables import Table
from bnbench.results import layout
from bnbench.results.evaluations import plane_hash
from bnbench.results.summary import measured_rows
from bnbench.results.sweeps import Sweep
from bnbench.stats import differences
from bnbench.wording import counted, plain_number, signed

NAME = "bn-statistics"
TITLE = "Does the answer depend on the batch-norm statistics?"
TABLE = "policies"
OWN = "as the fit"
_WHY = (
    "A point of the plane has no running averages: at evaluation an arm with batch normalization takes its statistics "
    "from the batch that is measured (batch:N, in batches of N images) or from N training images run through that "
    "point's network first (recalibrate:N)."
)
_NOTE = "Means over n fits, all pixels; on: the images that the fits were measured on, or others, by bnbench evaluate"
_GAP_NOTE = (
    "; gap: mean over pairs of the difference of {reference} less that of the arm, each under its own row's statistics "
    "and on the same images; low, high: its 95 % t interval, variance within each p"
)
_KEYS = ["arm", "p", "seed"]
_VALUES = ["black", "white", "difference"]


def chapter(sweep: Sweep, evaluated: pd.DataFrame, writer: Writer) -> Chapter | None:
    """What these fits allow of the chapter: sentences, the gap under every policy, a table; None without BN.

    Args:
        sweep: what was read, at least one fit.
        evaluated: its planes measured again, see :func:`bnbench.results.evaluations.read_evaluations`; may be empty.
        writer: of the figure and table.
    """
    current, stale = of_these_fits(sweep, evaluated)
    measured = measurements(sweep, current)
    if measured.empty or set(measured["policy"]) == {str(NO_BN)}:
        return None
    reference = "plain" if "plain" in set(measured["arm"]) else None
    table = policies_table(measured, reference)
    sentences = [_WHY, *gap_words(table, reference), evaluated_words(current, stale)]
    title = f"The gap {reference} − arm under every policy" if reference else "Every policy"
    note = _NOTE + (_GAP_NOTE.replace("{reference}", reference) if reference else "")
    shown = writer.table(Table(TABLE, title, note, table))
    return Chapter(NAME, TITLE, [text for text in sentences if text], _pictures(table, reference, writer), [shown])


def of_these_fits(sweep: Sweep, evaluated: pd.DataFrame) -> tuple[pd.DataFrame, int]:
    """The evaluations that say something new of this sweep's fits, and how many others its protocol has.

    An evaluation belongs to a fit if it is of the fit's identity and, where the plane is still there, of that very
    plane. What the fits' own summaries hold already is neither. Two planes of one fit of which none is there: left out.
    """
    mine = evaluated[(evaluated["protocol"] == sweep.protocol.id) & (evaluated["pixels"] == "all")]
    rows = mine[[*_KEYS, "identity", "plane"]].itertuples(index=False, name=None)
    planes: dict[FitKey, str] = {}
    here = [_belongs(sweep, FitKey(arm, p, seed), identity, plane, planes) for arm, p, seed, identity, plane in rows]
    current = mine[np.array(here, dtype=bool)]
    current = current[~current.duplicated([*_KEYS, "split", "images", "policy"], keep=False)]
    own, measured = (pd.MultiIndex.from_frame(table[["arm", "policy"]]) for table in (sweep.summaries, current))
    return current[~(measured.isin(own) & _on_own_images(sweep, current))], len(mine) - len(current)


def _on_own_images(sweep: Sweep, evaluated: pd.DataFrame) -> pd.Series:
    """Which evaluations are on the images that the fits themselves were measured on."""
    own, data = sweep.protocol.measurement, sweep.protocol.data
    there = DATASETS[data.dataset] if own.split == "test" else data.held_out
    if sweep.protocol.content and own.split == "test":  # how many such a set has, whole evaluations alone tell
        there = evaluated.loc[evaluated["split"] == "test", "images"].max()
    return (evaluated["split"] == own.split) & (evaluated["images"] == (own.test_images or there))  # 0: all of them


def _belongs(sweep: Sweep, key: FitKey, identity: str, plane: str, planes: dict[FitKey, str]) -> bool:
    """Whether a plane is that of a fit; ``planes`` keeps the hashes that were computed."""
    path = layout.plane_path(sweep.places.get(key, sweep.folder), key)
    if key not in planes and path.exists():
        planes[key] = plane_hash(path)
    return sweep.identities.get(key) == identity and planes.get(key, plane) == plane


def measurements(sweep: Sweep, evaluated: pd.DataFrame) -> pd.DataFrame:
    """All pixels under every policy: ``arm, p, seed, on, policy, headline, black, white, difference``."""
    columns = [*_KEYS, "on", "policy", "headline", *_VALUES]
    if sweep.summaries.empty:
        return pd.DataFrame(columns=columns)
    own = measured_rows(sweep.summaries)
    tables = [own.assign(on=OWN, headline=own["headline"].astype(bool))[columns]]
    if len(evaluated):
        others = evaluated["split"] + evaluated["images"].map(", {:,} images".format)
        shown = evaluated.assign(on=others.mask(_on_own_images(sweep, evaluated), OWN), headline=False)
        shown = shown.assign(order=shown["policy"].map(BnPolicy.parse_stored))
        tables.append(shown.sort_values(["split", "images", "order"], kind="stable")[columns])
    return pd.concat(tables, ignore_index=True)


def policies_table(measured: pd.DataFrame, reference: str | None) -> pd.DataFrame:
    """Means under every policy and the paired gap to an arm: a row per arm, images and policy.

    Args:
        measured: what :func:`measurements` returns.
        reference: the arm to subtract from, without batch normalization; None leaves the gap out.
    """
    rows = []
    for arm in arm_order(measured["arm"]):
        mine = measured[measured["arm"] == arm]
        for (where, policy), chosen in mine.groupby(["on", "policy"], sort=False):
            row: dict[str, Any] = {"arm": arm, "on": where, "policy": policy}
            row |= {"headline": "yes" if chosen["headline"].any() else "", "n": len(chosen), **chosen[_VALUES].mean()}
            if reference is not None:
                base = measured[(measured["arm"] == reference) & (measured["on"] == where)]
                row |= _gap(base, chosen, reference, arm)
            rows.append(row)
    return pd.DataFrame(rows)


def _gap(base: pd.DataFrame, chosen: pd.DataFrame, reference: str, arm: str) -> dict[str, float]:
    pairs = differences.paired(pd.concat([base, chosen]), reference, arm) if arm != reference else pd.DataFrame()
    if pairs.empty:
        return {"pairs": 0, **dict.fromkeys(("gap", "low", "high"), np.nan)}
    whole = differences.overall(pairs)
    return {"pairs": whole.pairs, "gap": whole.mean, "low": whole.low, "high": whole.high}


def gap_words(table: pd.DataFrame, reference: str | None) -> list[str]:
    """For each arm with batch normalization its gap under every policy, and whether the order of the arms holds."""
    if reference is None:
        return []
    found = table[table["policy"] != str(NO_BN)].dropna(subset=["gap"])
    sentences = []
    for arm in arm_order(found["arm"]):
        rows = found[found["arm"] == arm].to_dict("records")
        texts = [f"{signed(row['gap'])} under {_statistics(row)} ({_interval(row)})" for row in rows]
        order = _order_words(rows, reference, arm) if len(rows) > 1 else ""
        sentences.append(f"The gap {reference} − {arm} is {'; '.join(texts)}.{order}")
    return sentences


def _order_words(rows: list[dict[Any, Any]], reference: str, arm: str) -> str:
    signs = {float(np.sign(row["gap"])) for row in rows}
    if len(signs) > 1:
        return " Which arm is ahead depends on the policy."
    ahead = (
        f" {reference if signs == {1.0} else arm} is ahead under all of them" if signs != {0.0} else " No gap at all"
    )
    known = [row for row in rows if not np.isnan(row["low"])]
    if not known:
        return f"{ahead}; there is no interval yet."
    open_ones = [_statistics(row) for row in known if row["low"] <= 0 <= row["high"]]
    without = "" if len(known) == len(rows) else f"; {len(rows) - len(known)} of the {len(rows)} have no interval yet"
    if not open_ones:
        return f"{ahead}, and no interval contains 0{without}."
    return f"{ahead}, but under {', '.join(open_ones)} the pairs cannot tell it from 0{without}."


def evaluated_words(current: pd.DataFrame, stale: int) -> str:
    """How many planes were measured again, and what was left out."""
    texts = []
    if len(current):
        planes = len(current.drop_duplicates(_KEYS))
        texts.append(f"{counted(planes, 'plane')} measured again by bnbench evaluate, without training.")
    if stale:
        texts.append(f"Left out: {counted(stale, 'evaluation')} of planes whose fits are not in this folder.")
    return " ".join(texts)


def policies_figure(table: pd.DataFrame, reference: str) -> Figure:
    """The paired gap to an arm with its 95 % t interval, a row for each arm with BN, images and policy.

    Args:
        table: what :func:`policies_table` returns, rows with a gap only.
        reference: the arm that is subtracted from.
    """
    figure = new_figure(SINGLE, (1.7 + 0.52 * len(table)) / 2.54)
    axes = figure.subplots()
    arms = arm_order(table["arm"])
    colours, markers, labels = arm_colours(arms), arm_markers(arms), arm_labels(arms)
    axes.axvline(0, color=INK, linewidth=0.7)
    for place, row in enumerate(table.to_dict("records")):
        half = np.nan_to_num(row["high"] - row["gap"])
        filling = colours[row["arm"]] if row["headline"] else PAPER
        look: dict[str, Any] = {"color": colours[row["arm"]], "marker": markers[row["arm"]], "markerfacecolor": filling}
        axes.errorbar(row["gap"], place, xerr=half, capsize=1.6, linewidth=0.9, markersize=3.4, **look)
    axes.set_yticks(range(len(table)), [_statistics(row) for row in table.to_dict("records")])
    axes.set_ylim(len(table) - 0.4, -0.6)
    axes.grid(axis="x", color=INK, alpha=0.1, linewidth=0.5)
    axes.set_axisbelow(True)
    whisker = ", 95 % interval" if table["low"].notna().any() else ""
    axes.set_xlabel(f"gap {reference} − {labels[arms[0]].strip() if len(arms) == 1 else 'arm'}{whisker}")
    if len(arms) > 1:
        handles = [
            Line2D([], [], color=colours[arm], marker=markers[arm], linestyle="", label=labels[arm]) for arm in arms
        ]
        legend_above(figure, handles)
    return figure


def _pictures(table: pd.DataFrame, reference: str | None, writer: Writer) -> list[Picture]:
    if reference is None:
        return []
    shown = table[table["policy"] != str(NO_BN)].dropna(subset=["gap"])
    if len(shown) < 2:
        return []
    low, high = int(shown["pairs"].min()), int(shown["pairs"].max())
    pairs = counted(high, "pair") if low == high else f"{low} to {high} pairs"
    has_whisker = shown["low"].notna()
    some = "" if has_whisker.all() else ", where there is one yet,"
    whisker = f" with its 95 % t interval{some}" if has_whisker.any() else ""
    caption = (
        f"Mean paired gap {reference} − arm in difference (black − white accuracy, all pixels){whisker} "
        f"over {pairs}, under {counted(len(shown), 'choice')} of statistics and images. Filled: headline. "
        f"Lowest {signed(shown['gap'].min())}, highest {signed(shown['gap'].max())}."
    )
    return [writer.picture(ReportFigure(TABLE, partial(policies_figure, shown, reference), caption, TABLE))]


def _statistics(row: dict[Any, Any]) -> str:
    """A policy, and the images where they are not those of the fit's own summary."""
    return str(row["policy"]) if row["on"] == OWN else f"{row['policy']} on {row['on']}"


def _interval(row: dict[Any, Any]) -> str:
    """On how many pairs a gap rests, and its interval, if there is one."""
    pairs = counted(int(row["pairs"]), "pair")
    if np.isnan(row["low"]):
        return pairs
    return f"{pairs}, 95 % interval {plain_number(row['low'])} to {plain_number(row['high'])}"
