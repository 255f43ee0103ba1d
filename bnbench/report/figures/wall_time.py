"""What the fits cost: wall time, a point per fit."""

from __future__ import annotations

from functools import partial

import pandas as pd
import seaborn as sns
from matplotlib.figure import Figure as Drawing

from bnbench.report.arms import arm_labels, arm_order, of_arms
from bnbench.report.figures.axes import MANY_FITS
from bnbench.report.figures.figure import Figure
from bnbench.report.figures.style import INK, SINGLE, arm_colours, new_drawing
from bnbench.report.tables import every_fit


def wall_time(fits: pd.DataFrame) -> Figure | None:
    """Draw the minutes of each fit, and the median as a bar; None where no arm has two fits or no time is known.

    Args:
        fits: a row per fit: ``arm, wall_seconds`` and more.
    """
    if "wall_seconds" not in fits or len(fits) <= fits["arm"].nunique():
        return None
    return Figure("wall_time", partial(_draw, fits), _caption(fits), every_fit(fits))


def _draw(fits: pd.DataFrame) -> Drawing:
    order = arm_order(fits["arm"])
    labels, colours = arm_labels(order), arm_colours(order)
    drawing = new_drawing(SINGLE, (1.6 + 0.9 * len(order)) / 2.54)
    axes = drawing.subplots()
    table = fits.assign(minutes=fits["wall_seconds"] / 60)
    sns.stripplot(
        table,
        x="minutes",
        y="arm",
        hue="arm",
        order=order,
        hue_order=order,
        palette=colours,
        legend=False,
        size=2.6,
        alpha=0.6,
        jitter=False,
        rasterized=len(fits) > MANY_FITS,
        ax=axes,
    )
    medians = table.groupby("arm")["minutes"].median()
    for place, arm in enumerate(order):
        axes.plot([medians[arm]] * 2, [place - 0.3, place + 0.3], color=INK, linewidth=1, zorder=1)
    counts = table.groupby("arm").size()
    axes.set_yticks(range(len(order)), [f"{labels[arm].strip()}\nn = {counts[arm]}" for arm in order])
    axes.set(xlabel="minutes per fit (bar: median)", ylabel="", xlim=(0, None))
    return drawing


def _caption(fits: pd.DataFrame) -> str:
    medians = (fits.groupby("arm")["wall_seconds"].median() / 60)[arm_order(fits["arm"])].to_dict()
    said = of_arms(medians, lambda arm: f"{arm} {medians[arm]:.3g} min")
    medians_text = f"Wall time of every fit, a point each; bar: median ({said})."
    return f"{medians_text} Fits that ran side by side share the machine."
