"""When the finished fits of a sweep were computed, each file read once however often somebody looks."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from bnbench.process.reading import reason_of
from bnbench.protocol.protocol import FitKey, Protocol
from bnbench.results import layout
from bnbench.results.fits import content_of, read_member
from bnbench.results.folders import Copy, Group, listed, sort_out
from bnbench.results.store import StoreError


@dataclass(frozen=True)
class Finished:
    """When a fit was computed, in seconds since 1970, and how long it took.

    Attributes:
        key: which fit it is.
        started: when its last worker took it up.
        ended: when its file was written.
        seconds: wall time, that of all its workers.
        content: digest of its numbers, see :func:`bnbench.results.fits.content_of`.
    """

    key: FitKey
    started: float
    ended: float
    seconds: float
    content: str


Known = dict[tuple[Path, int, int, int, int], Finished]  # by file, and what tells that it was written anew


def read_finished(
    group: Group, known: Known, broken: list[str], notes: list[str]
) -> tuple[dict[FitKey, Finished], set[Path], set[FitKey]]:
    """Read the finished fits of a group of results folders; what cannot be used goes on record.

    Args:
        group: the folders.
        known: those that an earlier call has read, and to which this one adds.
        broken: takes a sentence for each file that could not be used.
        notes: takes a sentence on fits that were found more than once.

    Returns:
        Finished fits, files that could not be read, and fits of which there are different results.
    """
    found: dict[Path, Finished] = {}
    unreadable: set[Path] = set()
    for path in listed(group.folders, broken, layout.fit_paths):
        try:
            now = path.stat()
            version = path, now.st_ino, now.st_size, now.st_mtime_ns, now.st_ctime_ns
            found[path] = known.get(version) or _read_finished(path, group.protocol)
            known[version] = found[path]
        except StoreError as error:
            broken.append(str(error))
            unreadable.add(path)
        except OSError as error:
            if layout.is_there(path):
                broken.append(f"{path} cannot be read ({reason_of(error)}); it is left out.")
                unreadable.add(path)
    kept, more, conflicts = sort_out([Copy(path, fit.key, fit.content) for path, fit in found.items()])
    notes += more
    broken += conflicts.values()
    return {fit.key: fit for path, fit in found.items() if path in kept}, unreadable, set(conflicts)


def _read_finished(path: Path, protocol: Protocol) -> Finished:
    result = read_member(path, protocol)
    origin = result.provenance
    seconds = float(origin["wall_seconds"])
    ended = _timestamp(origin.get("finished")) or path.stat().st_mtime
    return Finished(
        result.key, _timestamp(origin.get("started")) or ended - seconds, ended, seconds, content_of(result)
    )


def _timestamp(text: str | None) -> float | None:
    return datetime.fromisoformat(text).timestamp() if text else None
