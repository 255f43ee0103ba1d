"""Did the fits still move when training stopped? What the stored training traces say; tables in, tables out.

A trace is measured on training minibatches over trained pixels, bn under its minibatch's own statistics, so its
levels are not those of the headline.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from bnbench.stats import differences

WINDOWS = 60  # a trace is averaged over so many windows: its noise shrinks, its shape stays
_FITS = ["arm", "p", "seed"]
_ACCURACIES = ["black_accuracy", "white_accuracy"]


def smooth(traces: pd.DataFrame) -> pd.DataFrame:
    """Average each fit's trace over equal windows of steps.

    Args:
        traces: ``arm, p, seed, step, black_accuracy, white_accuracy`` and more, a row per traced step.

    Returns:
        The same columns with ``window`` and ``difference`` = black − white accuracy, at most ``WINDOWS`` rows per fit.
    """
    table = traces[[*_FITS, "step", *_ACCURACIES]].astype({"step": float})
    width = max((table["step"].max() + 1) / WINDOWS, 1.0)
    table = table.assign(window=(table["step"] // width).astype(int))
    table = table.groupby([*_FITS, "window"], as_index=False)[["step", *_ACCURACIES]].mean()
    return table.assign(difference=table["black_accuracy"] - table["white_accuracy"])


def ends(traces: pd.DataFrame) -> pd.DataFrame:
    """Return each fit's end: averages over the last tenth of its T steps, and how far the last quarter brought it.

        moved = mean of the difference over (0.90 T, T] − the same over (0.65 T, 0.75 T]

    The centres of both windows are T/4 apart.

    Args:
        traces: as :func:`smooth` takes them, with ``clamped``.

    Returns:
        A row per fit: ``arm, p, seed, clamped, before, end, moved``; NaN where a window holds no row of the trace.
    """
    last = traces.groupby(_FITS)["step"].transform("max")
    share = traces["step"] / last
    table = traces[[*_FITS, "clamped"]].assign(difference=traces["black_accuracy"] - traces["white_accuracy"])
    end = table[share > 0.9].groupby(_FITS)[["clamped", "difference"]].mean()
    before = table[(share > 0.65) & (share <= 0.75)].groupby(_FITS)["difference"].mean()
    found = end.rename(columns={"difference": "end"}).join(before.rename("before"))
    return found.assign(moved=found["end"] - found["before"])[["clamped", "before", "end", "moved"]].reset_index()


def settled(table: pd.DataFrame) -> pd.DataFrame:
    """Average :func:`ends` over the fits of each arm, every p weighing the same, with the movement's 95 % interval.

    Args:
        table: what :func:`ends` returns.

    Returns:
        A row per arm: ``arm, fits, clamped, before, end, moved, low, high``; the interval is a t interval on the
        variance within each p, NaN while any p has a single fit.
    """
    rows = []
    for arm, mine in table.groupby("arm"):
        low, high = differences.stratified_interval(mine["moved"], mine["p"])
        means = {name: differences.mean_over_p(mine, name) for name in ("clamped", "before", "end", "moved")}
        rows.append({"arm": arm, "fits": len(mine), **means, "low": float(low), "high": float(high)})
    return pd.DataFrame(rows)


def gap_moved(table: pd.DataFrame, first: str, second: str) -> dict[str, float]:
    """Return how far the last quarter moved the gap ``first − second``: ``moved, low, high`` as :func:`settled`."""
    pairs = differences.paired(table, first, second, "moved")
    low, high = differences.stratified_interval(pairs["gap"], pairs["p"])
    return {"fits": len(pairs), "moved": differences.mean_over_p(pairs, "gap"), "low": float(low), "high": float(high)}


def gap_course(smoothed: pd.DataFrame, first: str, second: str) -> pd.DataFrame:
    """Return the mean paired gap ``first − second`` in every window that all pairs have, with its interval.

    Args:
        smoothed: what :func:`smooth` returns.
        first: the arm counted positive.
        second: the arm subtracted.

    Returns:
        A row per window: ``step, mean, low, high``; no row without pairs.
    """
    keys = ["p", "seed", "window"]
    wide = {arm: smoothed[smoothed["arm"] == arm].set_index(keys)["difference"] for arm in (first, second)}
    gaps = (wide[first] - wide[second]).unstack("window").dropna(axis=0, how="all").dropna(axis=1)  # (pairs, windows)
    values = gaps.to_numpy().T
    if not values.size:
        return pd.DataFrame(columns=["step", "mean", "low", "high"])
    probs = gaps.index.get_level_values("p").to_numpy()
    mean, _, _ = differences.stratified(values, probs)
    low, high = differences.stratified_interval(values, probs)
    steps = smoothed.groupby("window")["step"].mean()[gaps.columns].to_numpy()
    return pd.DataFrame({"step": steps, "mean": mean, "low": low, "high": high})


def ahead_since(course: pd.DataFrame) -> float:
    """Return the step from which the mean gap kept the sign that it ends with.

    Args:
        course: what :func:`gap_course` returns, at least one row.
    """
    signs = np.sign(course["mean"].to_numpy())
    others = np.flatnonzero(signs != signs[-1])
    return float(course["step"].iloc[others[-1] + 1 if len(others) else 0])
