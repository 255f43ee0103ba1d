"""Which pixels and images a step sees: draws without replacement, cycling through permutations."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor


class Cycle:
    """Numbers 0 to count − 1 in random order, again and again, every one once a round.

    Args:
        count: how many there are, at least 1.
        generator: on the CPU.
    """

    def __init__(self, count: int, generator: torch.Generator) -> None:
        self.count = count
        self.generator = generator
        self.order = torch.randperm(count, generator=generator)
        self.position = 0

    def draw(self, number: int) -> Tensor:
        """Return the next ``number`` of them, int64; no two alike in one draw unless it exceeds the count."""
        parts = [self._take(number)]
        taken = len(parts[0])
        while taken < number:
            self._shuffle(deferred=parts[-1] if number <= self.count else parts[-1][:0])
            parts.append(self._take(number - taken))
            taken += len(parts[-1])
        return torch.cat(parts)

    def _take(self, number: int) -> Tensor:
        taken = self.order[self.position : self.position + number]
        self.position += len(taken)
        return taken

    def _shuffle(self, deferred: Tensor) -> None:
        """Start a round; what the draw at hand already holds goes to the end of it."""
        order = torch.randperm(self.count, generator=self.generator)
        is_deferred = torch.isin(order, deferred)
        self.order = torch.cat([order[~is_deferred], order[is_deferred]])
        self.position = 0

    def state_dict(self) -> dict[str, Any]:
        """Return everything that the next draws depend on."""
        return {"generator": self.generator.get_state(), "order": self.order, "position": self.position}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from where :meth:`state_dict` was taken."""
        self.generator.set_state(state["generator"])
        self.order, self.position = state["order"], state["position"]
