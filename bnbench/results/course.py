"""A fit's course, measured at steps of its training: what its table must be to be believed."""

from __future__ import annotations

import numpy as np
import pandas as pd

from bnbench.measures import registry
from bnbench.results.summary import headline_rows

COURSE_KEYS = ("step", "pixels")  # what a row is of; its measures follow
_PIXELS = ("all", "trained")


def check_course(course: pd.DataFrame, summary: pd.DataFrame, steps: int) -> None:
    """Check that a course is one of a fit of so many steps, and ends where the fit's summary is; none is right, too.

    Args:
        course: as :class:`bnbench.results.store.FitResult` describes it.
        summary: of the same fit, checked.
        steps: of the fit.

    Raises:
        ValueError: it is not; the message says in what.
    """
    if course.empty and not len(course.columns):
        return
    if tuple(course.columns[: len(COURSE_KEYS)]) != COURSE_KEYS or not len(course):
        raise ValueError("its course is empty or has other columns")
    measures = [str(name) for name in course.columns[len(COURSE_KEYS) :]]
    taken, pixels = course["step"].to_numpy(), course["pixels"].tolist()
    if pixels != [*_PIXELS] * (len(pixels) // 2):
        raise ValueError("its course has no row for all pixels and one for the trained ones at each step")
    if taken.dtype.kind != "i" or (taken[::2] != taken[1::2]).any() or (np.diff(taken[::2]) <= 0).any():
        raise ValueError("its course is not in the order of its steps")
    if taken[0] < 1 or taken[-1] != steps:
        raise ValueError(f"its course is not one of {steps:,} steps")
    if not all(name.isidentifier() and course[name].dtype.kind in "if" for name in measures):
        raise ValueError("its course holds what is no number")
    ranges = {measure.name: (measure.low, measure.high) for measure in registry.REGISTERED}
    for name in measures:
        low, high = ranges.get(name, (-np.inf, np.inf))
        known = course[name].dropna().to_numpy(float)
        if not (np.isfinite(known) & (known >= low) & (known <= high)).all():
            raise ValueError(f"a {name} of its course is not between {low:g} and {high:g}")
    for which, last in zip(_PIXELS, course.tail(len(_PIXELS)).to_dict("records"), strict=True):
        end = headline_rows(summary, which).iloc[0]
        if any(name in end and not _is_same(last[name], end[name]) for name in measures):
            raise ValueError("its course does not end where its summary is")


def _is_same(one: float, other: float) -> bool:
    return bool(one == other or (np.isnan(one) and np.isnan(other)))
