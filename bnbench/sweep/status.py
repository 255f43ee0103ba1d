"""What a sweep is doing at this moment, from its results folder alone: nothing is started, written or locked."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from bnbench.process.reading import reason_of
from bnbench.protocol.arm_names import short_names
from bnbench.protocol.protocol import BUILT_IN, FitKey, Protocol
from bnbench.results import layout
from bnbench.results.beside_fits import beside_fits
from bnbench.results.claims import Progress, is_claimed, running
from bnbench.results.failures import Failure
from bnbench.results.folders import Group, group_sweeps
from bnbench.results.sweeps import joint_grid, read_failures
from bnbench.sweep.finished import Finished, Known, read_finished
from bnbench.sweep.pace import fits_per_hour, seconds_left

State = Literal["done", "running", "failed", "unreadable", "to do"]
STATES: tuple[State, ...] = ("done", "running", "failed", "unreadable", "to do")


@dataclass(frozen=True)
class FitStatus:
    """Says how one fit stands.

    Attributes:
        key: which fit it is.
        state: ``running`` only while a live process holds its lock.
        progress: how far a running fit is; None before it has said so.
        failure: why it has no result.
        has_checkpoint: whether a fit that is to do goes on from where it was cut off.
    """

    key: FitKey
    state: State
    progress: Progress | None = None
    failure: Failure | None = None
    has_checkpoint: bool = False

    @property
    def kind(self) -> str:
        """Return its state; one that is to do and goes on from a checkpoint is ``cut off``."""
        return "cut off" if self.has_checkpoint else self.state

    def as_dict(self) -> dict[str, Any]:
        """Return the fit as plain values, for machines."""
        plain: dict[str, Any] = {**asdict(self.key), "state": self.state}
        if self.progress:
            names = ("slot", "started", "first_step", "step", "steps", "black", "white", "time")
            plain |= {name: getattr(self.progress, name) for name in names}
        if self.failure:
            plain |= {"kind": self.failure.kind, "message": self.failure.message, "tries": self.failure.tries}
        return plain | ({"has_checkpoint": self.has_checkpoint} if self.state == "to do" else {})


@dataclass(frozen=True)
class SweepStatus:
    """Says how a sweep stands.

    Attributes:
        folders: its results folders, of which several may be halves of it or copies.
        protocol: what its fits have in common.
        fits: those that the last run was asked for and any other that the folder knows, in the grid's order.
        finished: when the finished ones were computed, the newest last.
        time: when all this was so, seconds since 1970.
        broken: a sentence for each file that could not be used.
        notes: a sentence on fits that were found more than once.
        beside: what else the folders hold, in words.
    """

    folders: tuple[Path, ...]
    protocol: Protocol
    fits: list[FitStatus]
    finished: list[Finished]
    time: float
    broken: list[str]
    notes: list[str]
    beside: list[str]

    def of(self, state: State) -> list[FitStatus]:
        """Return the fits in one state."""
        return [fit for fit in self.fits if fit.state == state]

    @property
    def names(self) -> dict[str, str]:
        """Return what each arm is called where people read it."""
        return short_names(fit.key.arm for fit in self.fits)

    @property
    def counts(self) -> Counter[State]:
        """Return the number of fits in each state."""
        return Counter(fit.state for fit in self.fits)

    @property
    def seconds_since_last(self) -> float | None:
        """Return the age of the newest finished fit."""
        return max(0.0, self.time - self.finished[-1].ended) if self.finished else None

    @property
    def fits_per_hour(self) -> float | None:
        """Return the pace of the last stretch of work."""
        return fits_per_hour([(fit.started, fit.ended) for fit in self.finished])

    @property
    def seconds_left(self) -> float | None:
        """Return the time for what is running and to do, at as many fits at once as now; None while nothing runs."""
        under_way = {fit.key: fit.progress for fit in self.of("running")}
        if not under_way:
            return None
        times = [(fit.key.arm, fit.seconds) for fit in self.finished]
        to_do = [fit.key for fit in self.of("to do")]
        return seconds_left(to_do, under_way, times, slots=len(under_way), now=self.time)

    def as_dict(self) -> dict[str, Any]:
        """Return the status as plain values, for machines."""
        rate, left, age = self.fits_per_hour, self.seconds_left, self.seconds_since_last
        return {
            "folder": str(self.folders[0]),
            "folders": [str(folder) for folder in self.folders],
            "profile": self.protocol.profile,
            "hash": self.protocol.hash,
            **{state.replace(" ", "_"): self.counts[state] for state in STATES},
            "seconds_since_last": None if age is None else round(age, 1),
            "fits_per_hour": None if rate is None else round(rate, 3),
            "seconds_left": None if left is None else round(left, 1),
            "fits": [fit.as_dict() for fit in self.fits],
            "broken": self.broken,
            "notes": self.notes,
            "beside": self.beside,
        }


def read_statuses(root: Path, known: Known) -> tuple[list[SweepStatus], list[str]]:
    """Find out how every sweep at or below a folder stands; results folders of one protocol are one sweep.

    Args:
        root: a results folder, or one above several; it may be read-only.
        known: finished fits that an earlier call has read, and to which this one adds.

    Returns:
        The sweeps, and a sentence for each folder that cannot be used.

    Raises:
        StoreError: there is no results folder.
    """
    groups, broken = group_sweeps(root)
    return [_status(group, known) for group in groups], broken


def _status(group: Group, known: Known) -> SweepStatus:
    found = read_finished(group, known)
    (failures, unread_failures), (asked, unread_requests) = read_failures(group), joint_grid(group.folders)
    under_way, unread_progress = _read_progress(group)
    wanted = asked.fits() if asked else []
    others = {*found.fits, *found.conflicting, *failures, *under_way} - set(wanted)
    fits: list[FitStatus] = []
    for key in [*wanted, *sorted(others, key=_usual_order)]:
        if key in found.fits:
            fits.append(FitStatus(key, "done"))
        elif key in found.conflicting or any(layout.fit_path(one, key) in found.unreadable for one in group.folders):
            fits.append(FitStatus(key, "unreadable"))
        elif key in under_way or any(is_claimed(folder, key) for folder in group.folders):
            fits.append(FitStatus(key, "running", progress=under_way.get(key)))
        elif key in failures:
            fits.append(FitStatus(key, "failed", failure=failures[key]))
        else:
            has_checkpoint = any(layout.checkpoint_path(folder, key).is_file() for folder in group.folders)
            fits.append(FitStatus(key, "to do", has_checkpoint=has_checkpoint))
    ended = sorted(found.fits.values(), key=lambda fit: fit.ended)
    broken = [*found.broken, *unread_failures, *unread_requests, *unread_progress]
    beside = beside_fits(group.folders)
    return SweepStatus(group.folders, group.protocol, fits, ended, time.time(), broken, found.notes, beside)


def _usual_order(key: FitKey) -> tuple[int, FitKey]:
    """Return a fit's place among those that nobody asked for: the built-in arms in their usual order, then others."""
    return BUILT_IN.index(key.arm) if key.arm in BUILT_IN else len(BUILT_IN), key


def _read_progress(group: Group) -> tuple[dict[FitKey, Progress], list[str]]:
    """Read how far the fits under way say they are, with a sentence for each folder that does not tell."""
    found: dict[FitKey, Progress] = {}
    broken: list[str] = []
    for folder in group.folders:
        try:
            found |= {progress.key: progress for progress in running(folder)}
        except OSError as error:
            broken.append(f"{error.filename} cannot be read ({reason_of(error)}); what runs there is not known.")
    return found, broken
