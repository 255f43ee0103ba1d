"""What stands in for a GPU's recordings where no GPU is."""

from __future__ import annotations

import torch

from bnbench.mpo.cuda_graph import Recording, Work


def computes_again(work: Work, device: torch.device) -> Recording:
    """Compute the same work at every replay; its values lie where they always lie, as a graph's do."""
    kept = work()

    def replay() -> None:
        for own, value in zip(kept, work(), strict=True):
            own.copy_(value)

    return replay, kept
