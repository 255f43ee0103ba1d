"""Loss and accuracy at every pixel against a plain loop, for every BN policy."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from bnbench.bn_policy import KINDS, BnPolicy
from bnbench.inputs.data import DataSet, Images
from bnbench.inputs.masks import Mask, draw_mask, is_trained
from bnbench.mpo import landscape
from bnbench.mpo.batch_norm import BatchNorm
from bnbench.mpo.landscape import measure_landscape
from bnbench.mpo.plane import Plane
from bnbench.protocol.profiles import PROFILES
from bnbench.protocol.protocol import FitKey
from bnbench.sweep.measure import measure_fit
from tests.cases import ARMS, CLASSES, make_images, make_plane
from tests.slow import frame_by_hand, pixel_loss, position, weights_by_hand

SHAPE = (3, 4)


def slow_landscape(
    plane: Plane, evaluate: Callable[[Tensor], tuple[float, float]], shape: tuple[int, ...] = SHAPE
) -> tuple[Tensor, Tensor]:
    frame, found = frame_by_hand(plane.vectors.detach()), []
    for pixel in range(math.prod(shape)):
        weights = weights_by_hand(frame, plane.scale.detach(), position(pixel, shape))
        found.append(evaluate(weights))
    losses, accuracies = torch.tensor(found, dtype=torch.float64).T
    return losses.view(shape), accuracies.view(shape)


def over_batches(module: nn.Module, images: Images, batch: int) -> Callable[[Tensor], tuple[float, float]]:
    """Sums over batches, divided once: a last batch that is smaller counts for less."""

    def evaluate(weights: Tensor) -> tuple[float, float]:
        loss = hits = 0.0
        for start in range(0, len(images), batch):
            labels = images.labels[start : start + batch]
            part_loss, accuracy = pixel_loss(module, weights, images.pixels[start : start + batch], labels)
            loss += part_loss.item() * len(labels)
            hits += accuracy * len(labels)
        return loss / len(images), hits / len(images)

    return evaluate


@pytest.mark.parametrize("arm", ARMS)
@pytest.mark.parametrize("batch", [7, 40, 512])
def test_every_pixel_equals_its_own_network(arm: str, batch: int) -> None:
    plane, images = make_plane(arm), make_images()
    found = measure_landscape(plane, SHAPE, images, bn_statistics=f"batch:{batch}")
    # Only BN looks at the batch; for the others it must not matter.
    loss, accuracy = slow_landscape(plane, over_batches(plane.module, images, batch if arm == "bn" else 40))
    assert torch.allclose(found.loss, loss, rtol=1e-11)
    assert torch.equal(found.accuracy, accuracy)


@pytest.mark.parametrize("shape", [(5,), (2, 1, 3)])
def test_every_point_of_a_line_or_a_space_equals_its_own_network(shape: tuple[int, ...]) -> None:
    plane, images = make_plane("bn", directions=len(shape)), make_images()
    found = measure_landscape(plane, shape, images, bn_statistics="batch:7")
    loss, accuracy = slow_landscape(plane, over_batches(plane.module, images, 7), shape)
    assert torch.allclose(found.loss, loss, rtol=1e-11)
    assert torch.equal(found.accuracy, accuracy)


def test_a_policy_takes_all_the_images_that_it_names() -> None:
    """A batch, or a reference, larger than the batches in which other networks are evaluated."""
    plane, images, reference = make_plane("bn"), make_images(170), make_images(100, seed=5)
    found = measure_landscape(plane, SHAPE, images, bn_statistics="batch:90")
    loss, accuracy = slow_landscape(plane, over_batches(plane.module, images, 90))
    assert torch.allclose(found.loss, loss, rtol=1e-11)
    assert torch.equal(found.accuracy, accuracy)
    settled = measure_landscape(plane, SHAPE, images, bn_statistics="recalibrate:90", reference=reference)
    for count, is_same in ((90, True), (89, False)):
        darker = torch.arange(100).view(-1, 1, 1, 1) >= count
        other = Images(reference.pixels - 3 * darker, reference.labels)
        again = measure_landscape(plane, SHAPE, images, bn_statistics="recalibrate:90", reference=other)
        assert torch.equal(again.loss, settled.loss) == is_same


def test_the_corner_may_be_the_origin() -> None:
    """Row r and column c then lie at α = c, β = H − 1 − r: the lower left pixel is w_O itself."""
    plane, images = make_plane("plain"), make_images()
    found = measure_landscape(plane, SHAPE, images, origin="corner")
    origin, right, up = frame_by_hand(plane.vectors.detach())
    for row, column in ((2, 0), (0, 0), (1, 3)):
        weights = origin + plane.scale.detach() * (column * right + (2 - row) * up)
        loss, accuracy = pixel_loss(plane.module, weights, images.pixels, images.labels)
        assert found.loss[row, column].item() == pytest.approx(loss.item(), rel=1e-11)
        assert found.accuracy[row, column].item() == accuracy


def by_a_reference(
    module: nn.Module, images: Images, reference: Images, count: int
) -> Callable[[Tensor], tuple[float, float]]:
    def evaluate(weights: Tensor) -> tuple[float, float]:
        """Two passes over one ordinary network: record each layer's statistics, then use them."""
        statistics: list[tuple[Tensor, Tensor]] = []

        def record(layer: nn.Module, inputs: tuple[Tensor]) -> None:
            statistics.append((inputs[0].mean((0, 2, 3)), inputs[0].var((0, 2, 3), unbiased=False)))

        def use(layer: BatchNorm, inputs: tuple[Tensor], output: Tensor) -> Tensor:
            mean, variance = statistics.pop(0)
            scale = (layer.scale + layer.offset).view(-1, 1, 1)
            normal = (inputs[0] - mean.view(-1, 1, 1)) / (variance.view(-1, 1, 1) + 1e-5).sqrt()
            return normal * scale + layer.shift.view(-1, 1, 1)

        layers = [layer for layer in module.modules() if isinstance(layer, BatchNorm)]
        hooks = [layer.register_forward_pre_hook(record) for layer in layers]
        pixel_loss(module, weights, reference.pixels[:count], reference.labels[:count])
        for hook in hooks:
            hook.remove()
        hooks = [layer.register_forward_hook(use) for layer in layers]
        loss, accuracy = pixel_loss(module, weights, images.pixels, images.labels)
        for hook in hooks:
            hook.remove()
        return loss.item(), accuracy

    return evaluate


# The slow twin of each kind of policy: module, images, reference and the policy's number to what evaluates a network.
SLOW_POLICIES: dict[str, Callable[[nn.Module, Images, Images, int], Callable[[Tensor], tuple[float, float]]]] = {
    "batch": lambda module, images, reference, count: over_batches(module, images, count),
    "recalibrate": by_a_reference,
}


@pytest.mark.parametrize("kind", KINDS)
def test_a_policy_is_what_its_slow_twin_says(kind: str) -> None:
    plane, images, reference = make_plane("bn"), make_images(), make_images(30, seed=5)
    found = measure_landscape(plane, SHAPE, images, bn_statistics=BnPolicy(kind, 25), reference=reference)
    loss, accuracy = slow_landscape(plane, SLOW_POLICIES[kind](plane.module, images, reference, 25))
    assert torch.allclose(found.loss, loss, rtol=1e-9)
    assert torch.equal(found.accuracy, accuracy)


def test_recalibrated_images_are_measured_alike_one_by_one() -> None:
    plane, images, reference = make_plane("bn"), make_images(), make_images(30, seed=5)
    one_by_one = [
        measure_landscape(
            plane,
            SHAPE,
            Images(images.pixels[i : i + 1], images.labels[i : i + 1]),
            bn_statistics="recalibrate:25",
            reference=reference,
        ).loss
        for i in range(3)
    ]
    first_three = measure_landscape(plane, SHAPE, images.first(3), bn_statistics="recalibrate:25", reference=reference)
    assert torch.allclose(torch.stack(one_by_one).mean(0), first_three.loss)


@pytest.mark.parametrize("policy", ["running:5", "batch", "batch:0", "recalibrate:x"])
def test_unknown_policies_are_refused(policy: str) -> None:
    with pytest.raises(ValueError, match=f"BN statistics {policy}: "):
        measure_landscape(make_plane("bn"), SHAPE, make_images(), bn_statistics=policy)


def test_recalibration_without_enough_images_is_refused() -> None:
    with pytest.raises(ValueError, match="recalibrate:50"):
        measure_landscape(
            make_plane("bn"), SHAPE, make_images(), bn_statistics="recalibrate:50", reference=make_images(20)
        )


def make_data() -> DataSet:
    train = make_images(60, seed=1)
    return DataSet(train, train.first(20), make_images(30, seed=2), CLASSES)


PROTOCOL = PROFILES["smoke"].with_knobs(mask_size=(6, 7), bn_statistics="batch:20", images=10)


def test_the_table_of_a_fit_and_its_summary_agree() -> None:
    mask: Mask = np.indices((6, 7)).sum(0) < 5  # a corner: either colour has pixels far from the other
    trained = is_trained(mask)
    table, summary = measure_fit(make_plane("bn"), FitKey("bn", 0.5, 1), mask, trained, make_data(), PROTOCOL)
    assert list(table["row"] * 7 + table["column"]) == list(range(42))
    assert np.array_equal(table["black"].to_numpy().reshape(6, 7), mask)
    assert np.array_equal(table["trained"].to_numpy().reshape(6, 7), trained)
    assert table["test_accuracy"].between(0, 1).all()
    wanted = {("batch:20", "test"), ("batch:20", "train"), ("batch:10", "test"), ("recalibrate:20", "test")}
    assert set(zip(summary["policy"], summary["split"], strict=True)) == wanted
    for row in summary[summary["headline"]].to_dict(orient="records"):
        counted = table[table["trained"]] if row["pixels"] == "trained" else table
        for colour, of_colour in (("black", counted[counted["black"]]), ("white", counted[~counted["black"]])):
            assert row[colour] == pytest.approx(of_colour[f"{row['split']}_accuracy"].mean())
            assert row[f"{colour}_loss"] == pytest.approx(of_colour[f"{row['split']}_loss"].mean())
        assert row["difference"] == pytest.approx(row["black"] - row["white"])


def test_a_table_measures_test_and_training_images_apart() -> None:
    mask, plane, data = draw_mask(0.5, 1, (6, 7)), make_plane("plain"), make_data()
    table, _ = measure_fit(plane, FitKey("plain", 0.5, 1), mask, is_trained(mask), data, PROTOCOL)
    for column, images in (("test_loss", data.measured), ("train_loss", data.train_sample)):
        expected = measure_landscape(plane, (6, 7), images).loss.flatten().tolist()
        assert table[column].tolist() == pytest.approx(expected)


def test_arms_without_bn_have_one_policy() -> None:
    mask = draw_mask(0.5, 1, (6, 7))
    _, summary = measure_fit(
        make_plane("plain"), FitKey("plain", 0.5, 1), mask, is_trained(mask), make_data(), PROTOCOL
    )
    assert set(summary["policy"]) == {"none"}
    assert summary["headline"].all()


def test_inverting_the_mask_swaps_the_accuracies_of_a_fixed_landscape() -> None:
    mask = draw_mask(0.4, 3, (6, 7))
    plane, data = make_plane("plain"), make_data()
    key = FitKey("plain", 0.4, 3)
    _, upright = measure_fit(plane, key, mask, is_trained(mask), data, PROTOCOL)
    _, inverted = measure_fit(plane, key, ~mask, is_trained(~mask), data, PROTOCOL)
    for colour, other in (("black", "white"), ("white", "black"), ("black_loss", "white_loss")):
        assert upright[colour].to_numpy() == pytest.approx(inverted[other].to_numpy())
    assert upright["difference"].to_numpy() == pytest.approx(-inverted["difference"].to_numpy())


def test_a_bn_policy_that_nothing_computes_is_no_silence() -> None:
    with pytest.raises(NotImplementedError, match="mixed:3"):
        measure_landscape(make_plane("bn"), (1, 2), make_images(6), bn_statistics=BnPolicy("mixed", 3))


def test_a_gpu_that_is_full_takes_fewer_pixels_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    plane, images = make_plane("bn"), make_images()
    whole = measure_landscape(plane, SHAPE, images)
    computed, seen = landscape._sums, list[int]()

    def short_of_memory(of: Plane, weights: list[Tensor], *rest: Tensor) -> Tensor:
        seen.append(len(weights[0]))
        if len(weights[0]) > 3:
            raise torch.OutOfMemoryError
        return computed(of, weights, *rest)

    with monkeypatch.context() as patched:
        patched.setattr(landscape, "VISITS", 10_000)
        patched.setattr(landscape, "_sums", short_of_memory)
        parts = measure_landscape(plane, SHAPE, images, bn_statistics="batch:512")
    assert torch.allclose(parts.loss, whole.loss, atol=1e-12)
    assert torch.equal(parts.accuracy, whole.accuracy)
    assert seen[0] == 12
    assert max(seen[-3:]) <= 3
