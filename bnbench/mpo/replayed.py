"""A computation on a GPU recorded once as a CUDA graph, and replayed with other inputs.

A narrow network's kernels end sooner than Python can launch the next one: its step waits for the processor.
The shapes of a fit's steps never change, so that one launch can stand for all of a step's kernels.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from bnbench.mpo.cuda_graph import Recording, Work, record_graph

Function = Callable[..., tuple[Tensor, ...]]

TOLERANCE = 1e-3  # relative; the same kernels round alike, and inputs that were recorded too are off by far more


class Replayed:
    """One function of tensors, computed as it stands until its recording has proved equal.

    The first call is only computed. The second one is also recorded, with the inputs of the first, and
    replayed with its own: if that does not give what the function gave, or it cannot be recorded, the
    function goes on being computed. From the third on it is replayed alone.

    Args:
        record: see :func:`~bnbench.mpo.cuda_graph.record_graph`.

    Attributes:
        refusal: why it is not replayed; empty while nothing speaks against it.
    """

    def __init__(self, record: Callable[[Work, torch.device], Recording] | None = None) -> None:
        self.record = record or record_graph
        self.refusal = ""
        self._inputs: tuple[Tensor, ...] = ()
        self._outputs: tuple[Tensor, ...] = ()
        self._replay: Callable[[], object] | None = None

    def __call__(self, function: Function, *inputs: Tensor) -> tuple[Tensor, ...]:
        """Return the function's values; those of a replay are overwritten by the next one.

        Args:
            function: the same in every call; all that changes must be among its inputs.
            inputs: of the same shapes, dtypes and device in every call.
        """
        if self._replay is not None:
            return self._replayed(inputs, self._replay)
        values = function(*inputs)
        if not self.refusal and self._inputs:
            self._try(function, inputs, values)
        elif not self.refusal:
            self._inputs = tuple(value.clone() for value in inputs)
        return values

    def _try(self, function: Function, inputs: Sequence[Tensor], values: Sequence[Tensor]) -> None:
        replay = None
        try:
            replay, self._outputs = self.record(lambda: function(*self._inputs), inputs[0].device)
            errors = [relative_error(*pair) for pair in zip(self._replayed(inputs, replay), values, strict=True)]
        except Exception as refused:  # what cannot be recorded, too little memory: the function itself worked
            self.refusal = reason(refused)
        else:
            if not all(error <= TOLERANCE for error in errors):  # not-a-number is no proof
                self.refusal = f"a replay was off by {', '.join(f'{error:.1e}' for error in errors)}"
        if self.refusal:
            self._inputs = self._outputs = ()  # a recording's memory is given back
        else:
            self._replay = replay

    def _replayed(self, inputs: Sequence[Tensor], replay: Callable[[], object]) -> tuple[Tensor, ...]:
        for own, value in zip(self._inputs, inputs, strict=True):
            own.copy_(value)
        replay()
        return self._outputs


def reason(refused: Exception) -> str:
    """Return why something could not be recorded: of what went wrong first, torch reports the consequence."""
    cause = refused.__context__ or refused
    return f"{cause}".partition("\n")[0] or type(cause).__name__


def relative_error(actual: Tensor, expected: Tensor, least: float = 1e-30) -> float:
    """Return the norm of the difference as a share of the expected norm, or of the least that it is taken for."""
    actual, expected = actual.double(), expected.double()
    return float((actual - expected).norm() / expected.norm().clamp(min=max(least, 1e-30)))
