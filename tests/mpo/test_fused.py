"""The fused kernel, by Triton's interpreter on the processor: convolutions, bias, ReLU and all gradients."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.func import vmap

from bnbench.mpo import fused
from bnbench.mpo.convolutions import Convolutions, Kernels
from bnbench.mpo.fused import Fused
from bnbench.mpo.gradient import ObjectiveGradient
from bnbench.mpo.objective import colour_targets
from bnbench.mpo.plane import grid_coordinates
from bnbench.mpo.windows import Windows
from tests.cases import make_images, make_plane

triton = pytest.importorskip("triton", reason="Triton is no dependency, and is not installed here")

CASES: list[tuple[tuple[int, int], dict[str, Any]]] = [
    ((3, 3), {"padding": 1}),
    ((1, 1), {"padding": 2}),
    ((3, 3), {"stride": 2, "padding": 1}),
    ((2, 3), {"stride": (2, 1), "padding": (0, 2), "dilation": (1, 2)}),
    ((2, 2), {"padding": "same", "dilation": 3}),
    ((1, 2), {"stride": 3}),
]


# In one block each, and in several with a ReLU: of these the interpreter takes longest, and most are for the night.
BLOCKS = [pytest.param(False, 64, *case) for case in CASES]
BLOCKS += [
    pytest.param(True, 16, *case, marks=[pytest.mark.nightly] * (number != 4)) for number, case in enumerate(CASES)
]


@pytest.fixture(autouse=True)
def interpreted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRITON_INTERPRET", "1")
    # Triton's own functions are made when it is imported, which may have been before, and not for the interpreter.
    monkeypatch.setattr(triton.language, "sum", summed)


def summed(values: Any, axis: int) -> Any:
    return triton.language.reduce(values, axis, triton.language.standard._sum_combine)


def leaf(*shape: int, seed: int, dtype: torch.dtype = torch.float64) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=generator, dtype=torch.float64).to(dtype).requires_grad_()


def together(function: Callable[..., Tensor], kernels: Kernels, *given: Tensor, axes: Any = 0) -> Tensor:
    def one(*own: Tensor) -> Tensor:
        with Convolutions(kernels):
            return function(*own)

    result: Tensor = vmap(one, in_dims=axes)(*given)
    return result


def values(result: Tensor, *given: Tensor) -> list[Tensor]:
    upstream = leaf(*result.shape, seed=4, dtype=result.dtype).detach()
    return [result, *torch.autograd.grad(result, given, upstream)]


def agree(actual: list[Tensor], expected: list[Tensor], tolerance: float = 1e-12) -> None:
    for mine, slow in zip(actual, expected, strict=True):
        torch.testing.assert_close(mine, slow, rtol=tolerance, atol=tolerance)


@pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel")  # torch's own, of the reference
@pytest.mark.parametrize(("relu", "largest", "kernel", "arguments"), BLOCKS)
def test_a_kernel_is_conv2d(
    relu: bool, largest: int, kernel: tuple[int, int], arguments: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fused, "_LARGEST", largest)
    monkeypatch.setattr(fused, "_DEPTH", min(largest, fused._DEPTH))
    given = leaf(2, 2, 3, 5, 4, seed=1), leaf(2, 17, 3, *kernel, seed=2), leaf(2, 17, seed=3)

    def one(maps: Tensor, weights: Tensor, bias: Tensor) -> Tensor:
        result = F.conv2d(maps, weights, bias, **arguments)
        return F.relu(result) if relu else result

    kernels = Fused()
    together(one, kernels, *given)  # the first call is watched
    actual = together(one, kernels, *given)
    assert kernels.relus.numbers == frozenset({0} if relu else ())
    agree(values(actual, *given), values(torch.stack([one(*own) for own in zip(*given, strict=True)]), *given))


def test_networks_may_share_their_maps_and_lack_a_bias() -> None:
    maps, weights = leaf(2, 3, 5, 4, seed=1), leaf(3, 2, 3, 3, 3, seed=2)
    actual = together(partial(F.conv2d, padding=1), Fused(), maps, weights, axes=(None, 0))
    each = torch.stack([F.conv2d(maps, own, padding=1) for own in weights])
    agree(values(actual, maps, weights), values(each, maps, weights))


# The interpreter has no bfloat16.
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-5), (torch.float16, 0.01)])
def test_a_lower_precision_stays_what_it_is(dtype: torch.dtype, tolerance: float) -> None:
    given = tuple(leaf(*shape, seed=5, dtype=dtype) for shape in ((2, 2, 3, 5, 4), (2, 4, 3, 3, 3), (2, 4)))
    actual = together(lambda *own: F.relu(F.conv2d(*own)), Fused(), *given)
    exact = together(lambda *own: F.relu(F.conv2d(*own)), Windows(), *(each.double() for each in given))
    assert actual.dtype == dtype
    agree([actual.double()], [exact], tolerance)


def test_what_is_not_a_number_passes_the_relu() -> None:
    """As through torch's own: a fit that diverges is found by it."""
    maps, weights = torch.ones(1, 1, 1, 2, 2), torch.full((1, 1, 1, 1, 1), float("nan")).requires_grad_()
    kernels = Fused()
    kernels.relus.numbers = frozenset({0})
    actual = together(lambda *own: F.relu(F.conv2d(*own)), kernels, maps, weights)
    upstream = torch.ones_like(actual)
    assert bool(actual.isnan().all())
    assert float(torch.autograd.grad(actual, weights, upstream)[0]) == 4


def seen_twice(maps: Tensor) -> Tensor:
    return F.relu(maps) + maps


def measured(maps: Tensor) -> Tensor:
    return F.relu(maps) / maps.shape[1]


def joined(maps: Tensor) -> Tensor:
    return F.relu(torch.cat([maps, maps]))


@pytest.mark.parametrize(
    ("after", "is_fused"),
    [
        (F.relu, True),
        (nn.ReLU(inplace=True), True),
        (seen_twice, False),
        (joined, False),
        *(
            pytest.param(*one, marks=pytest.mark.nightly)
            for one in (
                (torch.relu, True),
                (Tensor.relu, True),
                (lambda maps: F.relu(input=nn.Identity()(maps)), True),
                (measured, False),
                (torch.tanh, False),
                (nn.Identity(), False),
            )
        ),
    ],
)
def test_a_relu_is_fused_where_nothing_else_sees_the_maps(after: Callable[[Tensor], Tensor], is_fused: bool) -> None:
    given = leaf(2, 2, 3, 4, 4, seed=1), leaf(2, 3, 3, 1, 1, seed=2)

    def one(maps: Tensor, weights: Tensor) -> Tensor:
        return after(F.conv2d(torch.tanh(F.conv2d(maps, weights)), weights))

    kernels = Fused()
    first, second = (together(one, kernels, *given) for _ in range(2))
    assert kernels.relus.numbers == frozenset({1} if is_fused else ())
    expected = values(torch.stack([one(*own) for own in zip(*given, strict=True)]), *given)
    agree(values(first, *given), expected)
    agree(values(second, *given), expected)


@pytest.mark.parametrize(
    ("arm", "relus"),
    [("plain", 3), *(pytest.param(*one, marks=pytest.mark.nightly) for one in (("bn", 0), ("skip", 3)))],
)
def test_a_steps_gradient_is_that_of_grouped_convolutions(arm: str, relus: int) -> None:
    plane = make_plane(arm)
    pixels = torch.tensor([0, 3, 7, 11])
    images = torch.randint(40, (4, 3), generator=torch.Generator().manual_seed(2))

    def step(kernels: Kernels | None) -> tuple[Tensor, Tensor, Tensor]:
        engine = ObjectiveGradient(plane, make_images(), grid_coordinates((4, 5)), 1.5, 2)
        engine.kernels = kernels
        return engine.step(plane.frame().detach(), pixels, colour_targets(pixels < 8), images)

    kernels = Fused()
    agree(list(step(kernels)), list(step(None)))
    assert kernels.relus.numbers is not None
    assert len(kernels.relus.numbers) == relus
