"""What a sweep says of a fit whose file is there: that it is done, and its numbers."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from bnbench.measures.registry import READINGS
from bnbench.protocol.protocol import FitKey
from bnbench.results import layout, store
from bnbench.results.fits import read_fit
from bnbench.results.summary import headline_rows
from bnbench.sweep.execution import Outcome


def headline_readings(summary: pd.DataFrame) -> tuple[float, float, dict[str, float]]:
    """Return the headline's mean accuracies over black and white pixels, and what the trained ones alone say.

    A summary that is older than right and J lacks them.
    """
    row, trained = (headline_rows(summary, pixels).iloc[0] for pixels in ("all", "trained"))
    names = [name for name in ("black", "white", *READINGS) if name in trained]
    return float(row["black"]), float(row["white"]), {name: float(trained[name]) for name in names}


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
    return Outcome(key, "done", seconds, gflops, *headline_readings(result.summary))
