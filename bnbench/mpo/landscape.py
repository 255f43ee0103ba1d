"""Loss and accuracy at every pixel of a grid on a plane."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass

import torch
from torch import Tensor

from bnbench.bn_policy import NO_BN, BnPolicy
from bnbench.errors import RequestError
from bnbench.mpo.batch_norm import recalibrated, uses_bn
from bnbench.mpo.batched import batched_logits, losses_and_hits
from bnbench.mpo.cuda_graph import is_out_of_memory
from bnbench.mpo.images import Images, check_outputs
from bnbench.mpo.plane import Plane, check_directions, grid_coordinates

# Images times pixels at once: their maps, not the weights, fill the processor's cache here.
VISITS = 2_048
VISITS_OF_A_GPU = 16_384  # Enough to fill it; at the paper's shapes their maps take some 10 GB.
_BATCH = 64  # Images at once where the result does not depend on it.
_BATCH_OF_A_GPU = 512
_BATCH_BEHIND_REFERENCE = 1_024


@dataclass(frozen=True)
class Landscape:
    """What was measured at every pixel of a grid.

    Attributes:
        loss: mean cross-entropy in nats, float64, of the grid's shape, (rows, columns) on a plane; on the CPU.
        accuracy: share of images classified right, in [0, 1], same shape.
    """

    loss: Tensor
    accuracy: Tensor


@torch.no_grad()
def measure_landscape(
    plane: Plane,
    shape: Sequence[int],
    data: Images,
    *,
    bn_statistics: BnPolicy | str = "batch:512",
    reference: Images | None = None,
    origin: str = "centre",
    before_part: Callable[[], None] | None = None,
) -> Landscape:
    """Evaluate the network at every pixel of a grid.

    Args:
        plane: where the weights come from.
        shape: number of pixels along each axis of the grid, (rows, columns) on a plane; an axis for each direction.
        data: images to evaluate on, on the plane's device.
        bn_statistics: a :class:`~bnbench.bn_policy.BnPolicy` or its text: ``batch:N``, each N images are
            normalized by their own statistics; or ``recalibrate:N``, all by those of the first N images of
            ``reference``, estimated anew at each pixel. Running averages do not exist. Networks without BN ignore it.
        reference: training images; only ``recalibrate`` needs them.
        origin: where (α, β, …) = 0 lies, ``centre``, ``corner`` or ``middle-pixel``.
        before_part: called again and again on the way; what it raises ends the measurement.

    Returns:
        Loss and accuracy over all images of ``data``, each of the grid's shape.

    Raises:
        ValueError: another number of axes than of directions, an unknown policy, or too few reference images.
    """
    check_directions(plane, shape)
    data = data.beside(plane.vectors)
    check_outputs(plane.module, data)
    batch, seen = batch_and_reference(plane, bn_statistics, reference)
    coordinates = grid_coordinates(shape, origin).to(plane.vectors)
    frame = plane.frame()
    sums = torch.zeros(2, len(coordinates), dtype=torch.float64, device=coordinates.device)

    def sums_of(part: Tensor) -> Tensor:
        weights, own = plane.network_weights(frame, coordinates[part]), torch.zeros_like(sums[:, part])
        for pixels, labels in batches(data, batch):
            if before_part:
                before_part()
            own += _sums(plane, weights, torch.cat([seen, pixels]), labels)
        return own

    with recalibrated(plane.module, len(seen)) if len(seen) else nullcontext():
        for part, own in in_parts(coordinates, batch + len(seen), sums_of):
            sums[:, part] = own
    loss, accuracy = (sums / len(data)).cpu().view(2, *shape)
    return Landscape(loss, accuracy)


def in_parts(coordinates: Tensor, images: int, work: Callable[[Tensor], Tensor]) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield the indices of some pixels at a time with what ``work`` says of them, fewer where a GPU's memory is short.

    Args:
        coordinates: of all pixels, shape (P, d), on the device that computes.
        images: how many a pixel sees at once.
        work: computes something of the pixels with the indices given.
    """
    visits = VISITS_OF_A_GPU if coordinates.is_cuda else VISITS
    left = [*torch.arange(len(coordinates), device=coordinates.device).split(max(1, visits // images))]
    while left:
        part = left.pop(0)
        try:
            found = work(part)
        except RuntimeError as error:  # of a GPU, which others may use as well
            is_full = coordinates.is_cuda and is_out_of_memory(error, str(error))
            if len(part) == 1 or not (is_full or isinstance(error, torch.OutOfMemoryError)):
                raise
            left = [half for many in (part, *left) for half in many.split((len(many) + 1) // 2)]
        else:
            yield part, found


def batch_and_reference(plane: Plane, statistics: BnPolicy | str, reference: Images | None) -> tuple[int, Tensor]:
    """Return the images in a batch, and those that BN statistics are estimated on before each batch, (0,) for none."""
    policy = BnPolicy.parse_stored(statistics) if isinstance(statistics, str) else statistics
    nothing = plane.vectors.new_zeros(0)
    if not uses_bn(plane.module):
        return _BATCH_OF_A_GPU if nothing.is_cuda else _BATCH, nothing
    if policy == NO_BN:
        raise RequestError("BN statistics none: the network has batch normalization; give batch:512, for example.")
    if policy.kind == "batch":
        return policy.images, nothing
    if policy.kind != "recalibrate":
        raise NotImplementedError(f"BN statistics {policy} have a name, and nothing here computes them.")
    if reference is None or len(reference) < policy.reference:
        raise RequestError(
            f"BN statistics {policy} need {policy.reference} training images as reference; "
            "give as many or ask for fewer."
        )
    # Large batches: the reference images are run again with each.
    return _BATCH_BEHIND_REFERENCE, reference.pixels[: policy.reference].to(plane.vectors)


def batches(data: Images, batch: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Return images and labels in batches, the last of which may be smaller."""
    return zip(data.pixels.split(batch), data.labels.split(batch), strict=True)


def _sums(plane: Plane, weights: list[Tensor], pixels: Tensor, labels: Tensor) -> Tensor:
    """Sum up losses and hits over the last len(labels) images, float64, shape (2, P)."""
    names = [layer.name for layer in plane.layers]
    logits = batched_logits(plane.module, names, weights, pixels)[:, -len(labels) :]
    losses, hits = losses_and_hits(logits, labels)
    return torch.stack([losses.double().sum(1), hits.double().sum(1)])
