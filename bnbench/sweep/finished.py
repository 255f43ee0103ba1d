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


@dataclass(frozen=True)
class FinishedFits:
    """The finished fits of a group of results folders, and what there cannot be used.

    Attributes:
        fits: those that can be used.
        unreadable: files that cannot be read.
        conflicting: fits of which there are different results, so that none of them counts.
        broken: a sentence for each file, folder or fit that cannot be used.
        notes: a sentence on fits that were found more than once.
    """

    fits: dict[FitKey, Finished]
    unreadable: set[Path]
    conflicting: set[FitKey]
    broken: list[str]
    notes: list[str]


def read_finished(group: Group, known: Known) -> FinishedFits:
    """Read the finished fits of a group of results folders.

    Args:
        group: the folders.
        known: those that an earlier call has read, and to which this one adds.
    """
    found: dict[Path, Finished] = {}
    unreadable: set[Path] = set()
    paths, broken = listed(group.folders, layout.fit_paths)
    for path in paths:
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
    kept, notes, conflicts = sort_out([Copy(path, fit.key, fit.content) for path, fit in found.items()])
    fits = {fit.key: fit for path, fit in found.items() if path in kept}
    return FinishedFits(fits, unreadable, set(conflicts), [*broken, *conflicts.values()], notes)


def _read_finished(path: Path, protocol: Protocol) -> Finished:
    result = read_member(path, protocol)
    provenance = result.provenance
    seconds = float(provenance["wall_seconds"])
    ended = _timestamp(provenance.get("finished")) or path.stat().st_mtime
    return Finished(
        result.key, _timestamp(provenance.get("started")) or ended - seconds, ended, seconds, content_of(result)
    )


def _timestamp(text: str | None) -> float | None:
    return datetime.fromisoformat(text).timestamp() if text else None
