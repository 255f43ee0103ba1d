"""joblib's tracker of what its processes share: it clears away what a killed one has left, and need not say so."""

from __future__ import annotations

import os

from joblib.externals.loky.backend import resource_tracker

from bnbench.sweep.interrupts import without_interrupts


def start_quiet_tracker() -> None:
    """Start the tracker, unless it runs: no terminal's end ends it, and it prints no warning when the program has."""
    before = os.environ.get("PYTHONWARNINGS")
    os.environ["PYTHONWARNINGS"] = "ignore"
    try:
        with without_interrupts():
            resource_tracker.ensure_running()
    finally:
        del os.environ["PYTHONWARNINGS"]
        if before is not None:
            os.environ["PYTHONWARNINGS"] = before
