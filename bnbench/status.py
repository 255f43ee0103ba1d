"""What a sweep is doing at this moment, from its results folder alone: nothing is started, written or locked."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

from bnbench import layout, store
from bnbench.claims import Progress, is_claimed, running
from bnbench.config import read_grid
from bnbench.errors import RequestError
from bnbench.failures import Failure, identity_of, read_failure
from bnbench.pace import fits_per_hour, seconds_left
from bnbench.protocol import BUILT_IN, FitKey, Protocol
from bnbench.store import StoreError

State = Literal["done", "running", "failed", "unreadable", "to do"]
STATES: tuple[State, ...] = ("done", "running", "failed", "unreadable", "to do")


@dataclass(frozen=True)
class Finished:
    """When a fit was computed, in seconds since 1970, and how long it took.

    Attributes:
        key: which fit it is.
        started: when its last worker took it up.
        ended: when its file was written.
        seconds: wall time, that of all its workers.
    """

    key: FitKey
    started: float
    ended: float
    seconds: float


Known = dict[tuple[Path, int], Finished]  # by file and when it was written


@dataclass(frozen=True)
class FitStatus:
    """How one fit stands.

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

    def as_dict(self) -> dict[str, Any]:
        """The fit as plain values, for machines."""
        plain: dict[str, Any] = {**asdict(self.key), "state": self.state}
        if self.progress:
            names = ("slot", "started", "first_step", "step", "steps", "black", "white", "time")
            plain |= {name: getattr(self.progress, name) for name in names}
        if self.failure:
            plain |= {"kind": self.failure.kind, "message": self.failure.message, "tries": self.failure.tries}
        return plain | ({"has_checkpoint": self.has_checkpoint} if self.state == "to do" else {})


@dataclass(frozen=True)
class SweepStatus:
    """How a sweep stands.

    Attributes:
        folder: its results folder.
        protocol: what its fits have in common.
        fits: those that the last run was asked for and any other that the folder knows, in the grid's order.
        finished: when the finished ones were computed, the newest last.
        time: when all this was so, seconds since 1970.
        broken: a sentence for each file that could not be used.
    """

    folder: Path
    protocol: Protocol
    fits: list[FitStatus]
    finished: list[Finished]
    time: float
    broken: list[str]

    def of(self, state: State) -> list[FitStatus]:
        """The fits in one state."""
        return [fit for fit in self.fits if fit.state == state]

    @property
    def counts(self) -> Counter[State]:
        """Number of fits in each state."""
        return Counter(fit.state for fit in self.fits)

    @property
    def seconds_since_last(self) -> float | None:
        """Age of the newest finished fit."""
        return max(0.0, self.time - self.finished[-1].ended) if self.finished else None

    @property
    def fits_per_hour(self) -> float | None:
        """Pace of the last stretch of work."""
        return fits_per_hour([(fit.started, fit.ended) for fit in self.finished])

    @property
    def seconds_left(self) -> float | None:
        """Time for what is running and to do, with as many fits at once as now; None while nothing runs."""
        under_way = {fit.key: fit.progress for fit in self.of("running")}
        if not under_way:
            return None
        times = [(fit.key.arm, fit.seconds) for fit in self.finished]
        to_do = [fit.key for fit in self.of("to do")]
        return seconds_left(to_do, under_way, times, slots=len(under_way), now=self.time)

    def as_dict(self) -> dict[str, Any]:
        """The status as plain values, for machines."""
        rate, left, age = self.fits_per_hour, self.seconds_left, self.seconds_since_last
        return {
            "folder": str(self.folder),
            "profile": self.protocol.profile,
            "hash": self.protocol.hash,
            **{state.replace(" ", "_"): self.counts[state] for state in STATES},
            "seconds_since_last": None if age is None else round(age, 1),
            "fits_per_hour": None if rate is None else round(rate, 3),
            "seconds_left": None if left is None else round(left, 1),
            "fits": [fit.as_dict() for fit in self.fits],
            "broken": self.broken,
        }


def read_status(folder: Path, known: Known | None = None) -> SweepStatus:
    """Find out how a sweep stands; reads no more of a finished fit than its footer.

    Args:
        folder: its results folder, which may be read-only; files that cannot be used are named, not fatal.
        known: finished fits that an earlier call has read, and to which this one adds.

    Raises:
        StoreError: the folder has no readable protocol.
    """
    protocol, broken = store.read_protocol(folder), list[str]()
    finished = _finished(folder, protocol, {} if known is None else known, broken)
    failures = _failures(folder, protocol, broken)
    asked = _asked(folder, broken)
    told = _told(folder, broken)
    others = {*finished, *failures, *told} - set(asked)
    paths = set(layout.fit_paths(folder))
    fits: list[FitStatus] = []
    for key in [*asked, *sorted(others, key=_place)]:
        if key in finished:
            fits.append(FitStatus(key, "done"))
        elif layout.fit_path(folder, key) in paths:
            fits.append(FitStatus(key, "unreadable"))
        elif key in told or _is_running(folder, key, broken):
            fits.append(FitStatus(key, "running", progress=told.get(key)))
        elif key in failures:
            fits.append(FitStatus(key, "failed", failure=failures[key]))
        else:
            fits.append(FitStatus(key, "to do", has_checkpoint=layout.checkpoint_path(folder, key).exists()))
    ended = sorted(finished.values(), key=lambda fit: fit.ended)
    return SweepStatus(folder, protocol, fits, ended, time.time(), broken)


def _place(key: FitKey) -> tuple[int, FitKey]:
    """Where a fit that nobody asked for by name stands: the built-in arms in their usual order, then others."""
    return BUILT_IN.index(key.arm) if key.arm in BUILT_IN else len(BUILT_IN), key


def _asked(folder: Path, broken: list[str]) -> list[FitKey]:
    try:
        grid = read_grid(folder)
    except RequestError as error:
        broken.append(str(error))
        return []
    return grid.fits() if grid else []


def _finished(folder: Path, protocol: Protocol, known: Known, broken: list[str]) -> dict[FitKey, Finished]:
    found: dict[FitKey, Finished] = {}
    for path in layout.fit_paths(folder):
        try:
            version = path, path.stat().st_mtime_ns
            fit = known.get(version) or _read_finished(path, protocol)
        except StoreError as error:
            broken.append(str(error))
        except FileNotFoundError:
            continue  # moved aside between two looks
        else:
            known[version] = found[fit.key] = fit
    return found


def _read_finished(path: Path, protocol: Protocol) -> Finished:
    details = store.read_details(path)
    key, origin = FitKey(**details["key"]), details["provenance"]
    if details["hash"] != protocol.hash:
        raise StoreError(f"{path} belongs to another protocol; move it to its own folder.")
    if path.stem != layout.fit_name(key):
        raise StoreError(f"{path} holds the fit {key}, which its name denies; delete the copy.")
    seconds = float(origin.get("wall_seconds", 0.0))
    ended = _timestamp(origin.get("finished")) or path.stat().st_mtime
    return Finished(key, _timestamp(origin.get("started")) or ended - seconds, ended, seconds)


def _timestamp(text: str | None) -> float | None:
    try:
        return datetime.fromisoformat(text).timestamp() if text else None
    except ValueError:
        return None


def _failures(folder: Path, protocol: Protocol, broken: list[str]) -> dict[FitKey, Failure]:
    """Failures on record; those of a built-in arm under another protocol are none of this sweep's."""
    found: dict[FitKey, Failure] = {}
    for path in layout.failure_paths(folder):
        try:
            failure = read_failure(path)
        except StoreError as error:
            broken.append(str(error))
            continue
        is_foreign = ":" in failure.key.arm  # its source is known only to whoever imports it
        if is_foreign or failure.identity == identity_of(failure.key, protocol):
            found[failure.key] = failure
    return found


def _told(folder: Path, broken: list[str]) -> dict[FitKey, Progress]:
    """What fits under way have said of themselves."""
    try:
        return {progress.key: progress for progress in running(folder)}
    except OSError as error:
        broken.append(f"{error.filename} cannot be read ({error.strerror}); what runs there is not known.")
        return {}


def _is_running(folder: Path, key: FitKey, broken: list[str]) -> bool:
    """Whether a fit is claimed that has not said anything yet."""
    try:
        return is_claimed(folder, key)
    except OSError as error:
        broken.append(f"{error.filename} cannot be read ({error.strerror}); whether {key} runs is not known.")
        return False
