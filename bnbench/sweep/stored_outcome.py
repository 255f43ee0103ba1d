"""What a sweep says of a fit whose file is there: that it is done, and its numbers."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from bnbench.protocol.protocol import FitKey
from bnbench.results import layout, store
from bnbench.results.fits import read_fit
from bnbench.results.summary import headline_rows
from bnbench.sweep.execution import Outcome


def headline_accuracies(summary: pd.DataFrame) -> tuple[float, float]:
    """Return the headline's mean accuracy over black and over white pixels."""
    row = headline_rows(summary).iloc[0]
    return float(row["black"]), float(row["white"])


def stored_outcome(key: FitKey, folder: Path, identity: str) -> Outcome:
    """Return the outcome of a fit whose file is there, if it has this identity.

    Raises:
        FileNotFoundError: nothing is there any more.
        StoreError: the file is damaged, or it holds another fit.
    """
    path = layout.fit_path(folder, key)
    result = read_fit(path)
    if result.identity != identity:
        raise store.StoreError(f"{path} holds another fit than the one asked for; move it to its own folder.")
    seconds, gflops = (result.provenance.get(name, float("nan")) for name in ("wall_seconds", "gflops"))
    return Outcome(key, "done", seconds, gflops, *headline_accuracies(result.summary))
