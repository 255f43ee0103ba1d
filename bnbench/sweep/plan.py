"""The plan of a sweep: which fits are done and which are left to run, known before anything runs."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bnbench.arms.loading import arm_source
from bnbench.protocol.measured_steps import MeasuredSteps
from bnbench.protocol.protocol import FitKey, Grid, Protocol
from bnbench.results import layout, store
from bnbench.results.failures import Failure, failure_of
from bnbench.results.fits import read_fit, read_member
from bnbench.sweep.identity import fit_identity


@dataclass(frozen=True)
class Plan:
    """Says which fits of a sweep are done and which are left to run.

    Attributes:
        folder: the results folder.
        protocol: what its fits have in common.
        grid: which fits are asked for.
        done: finished fits, with their provenance.
        failed: fits that failed and are left alone until ``--retry-failed``.
        to_run: the others.
        broken: a sentence for each file that is in the way; its fit is not run.
        without_course: finished fits that lack a measurement at a step asked for; where no step is asked for, those
            that were never measured on the way.
        shard: which part of the grid this is, as (number, of how many); the rest is not in the lists above.
    """

    folder: Path
    protocol: Protocol
    grid: Grid
    done: dict[FitKey, dict[str, Any]]
    failed: dict[FitKey, Failure]
    to_run: list[FitKey]
    broken: list[str]
    shard: tuple[int, int] = (1, 1)
    without_course: list[FitKey] = field(default_factory=list)

    def __str__(self) -> str:
        number, shards = self.shard
        part = "" if shards == 1 else f"; of these in shard {number}/{shards}"
        counts = ((len(self.done), "done"), (len(self.failed), "failed"), (len(self.broken), "unreadable"))
        found = ", ".join(f"{count:,} {word}" for count, word in counts if count or word == "done")
        return f"{self.grid}{part}; {found}, {len(self.to_run):,} to run"

    @property
    def without_plane(self) -> list[FitKey]:
        """Return the finished fits whose plane was not kept."""
        return [key for key in self.done if not layout.plane_path(self.folder, key).exists()]

    def done_beside(self, arm: str) -> dict[FitKey, dict[str, Any]]:
        """Return an arm's finished fits that the grid or shard does not ask for, with their provenance."""
        asked = {layout.fit_path(self.folder, key) for key in self.grid.shard(*self.shard)}
        found: dict[FitKey, dict[str, Any]] = {}
        for path in set(layout.fit_paths(self.folder)) - asked:
            with suppress(store.StoreError, FileNotFoundError):
                result = read_member(path, self.protocol)
                if result.key.arm == arm:
                    found[result.key] = result.provenance
        return found

    def as_dict(self) -> dict[str, Any]:
        """Return the plan as plain values, for machines."""
        return {
            "folder": str(self.folder),
            "profile": self.protocol.profile,
            "hash": self.protocol.hash,
            "arms": list(self.grid.arms),
            "probs": list(self.grid.probs),
            "seeds": list(self.grid.seeds),
            "shard": list(self.shard),
            "done": len(self.done),
            "without_plane": len(self.without_plane),
            "without_course": len(self.without_course),
            "failed": [str(key) for key in self.failed],
            "unreadable": self.broken,
            "to_run": len(self.to_run),
        }


def plan_sweep(
    folder: Path,
    protocol: Protocol,
    grid: Grid,
    *,
    shard: tuple[int, int] = (1, 1),
    retry_failed: bool = False,
    measure_at: MeasuredSteps | None = None,
) -> Plan:
    """Find out which fits of a grid are done; each of their files is read and checked whole.

    Args:
        folder: the results folder.
        protocol: what is asked.
        grid: which fits.
        shard: (N, M): every M-th fit of the grid from the N-th on, for job arrays.
        retry_failed: run fits again that failed.
        measure_at: the steps at which fits are to be measured on the way.

    Raises:
        StoreError: a fit in the folder was computed by another version of one of the grid's arms.
    """
    asked_steps = set(measure_at.of(protocol.training.steps)) if measure_at else set()
    paths = set(layout.fit_paths(folder))
    _check_sources(folder, paths, grid.arms)
    done: dict[FitKey, dict[str, Any]] = {}
    broken: list[str] = []
    unfinished: list[FitKey] = []
    without_course: list[FitKey] = []
    for key in grid.shard(*shard):
        path = layout.fit_path(folder, key)
        if path not in paths:
            unfinished.append(key)
            continue
        try:
            result = read_member(path, protocol)
            done[key] = result.provenance
            if result.course.empty or asked_steps - set(result.course["step"]):
                without_course.append(key)
        except FileNotFoundError:
            unfinished.append(key)  # moved aside since it was listed
        except store.StoreError as error:
            broken.append(str(error))
    failed = {} if retry_failed else _failed(folder, protocol, unfinished)
    to_run = [key for key in unfinished if key not in failed]
    return Plan(folder, protocol, grid, done, failed, to_run, broken, shard, without_course)


def set_aside(folder: Path, keys: Iterable[FitKey]) -> Path | None:
    """Move all that a folder holds of some fits out of the way; nothing is deleted.

    Returns:
        Where it went; None if there was nothing.

    Raises:
        OSError: a file cannot be moved.
    """
    paths = [
        path
        for key in keys
        for path_of in (layout.fit_path, layout.plane_path, layout.failure_path, layout.checkpoint_path)
        if layout.is_there(path := path_of(folder, key))
    ]
    if not paths:
        return None
    stamp = datetime.now(UTC).strftime("%Y-%m-%dT%H-%M-%S-%f")
    target = folder / "superseded" / stamp
    for path in paths:
        (target / path.parent.name).mkdir(parents=True, exist_ok=True)
        path.replace(target / path.parent.name / path.name)
    return target


def _check_sources(folder: Path, paths: Iterable[Path], arms: Iterable[str]) -> None:
    """Refuse a folder that holds a fit, also one outside the grid, of another version of a user's arm."""
    for arm in arms:
        source = arm_source(arm)
        for path in paths if source else ():
            if layout.is_named_for(path, arm) and _source_of(path) not in (source, None):
                raise store.StoreError(
                    f"--out {folder}: {path.name} was computed by another version of the arm {arm}; "
                    "give another folder."
                )


def _source_of(path: Path) -> str | None:
    """Return the hash of the source that a fit's arm had; None where the file cannot be read."""
    try:
        return read_fit(path).source
    except (store.StoreError, FileNotFoundError):
        return None


def _failed(folder: Path, protocol: Protocol, keys: Iterable[FitKey]) -> dict[FitKey, Failure]:
    """Return the fits whose failure is on record; a damaged record, or one of another fit, counts as none."""
    there = set(layout.failure_paths(folder))
    failed: dict[FitKey, Failure] = {}
    for key in keys:
        if layout.failure_path(folder, key) not in there:
            continue
        try:
            failure = failure_of(folder, key)
        except store.StoreError:
            continue
        if failure is not None and failure.identity == fit_identity(key, protocol):
            failed[key] = failure
    return failed
