"""Independent slow references in float64: plain loops, one network at a time."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from torch.func import functional_call


def frame_by_hand(vectors: Tensor) -> list[Tensor]:
    """Origin and directions by eq. 2 as the paper writes it for two, the scale not applied."""
    origin, *free, up = vectors
    length = sum(value * value for value in up).sqrt()
    directions = [up]
    for vector in reversed(free):
        rest = vector
        for other in directions:
            inner = sum(vector[i] * other[i] for i in range(len(up)))
            rest = rest - inner / sum(value * value for value in other) * other
        directions.insert(0, rest * (length / sum(value * value for value in rest).sqrt()))
    return [origin, *directions]


def frame_from_origin_by_hand(vectors: Tensor) -> list[Tensor]:
    """Origin, right and up as the authors' code makes them: right leads to φ, up is turned off it and as long."""
    origin, phi, other = vectors
    right = torch.stack([phi[i] - origin[i] for i in range(len(phi))])
    square = sum(value * value for value in right)
    inner = sum(other[i] * right[i] for i in range(len(right)))
    rest = torch.stack([other[i] - inner / square * right[i] for i in range(len(right))])
    return [origin, right, rest * (square / sum(value * value for value in rest)).sqrt()]


def weights_by_hand(frame: Sequence[Tensor], scale: Tensor, place: Sequence[float]) -> Tensor:
    """Weight vector of one point by eq. 1."""
    origin, *directions = frame
    return origin + scale * sum(step * direction for step, direction in zip(place, directions, strict=True))


def cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    """Mean over images of −log softmax at the label, term by term."""
    terms: list[Tensor] = []
    for row, label in zip(logits, labels, strict=True):
        terms.append(sum((value - row.max()).exp() for value in row).log() + row.max() - row[label])
    return sum(terms, torch.zeros(())) / len(terms)


def pixel_loss(module: nn.Module, weights: Tensor, images: Tensor, labels: Tensor) -> tuple[Tensor, float]:
    """Loss and accuracy of one weight vector."""
    parameters, start = {}, 0
    for name, parameter in module.named_parameters():
        parameters[name] = weights[start : start + parameter.numel()].view(parameter.shape)
        start += parameter.numel()
    logits = functional_call(module, parameters, (images,))
    right = sum(int(row.argmax() == label) for row, label in zip(logits, labels, strict=True))
    return cross_entropy(logits, labels), right / len(labels)


def position(pixel: int, shape: Sequence[int]) -> tuple[float, ...]:
    """(α, β, …) of a pixel counted in reading order: up is up, the centre is the origin."""
    if len(shape) == 1:
        return (pixel - (shape[0] - 1) / 2,)
    *axes, rows, columns = shape
    pixel, column = divmod(pixel, columns)
    pixel, row = divmod(pixel, rows)
    found = [column - (columns - 1) / 2, (rows - 1) / 2 - row]
    for size in reversed(axes):
        pixel, index = divmod(pixel, size)
        found.append(index - (size - 1) / 2)
    return tuple(found)


def step_loss(
    module: nn.Module,
    vectors: Tensor,
    scale: Tensor,
    shape: Sequence[int],
    pixels: list[int],
    is_black: list[bool],
    minibatches: list[tuple[Tensor, Tensor]],
    threshold: float,
    frame_of: Callable[[Tensor], list[Tensor]] = frame_by_hand,
) -> tuple[Tensor, list[float]]:
    """Eq. 3 over a step's pixels, and each pixel's loss."""
    frame = frame_of(vectors)
    black: list[Tensor] = []
    white: list[Tensor] = []
    losses: list[float] = []
    for pixel, colour, (images, labels) in zip(pixels, is_black, minibatches, strict=True):
        weights = weights_by_hand(frame, scale, position(pixel, shape))
        loss, _ = pixel_loss(module, weights, images, labels)
        losses.append(loss.item())
        if colour:
            black.append(loss)
        else:
            white.append(loss if loss.item() < threshold else torch.tensor(threshold, dtype=loss.dtype))
    nothing = torch.zeros(())
    return sum(black, nothing) / max(len(black), 1) - sum(white, nothing) / max(len(white), 1), losses
