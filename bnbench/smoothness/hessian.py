"""The curvature of a loss: the Hessian's largest eigenvalue and its trace, raw and filter-normalized.

Largest eigenvalue by Lanczos (Ghorbani, Krishnan & Xiao 2019, arXiv 1901.10159, for networks), trace by Hutchinson
(1990); both as in PyHessian (Yao, Gholami, Keutzer & Mahoney 2020, arXiv 1912.07145). Letters: n weights.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.sparse.linalg import ArpackNoConvergence, LinearOperator, eigsh
from torch import Tensor
from torch.func import grad, vjp, vmap

from bnbench.errors import RequestError
from bnbench.smoothness.minibatch_loss import Loss

Product = Callable[[Tensor], Tensor]
FEWEST_PROBES = 30
_PROBES_AT_ONCE = 10  # more of them leave the cache
_MOST_ITERATIONS = 300  # of Lanczos, each with a restart


class Trace(NamedTuple):
    """A trace as random probes estimate it.

    Attributes:
        mean: the estimate.
        error: its standard error, that of a mean over independent probes.
    """

    mean: float
    error: float


def hessian_product(loss: Loss, weights: Tensor) -> Product:
    """Return the function v ↦ H v, H the Hessian of the loss at the weights; v and H v have shape (n,).

    Where the loss is a mean over minibatches, H is the mean of their Hessians, each normalized by its own statistics;
    that is not the Hessian of one larger batch. H is symmetric, so that H v is a vector-Jacobian product of the
    gradient: with it one pass serves all v, and a product takes half the time of the Jacobian-vector product's.
    """
    backwards = vjp(grad(loss), weights)[1]
    return lambda vector: backwards(vector)[0].detach()


def normalized_product(product: Product, norms: Tensor) -> Product:
    """Return the function v ↦ D H D v.

    D H D is the Hessian in coordinates in which a step of 1 moves a filter by its own length. It does not change where
    a rescaling of whole filters leaves the network's function as it is: with S the factors, H becomes S⁻¹ H S⁻¹ and D
    becomes S D. So does a factor on a whole layer of a ReLU network that the next layer undoes, and one on any filter
    that a normalization follows. One on a single filter of a ReLU network does not: it is undone in a part of the next
    layer's filters.

    Args:
        product: v ↦ H v.
        norms: the diagonal of D, shape (n,), see :func:`bnbench.smoothness.minibatch_loss.filter_norms`.
    """
    return lambda vector: norms * product(norms * vector)


def top_eigenvalue(product: Product, start: Tensor, tolerance: float = 0.0) -> float:
    """Return the largest eigenvalue of a symmetric operator by Lanczos; it may be negative.

    It is the largest, not that of the largest magnitude, which is another one where negative curvature prevails.

    Args:
        product: v ↦ H v.
        start: a random vector, shape (n,), whose type is the operator's; equal vectors give equal values.
        tolerance: relative accuracy; 0 asks for that of the machine.

    Returns:
        The eigenvalue; not a number where Lanczos does not settle.
    """

    def multiply(vector: NDArray[np.float64]) -> NDArray[np.float64]:
        found: NDArray[np.float64] = product(torch.from_numpy(vector.reshape(-1)).to(start)).double().numpy()
        return found

    operator = LinearOperator((len(start),) * 2, matvec=multiply, dtype=np.float64)
    first = start.double().numpy()
    try:
        values = eigsh(operator, 1, which="LA", v0=first, tol=tolerance, maxiter=_MOST_ITERATIONS)[0]
    except ArpackNoConvergence:
        return math.nan
    return float(values[0])


def trace(product: Product, like: Tensor, generator: torch.Generator, probes: int = FEWEST_PROBES) -> Trace:
    """Estimate a trace by Hutchinson: the mean of zᵀ H z over random z, every entry of which is 1 or −1.

    Args:
        product: v ↦ H v.
        like: a vector of the operator's shape (n,) and type.
        generator: of the probes, on the CPU.
        probes: how many, at least 30.

    Raises:
        RequestError: fewer probes than 30, of which a standard error says little.
    """
    if probes < FEWEST_PROBES:
        raise RequestError(f"probes={probes} are too few for a standard error; give at least {FEWEST_PROBES}.")
    signs = torch.stack([torch.randint(2, like.shape, generator=generator).to(like) * 2 - 1 for _ in range(probes)])
    found = (signs * vmap(product, chunk_size=_PROBES_AT_ONCE)(signs)).sum(1).tolist()
    return Trace(float(np.mean(found)), float(np.std(found, ddof=1)) / math.sqrt(probes))
