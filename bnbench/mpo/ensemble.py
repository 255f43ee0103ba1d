"""Ensembles of a plane's black pixels: networks whose predictions are averaged."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from bnbench.bn_policy import BnPolicy
from bnbench.mpo.batch_norm import recalibrated
from bnbench.mpo.batched import batched_logits
from bnbench.mpo.images import Images, check_outputs
from bnbench.mpo.landscape import batch_and_reference, batches, in_parts
from bnbench.mpo.plane import Plane, check_directions, grid_coordinates

SIZES = (1, 2, 5, 10)  # pixels of an ensemble; beside these, all black pixels make one


@dataclass(frozen=True)
class Ensemble:
    """How well the networks at black pixels classify together.

    Attributes:
        accuracies: number of pixels k to the accuracy of k averaged predictions, in [0, 1]: the mean over as many
            disjoint groups of k as there are, drawn in a fixed random order. The last k is all of them.
        disagreement: share of images, in [0, 1], that two different black pixels put into different classes, the mean
            over all pairs; not a number where there is one pixel.
        best: accuracy of the best single pixel. It is the best one on these very images, which flatters it a little.
    """

    accuracies: dict[int, float]
    disagreement: float
    best: float

    @property
    def accuracy(self) -> float:
        """Return the accuracy of the averaged predictions of all black pixels, in [0, 1]."""
        return self.accuracies[max(self.accuracies)]

    def __str__(self) -> str:
        whole = max(self.accuracies)
        counts = {count: f"all {count:,}" if count == whole else f"{count:,}" for count in self.accuracies}
        pixels = ", ".join(f"{counts[count]}: {accuracy:.3f}" for count, accuracy in self.accuracies.items())
        return (
            f"accuracy of averaged pixels {pixels}; best single {self.best:.3f}; disagreement {self.disagreement:.3f}"
        )


@torch.no_grad()
def measure_ensemble(
    plane: Plane,
    black: Tensor,
    data: Images,
    *,
    bn_statistics: BnPolicy | str = "batch:512",
    reference: Images | None = None,
    origin: str = "centre",
    sizes: Sequence[int] = SIZES,
) -> Ensemble:
    """Average the class probabilities of the networks at black pixels, and count what is classified right.

    An ensemble of k pixels puts an image x into the class arg max of 1/k · Σ softmax(logits of pixel i for x).

    Args:
        plane: where the weights come from.
        black: True where black, an axis for each direction of the plane, (rows, columns) of a picture.
        data: images to classify, on the plane's device.
        bn_statistics: as in :func:`bnbench.measure_landscape`.
        reference: training images; only ``recalibrate`` needs them.
        origin: where (α, β, …) = 0 lies, ``centre``, ``corner`` or ``middle-pixel``.
        sizes: numbers of pixels k; those that are more than there are black pixels are left out.

    Raises:
        ValueError: no pixel is black, or as :func:`bnbench.measure_landscape`.
    """
    check_directions(plane, black.shape)
    if not black.any():
        raise ValueError("no pixel is black: there is no network to average.")
    data = data.beside(plane.vectors)
    check_outputs(plane.module, data)
    batch, seen = batch_and_reference(plane, bn_statistics, reference)
    coordinates = grid_coordinates(black.shape, origin)[black.flatten().cpu()].to(plane.vectors)
    groups = _groups(len(coordinates), sizes)
    hits = {count: torch.zeros(len(members), dtype=torch.float64) for count, members in groups.items()}
    single, agreeing = torch.zeros(len(coordinates), dtype=torch.float64), 0.0
    with recalibrated(plane.module, len(seen)) if len(seen) else nullcontext():
        for pixels, labels in batches(data, batch):
            shares = _probabilities(plane, coordinates, torch.cat([seen, pixels]), len(labels))  # (P, B, classes)
            classes = shares.argmax(-1)
            single += (classes == labels).sum(1).cpu()
            votes = torch.nn.functional.one_hot(classes, shares.shape[-1]).sum(0).double()  # (B, classes)
            agreeing += float((votes * (votes - 1)).sum())
            for count, members in groups.items():
                for number, group in enumerate(members):
                    together = shares[group.to(shares.device)].mean(0).argmax(-1)
                    hits[count][number] += (together == labels).sum().cpu()
    networks, images = len(coordinates), len(data)
    pairs = networks * (networks - 1) * images
    return Ensemble(
        {count: float(found.mean()) / images for count, found in hits.items()},
        1 - agreeing / pairs if pairs else float("nan"),
        float(single.max()) / images,
    )


def _groups(networks: int, sizes: Sequence[int]) -> dict[int, list[Tensor]]:
    """Return disjoint groups of each size, in a random order that is the same everywhere: sorted words of PCG64."""
    order = torch.from_numpy(np.argsort(np.random.PCG64(0).random_raw(networks), kind="stable"))
    counts = sorted({count for count in sizes if count <= networks} | {networks})
    return {count: [group for group in order.split(count) if len(group) == count] for count in counts}


def _probabilities(plane: Plane, coordinates: Tensor, images: Tensor, count: int) -> Tensor:
    """Return class probabilities of the last ``count`` images at every pixel, shape (P, count, classes)."""
    names, frame = [layer.name for layer in plane.layers], plane.frame()

    def shares_of(part: Tensor) -> Tensor:
        weights = plane.network_weights(frame, coordinates[part])
        return batched_logits(plane.module, names, weights, images)[:, -count:].softmax(-1)

    return torch.cat([shares for _, shares in in_parts(coordinates, len(images), shares_of)])
