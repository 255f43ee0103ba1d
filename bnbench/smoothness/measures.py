"""All measures of one network at one weight vector, wherever that lies."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn

from bnbench.errors import RequestError
from bnbench.inputs.seeds import torch_generator
from bnbench.mpo.images import Images
from bnbench.results.smoothness import Measured
from bnbench.results.smoothness_settings import PlaneSettings, SmoothnessSettings
from bnbench.smoothness import hessian
from bnbench.smoothness.along_gradient import RELATIVE_STEPS, STEPS, along_gradient
from bnbench.smoothness.minibatch_loss import filter_norms, mean_loss, minibatch_loss
from bnbench.smoothness.slices import DIRECTIONS, filter_normalized_directions, sharpness


def measured_minibatches(train: Images, settings: SmoothnessSettings | PlaneSettings) -> list[Images]:
    """Return the minibatches that networks are measured on, float64: the first training images, each one once."""
    batches = [
        train.part(number * settings.batch, (number + 1) * settings.batch) for number in range(settings.minibatches)
    ]
    return [batch.to("cpu", torch.float64) for batch in batches]


def check_minibatches(train: Images, settings: SmoothnessSettings | PlaneSettings) -> None:
    """Check that there are images enough.

    Raises:
        RequestError: there are not.
    """
    wanted = settings.batch * settings.minibatches
    if wanted > len(train):
        raise RequestError(
            f"--batch {settings.batch} and --minibatches {settings.minibatches} need {wanted:,} training images, and "
            f"there are {len(train):,}; give fewer."
        )


def measure(asked: Measured, network: nn.Module, weights: Tensor, batches: Sequence[Images]) -> dict[str, float]:
    """Compute every measure of :data:`bnbench.results.smoothness.MEASURES`, in float64.

    Walks along the gradient are taken for each minibatch alone, and their measures averaged; curvature is that of the
    mean of the minibatches' Hessians; slices are of the mean loss. Probes, directions and Lanczos's first vector are
    the same for every step of a network and every pixel of a plane, and for arms with equally many weights.

    Args:
        asked: which network or plane; its key keys what is random here.
        network: its module; its own weights are not used.
        weights: w, float64, shape (n,).
        batches: minibatches, float64.
    """
    settings = asked.settings
    losses = [minibatch_loss(network, batch) for batch in batches]
    raw = [along_gradient(loss, weights, STEPS) for loss in losses]
    relative = [along_gradient(loss, weights, RELATIVE_STEPS, relative=True) for loss in losses]
    together, random = mean_loss(losses), torch_generator("probes", asked.key.permille, asked.key.seed)
    product = hessian.hessian_product(together, weights)
    normalized = hessian.normalized_product(product, filter_norms(network, weights))
    start = torch.randn(weights.shape, generator=random, dtype=torch.float64)
    directions = filter_normalized_directions(network, weights, DIRECTIONS, random)
    probes = [hessian.trace(one, weights, random, settings.probes) for one in (product, normalized)]
    with torch.no_grad():
        loss = float(together(weights))
    return {
        "loss": loss,
        "loss_range": float(np.mean([one.loss_range for one in raw])),
        "predictiveness": float(np.mean([one.predictiveness for one in raw])),
        "effective_beta": float(np.mean([one.effective_beta for one in raw])),
        "loss_range_relative": float(np.mean([one.loss_range for one in relative])),
        "predictiveness_relative": float(np.mean([one.predictiveness for one in relative])),
        "change_relative": float(np.mean([one.relative_predictiveness for one in relative])),
        "effective_beta_relative": float(np.mean([one.effective_beta for one in relative])),
        "eigenvalue": hessian.top_eigenvalue(product, start, settings.tolerance),
        "eigenvalue_normalized": hessian.top_eigenvalue(normalized, start, settings.tolerance),
        "trace": probes[0].mean,
        "trace_error": probes[0].error,
        "trace_normalized": probes[1].mean,
        "trace_normalized_error": probes[1].error,
        "sharpness": sharpness(together, weights, directions),
    }
