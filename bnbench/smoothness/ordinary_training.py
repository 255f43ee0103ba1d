"""An ordinary network of an arm, trained as such: one weight vector, minibatches, the protocol's optimizer and rate."""

from __future__ import annotations

import math
from collections.abc import Iterator
from copy import deepcopy

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bnbench.arms.networks import ConvolutionalNetwork, rescale
from bnbench.arms.own_arm import load_arm
from bnbench.inputs.data import DataSet
from bnbench.inputs.seeds import torch_generator
from bnbench.mpo.images import Images
from bnbench.mpo.optimizers import build_optimizer
from bnbench.mpo.plane import flatten, fresh_network
from bnbench.mpo.sampling import Cycle
from bnbench.mpo.trace import DivergedError
from bnbench.protocol.measured_steps import MeasuredSteps
from bnbench.results.smoothness import MeasuredNetwork
from bnbench.results.smoothness_settings import SmoothnessSettings

_RESCALED = "rescaled"


def measured_steps(settings: SmoothnessSettings) -> tuple[int, ...]:
    """Return the steps at which a network is measured: 0, its initial weights, then steps spaced by the logarithm."""
    return 0, *MeasuredSteps(settings.points).of(settings.steps)


def initial_network(asked: MeasuredNetwork, data: DataSet) -> nn.Module:
    """Make a network with the weights that the origin w_O of the fit of its key starts from, of every arm alike.

    That of ``rescaled`` is plain's: see :func:`trained_weights`.
    """
    arm = "plain" if asked.key.arm == _RESCALED else asked.key.arm
    factory = load_arm(arm, data.image_shape, data.classes, asked.protocol.network)
    seeds = torch.randint(2**62, (3,), generator=torch_generator("weights", asked.key.permille, asked.key.seed))
    return fresh_network(factory, int(seeds[0]))


def trained_weights(asked: MeasuredNetwork, network: nn.Module, train: Images) -> Iterator[tuple[int, Tensor]]:
    """Train a network and yield its weights at the steps to be measured.

    The rule, the rate, its schedule and the clipping are those of the protocol; images come in permutations, in the
    order that all arms of a seed share. The negative control ``rescaled`` is plain's network itself, on plain's way;
    the weights that are yielded are rescaled, and its function is plain's at every step. Trained by itself it would
    not be, since Adam's steps do not grow with the weights.

    Args:
        asked: which network, and how.
        network: what :func:`initial_network` made; trained in place.
        train: training images.

    Yields:
        Step and weights, float64, shape (n,).

    Raises:
        DivergedError: a loss stopped being finite.
    """
    training, settings, key = asked.protocol.training, asked.settings, asked.key
    parameters = list(network.parameters())
    optimizer = build_optimizer(training.optimizer, [{"params": parameters}], training.learning_rate)
    order = Cycle(len(train), torch_generator("images", key.permille, key.seed))
    due = measured_steps(settings)
    for step in range(settings.steps + 1):
        if step in due:
            yield step, _measured(network, is_rescaled=key.arm == _RESCALED)
        if step == settings.steps:
            return
        if training.schedule == "cosine":
            for group in optimizer.param_groups:
                group["lr"] = training.learning_rate * (0.5 + 0.5 * math.cos(math.pi * step / settings.steps))
        drawn = order.draw(settings.batch)
        loss = F.cross_entropy(network(train.pixels[drawn]), train.labels[drawn])
        if not bool(loss.isfinite()):
            raise DivergedError(f"the loss at step {step} is {float(loss)}")
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(parameters, training.clip)
        optimizer.step()


def _measured(network: nn.Module, *, is_rescaled: bool) -> Tensor:
    copy = deepcopy(network).double()
    if is_rescaled and isinstance(copy, ConvolutionalNetwork):
        rescale(copy)
    return flatten(copy)
