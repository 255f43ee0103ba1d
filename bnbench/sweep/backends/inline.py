"""Fits one after another in this very process: for a debugger, and for tests."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from bnbench.protocol.protocol import FitKey
from bnbench.sweep.backends.backend import Backend
from bnbench.sweep.execution import Job, Outcome
from bnbench.sweep.interrupts import RunnerStop
from bnbench.sweep.worker import run_fit


class Inline(Backend):
    """Computes fits one after another in this very process."""

    name = "inline"

    def compute(self, batch: Sequence[FitKey], job: Job, stop: RunnerStop) -> Iterator[Outcome]:
        """Compute fits in their order."""
        for key in batch:
            if stop.is_requested:
                return
            yield run_fit(key, job)
