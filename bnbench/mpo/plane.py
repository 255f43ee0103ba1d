"""A plane (or line, or space) in weight space: eq. 1 and 2 of the paper, for any number of directions.

Letters: P points, n weights, d directions.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from bnbench.mpo.batch_norm import made_with_scales_last

_GLOBAL_NUMBERS = threading.Lock()  # torch's global random numbers are for all of a process's fits


class Layer(NamedTuple):
    """One named parameter's place among the n weights."""

    name: str
    shape: torch.Size
    start: int
    stop: int


class Plane(nn.Module):
    """Weights w(α, β) = w_O + s · (α · w_right + β · w_up), trained as w_O, φ_right, w_up and s.

    With d directions: the last one, "up" in a plane, is taken as it is; every other one is made orthogonal
    to those after it and as long as the last (Gram–Schmidt, eq. 2). With ``from_origin`` it is the other way
    round, as in the authors' code: the first one, "right", is φ_right − w_O, and every other one is made
    orthogonal to those before it and as long as the first.

    Args:
        module: the network whose weights the plane yields; its own weights are not used.
        vectors: origin and free directions, shape (1 + d, n), each a flattened fresh network.
        scale: the scale s at the start.
        from_origin: whether right leads from the origin to φ_right, and up is made orthogonal to it.

    Raises:
        ValueError: the vectors do not fit the module, or no direction is given.
    """

    def __init__(self, module: nn.Module, vectors: Tensor, scale: float = 0.1, *, from_origin: bool = False) -> None:
        super().__init__()
        # Kept out of the registry of submodules: its weights are not the plane's.
        self._network = [module]
        self.layers = _layers(module)
        size = self.layers[-1].stop
        if vectors.dim() != 2 or len(vectors) < 2 or vectors.shape[1] != size:
            raise ValueError(
                f"vectors have shape {tuple(vectors.shape)}; give (1 + d, {size}): an origin and a direction at least."
            )
        self.from_origin = from_origin
        self.vectors = nn.Parameter(vectors.detach().clone())
        self.scale = nn.Parameter(torch.tensor(scale, dtype=vectors.dtype, device=vectors.device))

    @classmethod
    def from_factory(
        cls,
        factory: Callable[[], nn.Module],
        generator: torch.Generator,
        *,
        directions: int = 2,
        scale: float = 0.1,
        from_origin: bool = False,
    ) -> Plane:
        """Make a plane through 1 + d fresh networks (for a plane: three).

        Args:
            factory: makes a fresh network, with torch's global random numbers.
            generator: on the CPU; seeds each of the networks. The global stream is left as it was.
            directions: number of directions d: the axes of the masks that are to lie on it, two of a picture.
            scale: the scale s at the start.
            from_origin: whether right leads from the origin to φ_right, and up is made orthogonal to it.

        Raises:
            ValueError: no direction is asked for, the network has no parameters, or all networks have the same weights.
        """
        if directions < 1:
            raise ValueError(f"directions={directions}: give a whole number of at least 1; a plane has 2.")
        seeds = torch.randint(2**62, (1 + directions,), generator=generator).tolist()
        networks = [fresh_network(factory, seed) for seed in seeds]
        vectors = torch.stack([flatten(network) for network in networks])
        if torch.equal(vectors, vectors[:1].expand_as(vectors)):  # eq. 2 would divide by zero
            raise ValueError("the factory makes the same weights each time; have them drawn at random.")
        return cls(networks[0], vectors, scale, from_origin=from_origin)

    @property
    def module(self) -> nn.Module:
        """Return the network whose weights the plane yields."""
        return self._network[0]

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Plane:
        """Move or cast the network's buffers together with the plane."""
        self.module._apply(fn, recurse)
        nn.Module._apply(self, fn, recurse)
        return self

    @property
    def directions(self) -> int:
        """Return the number of directions d."""
        return len(self.vectors) - 1

    def frame(self) -> Tensor:
        """Return the origin and the directions after eq. 2, the scale already applied, shape (1 + d, n)."""
        if self.from_origin:
            right = self.vectors[1] - self.vectors[0]
            directions = _orthogonal(right, self.vectors[2:])[::-1]
        else:
            directions = _orthogonal(self.vectors[-1], reversed(self.vectors[1:-1]))
        return torch.cat([self.vectors[:1], self.scale * torch.stack(directions)])  # (1 + d, n)

    def weights_at(self, coordinates: Tensor) -> Tensor:
        """Return the weight vectors of points of the plane (eq. 1): coordinates (P, d) to weights (P, n)."""
        frame = self.frame()
        return frame[0] + coordinates.to(frame) @ frame[1:]

    def network_weights(self, frame: Tensor, coordinates: Tensor) -> list[Tensor]:
        """Return the weights of P points, one tensor (P, …) per layer of the network.

        Each layer comes from its own columns of the frame, so that its weights lie together: one
        (P, n) matrix cut into layers afterwards costs 10–15 % in copies.

        Args:
            frame: what :meth:`frame` gave, shape (1 + d, n).
            coordinates: positions, shape (P, d).
        """
        affine = with_origin(coordinates)
        return [(affine @ frame[:, layer.start : layer.stop]).view(len(affine), *layer.shape) for layer in self.layers]


def _orthogonal(lead: Tensor, others: Iterable[Tensor]) -> list[Tensor]:
    """Return vectors that are orthogonal to each other and as long as the lead (eq. 2); it comes last, as it is."""
    length = lead.norm()
    orthogonal = [lead]
    for free in others:
        rest = free
        for direction in orthogonal:
            rest = rest - (rest @ direction) / (direction @ direction) * direction
        orthogonal.insert(0, rest * (length / rest.norm()))
    return orthogonal


def check_directions(plane: Plane, shape: Sequence[int]) -> None:
    """Refuse a grid that has not an axis for each direction of a plane, before anything is computed on it.

    Args:
        plane: with d directions.
        shape: number of pixels along each axis of the grid.

    Raises:
        ValueError: the grid has another number of axes than d, or an axis without a pixel.
    """
    if any(size < 1 for size in shape):
        raise ValueError(f"a grid of shape {tuple(shape)} holds no pixel; give at least 1 along each axis.")
    if plane.directions != len(shape):
        axes = f"{len(shape)} axis" if len(shape) == 1 else f"{len(shape)} axes"
        raise ValueError(
            f"a grid of shape {tuple(shape)} has {axes}, but the plane has directions={plane.directions}; "
            "give a mask with an axis for each direction, or make the plane with a direction for each axis."
        )


def check_masks(plane: Plane, black: Tensor, trained: Tensor) -> None:
    """Hold the two masks of a fit to each other and to its plane.

    Raises:
        ValueError: they do not fit each other or the plane, or lack a trained pixel of either colour.
    """
    if black.shape != trained.shape or black.dtype != torch.bool or trained.dtype != torch.bool:
        raise ValueError(
            f"black {tuple(black.shape)} {black.dtype} and trained {tuple(trained.shape)} {trained.dtype}: "
            "give two boolean tensors of one shape."
        )
    if not (black & trained).any() or not (~black & trained).any():
        raise ValueError("the mask has no trained pixel of one colour; give a mask with both.")
    check_directions(plane, black.shape)


def with_origin(coordinates: Tensor) -> Tensor:
    """Return coordinates (P, d) with a leading 1 for the origin: (P, 1 + d)."""
    return torch.cat([torch.ones_like(coordinates[:, :1]), coordinates], dim=1)


def grid_coordinates(shape: Sequence[int], origin: str = "centre") -> Tensor:
    """Return the positions (α, β, …) of a grid's pixels in reading order; up is up.

    The first direction belongs to the last axis, the second to the last but one, and so on. Positions grow with the
    index along every axis but the rows of a picture, the last axis but one, where they grow upwards:

    - one axis: α = index − (W − 1)/2;
    - two, (H, W): α = column − (W − 1)/2 and β = (H − 1)/2 − row;
    - three, (D, H, W): α and β as in each of its pictures, and γ = slice − (D − 1)/2; further axes likewise.

    With ``corner`` positions are counted from 0; in a picture (0, 0) is the lower left pixel. With ``middle-pixel``,
    as in the authors' code, it is the pixel in row H // 2 and column W // 2, counted from 0 at the upper left.

    Args:
        shape: number of pixels along each of the d axes.
        origin: ``centre``, ``corner`` or ``middle-pixel``.

    Returns:
        Shape (pixels, d), float64.

    Raises:
        ValueError: an unknown origin, or no axis.
    """
    if origin not in ("centre", "corner", "middle-pixel"):
        raise ValueError(f"origin {origin!r} is unknown; use 'centre', 'corner' or 'middle-pixel'.")
    if not len(shape):
        raise ValueError(f"a grid of shape {tuple(shape)} has no axis; give at least one.")
    axes = [torch.arange(size, dtype=torch.float64) for size in shape]
    if len(axes) > 1:
        axes[-2] = axes[-2].flip(0)
    if origin == "centre":
        axes = [axis - (len(axis) - 1) / 2 for axis in axes]
    elif origin == "middle-pixel":
        axes = [axis - axis[len(axis) // 2] for axis in axes]
    positions = torch.meshgrid(axes, indexing="ij")
    return torch.stack([position.flatten() for position in reversed(positions)], dim=1)


def flatten(module: nn.Module) -> Tensor:
    """Return all parameters of a network as one vector, shape (n,)."""
    return torch.cat([parameter.detach().flatten() for parameter in module.parameters()])


def _layers(module: nn.Module) -> list[Layer]:
    layers: list[Layer] = []
    start = 0
    for name, parameter in module.named_parameters():
        layers.append(Layer(name, parameter.shape, start, start + parameter.numel()))
        start += parameter.numel()
    if not layers:
        raise ValueError(f"{type(module).__name__} has no parameters, so there is no plane of its weights.")
    return layers


def fresh_network(factory: Callable[[], nn.Module], seed: int) -> nn.Module:
    """Return what a factory makes from a seed, the scales of BN drawn last; the global stream is left as it was."""
    with _GLOBAL_NUMBERS, torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        return made_with_scales_last(factory)
