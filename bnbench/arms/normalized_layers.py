"""Layers that normalize without a batch: groups of channels, and the weights of a convolution."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

_EPSILON = 1e-5
_MOST_GROUPS = 4


class GroupNorm(nn.Module):
    """Group normalization (Wu & He 2018, arXiv 1803.08494) of each image's own maps.

    Its scale is reparametrized as that of :class:`bnbench.mpo.batch_norm.BatchNorm`. One group is layer normalization
    (Ba, Kiros & Hinton 2016, arXiv 1607.06450) of whole maps, with a scale and a shift per channel.

    Args:
        channels: number of channels C of the maps, shape (B, C, H, W).
        fresh_scale: ``uniform+0.5`` or ``zero+1``, as for BatchNorm.
        groups: how many; by default 4, or the largest number below that divides 4 and C.
    """

    def __init__(self, channels: int, fresh_scale: str, groups: int = 0) -> None:
        super().__init__()
        self.groups = groups or math.gcd(channels, _MOST_GROUPS)
        self.offset = 0.5 if fresh_scale == "uniform+0.5" else 1.0
        self.scale = nn.Parameter(torch.zeros(channels))
        self.shift = nn.Parameter(torch.zeros(channels))
        if fresh_scale == "uniform+0.5":
            nn.init.uniform_(self.scale, -0.5, 0.5)

    def forward(self, maps: Tensor) -> Tensor:
        """Normalize maps of shape (B, C, H, W)."""
        return F.group_norm(maps, self.groups, self.scale + self.offset, self.shift, _EPSILON)


class StandardizedConvolution(nn.Conv2d):
    """A 3×3 convolution whose filters are standardized (Qiao et al. 2019, arXiv 1903.10520).

    Filter f is used as σ · (w_f − mean w_f) / √(var w_f + ε), where σ is the deviation that a fresh plain network's
    weights have: what is normalized starts as large as what is not.

    Args:
        channels: of the maps that come in.
        width: of those that go out.
        stride: of the convolution.
        deviation: σ.
    """

    def __init__(self, channels: int, width: int, stride: int, deviation: float) -> None:
        super().__init__(channels, width, 3, stride=stride, padding=1)
        self.deviation = deviation

    def forward(self, maps: Tensor) -> Tensor:
        """Convolve maps of shape (B, C, H, W)."""
        variance, mean = torch.var_mean(self.weight, (1, 2, 3), correction=0, keepdim=True)
        standardized = (self.weight - mean) * torch.rsqrt(variance + _EPSILON)
        convolved: Tensor = self._conv_forward(maps, self.deviation * standardized, self.bias)
        return convolved
