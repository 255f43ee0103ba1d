"""How a results folder is computed, chosen once for all its fits: pixels at once, fits at once, a GPU's kernels."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from bnbench.process.reading import read_json, reason_of
from bnbench.results import layout
from bnbench.results.folder_protocol import FOLDER_FORMAT
from bnbench.results.store import StoreError


def read_chunk(folder: Path) -> int | None:
    """Return the number of pixels computed at once that a results folder was started with, if it was.

    Raises:
        StoreError: a file says so that cannot be read or is damaged; the message names it.
    """
    path = layout.execution_path(folder)
    try:
        stored = read_json(path)
        chunk = stored["chunk"] if isinstance(stored, dict) else None
        if type(chunk) is not int or chunk < 1:
            raise ValueError("it names no number of pixels")
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError) as error:
        raise StoreError(
            f"{path} does not say how many pixels are computed at once ({reason_of(error)}); "
            "--chunk says it, and another number than before rounds sums otherwise."
        ) from error
    return chunk


def keep_chunk(folder: Path, chunk: int) -> int:
    """Keep the number of pixels computed at once for every later fit of a results folder.

    Returns:
        The one that is kept: of two runners that start at the same moment, the first one's choice.

    Raises:
        OSError: it cannot be written.
    """
    content = _written({"format": FOLDER_FORMAT, "chunk": chunk})
    path = layout.execution_path(folder)
    with layout.locked(folder):  # of two that find it damaged, the second finds it mended
        try:
            if kept := read_chunk(folder):
                return kept
            layout.write_atomically(path, content, replace=False)
        except StoreError:
            layout.write_atomically(path, content)
    return read_chunk(folder) or chunk


class FitsAtOnce(NamedTuple):
    """How a GPU computes fits of an arm: how many of them at once, and whether as one batch of networks."""

    fits: int
    is_batch: bool


def read_fits_at_once(folder: Path, device_name: str, arm: str, asked: int | None = None) -> FitsAtOnce | None:
    """Return how a model of GPU was found to take fits of an arm best in a results folder, if it was.

    Args:
        folder: of the results.
        device_name: the model of the GPU.
        arm: of the fits.
        asked: how many at once somebody has asked for; None where that was found, too.
    """
    match _of_model(folder, _fits_at_once(asked), device_name).get(arm):
        case {"fits": int(fits), "is_batch": bool(is_batch)} if fits > 0 and not isinstance(fits, bool):
            return FitsAtOnce(fits, is_batch)
    return None


def keep_fits_at_once(
    folder: Path, device_name: str, arm: str, found: FitsAtOnce, asked: int | None = None
) -> FitsAtOnce:
    """Keep how a model of GPU takes fits of an arm best; arguments as of :func:`read_fits_at_once`.

    Returns:
        What is kept: of two runners that start at the same moment, the first one's.

    Raises:
        OSError: it cannot be written.
    """
    with layout.locked(folder):
        if kept := read_fits_at_once(folder, device_name, arm, asked):
            return kept
        _keep_of_model(folder, _fits_at_once(asked), device_name, arm, found._asdict())
    return found


def _fits_at_once(asked: int | None) -> str:
    return "fits_at_once" if asked is None else f"fits_at_once={asked}"


def read_kernels(folder: Path, device_name: str, arm: str) -> str:
    """Return the name of the kernels that a folder's fits of an arm use on a model of GPU; empty before a choice."""
    name = _of_model(folder, "kernels", device_name).get(arm)
    return name if isinstance(name, str) else ""


def keep_kernels(folder: Path, device_name: str, arm: str, name: str) -> None:
    """Keep the kernels of an arm on a model of GPU for later fits of a folder; the first choice stays.

    Raises:
        OSError: it cannot be written.
    """
    with layout.locked(folder):
        if not read_kernels(folder, device_name, arm):
            _keep_of_model(folder, "kernels", device_name, arm, name)


def _of_model(folder: Path, what: str, device_name: str) -> dict[str, object]:
    """Return what was chosen for a model of GPU, arm to choice; nothing where the file, or a part of it, is damaged."""
    try:
        of_arms = read_json(layout.execution_path(folder))[what][device_name]
    except (OSError, ValueError, KeyError, TypeError):  # whoever reads the chunk says what is wrong
        return {}
    return of_arms if isinstance(of_arms, dict) else {}


def _keep_of_model(folder: Path, what: str, device_name: str, arm: str, chosen: object) -> None:
    """Write a choice for a model of GPU and an arm beside what the file says; the caller holds the folder's lock."""
    path = layout.execution_path(folder)
    try:
        stored = read_json(path)
    except (OSError, ValueError):  # a folder that stands in for one on another machine, or a damaged file
        stored = None
    there = stored if isinstance(stored, dict) else {"format": FOLDER_FORMAT}
    known = there.get(what)
    of_models = known if isinstance(known, dict) else {}
    of_models = {**of_models, device_name: {**_of_model(folder, what, device_name), arm: chosen}}
    layout.write_atomically(path, _written({**there, what: of_models}))


def _written(stored: Mapping[str, object]) -> bytes:
    return (json.dumps(stored) + "\n").encode()
