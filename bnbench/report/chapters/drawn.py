"""The numbers behind the drawings that no other table holds: pixels, curves against steps, the authors' curve."""

from __future__ import annotations

import pandas as pd

from bnbench.report.chapters.gallery import authors_of
from bnbench.report.chapters.headline import Two
from bnbench.report.figures.style import arm_order
from bnbench.report.tables import Table
from bnbench.results.sweeps import Sweep
from bnbench.stats.settling import gap_course, smooth

_STEPS_NOTE = (
    "Minibatch accuracy, black − white: mean and deviation over the arm's fits in each window of steps; the gap of two "
    "arms over their pairs (fits) with its 95 % t interval, variance within each p"
)
_MEASURED = ["test_loss", "test_accuracy", "train_loss", "train_accuracy"]


def drawn_tables(sweep: Sweep, fits: pd.DataFrame, two: Two | None) -> list[Table]:
    """The curves against steps and the authors' figure 4, where a sweep has them; at least one fit."""
    tables = []
    if "step" in sweep.traces:
        note = "Minibatch accuracy over trained pixels, averaged over windows of steps and then over the arm's fits"
        tables.append(Table("learning_curves", "Mean learning curves", note, curves_table(sweep.traces)))
        steps = steps_table(sweep.traces, two)
        tables.append(Table("difference_over_steps", "Mean difference against steps", _STEPS_NOTE, steps))
    if (authors := authors_of(sweep.protocol, fits)) is not None:
        tables.append(Table("authors", "The authors' figure 4", "Read off their published plot (± 0.005)", authors))
    return tables


def pixels_table(sweep: Sweep, p: float, seed: int) -> Table:
    """Every pixel of figure 3: where it is, its colour, and what each arm measured there."""
    shown = sweep.landscapes[(sweep.landscapes["p"] == p) & (sweep.landscapes["seed"] == seed)]
    places = ["row", "column"]
    table = shown[[*places, "black", "trained"]].drop_duplicates(places).set_index(places)
    for arm in arm_order(shown["arm"]):
        mine = shown[shown["arm"] == arm].set_index(places)[_MEASURED]
        names = [f"{arm} {name.replace('test_', f'{sweep.protocol.measurement.split}_')}" for name in _MEASURED]
        table = table.join(mine.set_axis(names, axis=1))
    title = f"Figure 3, pixel by pixel: p = {p:g}, seed {seed}"
    return Table("figure3", title, "Row 0 is on top", table.sort_index().reset_index())


def curves_table(traces: pd.DataFrame) -> pd.DataFrame:
    """The thick lines of the learning curves: mean over an arm's fits in each window of steps.

    Args:
        traces: as :func:`bnbench.stats.settling.smooth` takes them.
    """
    table = smooth(traces)
    groups = table.groupby(["arm", "window"])
    means = groups[["step", "black_accuracy", "white_accuracy"]].mean()
    means.insert(1, "fits", groups.size())
    return _by_arm(means)


def steps_table(traces: pd.DataFrame, two: Two | None) -> pd.DataFrame:
    """The lines of the difference against steps, with their bands: a row per arm and window, then the gap's.

    Args:
        traces: as :func:`bnbench.stats.settling.smooth` takes them.
        two: the arms of the gap, or None.
    """
    table = smooth(traces)
    groups = table.groupby(["arm", "window"])
    means = groups.agg(
        step=("step", "mean"), fits=("step", "size"), mean=("difference", "mean"), sd=("difference", "std")
    )
    arms = _by_arm(means)
    if two is None:
        return arms
    course = gap_course(table, two.first, two.second)
    course = course.assign(arm=f"gap {two.first} − {two.second}", fits=len(two.pairs))
    return pd.concat([arms, course], ignore_index=True)


def _by_arm(means: pd.DataFrame) -> pd.DataFrame:
    """Rows in the order of arms and steps, where ``means`` is indexed by arm and window."""
    order = arm_order(means.index.get_level_values("arm"))
    return pd.concat([means.loc[[arm]].reset_index().drop(columns="window") for arm in order], ignore_index=True)
