"""Results folders below a root: which there are, which belong together, and which of their files are one fit."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Generic, TypeVar

from bnbench.errors import RequestError
from bnbench.process.reading import reason_of
from bnbench.protocol.protocol import FitKey, Protocol
from bnbench.results import layout
from bnbench.results.fits import content_of, read_member
from bnbench.results.folder_protocol import read_protocol
from bnbench.results.store import FitResult, StoreError
from bnbench.wording import counted

_INSIDE = {"fits", "failures", "running", "planes", "superseded"}  # of a results folder: no results folder is there

Kept = TypeVar("Kept")


@dataclass(frozen=True)
class Group:
    """Results folders of one protocol: halves of one sweep, or copies of it."""

    protocol: Protocol
    folders: tuple[Path, ...]


@dataclass(frozen=True)
class Copy:
    """A file of a fit: where it is, and a digest of its numbers (:func:`bnbench.results.fits.content_of`)."""

    path: Path
    key: FitKey
    content: str


@dataclass
class Scan(Generic[Kept]):
    """The fits of a group of results folders, each once.

    Attributes:
        fits: each fit's file, and what was kept of it.
        broken: a sentence for each file that could not be used.
        notes: a sentence on fits that were found more than once.
    """

    fits: dict[Path, Kept] = field(default_factory=dict)
    broken: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def find_sweeps(root: Path) -> tuple[list[Path], list[str]]:
    """Return every results folder at or below ``root``, links followed, each place on the disk once.

    Hidden folders, such as snapshots of a file system, and what ``--force`` has set aside are left alone.

    Returns:
        The folders, sorted; a folder that has fits and no protocol is one. And a sentence for each folder that
        cannot be listed.
    """
    found: list[Path] = []
    broken: list[str] = []
    seen: set[str] = set()
    folders, links = [root], list[Path]()
    while folders or links:
        folder = folders.pop() if folders else links.pop(0)  # a link is followed last: what it leads to has a name
        place = os.path.realpath(folder)
        if place in seen:
            continue
        seen.add(place)
        try:
            below, is_sweep = sorted(folder.iterdir()), _is_sweep(folder)
        except (FileNotFoundError, NotADirectoryError):
            continue
        except OSError as error:
            broken.append(f"{folder} cannot be listed ({reason_of(error)}); what lies below it is left out.")
            continue
        if is_sweep:
            found.append(folder)
        for path in below:
            is_open = not path.name.startswith(".") and not (is_sweep and path.name in _INSIDE)
            if is_open and path.is_dir():
                (links if path.is_symlink() else folders).append(path)
    return sorted(found), broken


def _is_sweep(folder: Path) -> bool:
    """Return whether a folder holds results; a mere file or dead link called fits, without a protocol, makes none."""
    if layout.is_there(folder / "protocol.json"):
        return True
    with suppress(FileNotFoundError, NotADirectoryError):
        return layout.has_fits(folder)
    return False


def group_sweeps(root: Path) -> tuple[list[Group], list[str]]:
    """Return the results folders at or below ``root``, those of one protocol together, in the order of their names.

    Returns:
        The groups, and a sentence for each folder that cannot be used.

    Raises:
        StoreError: there is no results folder.
    """
    folders, broken = find_sweeps(root)
    groups: dict[str, list[Path]] = {}
    protocols: dict[str, Protocol] = {}
    for folder in folders:
        try:
            protocol = read_protocol(folder)
        except StoreError as error:
            broken.append(str(error))
            continue
        protocols.setdefault(protocol.hash, protocol)
        groups.setdefault(protocol.hash, []).append(folder)
    if not groups and not broken:
        raise StoreError(
            f"{root} holds no results of bnbench; give a folder that bnbench run wrote, such as results/quick."
        )
    return [Group(protocols[name], tuple(there)) for name, there in groups.items()], broken


def refuse_results_folder(option: str, out: Path, results: Path, instead: str) -> None:
    """Refuse to write other files among results: they would mix with theirs.

    Args:
        option: that names ``out``.
        out: where somebody wants to write.
        results: the results that are read.
        instead: a folder to name as the way out.

    Raises:
        RequestError: ``out`` is ``results``, or a results folder, or lies in one.
    """
    place = out.resolve()
    inside = any(layout.is_there(folder / "protocol.json") for folder in (place, *place.parents))
    if place == results.resolve() or inside:
        raise RequestError(f"{option} {out} is a folder of results or lies in one; give another, such as {instead}.")


def scan(group: Group, keep: Callable[[FitResult], Kept]) -> Scan[Kept]:
    """Read every fit of a group of results folders; files that cannot be used are named, not fatal.

    Args:
        group: the folders.
        keep: what stays in memory of a fit, once it was read and checked whole.
    """
    paths, broken = listed(group.folders, layout.fit_paths)
    found = Scan[Kept](broken=broken)
    sources: dict[str, str] = {}
    copies: list[tuple[bool, Copy]] = []  # of several folders' fits; True where it was not measured on the way
    for path in paths:
        try:
            result = read_member(path, group.protocol)
            if sources.setdefault(result.key.arm, result.source) != result.source:
                raise StoreError(
                    f"{path} was computed by another version of the arm {result.key.arm}; move it to its own folder."
                )
            found.fits[path] = keep(result)
            if len(group.folders) > 1:
                copies.append((result.course.empty, Copy(path, result.key, content_of(result))))
        except FileNotFoundError:
            continue  # moved aside since it was listed
        except StoreError as error:
            found.broken.append(str(error))
    if copies:
        # Of equal results one with its course counts: nothing else is lost with the others.
        kept, found.notes, conflicts = sort_out([copy for _, copy in sorted(copies, key=lambda one: one[0])])
        found.broken += conflicts.values()
        found.fits = {path: part for path, part in found.fits.items() if path in kept}
    return found


def listed(folders: Iterable[Path], paths_of: Callable[[Path], list[Path]]) -> tuple[list[Path], list[str]]:
    """Return the files of one kind in some folders, and a sentence for each folder that cannot be listed."""
    paths: list[Path] = []
    broken: list[str] = []
    for folder in folders:
        try:
            paths += paths_of(folder)
        except OSError as error:
            broken.append(f"{error.filename or folder} cannot be listed ({reason_of(error)}); it is left out.")
    return paths, broken


def sort_out(copies: Sequence[Copy]) -> tuple[set[Path], list[str], dict[FitKey, str]]:
    """Tell copies of one result from different results of one fit.

    Returns:
        The files that count; a sentence on equal ones, if there are any; and for each fit of which there are
        different results, none of which counts, a sentence that names two files.
    """
    of_key: dict[FitKey, list[Copy]] = {}
    for copy in copies:
        of_key.setdefault(copy.key, []).append(copy)
    kept: set[Path] = set()
    conflicts: dict[FitKey, str] = {}
    doubled: list[Copy] = []
    for key, same in of_key.items():
        if other := next((copy for copy in same if copy.content != same[0].content), None):
            conflicts[key] = (
                f"{same[0].path} and {other.path} are different results of one fit, {key}; neither is used: "
                "move one of them away."
            )
            continue
        kept.add(same[0].path)
        doubled += same[1:]
    notes = []
    if doubled:
        what = counted(len({copy.key for copy in doubled}), "fit")
        notes.append(f"{what} found more than once, with equal numbers, and counted once: such as {doubled[0].path}.")
    return kept, notes, conflicts
