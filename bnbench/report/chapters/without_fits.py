"""What a results folder says before it has a fit: networks, planes and evaluations may be there alone."""

from __future__ import annotations

import pandas as pd

from bnbench.report.chapters import smoothness
from bnbench.report.chapters.chapter import Chapter
from bnbench.report.chapters.headline import Answer
from bnbench.report.chapters.in_short import of_nothing
from bnbench.report.chapters.smoothness_agreement import Smoothness
from bnbench.report.tables import Table, fits_table
from bnbench.results.beside_fits import beside_fits
from bnbench.results.evaluations import mean_readings
from bnbench.results.sweeps import Sweep
from bnbench.wording import counted

_NEED = "How far a landscape bends is said by fits, and there is none yet: bnbench run computes them into this folder."


def answer(sweep: Sweep, diverged: pd.DataFrame) -> Answer:
    """Say what a sweep without a fit holds, and what became of its fits.

    Args:
        sweep: what was read, without any fit.
        diverged: a row per fit that diverged: ``arm, p, seed``.
    """
    lost = f" {counted(len(diverged), 'fit')} diverged, and such a fit has no value." if len(diverged) else ""
    there = beside_fits(sweep.folders)
    if not there:
        return Answer(
            "No fit to report", f"No whole fit could be read, so there is nothing to say yet.{lost}", [], of_nothing()
        )
    return Answer(f"No fit yet, but {there[0]}", f"This folder holds {'; '.join(there)}.{lost}", [_NEED], of_nothing())


def chapters(sweep: Sweep, evaluated: pd.DataFrame, smooth: Smoothness) -> list[Chapter]:
    """Return what networks, pixels of planes and evaluations say without the fits beside them.

    Args:
        sweep: what was read, without any fit.
        evaluated: planes measured again, of any sweep.
        smooth: networks measured along training and pixels of planes, of this sweep.
    """
    found = [
        smoothness.chapter(smooth, fits_table(sweep), sweep.landscapes, sweep.protocol.training),
        _measured_again(evaluated[evaluated["protocol"] == sweep.protocol.id]),
    ]
    return [chapter for chapter in found if chapter is not None]


def _measured_again(evaluated: pd.DataFrame) -> Chapter | None:
    if evaluated.empty:
        return None
    means = mean_readings(evaluated).drop(columns="protocol")
    note = (
        "Means over trained pixels and planes, under each choice of batch-norm statistics; difference: accuracy "
        "contrast, objective: J, in nats"
    )
    sentence = "bnbench evaluate measured these planes again, without training; their fits are not in this folder."
    table = Table("evaluations", "Planes measured again", note, means)
    return Chapter("evaluations", "Stored planes, measured again", [sentence], [], [table])
