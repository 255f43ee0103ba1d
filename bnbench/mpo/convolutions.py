"""The convolutions that a module calls under ``vmap``, computed for all networks at once by kernels of our choice.

The module may be anybody's: a mode sees its calls of ``F.conv2d``, and of batch normalization, wherever they stand.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from inspect import signature
from typing import Any, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.overrides import TorchFunctionMode

from bnbench.mpo.batch_norm_together import normalize_together
from bnbench.mpo.following_relu import Call, FollowingReLUs
from bnbench.mpo.windows import Asked, Geometry, Gradients

Pair = tuple[int, int]


class Kernels(Protocol):
    """What computes convolutions of P networks; shapes as in :class:`~bnbench.mpo.windows.Windows`."""

    @property
    def relus(self) -> FollowingReLUs | None:
        """Return which convolutions are computed with the ReLU after them; None of kernels that leave it to torch."""

    def forward(
        self, maps: Tensor, weights: Tensor, bias: Tensor | None, geometry: Geometry, relu: bool
    ) -> tuple[Tensor, Tensor | None]:
        """Return the next maps, (P, B, H', W', O), and what the backward pass can use."""

    def gradients(
        self, upstream: Tensor, maps: Tensor, weights: Tensor, kept: Tensor | None, geometry: Geometry, asked: Asked
    ) -> Gradients:
        """Return the gradients with respect to maps, weights and bias."""


class _Together(torch.autograd.Function):
    """Convolutions of P networks, with the kernels' own gradients."""

    @staticmethod
    def forward(
        ctx: Any,
        maps: Tensor,
        weights: Tensor,
        bias: Tensor | None,
        geometry: Geometry,
        kernels: Kernels,
        relu: bool,
    ) -> Tensor:
        result, kept = kernels.forward(maps, weights, bias, geometry, relu)
        ctx.save_for_backward(maps, weights, kept if any(ctx.needs_input_grad) else None)
        ctx.geometry, ctx.kernels = geometry, kernels
        return result

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor | None, ...]:
        maps, weights, kept = ctx.saved_tensors
        asked = ctx.needs_input_grad[:3]
        of_maps, *others = ctx.kernels.gradients(upstream.contiguous(), maps, weights, kept, ctx.geometry, asked)
        if of_maps is not None and len(of_maps) > len(maps):
            of_maps = of_maps.sum(0, keepdim=True)
        return of_maps, *others, None, None, None


class _OfOneNetwork(torch.autograd.Function):
    """``F.conv2d`` as one network calls it; its rule for ``vmap`` computes those of all networks together.

    What the rule computes has a graph of its own; the backward pass is for transforms below ``vmap``.
    """

    @staticmethod
    def forward(
        maps: Tensor, weights: Tensor, bias: Tensor | None, geometry: Geometry, kernels: Kernels, relu: bool
    ) -> Tensor:
        return _as_torch_does(geometry, relu, maps, weights, bias)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        maps, weights, bias, ctx.geometry, _, ctx.relu = inputs
        ctx.save_for_backward(maps, weights, bias)

    @staticmethod
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor | None, ...]:
        given = [value for value in ctx.saved_tensors if value is not None]
        pull_back = torch.func.vjp(partial(_as_torch_does, ctx.geometry, ctx.relu), *given)[1]
        gradients = pull_back(upstream)
        return (*gradients, *[None] * (6 - len(gradients)))

    @staticmethod
    def vmap(
        info: Any,
        in_dims: Sequence[int | None],
        maps: Tensor,
        weights: Tensor,
        bias: Tensor | None,
        geometry: Geometry,
        kernels: Kernels,
        relu: bool,
    ) -> tuple[Tensor, int]:
        networks = info.batch_size
        own = maps.unsqueeze(0) if in_dims[0] is None else maps.movedim(in_dims[0], 0)
        own_weights = _for_each(weights, in_dims[1], networks)
        own_bias = None if bias is None else _for_each(bias, in_dims[2], networks)
        result = _Together.apply(own.movedim(2, -1), own_weights, own_bias, geometry, kernels, relu)
        return result.movedim(-1, 2), 0


def _for_each(value: Tensor, axis: int | None, networks: int) -> Tensor:
    return value.expand(networks, *value.shape) if axis is None else value.movedim(axis, 0)


def _as_torch_does(geometry: Geometry, relu: bool, maps: Tensor, weights: Tensor, bias: Tensor | None = None) -> Tensor:
    (top, left), (bottom, right) = geometry.before, geometry.after
    padded = F.pad(maps, (left, right, top, bottom))
    result = F.conv2d(padded, weights, bias, geometry.stride, 0, geometry.dilation)
    return F.relu(result) if relu else result


class Convolutions(TorchFunctionMode):
    """Within, in one call of a module, convolutions under ``vmap`` are those of all networks at once.

    What does not fit goes its old way.

    Args:
        kernels: what computes them.
    """

    def __init__(self, kernels: Kernels) -> None:
        super().__init__()
        self.kernels = kernels
        self._call = Call(kernels.relus)

    def __exit__(self, kind: Any, error: Any, trace: Any) -> None:
        super().__exit__(kind, error, trace)  # type: ignore[no-untyped-call]  # torch leaves it without types
        if kind is None:
            self._call.end()

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Compute a convolution by the kernels, normalize maps as they lie, and call anything else."""
        given = kwargs or {}
        if (computed := self._call.after_relu(func, args, given)) is not None:
            return computed
        if func is torch.conv2d and (fitting := _fitting(*args, **given)):
            return self._call.add(_OfOneNetwork.apply(*fitting, self.kernels, self._call.has_relu))
        if func is F.batch_norm and (normalized := _own_statistics(*args, **given)):
            return normalize_together(*normalized, channels_last=True)
        if func is normalize_together:
            return func(*args, channels_last=True)
        if func is Tensor.view:
            return _viewed(*args, **given)
        return func(*args, **given)


def _viewed(maps: Tensor, *shape: Any, **given: Any) -> Tensor:
    """Return a view of maps as a module asks for it; a copy where channels come last and it needs them first."""
    try:
        return maps.view(*shape, **given)
    except RuntimeError:
        return maps.reshape(*shape, **given)


def _own_statistics(*args: Any, **kwargs: Any) -> tuple[Tensor, Tensor, Tensor, float] | None:
    """Return maps, scale, shift and ε of a batch normalization by its batch alone; None of any other one."""
    given = signature(F.batch_norm).bind(*args, **kwargs)
    given.apply_defaults()
    names = ("input", "running_mean", "running_var", "weight", "bias", "training")
    maps, mean, variance, scale, shift, training = (given.arguments[name] for name in names)
    if not training or mean is not None or variance is not None or scale is None or shift is None or maps.dim() != 4:
        return None
    return maps, scale, shift, given.arguments["eps"]


def _fitting(
    input: Tensor,  # torch's own name, by which a module may give it
    weight: Tensor,
    bias: Tensor | None = None,
    stride: int | Sequence[int] = 1,
    padding: int | str | Sequence[int] = 0,
    dilation: int | Sequence[int] = 1,
    groups: int = 1,
) -> tuple[Tensor, Tensor, Tensor | None, Geometry] | None:
    """Return what the kernels are given for these arguments of ``F.conv2d``; None where they are not for them."""
    given = [input, weight] if bias is None else [input, weight, bias]
    if groups != 1 or input.dim() != 4 or weight.dim() != 4 or input.shape[1] != weight.shape[1]:
        return None
    if torch.is_autocast_enabled(input.device.type):
        lower = torch.get_autocast_dtype(input.device.type)
        given = [value.to(lower) for value in given]
    if len({(value.dtype, value.device) for value in given}) != 1 or not given[0].is_floating_point():
        return None
    if bias is not None and bias.shape != weight.shape[:1]:
        return None
    geometry = _geometry((weight.shape[2], weight.shape[3]), stride, padding, dilation)
    if geometry is None or min(geometry.positions((input.shape[2], input.shape[3]))) < 1 or not input.numel():
        return None
    return given[0], given[1], given[2] if bias is not None else None, geometry


def _geometry(
    kernel: Pair, stride: int | Sequence[int], padding: int | str | Sequence[int], dilation: int | Sequence[int]
) -> Geometry | None:
    """Return the windows of these arguments; None where torch refuses them, and says so itself."""
    steps, gaps = _pair(stride), _pair(dilation)
    if not steps or not gaps or min(*kernel, *steps, *gaps) < 1:
        return None
    if isinstance(padding, str):
        if padding not in ("same", "valid") or (padding == "same" and steps != (1, 1)):
            return None
        rows, columns = (gap * (size - 1) if padding == "same" else 0 for size, gap in zip(kernel, gaps, strict=True))
        before = rows // 2, columns // 2
        return Geometry(kernel, steps, before, (rows - before[0], columns - before[1]), gaps)
    around = _pair(padding)
    return Geometry(kernel, steps, around, around, gaps) if around and min(around) >= 0 else None


def _pair(value: int | Sequence[int]) -> Pair | None:
    """Return a number for rows and one for columns, from one for both or from both, as torch takes them."""
    values = (value,) * 2 if isinstance(value, int) else tuple(value) * (2 if len(value) == 1 else 1)
    return (values[0], values[1]) if len(values) == 2 else None
