"""How sure is it? Tests, sensitivity and the authors' curve, in a chapter of the page."""

from __future__ import annotations

import math
from typing import Any

import pandas as pd

from bnbench.measures.registry import READING_NAMES
from bnbench.report import tables
from bnbench.report.arms import MOST_NAMED, ComparedArms, arm_order
from bnbench.report.chapters.chapter import Chapter
from bnbench.report.chapters.readings import readings_table
from bnbench.report.figures.paired import paired, paired_objective, paired_table
from bnbench.report.tables import Table
from bnbench.stats import agreement, differences, sensitivity
from bnbench.wording import counted, plain_number, probability, signed

NAME = "evidence"
TITLE = "How sure is it?"
_WHY = (
    "At a single p there is a t interval and, for exploring, a paired t test with Holm's correction over all p. "
    "No rank or sign test is offered there: with five pairs a two-sided one cannot fall below 2/2⁵ = 0.0625. "
    "Nor is a percentile bootstrap: of five points it covers the truth about 84 times in 100 where it claims 95, "
    "and stratified, over 9 × 5 pairs, about 91 times."
)
_SENSITIVITY_NOTE = (
    "Accuracy contrast over trained pixels. The first row is the headline; columns as in the table of all quantities; "
    "each set is summed up alone"
)
_AGREEMENT_NOTE = (
    "Over trained pixels, as theirs. Means over the p that both have; level: ours − theirs; lowest, highest: its "
    "extremes over p; rho: Spearman's rank correlation of the two curves over p"
)


def chapter(
    fits: pd.DataFrame, diverged: pd.DataFrame, authors: pd.DataFrame | None, compared: ComparedArms | None
) -> Chapter:
    """Write what these fits allow of the chapter: sentences, the paired difference, tables.

    Args:
        fits: a row per fit, see :func:`bnbench.report.tables.fits_table`.
        diverged: a row per fit that diverged: ``arm, p, seed``.
        authors: their curves, where they are of the same images.
        compared: the arms to compare, or None.
    """
    sentences, shown, trained = [], [], tables.over_trained(fits)
    if compared:
        shown += [readings_table(fits, compared), paired_table(compared)]
        if by_reading := pairs_by_reading(fits, compared):
            sentences += [seeds_words(by_reading), exploratory_words(by_reading), _WHY]
        frame = sensitivity_table(trained, diverged, compared)
        title = f"The gap {compared.gap_name}, counted otherwise"
        shown.append(Table("sensitivity", title, _SENSITIVITY_NOTE, frame))
    sentences.append(diverged_words(sensitivity.counts(trained, diverged), compared))
    if authors is not None:
        frame = agreement_table(fits, authors, compared)
        shown.append(Table("agreement", "Against the authors' own figure 4", _AGREEMENT_NOTE, frame))
        sentences.append(agreement_words(frame))
    figures = [paired(compared), *paired_objective(fits, compared)] if compared and len(compared.pairs) > 1 else []
    return Chapter(NAME, TITLE, [text for text in sentences if text], figures, shown)


def sensitivity_table(fits: pd.DataFrame, diverged: pd.DataFrame, compared: ComparedArms) -> pd.DataFrame:
    """Return the gap under every way of counting, a row each: see :func:`bnbench.stats.sensitivity.cases`."""
    cases = sensitivity.cases(fits, diverged, compared.first, compared.second)
    return pd.DataFrame([{"what": words, **tables.pairs_summary(pairs)} for words, pairs in cases])


def pairs_by_reading(fits: pd.DataFrame, compared: ComparedArms) -> dict[str, pd.DataFrame]:
    """Return the pairs of two arms by each reading over trained pixels that fits have, by the reading's name."""
    names = {f"{reading}_trained": name for reading, name in READING_NAMES.items()}
    found = tables.compared_pairs(fits, compared.first, compared.second, names)
    return {name: found[column][1] for column, name in names.items() if column in found}


def seeds_words(by_reading: dict[str, pd.DataFrame]) -> str:
    """Say the tests over all pairs, and the one that trusts whole seeds only, of every reading."""
    wholes = {name: differences.overall(pairs) for name, pairs in by_reading.items()}
    most = max(whole.pairs for whole in wholes.values())
    if most == 1:
        return "One pair: nothing can be tested, and there is no interval."
    seeds = {name: int(pairs["seed"].nunique()) for name, pairs in by_reading.items()}
    all_seeds = max(seeds.values())
    flips, whole_seeds, effects = [], [], []
    for name, whole in wholes.items():
        fewer = f" ({counted(whole.pairs, 'pair')})" if whole.pairs < most else ""
        flips.append(f"{name}{fewer} p {probability(whole.sign_flip)}")
        fewer = f" ({counted(seeds[name], 'seed')})" if seeds[name] < all_seeds else ""
        whole_seeds.append(f"{name}{fewer} p {probability(whole.seed_flip)}")
        if not math.isnan(whole.d_z):
            effects.append(f"{name} {plain_number(whole.d_z)}")
    effect = f" Effect size d_z, the mean gap over the deviation of all gaps: {', '.join(effects)}."
    return (
        f"Sign-flip test over {counted(most, 'pair')}: {', '.join(flips)}. "
        f"Sensitivity, the signs of whole seeds flipped together: {', '.join(whole_seeds)}; with "
        f"{counted(all_seeds, 'seed')} it cannot fall below {2 / 2**all_seeds:g}."
        f"{effect if effects else ''}"
    )


def exploratory_words(by_reading: dict[str, pd.DataFrame]) -> str:
    """Say at how many single p each reading's gap stands out, before and after the correction."""
    tables = {name: differences.paired_per_p(pairs) for name, pairs in by_reading.items()}
    tested = {name: table.dropna(subset=["p_value"]) for name, table in tables.items()}
    untested = [name for name, table in tested.items() if table.empty]
    tested = {name: table for name, table in tested.items() if len(table)}
    if not tested:
        several = max(map(len, tables.values())) > 1
        return "No test at a single p: each has one pair, or pairs of one gap." if several else ""
    none = f" No p could be tested by {', '.join(untested)}: its pairs have one gap." if untested else ""
    pairs = _count_range(pd.concat(tested)["n"])
    if max(map(len, tables.values())) == 1:
        said = (f"{name} p {probability(float(table['p_value'].iloc[0]))}" for name, table in tested.items())
        (p,) = {float(value) for table in tested.values() for value in table["p"]}
        return f"Exploratory: the paired t test at p = {p:g}, n = {pairs}: {', '.join(said)}.{none}"
    said = (
        f"{name} {(table['p_value'] <= 0.05).sum()} and {(table['holm'] <= 0.05).sum()} of {len(table)}"
        for name, table in tested.items()
    )
    return (
        f"Exploratory: single p tested one by one, with n = {pairs} pairs at each. So many are at or below 0.05 "
        f"uncorrected, and after Holm's correction within a reading: {', '.join(said)}.{none}"
    )


def diverged_words(counts: pd.DataFrame, compared: ComparedArms | None) -> str:
    """Say how many fits diverged, how many are weak, and what was done about them."""
    table = counts.set_index("arm")
    diverged, weak = (_counts_words(table[name][arm_order(table.index)].to_dict()) for name in ("diverged", "weak"))
    weak = f"Fits that ran to their end with a difference below {sensitivity.WEAK:g}: {weak}; all stay in."
    if not table["diverged"].any():
        return f"No fit diverged. {weak}"
    if compared is None:
        return f"Diverged: {diverged}. Such a fit has no value. {weak}"
    return (
        f"Diverged: {diverged}. Such a fit has no value; the headline is over the pairs that have both, and the table "
        f"says what follows if it counts as 0, or as either arm would have it. {weak}"
    )


def _counts_words(counts: dict[Any, float]) -> str:
    """Say how many fits each arm has of a kind; of many arms those alone that have any."""
    if len(counts) > MOST_NAMED:
        counts = {arm: count for arm, count in counts.items() if count} or {"any arm": 0}
    return ", ".join(f"{int(count)} of {arm}" for arm, count in counts.items())


def agreement_table(fits: pd.DataFrame, authors: pd.DataFrame, compared: ComparedArms | None) -> pd.DataFrame:
    """Compare each arm's curves, and the gap of two, with the authors': see :func:`bnbench.stats.agreement.against`.

    Ours are over trained pixels, as theirs are.
    """
    fits = tables.over_trained(fits)
    arms = [arm for arm in arm_order(fits["arm"]) if arm in set(authors["arm"])]
    table = agreement.against(fits, authors, arms, ["difference", "black", "white"])
    if compared is None or not {compared.first, compared.second} <= set(arms):
        return table
    pairs = differences.paired(fits, compared.first, compared.second)
    gap = agreement.gap_against(pairs, authors, compared.first, compared.second, "difference")
    row = {"arm": f"gap {compared.gap_name}", "value": "difference", **gap}
    return pd.concat([table, pd.DataFrame([row])], ignore_index=True)


def agreement_words(table: pd.DataFrame) -> str:
    """Say level and course against the authors' curves, and what that does not show."""
    rows = table[(table["value"] == "difference") & (table["probabilities"] > 0)]
    if rows.empty:
        return ""
    texts, same = [], rows["probabilities"].nunique() == 1
    for row in rows.to_dict("records"):
        course = "" if pd.isna(row["rho"]) else f", ρ = {plain_number(row['rho'])}"
        over = "" if same else f" ({counted(row['probabilities'], 'p')})"
        texts.append(f"{row['arm']} {signed(row['level'])}{course}{over}")
    course = "" if rows["rho"].isna().all() else " and Spearman's ρ"
    shared = counted(int(rows["probabilities"].iloc[0]), "p") if same else "the p that both have"
    return (
        "Against the authors' figure 4, over trained pixels as theirs, mean level of the difference (ours − theirs)"
        f"{course} over {shared}: "
        f"{'; '.join(texts)}. "
        "Theirs is one sweep read off a plot (± 0.005), on 30×30 masks, by their code under "
        "another protocol: levels need not agree, neighbouring p are not independent, and so no test is made. "
        "This sets two curves side by side; it is no replication."
    )


def _count_range(counts: pd.Series) -> str:
    low, high = int(counts.min()), int(counts.max())
    return f"{low}" if low == high else f"{low} to {high}"
