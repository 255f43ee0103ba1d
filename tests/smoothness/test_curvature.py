"""Curvature, walks along the gradient and slices, against plain loops in float64."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from bnbench.errors import RequestError
from bnbench.mpo.images import Images
from bnbench.mpo.plane import flatten
from bnbench.smoothness import hessian
from bnbench.smoothness.along_gradient import AlongGradient, along_gradient
from bnbench.smoothness.minibatch_loss import filter_norms, mean_loss, minibatch_loss
from bnbench.smoothness.slices import filter_normalized_directions, sharpness
from tests.cases import FOREIGN, make_images, make_plane
from tests.slow import pixel_loss

ARMS = ("plain", "bn", FOREIGN)
BATCHES = (make_images(3), make_images(4, seed=1))


def network(arm: str, size: str = "strided") -> tuple[nn.Module, Tensor]:
    """A fresh network of some hundred weights in float64, and its weights, away from zero biases."""
    module = make_plane(arm, size).module
    weights = flatten(module)
    return module, weights + 0.05 * torch.randn(weights.shape, generator=torch.Generator().manual_seed(1)).double()


def slow_loss(module: nn.Module, data: Images = BATCHES[0]) -> Callable[[Tensor], Tensor]:
    return lambda weights: pixel_loss(module, weights, data.pixels, data.labels)[0]


def slow_gradient(module: nn.Module, weights: Tensor, data: Images = BATCHES[0]) -> Tensor:
    leaf = weights.clone().requires_grad_()
    return torch.autograd.grad(slow_loss(module, data)(leaf), leaf)[0]


def dense_hessian(module: nn.Module, weights: Tensor, batches: tuple[Images, ...] = BATCHES) -> Tensor:
    """The mean of the minibatches' Hessians, row by row."""
    total = torch.zeros(len(weights), len(weights), dtype=torch.float64)
    for data in batches:
        leaf = weights.clone().requires_grad_()
        (gradient,) = torch.autograd.grad(slow_loss(module, data)(leaf), leaf, create_graph=True)
        units = torch.eye(len(weights), dtype=torch.float64)
        total += torch.autograd.grad(gradient, leaf, units, is_grads_batched=True)[0] / len(batches)
    return total


def slow_filter_norms(module: nn.Module, weights: Tensor) -> list[float]:
    found: list[float] = []
    start = 0
    for parameter in module.parameters():
        outputs = parameter.shape[0]
        inside = parameter.numel() // outputs
        for output in range(outputs):
            own = weights[start + output * inside : start + (output + 1) * inside]
            norm = math.sqrt(sum(float(value) ** 2 for value in own)) if parameter.dim() > 1 else 0.0
            found += [norm] * inside
        start += parameter.numel()
    return found


def start_vector(weights: Tensor) -> Tensor:
    return torch.randn(weights.shape, generator=torch.Generator().manual_seed(3), dtype=torch.float64)


@pytest.mark.parametrize("arm", ARMS)
def test_products_eigenvalue_and_trace_are_those_of_the_dense_hessian(arm: str) -> None:
    module, weights = network(arm)
    dense = dense_hessian(module, weights)
    norms = filter_norms(module, weights)
    expected_norms = torch.tensor(slow_filter_norms(module, weights), dtype=torch.float64)
    torch.testing.assert_close(norms, expected_norms, rtol=1e-12, atol=0)
    raw = hessian.hessian_product(mean_loss([minibatch_loss(module, data) for data in BATCHES]), weights)
    cases = {
        "raw": (raw, dense),
        "normalized": (hessian.normalized_product(raw, norms), norms[:, None] * dense * norms),
    }
    for product, matrix in cases.values():
        vector = start_vector(weights)
        expected = matrix @ vector
        assert (product(vector) - expected).norm() <= 1e-8 * expected.norm()
        largest = float(np.linalg.eigvalsh(matrix.numpy())[-1])
        assert hessian.top_eigenvalue(product, vector, 1e-11) == pytest.approx(largest, rel=1e-8)
        estimate = hessian.trace(product, weights, torch.Generator().manual_seed(5), 40)
        generator = torch.Generator().manual_seed(5)
        values = []
        for _ in range(40):
            signs = [1.0 if bit else -1.0 for bit in torch.randint(2, weights.shape, generator=generator)]
            values.append(float(torch.tensor(signs).double() @ matrix @ torch.tensor(signs).double()))
        assert estimate.mean == pytest.approx(sum(values) / 40, rel=1e-8)
        spread = sum((value - sum(values) / 40) ** 2 for value in values) / 39
        assert estimate.error == pytest.approx(math.sqrt(spread / 40), rel=1e-8)
        assert abs(estimate.mean - float(matrix.trace())) < 5 * estimate.error


def test_lanczos_on_five_hundred_weights() -> None:
    module, weights = network("plain", "pooled")
    assert 450 < len(weights) < 550
    loss = minibatch_loss(module, BATCHES[0])
    matrix = torch.func.jacrev(torch.func.grad(loss))(weights)
    found = hessian.top_eigenvalue(hessian.hessian_product(loss, weights), start_vector(weights))
    assert found == pytest.approx(float(np.linalg.eigvalsh(matrix.numpy())[-1]), rel=1e-8)


def test_the_largest_eigenvalue_is_not_that_of_the_largest_magnitude() -> None:
    values = torch.tensor([-5.0, 2.0, 1.0, 0.5, -1.0]).double()
    assert hessian.top_eigenvalue(lambda vector: values * vector, torch.ones(5).double()) == pytest.approx(2)


@pytest.mark.parametrize("arm", ARMS)
def test_products_are_differences_of_gradients(arm: str) -> None:
    module, weights = network(arm)
    vector = start_vector(weights) / len(weights) ** 0.5
    product = hessian.hessian_product(minibatch_loss(module, BATCHES[0]), weights)(vector)
    ahead, behind = (slow_gradient(module, weights + side * 1e-6 * vector) for side in (1, -1))
    assert (product - (ahead - behind) / 2e-6).norm() < 1e-5 * product.norm()


@pytest.mark.parametrize("arm", ARMS)
@pytest.mark.parametrize("relative", [False, True])
def test_a_walk_along_the_gradient_is_a_plain_loop(arm: str, relative: bool) -> None:
    module, weights = network(arm)
    steps = (0.01, 0.1, 0.3)
    found = along_gradient(minibatch_loss(module, BATCHES[0]), weights, steps, relative=relative)
    start = slow_gradient(module, weights)
    length = sum(float(value) ** 2 for value in start) ** 0.5
    losses, changes, slopes = [float(slow_loss(module)(weights))], [], []
    for step in steps:
        eta = step * sum(float(value) ** 2 for value in weights) ** 0.5 / length if relative else step
        ahead = weights - eta * start
        losses.append(float(slow_loss(module)(ahead)))
        pairs = zip(slow_gradient(module, ahead), start, strict=True)
        changes.append(sum(float(one - other) ** 2 for one, other in pairs) ** 0.5)
        slopes.append(changes[-1] / eta / length)
    expected = (max(losses) - min(losses), max(changes), max(changes) / length, max(slopes))
    for name, value in zip(AlongGradient.__dataclass_fields__, expected, strict=True):
        assert getattr(found, name) == pytest.approx(value, rel=1e-8), name


def test_a_walk_goes_down_and_ends_on_a_quadratic_where_it_must() -> None:
    """L = ½ c‖w‖²: the gradient is c w, its change c²η‖w‖, and β is c whatever the steps."""
    weights = torch.tensor([3.0, 4.0]).double()
    found = along_gradient(lambda own: 0.5 * 2 * (own @ own), weights, (0.1, 0.25))
    assert found.effective_beta == pytest.approx(2)
    assert found.predictiveness == pytest.approx(4 * 0.25 * 5)
    assert found.loss_range == pytest.approx(25 * (1 - 0.5**2))
    relative = along_gradient(lambda own: 0.5 * 2 * (own @ own), weights, (0.1, 0.25), relative=True)
    assert relative.effective_beta == pytest.approx(2)
    assert relative.relative_predictiveness == pytest.approx(0.25)


def test_scaled_convolutions_of_bn_change_raw_measures_alone() -> None:
    """The pitfall of raw curvature: the same function, and a third or a ninth of the eigenvalue."""
    module, weights = network("bn")
    scaled, start = weights.clone(), 0
    for name, parameter in module.named_parameters():
        if name.startswith("convolutions") and parameter.dim() == 4:
            scaled[start : start + parameter.numel()] *= 3
        start += parameter.numel()
    loss = mean_loss([minibatch_loss(module, data) for data in BATCHES])
    assert float(loss(scaled)) == pytest.approx(float(loss(weights)), rel=1e-3)  # BN's ε is not scaled
    convolutions = (scaled != weights).double()
    raw, of_convolutions, normalized = [], [], []
    for own in (weights, scaled):
        product = hessian.hessian_product(loss, own)
        raw.append(hessian.top_eigenvalue(product, start_vector(own), 1e-6))
        part = hessian.normalized_product(product, convolutions)
        of_convolutions.append(hessian.top_eigenvalue(part, start_vector(own), 1e-6))
        held = hessian.normalized_product(product, filter_norms(module, own))
        normalized.append([hessian.top_eigenvalue(held, start_vector(own), 1e-6)])
        normalized[-1] += hessian.trace(held, own, torch.Generator().manual_seed(0))
    assert normalized[1] == pytest.approx(normalized[0], rel=2e-3)
    assert of_convolutions[1] == pytest.approx(of_convolutions[0] / 9, rel=2e-3)
    assert raw[1] < 0.8 * raw[0]


def test_slices_keep_each_filter_as_long_as_the_weights_own() -> None:
    module, weights = network("bn")
    directions = filter_normalized_directions(module, weights, 3, torch.Generator().manual_seed(0))
    for direction in directions:
        torch.testing.assert_close(filter_norms(module, direction), filter_norms(module, weights))
    loss = slow_loss(module)
    rises = []
    for direction in directions:
        steps = [0.2 * step / 4 for step in range(-4, 5)]
        losses = [float(loss(weights + step * direction)) for step in steps]
        rises.append(max(losses) - float(loss(weights)))
    found = sharpness(minibatch_loss(module, BATCHES[0]), weights, directions, 0.2)
    assert found == pytest.approx(sum(rises) / 3, rel=1e-8)


@pytest.mark.parametrize("steps", [(), (0.1, 0.0), (-1.0,)])
def test_a_walk_without_steps_forward_is_refused(steps: tuple[float, ...]) -> None:
    module, weights = network("plain")
    with pytest.raises(RequestError, match="steps="):
        along_gradient(minibatch_loss(module, BATCHES[0]), weights, steps)


def test_few_probes_are_refused() -> None:
    with pytest.raises(RequestError, match="29"):
        hessian.trace(lambda vector: vector, torch.ones(3), torch.Generator(), 29)
