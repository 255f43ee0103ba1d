"""What a sweep is asked for, and how it ended."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from bnbench.protocol.profiles import folder_name
from bnbench.protocol.protocol import FitKey, Grid, Protocol
from bnbench.sweep.backends import BACKENDS
from bnbench.sweep.backends.backend import Backend
from bnbench.sweep.devices import DeviceRequest
from bnbench.sweep.execution import Execution, Outcome
from bnbench.sweep.plan import Plan

_STORED = ("threads", "data_folder", "download", "checkpoint_every", "fit_timeout", "fit_memory", "keep_planes")


@dataclass(frozen=True)
class SweepRequest:
    """Says what a sweep is asked for.

    Attributes:
        protocol: what its fits have in common; the digest of the images is filled in when they are loaded.
        grid: which fits.
        folder: the results folder; None for the protocol's own below ``results``.
        execution: how fits are computed; its slots and its chunk are chosen when the sweep begins.
        chunk: pixels computed at once; None for the number that the folder was started with, or else the fastest.
        shard: (number, of how many): every M-th fit of the grid from the N-th on.
        retry_failed: run fits again that have failed.
        force: run every fit again, and move aside what is there.
        fail_fast: stop at the first fit that fails.
        dry_run: plan, and start nothing.
        seeds_now: the seeds whose fits are run in this go; None for all of the grid's. The others stay to do.
    """

    protocol: Protocol
    grid: Grid
    folder: Path | None = None
    execution: Execution = field(default_factory=Execution)
    chunk: int | None = None
    shard: tuple[int, int] = (1, 1)
    retry_failed: bool = False
    force: bool = False
    fail_fast: bool = False
    dry_run: bool = False
    seeds_now: tuple[int, ...] | None = None

    def folder_of(self, protocol: Protocol) -> Path:
        """Return the results folder: the one that was asked for, or the protocol's own."""
        return self.folder or Path("results") / folder_name(protocol)

    def keys_now(self) -> list[FitKey]:
        """Return the fits that this go may run: of this shard and of these seeds."""
        keys = self.grid.shard(*self.shard)
        return keys if self.seeds_now is None else [key for key in keys if key.seed in self.seeds_now]

    def options(self, backend: Backend) -> dict[str, Any]:
        """Return the options of ``bnbench run``, besides knobs and grid, that repeat this request.

        ``--force`` and others of a single run are left out.
        """
        usual, usual_devices = Execution(), DeviceRequest()
        devices = self.execution.devices
        measured = self.execution.measure_at
        asked = {"out": self.folder, "chunk": self.chunk, "measure_at": str(measured) if measured else None}
        asked |= _changed({name: getattr(self.execution, name) for name in _STORED}, usual)
        asked |= _changed({knob.name: getattr(devices, knob.name) for knob in fields(devices)}, usual_devices)
        chosen = backend.options if backend.name in BACKENDS else {}  # the command knows of no others
        return {name: value for name, value in asked.items() if value is not None} | chosen


@dataclass(frozen=True)
class EndedSweep:
    """Says how a sweep ended.

    Attributes:
        plan: what had been done before, and what was to run.
        execution: how they were computed, on which slots.
        backend: the place where fits were computed.
        outcomes: of the fits that have ended since, in that order.
    """

    plan: Plan
    execution: Execution
    backend: Backend
    outcomes: list[Outcome]

    @property
    def failed(self) -> dict[FitKey, str]:
        """Return the fits that have failed, now or in an earlier run, and why."""
        failed = {outcome.key: outcome.message for outcome in self.outcomes if outcome.state == "failed"}
        return failed | {key: str(failure) for key, failure in self.plan.failed.items() if key not in failed}


def _changed(values: Mapping[str, Any], usual: object) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value != getattr(usual, name)}
