"""Ensembles of black pixels against a plain loop over networks and images."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.func import functional_call

from bnbench.mpo.ensemble import SIZES, Ensemble, measure_ensemble
from bnbench.mpo.images import Images
from bnbench.mpo.landscape import measure_landscape
from bnbench.mpo.plane import Plane
from tests.cases import ARMS, CLASSES, make_images, make_plane
from tests.slow import frame_by_hand, position, weights_by_hand

BLACK = torch.tensor([[True, False, True, True], [False, True, False, True], [True, True, False, False]])


def probabilities_by_hand(plane: Plane, images: Images, batch: int) -> list[list[list[float]]]:
    """Softmax of each black pixel's network, pixel × image × class."""
    frame, shares = frame_by_hand(plane.vectors.detach()), []
    for pixel in range(BLACK.numel()):
        if not BLACK.flatten()[pixel]:
            continue
        weights = weights_by_hand(frame, plane.scale.detach(), position(pixel, tuple(BLACK.shape)))
        own: list[list[float]] = []
        for start in range(0, len(images), batch):
            for row in logits_by_hand(plane.module, weights, images.pixels[start : start + batch]):
                powers = [math.exp(value - float(row.max())) for value in row.tolist()]
                own.append([power / sum(powers) for power in powers])
        shares.append(own)
    return shares


def logits_by_hand(module: nn.Module, weights: Tensor, images: Tensor) -> Tensor:
    parameters, start = {}, 0
    for name, parameter in module.named_parameters():
        parameters[name] = weights[start : start + parameter.numel()].view(parameter.shape)
        start += parameter.numel()
    logits: Tensor = functional_call(module, parameters, (images,))
    return logits


def class_of(shares: list[float]) -> int:
    return max(range(len(shares)), key=shares.__getitem__)


def ensemble_by_hand(shares: list[list[list[float]]], labels: list[int], sizes: tuple[int, ...]) -> Ensemble:
    networks, images = len(shares), range(len(labels))
    order = np.argsort(np.random.PCG64(0).random_raw(networks), kind="stable").tolist()
    accuracies: dict[int, float] = {}
    for count in sorted({*(size for size in sizes if size <= networks), networks}):
        right = []
        for first in range(0, networks - count + 1, count):
            members = order[first : first + count]
            for image in images:
                summed = [sum(shares[one][image][kind] for one in members) for kind in range(CLASSES)]
                right.append(class_of(summed) == labels[image])
        accuracies[count] = sum(right) / len(right)
    differing = [
        class_of(shares[one][image]) != class_of(shares[other][image])
        for one, other in itertools.combinations(range(networks), 2)
        for image in images
    ]
    single = [sum(class_of(own[image]) == labels[image] for image in images) / len(labels) for own in shares]
    return Ensemble(accuracies, sum(differing) / len(differing), max(single))


@pytest.mark.parametrize("arm", ARMS)
@pytest.mark.parametrize("batch", [7, 512])
@pytest.mark.parametrize("sizes", [(), (1, 2, 5, 10), (3, 7)])
def test_an_ensemble_is_what_a_loop_over_its_networks_says(arm: str, batch: int, sizes: tuple[int, ...]) -> None:
    plane, images = make_plane(arm), make_images()
    found = measure_ensemble(plane, BLACK, images, bn_statistics=f"batch:{batch}", sizes=sizes)
    shares = probabilities_by_hand(plane, images, batch)
    slow = ensemble_by_hand(shares, images.labels.tolist(), sizes)
    assert found.accuracies == pytest.approx(slow.accuracies)
    assert found.disagreement == pytest.approx(slow.disagreement)
    assert (found.best, found.accuracy) == pytest.approx((slow.best, slow.accuracies[7]))


@pytest.mark.parametrize("arm", ARMS)
@pytest.mark.parametrize("policy", ["batch:16", "recalibrate:9"])
def test_single_pixels_are_those_of_the_landscape(arm: str, policy: str) -> None:
    plane, images = make_plane(arm), make_images()
    found = measure_ensemble(plane, BLACK, images, bn_statistics=policy, reference=images)
    single = measure_landscape(plane, BLACK.shape, images, bn_statistics=policy, reference=images).accuracy[BLACK]
    assert found.accuracies[1] == pytest.approx(single.mean().item())
    assert found.best == pytest.approx(single.max().item())
    assert list(found.accuracies) == [*[size for size in SIZES if size <= 7], 7]


def test_equal_networks_agree_and_together_are_as_good_as_one() -> None:
    plane, images = make_plane("plain"), make_images()
    with torch.no_grad():
        plane.scale.zero_()
    found = measure_ensemble(plane, BLACK, images)
    assert found.disagreement == 0
    assert set(found.accuracies.values()) == {found.best}


def test_one_black_pixel_has_nobody_to_disagree_with() -> None:
    black = torch.zeros(3, 4, dtype=torch.bool)
    black[1, 2] = True
    found = measure_ensemble(make_plane("plain"), black, make_images())
    assert math.isnan(found.disagreement)
    assert found.accuracies == {1: found.best}
    with pytest.raises(ValueError, match="black"):
        measure_ensemble(make_plane("plain"), torch.zeros(3, 4, dtype=torch.bool), make_images())
