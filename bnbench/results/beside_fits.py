"""What a results folder holds beside its fits, counted by its files."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from pathlib import Path

from bnbench.results import layout
from bnbench.results.folders import listed
from bnbench.wording import counted


def beside_fits(folders: Iterable[Path]) -> list[str]:
    """Return what some results folders hold beside fits, in words: ``45 networks measured along training``.

    A file is counted by its name and not read; a folder that cannot be listed counts nothing.

    Args:
        folders: results folders of one protocol.
    """
    there = [*folders]
    networks = _count(there, layout.smoothness_paths)
    at_pixels = _count(there, partial(layout.smoothness_paths, of_planes=True))
    again = _count(there, lambda folder: layout.evaluation_paths(layout.evaluations_folder(folder)))
    planes = _count(there, layout.plane_paths)
    words = [
        (networks, f"{counted(networks, 'network')} measured along training"),
        (at_pixels, f"{counted(at_pixels, 'plane')} measured at black pixels"),
        (again, f"{counted(again, 'evaluation')} of stored planes"),
        (planes, counted(planes, "stored plane")),
    ]
    return [text for number, text in words if number]


def _count(folders: Sequence[Path], paths_of: Callable[[Path], list[Path]]) -> int:
    return len(listed(folders, paths_of)[0])
