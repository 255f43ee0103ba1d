"""Named random streams: the same (stream, p, seed) gives the same numbers, whatever ran before."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np

if TYPE_CHECKING:
    import torch

Stream = Literal["mask", "weights", "pixels", "images", "split", "probes", "measured"]

BASE = 191003867  # the paper: arXiv 1910.03867
_STREAMS: dict[Stream, int] = {
    **{"mask": 1, "weights": 2, "pixels": 3, "images": 4, "split": 5},
    **{"probes": 6, "measured": 7},
}


def seed_sequence(stream: Stream, permille: int, seed: int) -> np.random.SeedSequence:
    """Return the root of one stream; no arm is part of it, so that arms are paired.

    Args:
        stream: what the numbers are for.
        permille: fill probability in thousandths.
        seed: replicate, from 1.
    """
    return np.random.SeedSequence(BASE, spawn_key=(_STREAMS[stream], permille, seed))


def torch_generator(stream: Stream, permille: int, seed: int) -> torch.Generator:
    """Return a torch generator on the CPU, whatever device computes: every device sees the same numbers."""
    import torch  # whoever only draws masks need not wait for it

    words = seed_sequence(stream, permille, seed).generate_state(1, np.uint64)
    return torch.Generator().manual_seed(int(words[0]) >> 1)
