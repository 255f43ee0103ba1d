"""Images are what a fit can use, or refused at once with the way out; what is safe is converted."""

from __future__ import annotations

from collections import namedtuple
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from bnbench.errors import RequestError
from bnbench.mpo.images import Images
from bnbench.mpo.landscape import measure_landscape
from bnbench.mpo.whole_fit import fit
from tests.cases import make_images, make_mask, make_plane
from tests.mpo.test_fit import TRAINING

PIXELS = torch.linspace(-1, 1, 6 * 16).view(6, 1, 4, 4)
LABELS = torch.tensor([0, 1, 2, 0, 1, 2])
Pair = namedtuple("Pair", "pixels labels")


def broken(value: float) -> torch.Tensor:
    pixels = PIXELS.clone()
    pixels[4, 0, 1, 1] = value
    return pixels


@pytest.mark.parametrize(
    ("pixels", "labels", "names"),
    [
        (PIXELS[:0], LABELS[:0], ("(0, 1, 4, 4)",)),
        (PIXELS[:, :, :0], LABELS, ("(6, 1, 0, 4)",)),
        (PIXELS[:5], LABELS, ("5 images and 6 labels",)),
        (PIXELS, LABELS[:0], ("6 images and 0 labels",)),
        (PIXELS[:, 0], LABELS, ("(6, 4, 4)", "(N, C, H, W)", "pixels.unsqueeze(1)")),
        (PIXELS.flatten(1), LABELS, ("(6, 16)", "(N, C, H, W)")),
        (PIXELS[None], LABELS, ("(1, 6, 1, 4, 4)", "(N, C, H, W)")),
        (torch.tensor(1.0), LABELS, ("()", "(N, C, H, W)")),
        ((PIXELS * 100).to(torch.uint8), LABELS, ("pixels", "torch.uint8")),
        ((PIXELS * 100).int(), LABELS, ("pixels", "torch.int32")),
        (PIXELS > 0, LABELS, ("pixels", "torch.bool")),
        (PIXELS + 0j, LABELS, ("pixels", "torch.complex64")),
        ((PIXELS.numpy() * 100).astype(np.uint8), LABELS, ("pixels", "torch.uint8")),
        (PIXELS.to(torch.float8_e4m3fn), LABELS, ("pixels", "torch.float8_e4m3fn")),
        (PIXELS.to("meta"), LABELS, ("pixels",)),
        (PIXELS.to_sparse(), LABELS, ("sparse", "pixels.to_dense()")),
        (broken(float("nan")), LABELS, ("1 of 6", "image 4")),
        (broken(float("inf")), LABELS, ("image 4",)),
        (broken(-float("inf")), LABELS, ("image 4",)),
        (torch.full_like(PIXELS, float("nan")), LABELS, ("6 of 6",)),
        (torch.zeros_like(PIXELS), LABELS, ("pixel is 0",)),
        (PIXELS, torch.tensor([0.0, 1, 2, 0, 1, 2]), ("labels", "torch.float32")),
        (PIXELS, np.array([0.0, 1, 2, 0, 1, 2]), ("labels", "torch.float32")),
        (PIXELS, torch.nn.functional.one_hot(LABELS), ("(6, 3)", "(N,)", "labels.a")),
        (PIXELS, LABELS[:, None], ("(6, 1)", "(N,)", "labels.flatten()")),
        (PIXELS, torch.tensor(3), ("()", "(N,)")),
        (PIXELS, torch.tensor([0, 1, -100, 0, 1, 2]), ("label is -100", "0")),
        (PIXELS, LABELS - 1, ("label is -1",)),
        (PIXELS, LABELS.tolist(), ("labels", "list", "(N,)")),
        (PIXELS.tolist(), LABELS, ("pixels", "list", "(N, C, H, W)")),
        (pd.DataFrame(PIXELS.flatten(1).numpy()), LABELS, ("pixels", "DataFrame")),
        (PIXELS, pd.Series(LABELS), ("labels", "Series")),
        (PIXELS, np.array(["cat", "dog"] * 3), ("labels", "<U3")),
        (PIXELS, np.array([None] * 6), ("labels", "object")),
        (np.ma.masked_invalid(broken(float("nan")).numpy()), LABELS, ("pixels", "MaskedArray")),
        (Pair(PIXELS, LABELS), LABELS, ("pixels", "Pair")),
        (None, LABELS, ("pixels", "NoneType")),
    ],
)
def test_what_no_fit_could_use_is_refused_in_one_sentence(pixels: Any, labels: Any, names: tuple[str, ...]) -> None:
    with pytest.raises(RequestError) as refusal:
        Images(pixels, labels)
    assert [name for name in names if name not in str(refusal.value)] == []
    assert str(refusal.value).startswith("Images: ")
    assert len(str(refusal.value).splitlines()) == 1


@pytest.mark.parametrize(
    "kind",
    [torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64, torch.uint16, torch.uint64, np.uint16, ">i4"],
)
def test_whole_labels_of_any_type_become_int64(kind: Any) -> None:
    labels = LABELS.to(kind) if isinstance(kind, torch.dtype) else LABELS.numpy().astype(kind)
    found = Images(PIXELS, labels).labels  # type: ignore[arg-type]  # arrays are taken too, here and below
    assert found.dtype == torch.int64
    assert found.tolist() == LABELS.tolist()
    assert Images(PIXELS, LABELS == 1).labels.tolist() == [0, 1, 0, 0, 1, 0]


@pytest.mark.parametrize("kind", [np.float16, np.float32, np.float64, ">f4", np.longdouble])
def test_arrays_of_numbers_become_float32_tensors_of_their_own(kind: Any) -> None:
    array = PIXELS.numpy().astype(kind)
    array.flags.writeable = False
    found = Images(array[:, :, ::-1], LABELS.numpy()).pixels  # type: ignore[arg-type]  # as above
    assert found.dtype == torch.float32
    assert torch.allclose(found, PIXELS.flip(2), atol=1e-3)


def test_tensors_are_kept_as_they_are() -> None:
    for kind in (torch.float32, torch.float64, torch.bfloat16):
        pixels = PIXELS.to(kind)
        images = Images(pixels, LABELS)
        assert images.pixels is pixels
        assert images.labels is LABELS
        assert images.beside(pixels) is images


def test_images_that_another_network_computed_can_be_fitted() -> None:
    """Neither its graph nor its inference mode stands in the way, as it would at the second step."""
    images, mask = make_images(), make_mask()
    weights = torch.ones(1, dtype=torch.float64, requires_grad=True)
    with torch.inference_mode():
        inferred = images.pixels * 1
    expected = fit(make_plane("plain"), mask, torch.ones_like(mask), images, TRAINING)
    for pixels in (images.pixels * weights, inferred):
        found = fit(make_plane("plain"), mask, torch.ones_like(mask), Images(pixels, images.labels), TRAINING)
        assert found == expected
    assert weights.grad is None


def test_a_part_may_be_what_a_whole_may_not() -> None:
    """Nothing held out, or first images that are all alike, are no fault of the set."""
    dark = torch.cat([torch.zeros(2, 1, 4, 4), PIXELS[2:]])
    images = Images(dark, LABELS)
    assert len(images.part(6)) == 0
    assert images.first(2).pixels.any().item() is False
    assert len(images.first(0)) == 6
    assert images.part(2, 4).labels.tolist() == LABELS[2:4].tolist()


def test_a_label_without_an_output_is_refused_before_anything_is_computed() -> None:
    """As where classes are counted from 1: make_plane's networks have 4 outputs."""
    images, mask = make_images(), make_mask()
    for labels in (images.labels + 1, images.labels * 9):
        shifted = Images(images.pixels, labels)
        wanted = f"a label is {labels.max()}, but the network has 4 outputs; classes count from 0"
        plane = make_plane("plain")
        before = plane.vectors.detach().clone()
        with pytest.raises(RequestError, match=wanted):
            fit(plane, mask, torch.ones_like(mask), shifted, TRAINING)
        assert torch.equal(plane.vectors, before)
        with pytest.raises(RequestError, match=wanted):
            measure_landscape(plane, (2, 2), shifted)


@pytest.mark.parametrize("arm", ["plain", "bn"])
def test_a_fit_takes_images_of_another_type_than_its_planes(arm: str) -> None:
    images, mask = make_images(), make_mask()
    planes = [make_plane(arm).float() for _ in range(2)]
    traces = [
        fit(plane, mask, torch.ones_like(mask), data, TRAINING)
        for plane, data in zip(planes, (images, images.to("cpu")), strict=True)
    ]
    assert traces[0] == traces[1]
    found = [
        measure_landscape(plane, (2, 2), data, bn_statistics="recalibrate:20", reference=data)
        for plane, data in zip(planes, (images, images.to("cpu")), strict=True)
    ]
    assert torch.equal(found[0].loss, found[1].loss)


SHAPES = hnp.array_shapes(min_dims=1, max_dims=5, min_side=0, max_side=3)
NUMBERS = hnp.arrays(st.sampled_from(["f4", "f8", "u1", "i4", "?"]), SHAPES)


@settings(max_examples=60)
@given(pixels=NUMBERS, labels=NUMBERS)
def test_any_two_arrays_are_images_or_a_sentence(pixels: np.ndarray, labels: np.ndarray) -> None:
    try:
        images = Images(pixels, labels)  # type: ignore[arg-type]  # as above
    except RequestError:
        return
    assert images.pixels.dim() == 4
    assert len(images.pixels) == len(images.labels) > 0
    assert images.pixels.isfinite().all()
    assert images.labels.min() >= 0
