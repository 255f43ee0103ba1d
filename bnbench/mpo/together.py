"""The networks of several fits as one batch: N fits of P pixels are N·P networks, where all of them have one shape.

A batch is as wide as it was at its start, whoever has left it: the networks of a fit that is there take the empty
places, and nothing is read from those. So products keep their shape, and a fit its bits, whichever others there are.

What a fit draws, its plane, its way back through eq. 2, its clipping, its optimizer and its trace stay its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from bnbench.mpo.gradient import ObjectiveGradient
from bnbench.mpo.objective import Targets, weighted_objective

if TYPE_CHECKING:
    from bnbench.mpo.fit import Fit

Asked = tuple[Tensor, Tensor, Targets, Tensor]
Found = tuple[Tensor, Tensor, Tensor]


def are_alike(one: Fit, other: Fit) -> bool:
    """Say whether two fits of an arm can be one batch: as many pixels a step, many at once, each with own images."""

    def shape(fit: Fit) -> tuple[object, ...]:
        engine = fit.engine
        computed = engine.chunk, engine.threshold, engine.strategy.name if engine.strategy else ""
        return len(fit.targets.factors), fit.images_shape, engine.data.pixels.shape, *computed

    return shape(one) == shape(other) and len(one.images_shape) == 2 and one.engine.chunk > 1


def take_together(fits: Sequence[Fit], drawn: Sequence[tuple[Tensor, Tensor]], width: int) -> tuple[Tensor, ...]:
    """Take a step of each fit, at its optimizer's rates, all of their networks as one batch.

    Args:
        fits: alike.
        drawn: the pixels of each, (P,), and its images, (P, B).
        width: fits that the batch has room for.

    Returns:
        What ``Fit.take`` returns, for one fit after another.
    """
    frames = [fit.plane.frame() for fit in fits]
    own = [*zip(fits, frames, drawn, strict=True)]
    asked = [(frame.detach(), pixels, fit.targets, images) for fit, frame, (pixels, images) in own]
    found = gradients_together([fit.engine for fit in fits], asked, width)
    taken = [fit.follow(frame, *values) for (fit, frame, _), values in zip(own, found, strict=True)]
    return tuple(value for values in taken for value in values)


def gradients_together(engines: Sequence[ObjectiveGradient], steps: Sequence[Asked], width: int) -> list[Found]:
    """Return what ``ObjectiveGradient.step`` gives for each of several fits, a chunk of every fit's pixels at a time.

    Args:
        engines: of the fits; the first one's images and kernels are taken for all of them.
        steps: frame, pixels, targets and images of each, as of ``ObjectiveGradient.step``.
        width: fits that the batch has room for, at least as many as there are.
    """
    first, (frame, pixels, *_) = engines[0], steps[0]
    found = [(torch.zeros_like(own[0]), *own[0].new_zeros(2, len(pixels))) for own in steps]
    for part in torch.split(torch.arange(len(pixels), device=frame.device), first.chunk):
        of_each = [engine.own_weights(own[0], own[1][part]) for engine, own in zip(engines, steps, strict=True)]
        weights = [torch.cat(_filled(layer, width)).requires_grad_() for layer in zip(*of_each, strict=True)]
        loss, accuracy = first.forward(weights, torch.cat(_filled([images[part] for *_, images in steps], width)))
        pairs = [*zip(loss.chunk(width), accuracy.chunk(width), strict=True)][: len(steps)]
        values = [
            weighted_objective(own, targets.part(part), first.threshold)
            for (own, _), (_, _, targets, _) in zip(pairs, steps, strict=True)
        ]
        gradients = torch.autograd.grad(torch.stack(values).sum(), weights, materialize_grads=True)
        for index, (gradient, losses, accuracies) in enumerate(found):
            own_gradients = tuple(layer.chunk(width)[index] for layer in gradients)
            engines[index].add_through_plane(gradient, own_gradients, steps[index][1][part])
            losses[part], accuracies[part] = pairs[index][0].detach(), pairs[index][1]
    return found


def _filled(own: Sequence[Tensor], width: int) -> list[Tensor]:
    """Fill up what there is of each fit, such as its weights, with the first one's."""
    return [*own, *[own[0]] * (width - len(own))]
