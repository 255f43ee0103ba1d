"""How a results folder is computed, chosen once for all its fits: pixels at once, fits at once, a GPU's kernels."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

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


def read_fits_per_device(folder: Path) -> int | None:
    """Return how many fits at once a GPU was found to take best in a results folder, if that was measured."""
    try:
        stored = read_json(layout.execution_path(folder))
    except (OSError, ValueError):  # whoever reads the chunk says what is wrong
        return None
    count = stored.get("fits_per_device") if isinstance(stored, dict) else None
    return count if type(count) is int and count > 0 else None


def keep_fits_per_device(folder: Path, count: int) -> int:
    """Keep how many fits at once a GPU takes best; the folder's chunk is kept before.

    Returns:
        The number that is kept: of two runners that start at the same moment, the first one's.

    Raises:
        OSError: it cannot be written.
    """
    with layout.locked(folder):
        if kept := read_fits_per_device(folder):
            return kept
        _add(folder, {"fits_per_device": count})
    return count


def read_kernels(folder: Path, device_name: str, arm: str) -> str:
    """Return the name of the kernels that a folder's fits of an arm use on a model of GPU; empty before a choice."""
    try:
        name = read_json(layout.execution_path(folder))["kernels"][device_name][arm]
    except (OSError, ValueError, KeyError, TypeError):  # whoever reads the chunk says what is wrong
        return ""
    return name if isinstance(name, str) else ""


def keep_kernels(folder: Path, device_name: str, arm: str, name: str) -> None:
    """Keep the kernels of an arm on a model of GPU for later fits of a folder; the first choice stays.

    Raises:
        OSError: it cannot be written.
    """
    with layout.locked(folder):
        if read_kernels(folder, device_name, arm):
            return
        try:
            stored = read_json(layout.execution_path(folder))
        except (OSError, ValueError):  # a folder that stands in for one on another machine, or a damaged file
            stored = {}
        known = stored.get("kernels") if isinstance(stored, dict) else None
        of_devices = dict(known) if isinstance(known, dict) else {}
        of_arms = of_devices.get(device_name)
        of_devices[device_name] = {**(of_arms if isinstance(of_arms, dict) else {}), arm: name}
        _add(folder, {"kernels": of_devices})


def _add(folder: Path, chosen: Mapping[str, object]) -> None:
    """Write what was chosen beside what the file says; the caller holds the folder's lock."""
    path = layout.execution_path(folder)
    try:
        stored = read_json(path)
    except (OSError, ValueError):
        stored = None
    there = stored if isinstance(stored, dict) else {"format": FOLDER_FORMAT}
    layout.write_atomically(path, _written({**there, **chosen}))


def _written(stored: Mapping[str, object]) -> bytes:
    return (json.dumps(stored) + "\n").encode()
