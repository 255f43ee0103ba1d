"""The first part of ``benchmarks/gpu.py``: is every way to compute a step's gradient right?

In float64 a way must give what the plain loop gives, within what rounding leaves: so its algorithm is exact. In float32
it may be off by twice what the plain float32 loop is off by, in every step; torch has other kernels for maps with
channels last (bn's rounds three times as much there on a CPU), so that the loop is computed in both layouts. Where an
input of a ReLU lies within rounding of zero, either side of the kink is right and a gradient jumps, the loop's own,
too: minibatches are drawn anew until no input lies there, so that no step has to be forgiven.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, NamedTuple

import torch
from engine import CHUNKS, IMAGES, Case
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from bnbench.mpo.batched import batched_logits
from bnbench.mpo.candidates import CANDIDATES, GROUPED
from bnbench.mpo.fused import Fused
from bnbench.mpo.strategy import Strategy

EXACT = 1e-9  # of float64, relative
TIMES = 2.0  # how many times the float32 loop's largest error a way may be off by
SOUND = 1e-4  # from which on the float32 loop itself is no measure
STEPS = 3  # that each way is held to
PIXELS = {"compact": 16, "paper": 2}
FEW = {"compact": 8, "paper": 2}  # images of a pixel: with more, some input of paper's ReLUs always lies near zero
MARGIN = 5e-6  # of a map's root mean square: what float32 rounds is a fifth of it
_DRAWS = 200  # minibatches that are drawn at most

Make = Callable[[], Any]
USUAL: Mapping[str, Make] = {GROUPED: lambda: None}
WAYS: list[tuple[str, Mapping[str, Make]]] = [  # in order of the time that they take: fused kernels are compiled
    ("compact", USUAL),
    ("paper", USUAL),
    *(("compact", {name: make}) for name, make in CANDIDATES.items()),
]


def group_norm(widths: tuple[int, int] = (8, 16)) -> nn.Module:
    """A network that is none of bnbench's own."""
    first, second = widths
    return nn.Sequential(
        nn.Conv2d(1, first, 3, padding=1),
        nn.GroupNorm(2, first),
        nn.ReLU(),
        nn.Conv2d(first, second, 3, stride=2, padding=1),
        nn.GroupNorm(4, second),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(2),
        nn.Flatten(),
        nn.Linear(4 * second, 10),
    )


ARMS: dict[str, str | Callable[[], nn.Module]] = {"plain": "plain", "bn": "bn", "skip": "skip", "groupnorm": group_norm}


class Held(NamedTuple):
    """One way of one arm against float64.

    Attributes:
        what: which.
        result: what was found.
        is_wrong: whether it is off by more than it may.
    """

    what: str
    result: str
    is_wrong: bool


def held(shape: str, arm: str, device: str, ways: Mapping[str, Make]) -> Iterator[Held]:
    """Hold every way to the plain loop in float64, at sizes without kinks; on a GPU at the protocol's own, too.

    Args:
        shape: ``compact`` or ``paper``.
        arm: a key of ``ARMS``.
        device: where.
        ways: name to what makes the kernels of one; torch's own are None.
    """
    exact = [_case(shape, arm, device, seed, double=True) for seed in range(STEPS)]
    single = [_case(shape, arm, device, seed) for seed in range(STEPS)]
    for twin, case in zip(single, exact, strict=True):
        avoid_kinks(case)
        twin.images = case.images
    expected = [case.naive() for case in exact]
    own: list[float] = []
    for layout, last in (("", False), (" with channels last", True)):
        errors = [_error(case.naive(channels_last=last), slow) for case, slow in zip(single, expected, strict=True)]
        yield Held(f"{shape}, {arm}, loop{layout}, float32", _said(errors), not max(errors) < SOUND)
        own += errors
    whole = [] if device == "cpu" else [Case(shape, ARMS[arm], device=device, double=True)]
    of_whole = [case.naive() for case in whole]
    for name, make in ways.items():
        what = f"{shape}, {arm}, {name}, float64"
        yield _of_way(what, shape, exact, expected, make, EXACT)
        yield _of_way(f"{shape}, {arm}, {name}, float32", shape, single, expected, make, TIMES * max(own))
        if whole:
            yield _of_way(f"{what}, all images", shape, whole, of_whole, make, EXACT)


def _case(shape: str, arm: str, device: str, seed: int, *, double: bool = False) -> Case:
    few = {"pixels": PIXELS[shape], "images": FEW[shape]}
    return Case(shape, ARMS[arm], device=device, seed=seed, double=double, **few)


def _of_way(what: str, shape: str, cases: list[Case], expected: list[Tensor], make: Make, tolerance: float) -> Held:
    """Hold a way to what is expected of some steps, in each of them."""
    try:
        kernels = make()
        if isinstance(kernels, Fused) and cases[0].plane.vectors.device.type == "cpu":
            raise ImportError("it is for a GPU")
    except ImportError as missing:
        return Held(what, f"not tried: {missing}", False)
    try:
        errors = [_error(_gradient(case, shape, kernels), slow) for case, slow in zip(cases, expected, strict=True)]
    except Exception as failed:
        return Held(what, f"{type(failed).__name__}: {f'{failed}'.partition(chr(10))[0]}", True)
    return Held(what, f"{_said(errors)} of {tolerance:.1e}", not all(error <= tolerance for error in errors))


def _gradient(case: Case, shape: str, kernels: Any) -> Tensor:
    """A step's gradient, computed twice: kernels look at the first call, and may do otherwise in the next."""
    engine = case.engine(CHUNKS[shape])
    engine.use(Strategy("", kernels))
    case.step(engine)
    gradient: Tensor = case.step(engine)
    return gradient


def _error(gradient: Tensor, expected: Tensor) -> float:
    return float((gradient.double() - expected).norm() / expected.norm())


def _said(errors: list[float]) -> str:
    return f"off by {', '.join(f'{error:.1e}' for error in errors)}"


def avoid_kinks(case: Case) -> None:
    """Draw a step's images anew until no input of a ReLU lies near zero, in the network of any pixel."""
    generator = torch.Generator().manual_seed(0)
    every = range(len(case.pixels))
    for pixels in [every] if case.images.dim() == 1 else [[index] for index in every]:  # who share a minibatch
        own = case.images if case.images.dim() == 1 else case.images[pixels[0]]
        for _ in range(_DRAWS):
            if not has_kink(case, pixels):
                break
            own.copy_(torch.randint(IMAGES, own.shape, generator=generator))


def has_kink(case: Case, pixels: Iterable[int]) -> bool:
    """Whether an input of a ReLU lies near zero in the network of any of these pixels."""
    names = [layer.name for layer in case.plane.layers]
    with torch.no_grad(), _ReLUs() as watched:
        for index in pixels:
            weights = case.plane.network_weights(case.plane.frame(), case.coordinates[case.pixels[index : index + 1]])
            seen = case.images if case.images.dim() == 1 else case.images[index]
            batched_logits(case.plane.module, names, weights, case.data.pixels[seen])
            if watched.nearest <= MARGIN:
                return True
    return False


class _ReLUs(TorchFunctionMode):
    """Sees how near to zero the inputs of ReLUs come that are called within, in root mean squares of their maps."""

    def __init__(self) -> None:
        super().__init__()
        self.nearest = float("inf")

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Look at what a ReLU is given, and call whatever is called."""
        if getattr(func, "__name__", "") in ("relu", "relu_") and args:
            maps = args[0]
            self.nearest = min(self.nearest, float(maps.abs().min() / maps.square().mean().sqrt()))
        return func(*args, **(kwargs or {}))
