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

FORMAT = 2


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
    layout.write_atomically(layout.checkpoint_path(folder, key), buffer.getvalue())


def load_checkpoint(folder: Path, key: FitKey, identity: str) -> Checkpoint | None:
    """Return a fit's checkpoint on the CPU, if there is one that belongs to it.

    A fit moves to its device what belongs there; its generators and orders stay on the CPU.

    Args:
        folder: the results folder.
        key: which fit.
        identity: what the fit is now; a checkpoint of another one is left out.

    Raises:
        StoreError: the file is damaged; the message names it.
    """
    path = layout.checkpoint_path(folder, key)
    try:
        content = io.BytesIO(read_file(path, math.inf))
        with zipfile.ZipFile(content) as archive:
            if damaged := archive.testzip():  # torch.load does not look at the checksums that torch.save writes
                raise ValueError(f"{damaged} is damaged")
        content.seek(0)
        stored = torch.load(content, map_location="cpu", weights_only=True)
        found = stored.pop("format"), Checkpoint(**stored)
    except FileNotFoundError:
        return None
    except Exception as error:  # an unpickler that reads damaged bytes may raise anything
        raise store.StoreError(
            f"{path} is not a whole checkpoint ({reason_of(error)}); the fit starts from its first step."
        ) from error
    return found[1] if found[0] == FORMAT and found[1].identity == identity else None
