"""Which kernels compute the convolutions of a GPU's fit: proved and timed on the fit's own first step.

``grouped`` is what torch does with a convolution under ``vmap``. Others are used only where they have given the same
values, and in less time.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor

from bnbench.mpo.convolutions import Kernels
from bnbench.mpo.windows import Windows

Values = tuple[Tensor, ...]
Work = Callable[[], Values]
Record = Callable[[Work, torch.device], tuple[Callable[[], object], Values]]

GROUPED = "grouped"
# Of a step's gradient, losses and accuracies, relative: an order of magnitude above what the precision rounds.
TOLERANCES = {"float32": 1e-3, "tf32": 2e-2, "bfloat16": 1e-1}
_ROUNDS = 5


def _fused() -> Kernels:
    from bnbench.mpo.fused import Fused

    return Fused()


CANDIDATES: Mapping[str, Callable[[], Kernels]] = {"windows": Windows, "fused": _fused}


class Strategy(NamedTuple):
    """What computes the convolutions of a fit.

    Attributes:
        name: of the kernels, ``grouped``, or ``grouped`` where torch computes them.
        kernels: None where torch computes them.
        reasons: how it came to be: times of a step, and why others are not used.
        is_refused: whether kernels gave other values than torch's, or failed.
    """

    name: str
    kernels: Kernels | None = None
    reasons: tuple[str, ...] = ()
    is_refused: bool = False

    def __str__(self) -> str:
        """Say it in one line, for a provenance."""
        return f"{self.name} ({'; '.join(self.reasons)})" if self.reasons else self.name


class Trial:
    """Tries kernels on a step, each against all that have passed before it.

    Args:
        precision: of the fit, a key of ``TOLERANCES``.
        candidates: what makes each kind of kernels, by name, in the order in which they are tried; making them may
            fail. One that does not pass ends the trial: those behind it are held to it.
        record: makes a recording of a step, :func:`~bnbench.mpo.cuda_graph.record_graph`, so that what is timed is
            the device; without it, or where that fails, each step is launched anew.
        clock: seconds.
        rounds: how often each step is timed, once more to warm up.
    """

    def __init__(
        self,
        precision: str = "float32",
        candidates: Mapping[str, Callable[[], Kernels]] | None = None,
        record: Record | None = None,
        clock: Callable[[], float] = time.perf_counter,
        rounds: int = _ROUNDS,
    ) -> None:
        self.tolerance = TOLERANCES[precision]
        self.candidates = CANDIDATES if candidates is None else candidates
        self.record, self.clock, self.rounds = record, clock, rounds

    def kept(self, name: str) -> Strategy | None:
        """Return the strategy that an earlier part of the same fit has used; None where it cannot be had here."""
        if name == GROUPED:
            return Strategy(name, None, ("as in the part before",))
        try:
            return Strategy(name, self.candidates[name](), ("as in the part before",))
        except Exception:  # such as a package that this machine lacks
            return None

    def chosen(self, step: Callable[[Kernels | None], Values]) -> Strategy:
        """Return the fastest strategy that computes a step as torch does.

        Args:
            step: computes the step by some kernels, torch's own for None, and returns its values, each of which is
                a tensor of the fit's device.

        Raises:
            Exception: whatever the step raises with torch's own kernels.
        """
        passed = [_copied(step(None))]
        best, is_refused = Strategy(GROUPED), False
        fastest = self._seconds(lambda: step(None), passed[0][0].device)
        reasons = [f"{GROUPED} {_milliseconds(fastest)}"]
        for name, make in self.candidates.items():
            try:
                kernels = make()
                values = self._proved(step, kernels, passed)
                seconds = self._seconds(partial(step, kernels), values[0].device)
            except ImportError as missing:
                reasons.append(f"{name} not tried, {_sentence(missing)}")
                break
            except Exception as refused:  # whatever it is: torch's own kernels worked
                reasons.append(f"{name} refused, {_sentence(refused)}")
                is_refused = True
                break
            passed.append(values)
            reasons.append(f"{name} {_milliseconds(seconds)}")
            if seconds < fastest:
                best, fastest = Strategy(name, kernels), seconds
        return best._replace(reasons=tuple(reasons), is_refused=is_refused)

    def _proved(self, step: Callable[[Kernels | None], Values], kernels: Kernels, passed: list[Values]) -> Values:
        """Return what kernels compute, held to what others did.

        Raises:
            ValueError: it is something else.
        """
        step(kernels)  # in their first call kernels may only watch; what they do from then on is to be proved
        values = _copied(step(kernels))
        error = max(_error(*pair) for earlier in passed for pair in zip(values, earlier, strict=True))
        if not error <= self.tolerance:  # not-a-number is no proof
            raise ValueError(f"off by {error:.1e}")
        return values

    def _seconds(self, work: Work, device: torch.device) -> float:
        """Return the median time of a step on the device."""
        values, replay = work(), None
        if self.record:
            try:
                replay, values = self.record(work, device)
            except Exception:  # it cannot be recorded: then neither can the fit's steps
                replay = None
        times: list[float] = []
        for _ in range(1 + self.rounds):
            _wait(values)
            start = self.clock()
            if replay:
                replay()
            else:
                values = work()
            _wait(values)
            times.append(self.clock() - start)
        return statistics.median(times[1:])


def _copied(values: Values) -> Values:
    return tuple(value.clone() for value in values)


def _wait(values: Values) -> None:
    """Wait for the device, by asking it for a number."""
    for value in values:
        value.flatten()[:1].tolist()


def _error(actual: Tensor, expected: Tensor) -> float:
    return float((actual - expected).norm() / expected.norm().clamp(min=1e-30))


def _milliseconds(seconds: float) -> str:
    return f"{1e3 * seconds:.3g} ms"


def _sentence(error: Exception) -> str:
    return f"{error}".partition("\n")[0] or type(error).__name__
