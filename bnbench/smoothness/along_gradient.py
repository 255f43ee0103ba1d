"""How loss and gradient change along the gradient, one minibatch at a time.

The three measures are those of Santurkar, Tsipras, Ilyas & Mądry, *How Does Batch Normalization Help Optimization?*
(2018, arXiv 1805.11604), figure 4. Letters: n weights.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor
from torch.func import grad_and_value

from bnbench.errors import RequestError
from bnbench.smoothness.minibatch_loss import Loss

STEPS = (0.01, 0.03, 0.1, 0.3)  # η
RELATIVE_STEPS = (0.003, 0.01, 0.03, 0.1)  # ε


@dataclass(frozen=True)
class AlongGradient:
    """What was measured along one minibatch's gradient g = ∇L(w), downwards: at w − ηg for every η of a grid.

    Attributes:
        loss_range: max L(w − ηg) − min L(w − ηg), nats; w itself, η = 0, is one of the points.
        predictiveness: max ‖∇L(w − ηg) − g‖. The smaller it is, the better g foretells the gradient ahead.
        relative_predictiveness: max ‖∇L(w − ηg) − g‖ / ‖g‖.
        effective_beta: max ‖∇L(w − ηg) − g‖ / (η‖g‖), the smallest Lipschitz constant of the gradient that the grid
            allows ("β-smoothness").
    """

    loss_range: float
    predictiveness: float
    relative_predictiveness: float
    effective_beta: float


def along_gradient(loss: Loss, weights: Tensor, steps: Sequence[float], *, relative: bool = False) -> AlongGradient:
    """Walk down one minibatch's gradient and hold loss and gradient on the way to those at the start.

    The minibatch is the same all the way, and batch normalization uses its statistics at each point. With relative
    steps a step moves the weights by that share of their length: η = ε‖w‖/‖g‖. Where a network is invariant to the
    length of all its weights together, relative steps lead through the same functions whatever that length, and
    ``loss_range`` and ``relative_predictiveness`` do not depend on it. No kind of step is invariant to a rescaling that
    differs from layer to layer.

    Args:
        loss: of one minibatch.
        weights: w, shape (n,).
        steps: η, or ε of relative steps, each above 0.
        relative: whether ``steps`` are relative.

    Raises:
        RequestError: there is no step, or one is not above 0.
    """
    if not steps or min(steps) <= 0:
        raise RequestError(f"steps={tuple(steps)}: give at least one, all above 0.")
    gradient, value = _gradient_and_loss(loss, weights)
    length = float(gradient.norm())
    if length == 0:  # every point of the walk is the start
        return AlongGradient(0.0, 0.0, 0.0, 0.0)
    values, changes, slopes = [value], [], []
    for step in steps:
        eta = step * float(weights.norm()) / length if relative else step
        ahead, value = _gradient_and_loss(loss, weights - eta * gradient)
        values.append(value)
        changes.append(float((ahead - gradient).norm()))
        slopes.append(changes[-1] / (eta * length))
    return AlongGradient(max(values) - min(values), max(changes), max(changes) / length, max(slopes))


def _gradient_and_loss(loss: Loss, weights: Tensor) -> tuple[Tensor, float]:
    gradient, value = grad_and_value(loss)(weights)
    return gradient.detach(), float(value)
