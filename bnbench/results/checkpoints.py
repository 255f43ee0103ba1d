"""Checkpoints: where a fit that is cut off goes on from, bit for bit on the same machine."""

from __future__ import annotations

import io
import math
import zipfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from bnbench.process.reading import read_file, reason_of
from bnbench.protocol.protocol import FitKey
from bnbench.results import layout, store
from bnbench.results.digests import CHANGED, sum_of

FORMAT = 3
_BARE = 2  # the format of earlier files, which have no digest
_SEAL = b"\nbnbench sha256 "  # and 64 hexadecimal digits: what a file ends in


@dataclass(frozen=True)
class Checkpoint:
    """A fit cut off between two steps.

    Attributes:
        identity: of the fit, see :func:`bnbench.protocol.identity.identity_of`.
        state: of the training, see :meth:`bnbench.mpo.fit.Fit.state_dict`.
        seconds: spent on it so far.
        parts: processes that have worked on it.
        provenance: of the last of them.
        course: what was measured on the way, see :meth:`bnbench.sweep.course.Course.state_dict`; empty in a checkpoint
            that is older than courses are.
    """

    identity: str
    state: dict[str, Any]
    seconds: float
    parts: int
    provenance: dict[str, Any]
    course: dict[str, Any] = field(default_factory=dict)


def save_checkpoint(folder: Path, key: FitKey, checkpoint: Checkpoint) -> None:
    """Write a fit's checkpoint, whole or not at all.

    Raises:
        OSError: it cannot be written; an earlier one is still there.
    """
    buffer = io.BytesIO()
    torch.save({"format": FORMAT, **vars(checkpoint)}, buffer)
    content = buffer.getvalue()
    sealed = content + _SEAL + sum_of(content).encode()
    layout.write_atomically(layout.checkpoint_path(folder, key), sealed)


def load_checkpoint(folder: Path, key: FitKey, identity: str) -> Checkpoint | None:
    """Return a fit's checkpoint on the CPU; None where there is none.

    A fit moves to its device what belongs there; its generators and orders stay on the CPU.

    Args:
        folder: the results folder.
        key: which fit.
        identity: what the fit is now.

    Raises:
        StoreError: the file is damaged, of another fit or of another version; the message names it.
    """
    path = layout.checkpoint_path(folder, key)
    try:
        found, _ = read_checkpoint(path)
    except FileNotFoundError:
        return None
    if found is None or found.identity != identity:
        whose = "another version of bnbench" if found is None else "another fit (another protocol, arm, or images)"
        raise store.StoreError(f"{path} is a checkpoint of {whose}; the fit starts from its first step.")
    return found


def read_checkpoint(path: Path) -> tuple[Checkpoint | None, bool]:
    """Return what a checkpoint holds, None if it is of another format, and whether it carries a digest.

    Raises:
        FileNotFoundError: nothing is there.
        StoreError: the file is damaged; the message names it.
    """
    try:
        bare, is_sealed = _unsealed(read_file(path, math.inf))
        content = io.BytesIO(bare)
        with zipfile.ZipFile(content) as archive:
            if damaged := archive.testzip():  # torch.load does not look at the checksums that torch.save writes
                raise ValueError(f"{damaged} is damaged")
        content.seek(0)
        stored = torch.load(content, map_location="cpu", weights_only=True)
        number, found = stored.pop("format"), Checkpoint(**stored)
        if number in (_BARE, FORMAT) and is_sealed != (number == FORMAT):
            raise ValueError(f"its format is {number}, but its digest is {'there' if is_sealed else 'missing'}")
    except FileNotFoundError:
        raise
    except Exception as error:  # an unpickler that reads damaged bytes may raise anything
        raise store.StoreError(
            f"{path} is not a whole checkpoint ({reason_of(error)}); the fit starts from its first step."
        ) from error
    return found if number in (_BARE, FORMAT) else None, is_sealed


def _unsealed(content: bytes) -> tuple[bytes, bool]:
    """Return what a checkpoint's digest is of, and whether it has one.

    Raises:
        ValueError: the digest is of another content.
    """
    bare, seal, digest = content.rpartition(_SEAL)
    if not seal or len(digest) != 64:
        return content, False
    if sum_of(bare).encode() != digest:
        raise ValueError(CHANGED)
    return bare, True
