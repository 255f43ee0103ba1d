"""Which finished fits have their plane beside them, and which of these planes can be used."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from bnbench.arms.loading import arm_source
from bnbench.process.reading import reason_of
from bnbench.protocol.protocol import FitKey
from bnbench.results import layout
from bnbench.results.evaluations import plane_hash
from bnbench.results.planes import read_plane_details
from bnbench.results.store import StoreError


class StoredPlanes(NamedTuple):
    """The stored planes of some fits.

    Attributes:
        found: of each that belongs to its fit the results folder, the fit's identity and the file's hash.
        missing: fits without one.
        broken: a sentence for each that cannot be used.
    """

    found: dict[FitKey, tuple[Path, str, str]]
    missing: list[FitKey]
    broken: list[str]


def stored_planes(fits: Sequence[tuple[Path, FitKey, str]]) -> StoredPlanes:
    """Return the stored planes of finished fits.

    Args:
        fits: results folder, key and identity of each.
    """
    planes = StoredPlanes({}, [], [])
    for folder, key, identity in fits:
        path = layout.plane_path(folder, key)
        try:
            if not layout.is_there(path):
                planes.missing.append(key)
                continue
            _check_plane(path, key, identity)
            planes.found[key] = folder, identity, plane_hash(path)
        except StoreError as error:
            planes.broken.append(str(error))
        except OSError as error:
            planes.broken.append(f"{path} cannot be read ({reason_of(error)}); it is left out.")
    return planes


def _check_plane(path: Path, key: FitKey, identity: str) -> None:
    stored = read_plane_details(path)
    if (stored.key, stored.identity) != (key, identity):
        raise StoreError(
            f"{path} is the plane of another fit ({stored.key}, identity {stored.identity}) than the one that the "
            f"folder holds ({key}, identity {identity}); move it away."
        )
    if arm_source(key.arm) != stored.source:
        raise StoreError(f"{path} was computed by another version of the arm {key.arm}; evaluate it with that.")
