"""Convolutions of many networks by kernels of Triton's that never write a window to memory.

They are for a GPU, where Triton is installed; its interpreter runs them on a CPU for the tests.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import torch
from torch import Tensor

from bnbench.mpo.following_relu import FollowingReLUs
from bnbench.mpo.windows import Asked, Geometry, Gradients, as_weights, in_window_order, turned

_SMALLEST, _LARGEST = 16, 64  # sides of a block; tensor cores take none smaller
_DEPTH = 32  # of a block's products; at 64 float32 takes twice as long to compile, and half of a processor's memory


class Fused:
    """The convolutions and their gradients, each as one kernel, with bias and, where it alone follows, ReLU.

    Shapes are those of :class:`~bnbench.mpo.windows.Windows`. What follows a ReLU keeps its result, whose sign is
    the gate that an upstream gradient passes in the kernels themselves.

    Raises:
        ImportError: Triton is not installed.
    """

    def __init__(self) -> None:
        import triton  # no dependency: a CPU has no use for it
        import triton.language as tl

        from bnbench.mpo import fused_kernels

        self.relus = FollowingReLUs()
        self._convolve, self._weigh = triton.jit(fused_kernels.convolve), triton.jit(fused_kernels.weigh)
        self._types = {torch.float64: tl.float64}
        self._usual = tl.float32

    def forward(
        self, maps: Tensor, weights: Tensor, bias: Tensor | None, geometry: Geometry, relu: bool
    ) -> tuple[Tensor, Tensor | None]:
        """Return the next maps, (P, B, H', W', O), which are kept as the gate of the gradient where ReLU follows."""
        size = geometry.positions((maps.shape[2], maps.shape[3]))
        result = self._convolved(maps, None, in_window_order(weights), bias, geometry, size, relu=relu)
        return result, result if relu else None

    def gradients(
        self, upstream: Tensor, maps: Tensor, weights: Tensor, kept: Tensor | None, geometry: Geometry, asked: Asked
    ) -> Gradients:
        """Return the gradients with respect to maps, weights and bias, those that are asked for."""
        of_maps = of_weights = of_bias = None
        if asked[0]:
            size = (maps.shape[2], maps.shape[3])
            back, spread = geometry.turned(size), geometry.stride
            matrices = in_window_order(turned(weights))
            of_maps = self._convolved(upstream, kept, matrices, None, back, size, spread=spread)
        if asked[1] or asked[2]:
            of_weights, of_bias = self._weighed(upstream, maps, weights, kept, geometry, has_bias=asked[2])
        return of_maps, of_weights if asked[1] else None, of_bias

    def _convolved(
        self,
        maps: Tensor,
        gate: Tensor | None,
        matrices: Tensor,
        bias: Tensor | None,
        geometry: Geometry,
        size: tuple[int, int],
        *,
        relu: bool = False,
        spread: tuple[int, int] = (1, 1),
    ) -> Tensor:
        maps, (networks, window, outputs) = maps.contiguous(), matrices.shape
        result = maps.new_empty(networks, maps.shape[1], *size, outputs)
        positions = maps.shape[1] * size[0] * size[1]
        blocks = _block(positions), _block(outputs), min(_DEPTH, _block(window))
        grid = -(-positions // blocks[0]), -(-outputs // blocks[1]), networks
        _launch(
            self._convolve[grid],
            maps,
            maps if gate is None else gate,
            matrices,
            matrices if bias is None else bias.contiguous(),
            result,
            maps[0].numel() if len(maps) > 1 or networks == 1 else 0,
            positions,
            **self._constants(maps, result, geometry, blocks),
            SPREAD_DOWN=spread[0],
            SPREAD_ALONG=spread[1],
            HAS_GATE=gate is not None,
            HAS_BIAS=bias is not None,
            RELU=relu,
        )
        return result

    def _weighed(
        self,
        upstream: Tensor,
        maps: Tensor,
        weights: Tensor,
        gate: Tensor | None,
        geometry: Geometry,
        *,
        has_bias: bool,
    ) -> tuple[Tensor, Tensor | None]:
        maps, (networks, outputs, channels, rows, columns) = maps.contiguous(), weights.shape
        window, positions = rows * columns * channels, upstream[0, ..., 0].numel()
        matrices = maps.new_empty(networks, window, outputs)
        of_bias = maps.new_empty(networks, outputs) if has_bias else None
        blocks = min(_DEPTH, _block(positions)), _block(outputs), _block(window)
        grid = -(-window // blocks[2]), -(-outputs // blocks[1]), networks
        _launch(
            self._weigh[grid],
            maps,
            upstream if gate is None else gate,
            upstream,
            matrices,
            matrices if of_bias is None else of_bias,
            maps[0].numel() if len(maps) > 1 or networks == 1 else 0,
            positions,
            **self._constants(maps, upstream, geometry, blocks),
            HAS_GATE=gate is not None,
            HAS_BIAS=has_bias,
        )
        return as_weights(matrices, weights), of_bias

    def _constants(
        self, maps: Tensor, result: Tensor, geometry: Geometry, blocks: tuple[int, int, int]
    ) -> dict[str, Any]:
        """Return what a kernel is compiled for."""
        _, _, height, width, channels = maps.shape
        names = ("HEIGHT", "WIDTH", "CHANNELS", "RESULT_HEIGHT", "RESULT_WIDTH", "OUTPUTS")
        shapes = dict(zip(names, (height, width, channels, *result.shape[2:]), strict=True))
        places = ("ROWS", "COLUMNS", "STRIDE_DOWN", "STRIDE_ALONG", "TOP", "LEFT", "GAP_DOWN", "GAP_ALONG")
        lie = (*geometry.kernel, *geometry.stride, *geometry.before, *geometry.dilation)
        is_exact = torch.get_float32_matmul_precision() == "highest"  # as the protocol's precision has set it
        return {
            **shapes,
            **dict(zip(places, lie, strict=True)),
            "SUM": self._types.get(maps.dtype, self._usual),
            "PRECISION": "ieee" if is_exact else "tf32",
            **dict(zip(("BLOCK_POSITIONS", "BLOCK_OUTPUTS", "BLOCK_WINDOW"), blocks, strict=True)),
        }


def _launch(kernel: Callable[..., object], maps: Tensor, *others: Any, **constants: Any) -> None:
    """Launch a kernel where its maps are: Triton itself takes the current device."""
    with torch.cuda.device(maps.device) if maps.is_cuda else nullcontext():
        kernel(maps, *others, **constants)


def _block(size: int) -> int:
    """Return the side of a block: a power of two that holds the whole, within what pays."""
    return max(_SMALLEST, min(_LARGEST, 1 << (size - 1).bit_length()))
