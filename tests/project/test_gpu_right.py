"""What ``nox -s gpu`` calls right: a fault is found that shows in one step alone, or in one precision."""

from __future__ import annotations

from collections.abc import Iterator
from types import ModuleType
from typing import Any

import pytest
import torch

from bnbench.mpo.windows import Gradients, Windows
from tests.benchmark_scripts import benchmark_script

STEPS = 2


@pytest.fixture
def script() -> Iterator[ModuleType]:
    """The part of the benchmark, with steps of a few pixels and images."""
    with pytest.MonkeyPatch.context() as patch:
        module = benchmark_script("gpu_right")
        for name, value in (("STEPS", STEPS), ("PIXELS", {"compact": 2}), ("FEW", {"compact": 2})):
            patch.setattr(module, name, value)
        yield module


class Faulty(Windows):
    """Kernels whose gradient of the first convolution's weights is off where they are told.

    Args:
        share: by how much of itself.
        dtype: in which precision.
        steps: in which of the steps, each of which is computed twice.
    """

    def __init__(self, share: float, dtype: torch.dtype, steps: range) -> None:
        self.share, self.dtype, self.steps, self.computed = share, dtype, steps, 0

    def gradients(self, *given: Any) -> Gradients:
        of_maps, of_weights, of_bias = super().gradients(*given)
        if given[1].shape[-1] == 1 and of_weights is not None:  # maps of one channel, grey images
            if of_weights.dtype == self.dtype and self.computed // 2 in self.steps:
                of_weights = of_weights * (1 + self.share)
            self.computed += 1
        return of_maps, of_weights, of_bias


@pytest.mark.parametrize(
    ("share", "dtype", "steps", "wrong"),
    [
        (0.0, torch.float32, range(STEPS), []),
        (1e-4, torch.float32, range(1, 2), ["float32"]),
        (1e-4, torch.float32, range(1), ["float32"]),
        (1e-7, torch.float64, range(1, 2), ["float64"]),
        (float("nan"), torch.float32, range(1, 2), ["float32"]),
    ],
)
def test_a_fault_in_one_step_is_found(
    script: ModuleType, share: float, dtype: torch.dtype, steps: range, wrong: list[str]
) -> None:
    ways = {"faulty": lambda: Faulty(share, dtype, steps)}
    found = list(script.held("compact", "plain", "cpu", ways))
    assert [row.what.split(", ")[-1] for row in found if row.is_wrong] == wrong
    assert len(found) == 4  # the loop in both layouts, the way in both precisions


def test_a_way_that_fails_is_wrong_and_one_that_is_not_here_is_told(script: ModuleType) -> None:
    def missing() -> None:
        raise ModuleNotFoundError("No module named 'triton'")

    class Failing(Windows):
        def forward(self, *given: Any) -> Any:
            raise RuntimeError("too little memory\nmore of it")

    found = list(script.held("compact", "plain", "cpu", {"missing": missing, "failing": Failing}))[2:]
    assert [row.is_wrong for row in found] == [False, False, True, True]
    assert all("triton" in row.result for row in found[:2])
    assert all("\n" not in row.result for row in found)


def test_no_input_of_a_relu_lies_near_zero(script: ModuleType) -> None:
    """But for a margin that no minibatch can have."""
    case = script._case("compact", "bn", "cpu", 0, double=True)
    script.avoid_kinks(case)
    assert not script.has_kink(case, range(2))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(script, "MARGIN", 1.0)
        assert script.has_kink(case, range(2))
