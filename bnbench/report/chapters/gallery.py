"""The figures that answer no question of their own: landscapes, training against test, cost, learning curves."""

from __future__ import annotations

import pandas as pd

from bnbench.report.chapters.chapter import drawable
from bnbench.report.figures.figure import Figure
from bnbench.report.figures.figure3 import figure3
from bnbench.report.figures.learning_curves import learning_curves
from bnbench.report.figures.training_against_test import training_against_test
from bnbench.report.figures.wall_time import wall_time
from bnbench.results.sweeps import Sweep


def gallery(sweep: Sweep, fits: pd.DataFrame, pair: tuple[float, int]) -> list[Figure]:
    """Return what is neither figure 4 nor in a chapter, as the page orders it; landscapes are of one (p, seed)."""
    split, threshold = sweep.protocol.measurement.split, sweep.protocol.training.threshold
    return drawable(
        [
            figure3(sweep.landscapes, *pair, threshold, split),
            training_against_test(sweep.landscapes, *pair, split),
            learning_curves(sweep.traces, fits),
            wall_time(fits),
        ]
    )
