"""The landscapes of one (p, seed): which one a report shows, and its pixels."""

from __future__ import annotations

import pandas as pd

from bnbench.report.arms import arm_order
from bnbench.report.tables import Table

MEASURED = ["test_loss", "test_accuracy", "train_loss", "train_accuracy"]  # columns that hold a number for each pixel


def choose_pair(landscapes: pd.DataFrame, wanted: tuple[float, int] | None = None) -> tuple[float, int]:
    """Choose the (p, seed) to show: the wanted one if fitted, else p nearest one half, the first seed with most arms.

    Args:
        landscapes: a row per pixel: ``arm, p, seed``, perhaps its place, and more; at least one.
        wanted: a (p, seed), or None.
    """
    if {"row", "column"} <= set(landscapes):  # of each fit one pixel says as much as all
        landscapes = landscapes[(landscapes["row"] == 0) & (landscapes["column"] == 0)]
    fits = landscapes[["arm", "p", "seed"]].drop_duplicates()
    if wanted is not None and arms_at(fits, *wanted):
        return wanted
    p = min(fits["p"].unique(), key=lambda value: (round(abs(value - 0.5), 6), value))
    arms = fits[fits["p"] == p].groupby("seed").size()
    return float(p), int(arms.index[arms.to_numpy().argmax()])


def arms_at(landscapes: pd.DataFrame, p: float, seed: int) -> int:
    """Return how many arms were fitted at a (p, seed)."""
    return int(landscapes.loc[(landscapes["p"] == p) & (landscapes["seed"] == seed), "arm"].nunique())


def pixels_of(landscapes: pd.DataFrame, p: float, seed: int) -> pd.DataFrame:
    """Return the pixels of every arm at a (p, seed).

    Raises:
        ValueError: no such fit.
    """
    shown = landscapes[(landscapes["p"] == p) & (landscapes["seed"] == seed)]
    if shown.empty:
        raise ValueError(f"no fit has p={p:g} and seed {seed}; choose one that was run.")
    return shown


def pixels_table(landscapes: pd.DataFrame, p: float, seed: int, split: str) -> Table:
    """List every pixel of a (p, seed): where it is, its colour, and what was measured there for each arm.

    The page does not show it, for nobody reads 900 rows: it has the explorer.
    """
    shown = pixels_of(landscapes, p, seed)
    places = ["row", "column"]
    table = shown[[*places, "black", "trained"]].drop_duplicates(places).set_index(places)
    for arm in arm_order(shown["arm"]):
        mine = shown[shown["arm"] == arm].set_index(places)[MEASURED]
        names = [f"{arm} {name.replace('test_', f'{split}_')}" for name in MEASURED]
        table = table.join(mine.set_axis(names, axis=1))
    title = f"Figure 3, pixel by pixel: p = {p:g}, seed {seed}"
    return Table("figure3", title, "Row 0 is on top", table.sort_index().reset_index(), on_page=False)
