"""What computes the networks of a GPU's fit: proved and timed on the fit's own first step.

``grouped`` is what torch does with convolutions of many networks under ``vmap``, ``ordinary`` what it does with
those of one. Others are used only where they have given the same values, and in less time.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor

from bnbench.mpo.candidates import CANDIDATES, GROUPED, Way
from bnbench.mpo.cuda_graph import DeviceLostError, is_lost
from bnbench.mpo.replayed import reason, relative_error

Values = tuple[Tensor, ...]
Work = Callable[[], Values]
Record = Callable[[Work, torch.device], tuple[Callable[[], object], Values]]
Step = Callable[[Way | None], Values]

# Of a step's gradient, losses and accuracies, relative: an order of magnitude above what the precision rounds.
TOLERANCES = {"float32": 1e-3, "tf32": 2e-2, "bfloat16": 1e-1}
_LEAST_SHARE = 1e-2  # of the whole gradient: a layer that has less, such as a bias before BN, is held to so much
_ROUNDS = 5


@contextmanager
def exact_products() -> Iterator[None]:
    """Within, float32 is float32 on a GPU, also in a fit of ``tf32``, which has its process to itself."""
    before = torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32
    torch.set_float32_matmul_precision("highest")
    torch.backends.cudnn.allow_tf32 = False
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before[0])
        torch.backends.cudnn.allow_tf32 = before[1]


class Strategy(NamedTuple):
    """What computes the networks of a fit.

    Attributes:
        name: of the kernels; ``grouped`` or ``ordinary`` where torch computes them.
        kernels: None where torch computes them.
        reasons: how it came to be: times of a step, and why others are not used.
        is_refused: whether kernels gave other values than torch's, or failed.
    """

    name: str
    kernels: Way | None = None
    reasons: tuple[str, ...] = ()
    is_refused: bool = False

    def __str__(self) -> str:
        """Say it in one line, for a provenance."""
        return f"{self.name} ({'; '.join(self.reasons)})" if self.reasons else self.name


class Trial:
    """Tries kernels on a step, each against all that have passed before it.

    A step is held to the others in float32, layer by layer, and where the fit's precision is another one also as the
    fit computes it, all layers together: what 16 bits round may hide a layer that is wrong.

    Args:
        precision: of the fit, a key of ``TOLERANCES``.
        candidates: what makes each kind of kernels, by name, in the order in which they are tried; making them may
            fail. One that does not pass ends the trial: those after it are held to it.
        usual: name of what torch does.
        layers: where each layer lies in the second axis of the gradient; by default it is one layer.
        record: makes a recording of a step, :func:`~bnbench.mpo.cuda_graph.record_graph`, so that what is timed is
            the device; without it, or where that fails, each step is launched anew.
        clock: seconds.
        rounds: how often each step is timed, once more to warm up.
    """

    def __init__(
        self,
        precision: str = "float32",
        candidates: Mapping[str, Callable[[], Way]] | None = None,
        *,
        usual: str = GROUPED,
        layers: Sequence[slice] = (slice(None),),
        record: Record | None = None,
        clock: Callable[[], float] = time.perf_counter,
        rounds: int = _ROUNDS,
    ) -> None:
        self.precision, self.usual, self.layers = precision, usual, layers
        self.candidates = dict(CANDIDATES if candidates is None else candidates)
        self.record, self.clock, self.rounds = record, clock, rounds

    def without(self, names: frozenset[str]) -> None:
        """Leave out kernels, such as those that have failed on this device before."""
        self.candidates = {name: make for name, make in self.candidates.items() if name not in names}

    def proved(self, name: str, step: Step, exact: Step | None = None) -> Strategy | None:
        """Return what was used before, once it has computed a step as torch does; None where it cannot or is not here.

        Args:
            name: of the strategy.
            step: as of :meth:`chosen`.
            exact: as of :meth:`chosen`.

        Raises:
            DeviceLostError: the device answers no more.
            Exception: whatever the step raises with torch's own kernels.
        """
        if name == self.usual:
            return Strategy(name, None, ("as before",))
        if name not in self.candidates:
            return None
        proofs = self._proofs(step, exact or step)
        try:
            kernels = self.candidates[name]()
            for proof in proofs:
                proof.hold(kernels)
        except Exception as refused:  # such as a package, or a compiler, that this machine lacks
            _raise_if_lost(proofs, name, refused)
            return None
        return Strategy(name, kernels, ("as before",))

    def chosen(self, step: Step, exact: Step | None = None) -> Strategy:
        """Return the fastest strategy that computes a step as torch does.

        Args:
            step: computes the step by some kernels, torch's own for None, and returns its values, each of which is
                a tensor of the fit's device, the gradient with respect to the frame first.
            exact: does so in float32; by default the same.

        Raises:
            DeviceLostError: the device answers no more: the process that computes on it is to end.
            Exception: whatever the step raises with torch's own kernels.
        """
        proofs = self._proofs(step, exact or step)
        device = proofs[0].passed[0][0].device
        best, is_refused = Strategy(self.usual), False
        fastest = self._seconds(lambda: step(None), device)
        reasons = [f"{self.usual} {_milliseconds(fastest)}"]
        for name, make in self.candidates.items():
            try:
                kernels = make()
                for proof in proofs:
                    proof.hold(kernels)
                seconds = self._seconds(partial(step, kernels), device)
            except ImportError as missing:
                reasons.append(f"{name} not tried, {reason(missing)}")
                break
            except Exception as refused:  # whatever it is: torch's own kernels worked
                _raise_if_lost(proofs, name, refused)
                reasons.append(f"{name} refused, {reason(refused)}")
                is_refused = True
                break
            reasons.append(f"{name} {_milliseconds(seconds)}")
            if seconds < fastest:
                best, fastest = Strategy(name, kernels), seconds
        return best._replace(reasons=tuple(reasons), is_refused=is_refused)

    def _proofs(self, step: Step, exact: Step) -> list[_Proof]:
        own = [] if self.precision == "float32" else [_Proof(step, TOLERANCES[self.precision], (slice(None),))]
        return [_Proof(exact, TOLERANCES["float32"], self.layers), *own]

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


class _Proof:
    """Holds what kernels compute to what torch computed, and to all kernels that have passed before.

    Args:
        step: as of :meth:`Trial.chosen`.
        tolerance: relative error that each layer's gradient, the losses and the accuracies may have.
        layers: as of :class:`Trial`.
    """

    def __init__(self, step: Step, tolerance: float, layers: Sequence[slice]) -> None:
        self.step, self.tolerance, self.layers = step, tolerance, layers
        self.passed = [_copied(step(None))]

    def hold(self, kernels: Way) -> None:
        """Compute the step by kernels.

        Raises:
            ValueError: what they give is something else.
        """
        self.step(kernels)  # in their first call kernels may only watch; what they do from then on is to be proved
        values = _copied(self.step(kernels))
        error = max(error for earlier in self.passed for error in self._errors(values, earlier))
        if not error <= self.tolerance:  # not-a-number is no proof
            raise ValueError(f"off by {error:.1e}")
        self.passed.append(values)

    def _errors(self, values: Values, expected: Values) -> list[float]:
        (gradient, *others), (earlier, *their_others) = values, expected
        least = _LEAST_SHARE * float(earlier.double().norm())
        errors = [relative_error(gradient[:, layer], earlier[:, layer], least) for layer in self.layers]
        errors += [relative_error(*pair) for pair in zip(others, their_others, strict=True)]
        return [error if error == error else float("inf") for error in errors]  # so that max() sees what is no number


def _raise_if_lost(proofs: Sequence[_Proof], name: str, refused: Exception) -> None:
    if is_lost(proofs[0].passed[0][0].device):
        raise DeviceLostError(f"{name}: {reason(refused)}") from refused


def _copied(values: Values) -> Values:
    return tuple(value.clone() for value in values)


def _wait(values: Values) -> None:
    """Wait for the device, by asking it for a number."""
    for value in values:
        value.flatten()[:1].tolist()


def _milliseconds(seconds: float) -> str:
    return f"{1e3 * seconds:.3g} ms"
