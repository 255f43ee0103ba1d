"""How a sweep is computed, and how each of its fits ended: what runner and workers tell each other."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from bnbench.mpo.gradient import CHUNK
from bnbench.protocol.identity import identity_of
from bnbench.protocol.measured_steps import MeasuredSteps
from bnbench.protocol.protocol import FitKey, Protocol
from bnbench.results import layout
from bnbench.sweep.devices import DeviceRequest, Slot
from bnbench.sweep.same_code import Code, code_here
from bnbench.wording import readings_words

State = Literal["done", "failed", "stopped", "taken", "killed"]


@dataclass(frozen=True)
class Execution:
    """Says how fits are computed: nothing here belongs to the protocol.

    Attributes:
        slots: places for one fit at a time; none before a backend has been asked for them. Those of a cluster are
            counted here, and each of its machines makes its own from ``devices``.
        chunk: pixels computed at once; 0 in a plan whose run will measure it.
        data_folder: where the files of the data set, or a user's own images, lie; None for the usual places.
        download: whether torchvision may download a missing one.
        checkpoint_every: seconds between two checkpoints of a fit.
        devices: which devices were asked for, and how many threads a fit has.
        keep_planes: whether a fit also leaves its plane in the results folder.
        measure_at: at which steps of a fit its landscape is measured as well; None for its end alone.
        fit_timeout: seconds that a fit may take in one go, from its worker's taking it up; None for no limit.
        one_batch: devices and arms whose fits at once are one batch of networks.
        fit_memory: MiB of main memory that the process of a fit may hold; None for no limit.
        measures_slots: whether the run of this plan will measure how many fits share a GPU; each has one slot here.
    """

    slots: tuple[Slot, ...] = ()
    chunk: int = CHUNK
    data_folder: Path | None = None
    download: bool = False
    checkpoint_every: float = 120.0
    devices: DeviceRequest = field(default_factory=DeviceRequest)
    keep_planes: bool = False
    measure_at: MeasuredSteps | None = None
    fit_timeout: float | None = None
    one_batch: frozenset[tuple[str, str]] = frozenset()
    fit_memory: int | None = None
    measures_slots: bool = False

    @property
    def has_limits(self) -> bool:
        """Return whether a fit may end the process that it is in."""
        return self.fit_timeout is not None or self.fit_memory is not None

    @property
    def threads(self) -> int:
        """Return the processor threads of a fit."""
        return self.devices.threads


@dataclass(frozen=True)
class Job:
    """Holds what a worker needs beside a fit's key.

    Attributes:
        protocol: what is asked.
        folder: the results folder, absolute.
        execution: how.
        token: names the runner, and what it shares with its workers.
        is_remote: whether workers may be on other machines, and the folder out of their reach.
        runner: the runner's process.
        sources: of each foreign arm the hash of its source, as the runner has loaded it.
        code: what the runner would compute with; a worker with other code refuses.
        shares_process: whether other fits may run in the worker's process: a GPU's, in threads.
    """

    protocol: Protocol
    folder: Path
    execution: Execution
    token: str
    is_remote: bool = False
    runner: int = field(default_factory=os.getpid)
    sources: Mapping[str, str] = field(default_factory=dict)
    code: Code = field(default_factory=code_here)
    shares_process: bool = False

    def identity(self, key: FitKey) -> str:
        """Return the hash of what a fit was to be when the sweep was planned; no arm is loaded for it."""
        return identity_of(key, self.protocol, self.sources.get(key.arm, ""))

    def time_marker(self, key: FitKey) -> Path:
        """Return the path at which a worker leaves the traceback of a fit whose time was over."""
        return self.local_folder / f"over-{layout.fit_name(key)}"

    def memory_marker(self, key: FitKey) -> Path:
        """Return the path at which a worker leaves word of a fit that held too much memory."""
        return self.local_folder / f"memory-{layout.fit_name(key)}"

    def fits_at_once(self, slot: Slot) -> int:
        """Return how many fits share a slot's GPU, or process; 0 of a processor's, which have cores alone."""
        is_shared = slot.device != "cpu" or self.shares_process
        return sum(other.device == slot.device for other in self.execution.slots) if is_shared else 0

    @property
    def without_triton(self) -> Path:
        """Return the path of a file that tells later workers of this machine to leave Triton out: a GPU was lost."""
        return self.local_folder / "without-triton"

    @property
    def local_folder(self) -> Path:
        """Return the runner's folder on the disk of whichever machine asks: leases, and the word to stop."""
        return Path(tempfile.gettempdir()) / f"bnbench-{self.token}"

    @property
    def progress_every(self) -> float:
        """Return how often a fit says how far it is, in seconds; a cluster's thousand fits share one file system."""
        return 5.0 if self.is_remote else 0.5

    @property
    def here_marker(self) -> Path:
        """Return the path of a file that a worker sees if it shares the runner's disk."""
        return self.folder / "running" / f"here-{self.token}"

    @property
    def stop_markers(self) -> tuple[Path, ...]:
        """Return the files whose presence tells every worker to stop."""
        here = self.local_folder / "stop"
        return (here, self.folder / "running" / f"stop-{self.token}") if self.is_remote else (here,)


@dataclass(frozen=True)
class Outcome:
    """Says how one fit ended.

    Attributes:
        key: which fit it is.
        state: ``done``; ``failed``; ``stopped`` by a signal, its checkpoint kept unless the message says otherwise;
            ``taken``, because another runner computes it; or ``killed`` with all workers that a cluster gave it to.
        seconds: wall time, that of earlier parts of a resumed fit included.
        gflops: 10⁹ operations a second while it trained.
        black: mean accuracy over black pixels, in [0, 1].
        white: mean accuracy over white pixels.
        trained: the measures over trained pixels alone, by name, of which files older than right and J lack these.
        message: one sentence; why it failed, or what else should be known.
        is_fatal: whether the fault lies in the disk or in a worker's code, so that no other fit can fare better.
        files: what a worker that cannot reach the results folder has written: path below it to content.
    """

    key: FitKey
    state: State
    seconds: float = 0.0
    gflops: float = float("nan")
    black: float = float("nan")
    white: float = float("nan")
    trained: dict[str, float] = field(default_factory=dict)
    message: str = ""
    is_fatal: bool = False
    files: dict[str, bytes] = field(default_factory=dict)

    def __str__(self) -> str:
        note = f"; {self.message}" if self.message else ""
        if self.state == "failed":
            return f"{self.key}: FAILED, {self.message}"
        if self.state != "done":
            return f"{self.key}: {self.state}{note}"
        over_all = {"black": self.black, "white": self.white}
        pixels, measures = ("trained", self.trained) if self.trained else ("all", over_all)
        return f"{self.key}: {readings_words(measures)} over {pixels} pixels, in {self.seconds:.0f} s{note}"

    def as_dict(self) -> dict[str, Any]:
        """Return the outcome as plain values, for machines."""
        ended = {"arm": self.key.arm, "p": self.key.p, "seed": self.key.seed, "state": self.state}
        if self.state == "done":
            ended |= {"black": self.black, "white": self.white, "difference": self.black - self.white}
            ended |= {f"{name}_trained": value for name, value in self.trained.items()}
        return {**ended, "seconds": round(self.seconds, 3), "message": self.message}


class FitStoppedError(Exception):
    """The fit was told to stop; its checkpoint is written, or the message says which steps are lost."""


class UnwritableError(Exception):
    """A finished fit cannot be written, or the folder that it belongs to is gone.

    Attributes:
        reason: what the disk said.
        lost: which steps are lost with it; empty where they are in a checkpoint.
    """

    def __init__(self, reason: OSError, lost: str = "") -> None:
        super().__init__(str(reason))
        self.reason, self.lost = reason, lost
