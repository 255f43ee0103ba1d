"""How accuracy grew while the fits were trained: thin lines, or a band of many, and a thick line for their mean."""

from __future__ import annotations

from functools import partial

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Drawing
from matplotlib.lines import Line2D

from bnbench.bn_policy import NO_BN
from bnbench.report.arms import arm_labels, arm_order
from bnbench.report.figures.axes import MANY_FITS, draw_nine_tenths, legend_above
from bnbench.report.figures.figure import Figure, NarrowDrawing
from bnbench.report.figures.style import DOUBLE, INK, PAPER, SINGLE, arm_colours, new_drawing
from bnbench.report.tables import Table, sorted_by_arm
from bnbench.stats.settling import WINDOWS, smooth
from bnbench.wording import counted

_MANY_ARMS = 3  # with more, the legend would be as high as a panel, and a narrow screen shows two beside each other


def learning_curves(traces: pd.DataFrame, fits: pd.DataFrame) -> Figure | None:
    """Draw a panel of thin lines for each arm; None where nothing was traced.

    Args:
        traces: as :func:`bnbench.stats.settling.smooth` takes them.
        fits: a row per fit: ``arm, policy`` and more.
    """
    if "step" not in traces:
        return None
    table = smooth(traces)
    draw: NarrowDrawing = partial(_draw, table)
    narrow = draw if fits["arm"].nunique() > 1 else None
    return Figure("learning_curves", draw, _caption(table, fits), _means_table(table), narrow)


def _means_table(table: pd.DataFrame) -> Table:
    """Return the thick lines: mean over an arm's fits in each window of steps."""
    groups = table.groupby(["arm", "window"])
    means = groups[["step", "black_accuracy", "white_accuracy"]].mean()
    means.insert(1, "fits", groups.size())
    note = "Minibatch accuracy over trained pixels, averaged over windows of steps and then over the arm's fits"
    frame = sorted_by_arm(means.reset_index().drop(columns="window"))
    return Table("learning_curves", "Mean learning curves", note, frame)


def _draw(table: pd.DataFrame, *, narrow: bool = False) -> Drawing:
    order = arm_order(table["arm"])
    colours, labels = arm_colours(order), arm_labels(order)
    is_small = narrow and len(order) > _MANY_ARMS
    columns = 1 + is_small if narrow else 2 if len(order) in (2, 4) else min(len(order), 3)
    rows = -(-len(order) // columns)
    drawing = new_drawing(
        DOUBLE if columns > 1 and not narrow else SINGLE, (4.6 if is_small else 5.4) / 2.54 * rows + 0.2
    )
    grid = drawing.subplots(rows, columns, squeeze=False, sharex=True, sharey=True).ravel()
    for axes in grid[len(order) :]:
        axes.set_visible(False)
    for axes, arm in zip(grid, order, strict=False):
        mine = table[table["arm"] == arm]
        _draw_fits(axes, mine, colours[arm], many=_number(table) > MANY_FITS)
        between = ",\n" if is_small else ", "
        number = counted(mine.groupby(["p", "seed"]).ngroups, "fit")
        axes.set_title(f"{labels[arm].strip()}{between}{number}", loc="left")
    grid[0].set_ylim(0, 1)
    for axes in grid[0 : len(order) : columns]:
        axes.set_ylabel("minibatch accuracy")
    for axes in grid[max(0, len(order) - columns) : len(order)]:
        axes.set_xlabel("training step")
        axes.tick_params(labelbottom=True)
    legend_above(drawing, _handles(order))
    return drawing


def _number(table: pd.DataFrame) -> int:
    """Return the number of fits."""
    return table.groupby(["arm", "p", "seed"]).ngroups


def _draw_fits(axes: Axes, fits: pd.DataFrame, colour: str, *, many: bool) -> None:
    if many:
        draw_nine_tenths(axes, fits, "window", "black_accuracy", color=colour, alpha=0.25)
        draw_nine_tenths(axes, fits, "window", "white_accuracy", color=INK, alpha=0.18)
    for _, fit in () if many else fits.groupby(["p", "seed"]):
        axes.plot(fit["step"], fit["black_accuracy"], color=colour, linewidth=0.3, alpha=0.35)
        axes.plot(fit["step"], fit["white_accuracy"], color=INK, linewidth=0.3, alpha=0.25)
    mean = fits.groupby("window")[["step", "black_accuracy", "white_accuracy"]].mean()
    axes.plot(mean["step"], mean["black_accuracy"], color=PAPER, linewidth=2.4)
    axes.plot(mean["step"], mean["black_accuracy"], color=colour, linewidth=1.2)
    axes.plot(mean["step"], mean["white_accuracy"], color=PAPER, linewidth=2.4)
    axes.plot(mean["step"], mean["white_accuracy"], color=INK, linewidth=1.2, linestyle=(0, (1, 1.2)))


def _handles(order: list[str]) -> list[Line2D]:
    """Return the legend: an entry for each arm, or one for all where they are many; each panel names its arm anyway."""
    colours, labels = arm_colours(order), arm_labels(order)
    handles = [Line2D([], [], color=colours[arm], label=f"{labels[arm].strip()}, black pixels") for arm in order]
    if len(order) > _MANY_ARMS:
        handles = [Line2D([], [], color=INK, label="black pixels, in the arm's colour")]
    return [*handles, Line2D([], [], color=INK, linestyle=(0, (1, 1.2)), label="white pixels")]


def _caption(table: pd.DataFrame, fits: pd.DataFrame) -> str:
    """Return the caption; ``fits`` says which arms have batch normalization."""
    normalized = arm_order(fits.loc[fits["policy"] != str(NO_BN), "arm"])
    own = f"{' and '.join(normalized)} under the minibatch's own statistics: " if normalized else "other images: "
    number = _number(table)
    single = "Band: nine tenths of the fits" if number > MANY_FITS else "Thin: single fits"
    return (
        f"Learning curves of {counted(number, 'fit')}: accuracy on training minibatches over trained black pixels (the "
        f"arm's colour) and white pixels (dotted), averaged over up to {WINDOWS} windows of steps; {own}"
        f"levels differ from figure 4. {single}; thick: their mean."
    )
