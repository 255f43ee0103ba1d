"""Batch normalization of many networks at once, under ``vmap``.

Letters: P networks, B images of each, C channels of a map, M positions of a channel, those of all its images.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.overrides import handle_torch_function, has_torch_function


def normalize(maps: Tensor, scale: Tensor, shift: Tensor, epsilon: float) -> Tensor:
    """Normalize maps (B, C, …) by their own statistics."""
    return F.batch_norm(maps, None, None, scale, shift, training=True, eps=epsilon)


def normalize_together(
    maps: Tensor, scale: Tensor, shift: Tensor, epsilon: float, *, channels_last: bool = False
) -> Tensor:
    """Normalize one network's maps, for ``vmap`` to normalize those of all networks together.

    Args:
        maps: shape (B, C, …).
        scale: shape (C,).
        shift: shape (C,).
        epsilon: added to the variance.
        channels_last: whether maps that lie with channels last are normalized as they lie, which a mode that
            keeps them so asks for.
    """
    if has_torch_function((maps,)):
        given = maps, scale, shift, epsilon
        result = handle_torch_function(normalize_together, (maps,), *given, channels_last=channels_last)
    else:
        result = _Together.apply(maps, scale, shift, epsilon, channels_last)
    own: Tensor = result
    return own


class _Together(torch.autograd.Function):
    """P networks' normalizations of C channels each as one of P · C channels.

    PyTorch's own rule for ``vmap`` normalizes, then scales and shifts in passes of their own: at compact's
    shapes a step of the bn arm takes 10 % longer. What the rule computes has a graph of its own; the
    backward pass is for transforms below ``vmap``.
    """

    @staticmethod
    def forward(maps: Tensor, scale: Tensor, shift: Tensor, epsilon: float, channels_last: bool) -> Tensor:
        return normalize(maps, scale, shift, epsilon)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        maps, scale, shift, ctx.epsilon, _ = inputs
        ctx.save_for_backward(maps, scale, shift)

    @staticmethod
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor | None, ...]:
        """Return gradients with respect to maps, scale and shift."""
        maps, scale, shift = ctx.saved_tensors
        _, mean, inverse = torch.native_batch_norm(maps, scale, shift, None, None, True, 0.0, ctx.epsilon)
        saved = (maps, scale, None, None, mean, inverse, True, ctx.epsilon)
        of_maps, of_scale, of_shift = torch.ops.aten.native_batch_norm_backward(upstream, *saved, [True] * 3)
        return of_maps, of_scale, of_shift, None, None

    @staticmethod
    def vmap(
        info: Any,
        in_dims: tuple[int | None, ...],
        maps: Tensor,
        scale: Tensor,
        shift: Tensor,
        epsilon: float,
        channels_last: bool,
    ) -> tuple[Tensor, int]:
        """Return maps (P, B, C, …) as (B, P · C, …), scale and shift (P, C) as (P · C)."""
        networks = info.batch_size
        maps, scale, shift = (
            value.expand(networks, *value.shape) if axis is None else value.movedim(axis, 0)
            for value, axis in zip((maps, scale, shift), in_dims, strict=False)
        )
        lying = maps.movedim(2, -1)
        if channels_last and maps.dim() == 5 and lying.is_contiguous() and lying[0, ..., 0].numel() > 1:
            result = _OverPositions.apply(lying.flatten(1, 3), scale, shift, epsilon)
            return result.view_as(lying).movedim(-1, 2), 0
        normalized = normalize(maps.transpose(0, 1).flatten(1, 2), scale.flatten(), shift.flatten(), epsilon)
        return normalized.unflatten(1, (networks, -1)), 1


class _OverPositions(torch.autograd.Function):
    """Normalization of maps (P, M, C) over M; scale and shift are (P, C).

    With x̂ = (x − mean) / √(variance + ε) and y = γ x̂ + β, the gradient of the maps is
    γ / √(variance + ε) · (dy − mean(dy) − x̂ · mean(dy · x̂)).
    """

    @staticmethod
    def forward(ctx: Any, maps: Tensor, scale: Tensor, shift: Tensor, epsilon: float) -> Tensor:
        # Under autocast maps alone have 16 bits; whatever has them, sums take at least float32, as in torch's own.
        kinds = scale.dtype, shift.dtype
        kind = torch.promote_types(scale.dtype, torch.float32)
        wide, scale, shift = maps.to(kind), scale.to(kind), shift.to(kind)
        variance, mean = torch.var_mean(wide, 1, correction=0, keepdim=True)
        inverse = torch.rsqrt(variance + epsilon)
        centred = wide - mean  # kept instead of the maps: sums of it do not cancel
        ctx.save_for_backward(centred, inverse, scale)
        ctx.kinds = kinds
        return torch.addcmul(shift.unsqueeze(1), centred, scale.unsqueeze(1) * inverse).to(maps.dtype)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor | None, ...]:
        centred, inverse, scale = ctx.saved_tensors
        wide = upstream.to(scale.dtype)
        of_shift = wide.sum(1, keepdim=True)
        of_scale = (wide * centred).sum(1, keepdim=True) * inverse
        slope, count = scale.unsqueeze(1) * inverse, centred.shape[1]
        of_maps = torch.addcmul(slope * of_shift / -count, wide, slope)
        of_maps.addcmul_(centred, slope * inverse * of_scale / -count)
        of_scale, of_shift = (
            value.squeeze(1).to(kind) for value, kind in zip((of_scale, of_shift), ctx.kinds, strict=True)
        )
        return of_maps.to(upstream.dtype), of_scale, of_shift, None
