"""Black pixels of fitted planes: which planes are measured, which pixels, and the weights there."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from bnbench.errors import RequestError
from bnbench.inputs.data import load_data_of
from bnbench.inputs.seeds import torch_generator
from bnbench.mpo.plane import grid_coordinates
from bnbench.protocol.protocol import BUILT_IN, FitKey
from bnbench.results import layout
from bnbench.results.fits import read_fit
from bnbench.results.folder_protocol import read_protocol
from bnbench.results.folders import Group, scan
from bnbench.results.planes import load_plane
from bnbench.results.smoothness import MeasuredPlane
from bnbench.results.smoothness_settings import PlaneSettings
from bnbench.results.store import FitResult
from bnbench.results.stored_planes import stored_planes
from bnbench.smoothness.measures import check_minibatches
from bnbench.sweep.execution import Execution


@dataclass(frozen=True)
class PlanesRequest:
    """What is asked of fitted planes, and where and how they are measured.

    Attributes:
        folder: results folder of a sweep whose planes were kept; the files go there, too.
        settings: how they are measured.
        arms: which; without any, the built-in ones. A user's own is imported only when it is named.
        seeds: which; without any, all.
        execution: slots on processors, threads, and where the images lie.
    """

    folder: Path
    settings: PlaneSettings
    arms: tuple[str, ...]
    seeds: tuple[int, ...]
    execution: Execution


@dataclass(frozen=True)
class PlannedPlanes:
    """What there is to measure.

    Attributes:
        asked: planes that can be measured.
        left: those of them that are left to do.
        without_plane: finished fits that are asked for and whose plane was not kept.
        broken: a sentence for each file that is in the way.
        fit_seconds: wall time that the fits of those that are left took.
    """

    asked: list[MeasuredPlane]
    left: list[MeasuredPlane]
    without_plane: int
    broken: list[str]
    fit_seconds: float


@dataclass(frozen=True)
class _Computed:
    """Holds what is used of a fit whose plane may be measured: its landscape need not stay in memory."""

    key: FitKey
    identity: str
    source: str
    seconds: float

    @classmethod
    def of(cls, fit: FitResult) -> _Computed:
        return cls(fit.key, fit.identity, fit.source, float(fit.provenance["wall_seconds"]))


def planned_planes(request: PlanesRequest) -> PlannedPlanes:
    """Return the stored planes that are asked for, and those of them that are left to do.

    Raises:
        RequestError: there is no plane, the images cannot be loaded or are too few, or a plane was measured in
            another way.
    """
    protocol, execution = read_protocol(request.folder), request.execution
    data = load_data_of(protocol, execution.data_folder, execution.download)
    check_minibatches(data.train, request.settings)
    found = scan(Group(protocol, (request.folder,)), _Computed.of)
    fits = {
        fit.key: fit
        for fit in found.fits.values()
        if fit.key.arm in (request.arms or BUILT_IN) and (not request.seeds or fit.key.seed in request.seeds)
    }
    planes = stored_planes([(request.folder, key, fit.identity) for key, fit in fits.items()])
    asked = [
        MeasuredPlane(protocol, request.settings, key, fits[key].source, request.folder.resolve(), identity, plane)
        for key, (_, identity, plane) in planes.found.items()
    ]
    broken = [*found.broken, *planes.broken]
    if not asked and not broken:
        raise RequestError(
            f"--planes {request.folder} holds no planes that were asked for; bnbench run --keep-planes keeps them, "
            "for fits that are done together with --force."
        )
    for one in asked:
        one.check_free(request.folder)
    left = [one for one in asked if not one.is_done(request.folder)]
    seconds = sum(fits[one.key].seconds for one in left)
    return PlannedPlanes(asked, left, len(planes.missing), broken, seconds)


def sampled_pixels(asked: MeasuredPlane) -> Tensor:
    """Return rows and columns of the black pixels that are measured, shape (pixels, 2), in reading order.

    They are drawn among the trained ones, by p and seed: all arms of a pair have the same.
    """
    landscape = read_fit(layout.fit_path(asked.folder, asked.key)).landscape
    there = landscape.loc[landscape["black"] & landscape["trained"], ["row", "column"]].to_numpy(int)
    order = torch.randperm(len(there), generator=torch_generator("measured", asked.key.permille, asked.key.seed))
    return torch.tensor(there)[order[: asked.settings.pixels].sort().values]


def pixel_networks(asked: MeasuredPlane) -> tuple[nn.Module, Iterator[tuple[dict[str, int], Tensor]]]:
    """Return the network of a plane, and the weights of the pixels that are measured.

    Returns:
        The module, whose own weights are not used; and for each pixel where it lies (the fit's steps, row and column)
        and its weights by eq. 1 and 2, float64, shape (n,).
    """
    protocol, key = asked.protocol, asked.key
    plane = load_plane(layout.plane_path(asked.folder, key), arm=key.arm).double()
    pixels, size = sampled_pixels(asked), protocol.mask.mask_size
    places = grid_coordinates(size, protocol.mask.origin)[pixels[:, 0] * size[1] + pixels[:, 1]]
    with torch.no_grad():
        weights = plane.weights_at(places)
    steps = protocol.training.steps
    found = (
        ({"step": steps, "row": row, "column": column}, own)
        for (row, column), own in zip(pixels.tolist(), weights, strict=True)
    )
    return plane.module, found
