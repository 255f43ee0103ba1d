"""Convolutions of many networks as matrix products over windows of their maps, and their gradients.

A grouped convolution of cuDNN launches a kernel for each network; one batched product serves them all. Maps lie
with channels last, so that a window's rows are read in one piece and a product's result is the next map.

Letters: P networks, B images of each, H × W positions of a map with C channels, O channels of the next one.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from bnbench.mpo.following_relu import FollowingReLUs

Asked = tuple[bool, bool, bool]  # which gradients: of maps, weights and bias
Gradients = tuple[Tensor | None, Tensor | None, Tensor | None]

_KEPT_BYTES = 2**29  # windows of a layer up to this size are kept for the backward pass; larger ones are written anew


class Geometry(NamedTuple):
    """How windows lie on a map, each as (rows, columns); ``before`` and ``after`` are the zeros added at its edges."""

    kernel: tuple[int, int]
    stride: tuple[int, int]
    before: tuple[int, int]
    after: tuple[int, int]
    dilation: tuple[int, int]

    def positions(self, size: tuple[int, int]) -> tuple[int, int]:
        """Return how many windows a map of this size has along its rows and columns."""
        rows, columns = (
            (size[axis] + self.before[axis] + self.after[axis] - self.reach(axis)) // self.stride[axis] + 1
            for axis in (0, 1)
        )
        return rows, columns

    def reach(self, axis: int) -> int:
        """Return how many positions one window covers along an axis, its gaps included."""
        return self.dilation[axis] * (self.kernel[axis] - 1) + 1

    def turned(self, size: tuple[int, int]) -> Geometry:
        """Return the windows on a convolution's upstream gradient whose product is its maps' gradient.

        With another stride than 1 they lie on that gradient spread out, its values a stride apart and zeros between.

        Args:
            size: rows and columns of the convolution's maps.
        """
        before = tuple(self.reach(axis) - 1 - self.before[axis] for axis in (0, 1))
        spread = tuple((count - 1) * step + 1 for count, step in zip(self.positions(size), self.stride, strict=True))
        after = tuple(size[axis] - before[axis] - spread[axis] + self.reach(axis) - 1 for axis in (0, 1))
        return Geometry(self.kernel, (1, 1), (before[0], before[1]), (after[0], after[1]), self.dilation)


class Windows:
    """The convolutions, and their gradients, as batched products over windows that are written to memory.

    All maps are (P, B, H, W, C), weights (P, O, C, rows, columns), biases (P, O). Maps that all networks share
    have 1 in place of P.
    """

    relus: FollowingReLUs | None = None  # a ReLU after a convolution is left to torch

    def forward(
        self, maps: Tensor, weights: Tensor, bias: Tensor | None, geometry: Geometry, relu: bool
    ) -> tuple[Tensor, Tensor | None]:
        """Return the next maps, (P, B, H', W', O), and the windows where they are kept for the backward pass."""
        rows, columns = geometry.positions((maps.shape[2], maps.shape[3]))
        windows = _windows(maps, geometry)
        matrices = in_window_order(weights)
        seen = windows.expand(len(weights), -1, -1)
        product = torch.bmm(seen, matrices) if bias is None else torch.baddbmm(bias.unsqueeze(1), seen, matrices)
        is_kept = windows.numel() * windows.element_size() <= _KEPT_BYTES
        return product.view(len(weights), maps.shape[1], rows, columns, -1), windows if is_kept else None

    def gradients(
        self, upstream: Tensor, maps: Tensor, weights: Tensor, kept: Tensor | None, geometry: Geometry, asked: Asked
    ) -> Gradients:
        """Return the gradients with respect to maps, weights and bias, those that are asked for."""
        return (
            _of_maps(upstream, weights, (maps.shape[2], maps.shape[3]), geometry) if asked[0] else None,
            _of_weights(upstream, _windows(maps, geometry) if kept is None else kept, weights) if asked[1] else None,
            upstream.sum((1, 2, 3)) if asked[2] else None,
        )


def in_window_order(weights: Tensor) -> Tensor:
    """Return weights (P, O, C, rows, columns) as what windows are multiplied by, (P, rows · columns · C, O)."""
    return weights.permute(0, 3, 4, 2, 1).flatten(1, 3).contiguous()


def turned(weights: Tensor) -> Tensor:
    """Return the weights that lead a gradient back: turned by 180°, (P, C, O, rows, columns)."""
    return weights.flip(3, 4).transpose(1, 2)


def _of_maps(upstream: Tensor, weights: Tensor, size: tuple[int, int], geometry: Geometry) -> Tensor:
    """Return the gradient with respect to maps of this size, (P, B, H, W, C).

    With stride 1 it is the product of the windows of the upstream gradient and the weights turned by 180°, so
    that nothing is scattered; otherwise each place of a window is added where the window lay.
    """
    if geometry.stride == (1, 1):
        product = torch.bmm(_windows(upstream, geometry.turned(size)), in_window_order(turned(weights)))
        return product.view(*upstream.shape[:2], *size, -1)
    of_windows = torch.bmm(upstream.flatten(1, 3), in_window_order(weights).mT)
    return _folded(of_windows.view(*upstream.shape[:4], *geometry.kernel, -1), size, geometry)


def _of_weights(upstream: Tensor, windows: Tensor, weights: Tensor) -> Tensor:
    """Return the gradient with respect to the weights, (P, O, C, rows, columns), as the product lies."""
    product = torch.bmm(windows.expand(len(upstream), -1, -1).mT, upstream.flatten(1, 3))
    return as_weights(product, weights)


def as_weights(matrices: Tensor, weights: Tensor) -> Tensor:
    """Return matrices (P, rows · columns · C, O) as weights, (P, O, C, rows, columns), without a copy."""
    networks, outputs, channels, rows, columns = weights.shape
    return matrices.view(networks, rows, columns, channels, outputs).permute(0, 4, 3, 1, 2)


def _windows(maps: Tensor, geometry: Geometry) -> Tensor:
    """Return each position's window, (P, B · H' · W', rows · columns · C)."""
    rows, columns = geometry.positions((maps.shape[2], maps.shape[3]))
    padded = _padded(maps, geometry)
    network, image, row, column, channel = padded.stride()
    steps = (geometry.stride[0] * row, geometry.stride[1] * column)
    gaps = (geometry.dilation[0] * row, geometry.dilation[1] * column)
    shape = (*maps.shape[:2], rows, columns, *geometry.kernel, maps.shape[-1])
    windows = padded.as_strided(shape, (network, image, *steps, *gaps, channel))
    return windows.reshape(len(maps), maps.shape[1] * rows * columns, -1)


def _padded(maps: Tensor, geometry: Geometry) -> Tensor:
    """Return maps with zeros around them; where there are fewer than none, without their edge."""
    if geometry.before == geometry.after == (0, 0):
        return maps
    (top, left), (bottom, right) = geometry.before, geometry.after
    return torch.nn.functional.pad(maps, (0, 0, left, right, top, bottom))


def _folded(of_windows: Tensor, size: tuple[int, int], geometry: Geometry) -> Tensor:
    """Sum of windows (P, B, H', W', rows, columns, C) where they lie on maps of this size."""
    networks, images, rows, columns, *_, channels = of_windows.shape
    (top, left), (bottom, right) = geometry.before, geometry.after
    padded = of_windows.new_zeros(networks, images, size[0] + top + bottom, size[1] + left + right, channels)
    for row in range(geometry.kernel[0]):
        for column in range(geometry.kernel[1]):
            first, second = row * geometry.dilation[0], column * geometry.dilation[1]
            down = slice(first, first + (rows - 1) * geometry.stride[0] + 1, geometry.stride[0])
            along = slice(second, second + (columns - 1) * geometry.stride[1] + 1, geometry.stride[1])
            padded[:, :, down, along] += of_windows[:, :, :, :, row, column]
    return padded[:, :, top : top + size[0], left : left + size[1]]
