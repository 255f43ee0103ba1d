"""Independent slow references in float64: plain loops, one network at a time."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.func import functional_call


def frame_by_hand(vectors: Tensor, scale: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Origin, right and up of a plane by eq. 2 as the paper writes it, the scale not applied."""
    origin, free, up = vectors
    inner = sum(free[i] * up[i] for i in range(len(up)))
    squared = sum(up[i] * up[i] for i in range(len(up)))
    rest = free - inner / squared * up
    return origin, rest * (squared.sqrt() / sum(value * value for value in rest).sqrt()), up


def cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    """Mean over images of −log softmax at the label, term by term."""
    terms = []
    for row, label in zip(logits, labels, strict=True):
        terms.append(sum((value - row.max()).exp() for value in row).log() + row.max() - row[label])
    return sum(terms) / len(terms)


def pixel_loss(module: nn.Module, weights: Tensor, images: Tensor, labels: Tensor) -> tuple[Tensor, float]:
    """Loss and accuracy of one weight vector."""
    parameters, start = {}, 0
    for name, parameter in module.named_parameters():
        parameters[name] = weights[start : start + parameter.numel()].view(parameter.shape)
        start += parameter.numel()
    logits = functional_call(module, parameters, (images,))
    right = sum(int(row.argmax() == label) for row, label in zip(logits, labels, strict=True))
    return cross_entropy(logits, labels), right / len(labels)


def position(row: int, column: int, rows: int, columns: int) -> tuple[float, float]:
    """(α, β) of a pixel: up is up, the centre is the origin."""
    return column - (columns - 1) / 2, (rows - 1) / 2 - row


def step_loss(
    module: nn.Module,
    vectors: Tensor,
    scale: Tensor,
    shape: tuple[int, int],
    pixels: list[int],
    is_black: list[bool],
    minibatches: list[tuple[Tensor, Tensor]],
    threshold: float,
) -> tuple[Tensor, list[float]]:
    """Eq. 3 over a step's pixels, and each pixel's loss."""
    origin, right, up = frame_by_hand(vectors, scale)
    black, white, losses = [], [], []
    for pixel, colour, (images, labels) in zip(pixels, is_black, minibatches, strict=True):
        alpha, beta = position(*divmod(pixel, shape[1]), *shape)
        loss, _ = pixel_loss(module, origin + scale * (alpha * right + beta * up), images, labels)
        losses.append(loss.item())
        if colour:
            black.append(loss)
        else:
            white.append(loss if loss.item() < threshold else torch.tensor(threshold, dtype=loss.dtype))
    total = sum(black) / max(len(black), 1) - sum(white) / max(len(white), 1)
    return total, losses
