"""Going on from a checkpoint: what fits of a sweep and landscapes bent to a picture have in common."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch

from bnbench.process.reading import reason_of
from bnbench.protocol.protocol import FitKey
from bnbench.results.checkpoints import Checkpoint, load_checkpoint
from bnbench.results.store import StoreError


def resume(
    folder: Path,
    key: FitKey,
    identity: str,
    take: Callable[[Checkpoint], None],
    begin: Callable[[], None],
    note: Callable[[str], None],
) -> Checkpoint | None:
    """Return the checkpoint that a fit goes on from; None where there is none or it is of no use, which is noted.

    Args:
        folder: where the fit's results go.
        key: which fit.
        identity: of that fit; a checkpoint of another one is not used.
        take: takes over what the checkpoint holds, or raises what is wrong with it.
        begin: makes the fit as it is before its first step: half of a checkpoint may have been taken over.
        note: is told why a checkpoint is not used.

    Raises:
        MemoryError, torch.OutOfMemoryError, torch.AcceleratorError: the device's matter: the checkpoint may be whole.
    """
    try:
        found = load_checkpoint(folder, key, identity)
    except StoreError as error:
        note(str(error).replace(f"{folder}/", ""))  # a whole path may hold somebody's name
        return None
    if found is None:
        return None
    try:
        take(found)
    except (MemoryError, torch.OutOfMemoryError, torch.AcceleratorError):
        raise
    except Exception as error:  # of a state that fits nothing here anything may be wrong
        begin()
        note(f"its checkpoint does not fit ({reason_of(error)}); the fit starts from its first step.")
        return None
    return found
