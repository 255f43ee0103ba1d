"""Fits one after another in this very process: for a debugger, and for tests."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from bnbench.protocol.protocol import FitKey
from bnbench.sweep.backends.backend import Backend
from bnbench.sweep.devices import DeviceRequest, Slot
from bnbench.sweep.execution import Job, Outcome
from bnbench.sweep.interrupts import RunnerStop
from bnbench.sweep.worker import run_fit


class Inline(Backend):
    """Computes fits one after another in this very process."""

    name = "inline"
    has_processes = False

    def slots(self, request: DeviceRequest) -> tuple[Slot, ...]:
        """Return one slot, however many devices and jobs are asked for: the plan and its time are of what runs here.

        Raises:
            RequestError: a device that was asked for is not there.
        """
        return super().slots(request)[:1]

    def compute(self, batch: Sequence[FitKey], job: Job, stop: RunnerStop) -> Iterator[Outcome]:
        """Compute fits in their order."""
        for key in batch:
            if stop.is_requested:
                return
            yield run_fit(key, job)
