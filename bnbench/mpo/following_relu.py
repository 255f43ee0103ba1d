"""Which convolutions of a module are followed by a ReLU and seen by nothing else: one kernel can compute both."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

_RELUS: tuple[Callable[..., Tensor], ...] = (F.relu, torch.relu, torch.relu_, Tensor.relu, Tensor.relu_)


class FollowingReLUs:
    """Watches one call of a module, and knows its convolutions from then on, counted in the order of their calls.

    A module calls the same functions each time, since no value can decide its way under ``vmap``. Kernels
    are proved by a call after the watched one (:class:`~bnbench.mpo.strategy.Trial`).

    Attributes:
        numbers: the convolutions that a ReLU alone follows; None until a call has been watched.
    """

    def __init__(self) -> None:
        self.numbers: frozenset[int] | None = None


class Call:
    """One call of a module.

    Args:
        relus: what is known of it; what this call shows is added at its end.
    """

    def __init__(self, relus: FollowingReLUs | None) -> None:
        self.relus = relus
        self._results: list[Tensor] = []  # of convolutions, so that none of their places in memory is given away
        self._followed: list[list[bool]] = []  # of each, whether it was ReLU that saw it

    def add(self, result: Tensor) -> Tensor:
        """Take notice of a convolution's result, and return it."""
        self._results.append(result)
        self._followed.append([])
        return result

    @property
    def has_relu(self) -> bool:
        """Say whether a ReLU follows the next convolution."""
        return bool(self.relus and self.relus.numbers and len(self._results) in self.relus.numbers)

    def after_relu(self, func: Any, args: Sequence[Any], given: dict[str, Any]) -> Tensor | None:
        """Return what a function is given if it is the ReLU that has been computed; None of any other call."""
        if not self.relus:
            return None
        seen = [value for each in (*args, *given.values()) for value in _members(each)]
        for number, result in enumerate(self._results):
            if any(value is result for value in seen):
                self._followed[number].append(func in _RELUS)
                if self.relus.numbers and number in self.relus.numbers and func in _RELUS:
                    return result
        return None

    def end(self) -> None:
        """Keep what was seen, if it is the first call."""
        if self.relus and self.relus.numbers is None:
            self.relus.numbers = frozenset(n for n, followed in enumerate(self._followed) if followed == [True])


def _members(value: Any) -> Iterable[Any]:
    return value if isinstance(value, list | tuple) else (value,)
