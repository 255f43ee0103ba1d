"""Batch normalization at a point of a plane, which has no running averages.

Scales, constant in an ordinary fresh network, are reparametrized (the paper's appendix C): stored
γ ~ U[-0.5, 0.5], used as γ + 0.5.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from contextvars import ContextVar
from inspect import signature
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from bnbench.mpo.batch_norm_together import normalize, normalize_together

try:
    from torch._C._functorch import is_batchedtensor as _is_vmapped
except ImportError:  # another version of torch: its own rule is slower, not wrong

    def _is_vmapped(tensor: Tensor) -> bool:
        return False


_EPSILON = 1e-5
_scales_wait: ContextVar[bool] = ContextVar("_scales_wait", default=False)


class BatchNorm(nn.Module):
    """Batch normalization by the statistics of the images at hand, its scale reparametrized.

    No running averages exist: a point of the plane was never trained by itself. Usually the
    statistics are those of the whole batch; with ``reference`` > 0 they are those of its first
    ``reference`` images (see :func:`~bnbench.mpo.batch_norm.recalibrated`).

    In a network of a plane, scales are drawn after all else (:func:`~bnbench.mpo.batch_norm.made_with_scales_last`):
    layers before and after this one start as they would without it.

    Args:
        channels: number of channels C of the maps, shape (B, C, H, W) or (B, C).
        fresh_scale: ``uniform+0.5`` (stored U[-0.5, 0.5], used + 0.5) or ``zero+1`` (stored 0, used + 1).
    """

    def __init__(self, channels: int, fresh_scale: str = "uniform+0.5") -> None:
        super().__init__()
        self.offset = 0.5 if fresh_scale == "uniform+0.5" else 1.0
        self.scale = nn.Parameter(torch.zeros(channels))
        self.shift = nn.Parameter(torch.zeros(channels))
        self.reference = 0
        self.waits_for_scale = fresh_scale == "uniform+0.5"
        if not _scales_wait.get():
            self.draw_scale()

    def draw_scale(self) -> None:
        """Draw a scale that is to be drawn and still is 0, as it is made: one that somebody has set stays."""
        if self.waits_for_scale and not self.scale.any():
            nn.init.uniform_(self.scale, -0.5, 0.5)
        self.waits_for_scale = False

    def forward(self, maps: Tensor) -> Tensor:
        """Normalize maps of shape (B, C, …)."""
        scale = self.scale + self.offset
        if self.reference == 0:
            way = normalize_together if _is_vmapped(scale) else normalize
            return way(maps, scale, self.shift, _EPSILON)
        return _normalize_by(self.reference, maps, scale, self.shift, _EPSILON)


def made_with_scales_last(factory: Callable[[], nn.Module]) -> nn.Module:
    """Return what a factory makes, the scales of its :class:`BatchNorm` layers drawn after all that it draws itself.

    Where such a layer stands between others, those start as without it, so that two arms share them.
    """
    before = _scales_wait.set(True)
    try:
        network = factory()
    finally:
        _scales_wait.reset(before)
    for layer in network.modules():  # copies of a layer, too, each with a scale of its own
        if isinstance(layer, BatchNorm):
            layer.draw_scale()
    return network


def _normalize_by(reference: int, maps: Tensor, scale: Tensor, shift: Tensor, epsilon: float) -> Tensor:
    """Normalize maps (B, C, …) by the statistics of the first ``reference`` of them."""
    others = (0, *range(2, maps.dim()))
    variance, mean = torch.var_mean(maps[:reference], others, correction=0)
    slope = scale * torch.rsqrt(variance + epsilon)
    line = (1, -1, *(1 for _ in others[1:]))
    return maps * slope.view(line) + (shift - mean * slope).view(line)


class _Recalibrated(TorchFunctionMode):
    """torch's own batch normalization by the statistics of a batch's first images."""

    def __init__(self, reference: int) -> None:
        super().__init__()
        self.reference = reference

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is not F.batch_norm:
            return func(*args, **(kwargs or {}))
        given = signature(F.batch_norm).bind(*args, **(kwargs or {}))
        given.apply_defaults()
        maps, scale, shift = (given.arguments[name] for name in ("input", "weight", "bias"))
        scale = maps.new_ones(maps.shape[1]) if scale is None else scale
        shift = torch.zeros_like(scale) if shift is None else shift
        return _normalize_by(self.reference, maps, scale, shift, given.arguments["eps"])


@contextmanager
def recalibrated(module: nn.Module, reference: int) -> Iterator[None]:
    """Let BN use, within the block, the statistics of a batch's first ``reference`` images; outside, of all."""
    layers = [layer for layer in module.modules() if isinstance(layer, BatchNorm)]
    for layer in layers:
        layer.reference = reference
    try:
        with _Recalibrated(reference) if any(map(_has_no_history, module.modules())) else nullcontext():
            yield
    finally:
        for layer in layers:
            layer.reference = 0


def uses_bn(module: nn.Module) -> bool:
    """Say whether outputs depend on the batch through :class:`BatchNorm`, or torch's without running averages."""
    return any(isinstance(layer, BatchNorm) or _has_no_history(layer) for layer in module.modules())


def _has_no_history(layer: nn.Module) -> bool:
    return isinstance(layer, nn.modules.batchnorm._BatchNorm) and layer.running_mean is None
