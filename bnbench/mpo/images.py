"""Images with their classes, held at once to what a fit needs of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from bnbench.errors import RequestError

_FLOATING = (torch.float16, torch.bfloat16, torch.float32, torch.float64)


@dataclass(frozen=True)
class Images:
    """Images with their classes.

    NumPy arrays become tensors (float64 becomes float32, torch's own kind), labels of any whole-number type int64.
    A tensor's pixels keep their type: a fit casts them to its plane's. The graph that computed them is left behind.

    Attributes:
        pixels: images, best standardized, floating point, shape (N, C, H, W), N at least 1; all finite, not all equal.
        labels: classes from 0, int64, shape (N,). Whether the network has so many outputs is checked where it is used.

    Raises:
        RequestError: anything else, such as bytes from 0 to 255, tables, one-hot labels or labels below 0.
    """

    pixels: Tensor
    labels: Tensor

    def __post_init__(self) -> None:
        pixels, labels = _as_tensor("pixels", self.pixels), _as_tensor("labels", self.labels)
        _check_pixels(pixels)
        _check_labels(labels)
        if len(pixels) != len(labels):
            raise RequestError(f"Images: {len(pixels):,} images and {len(labels):,} labels; give a label for each.")
        if pixels.device != labels.device:
            raise RequestError(f"Images: pixels on {pixels.device} and labels on {labels.device}; give one device.")
        object.__setattr__(self, "pixels", pixels)
        object.__setattr__(self, "labels", labels.long())

    def __len__(self) -> int:
        return len(self.labels)

    def first(self, count: int) -> Images:
        """Return the first ``count`` images; 0 means all."""
        return self if count == 0 else self.part(0, count)

    def part(self, start: int, stop: int | None = None) -> Images:
        """Return the images from ``start`` to before ``stop``, counted from 0; there may be none."""
        return _unchecked(self.pixels[start:stop], self.labels[start:stop])

    def to(self, device: str | torch.device, dtype: torch.dtype = torch.float32) -> Images:
        """Return the images on a device; labels stay whole numbers."""
        return _unchecked(self.pixels.to(device, dtype), self.labels.to(device))

    def beside(self, weights: Tensor) -> Images:
        """Return the images on the device of a plane's weights and of their type; ``self`` if they are that already."""
        if (self.pixels.device, self.pixels.dtype) == (weights.device, weights.dtype):
            return self
        return self.to(weights.device, weights.dtype)


@torch.no_grad()
def check_outputs(network: torch.nn.Module, data: Images) -> None:
    """Hold a network's outputs to the classes of its images, before anything is trained or measured.

    Args:
        network: images (B, C, H, W) to logits (B, classes).
        data: on its device and of its type.

    Raises:
        RequestError: a label has no output, as where classes are counted from 1.
    """
    shape, largest = tuple(network(data.pixels[:2]).shape), int(data.labels.max())
    if len(shape) != 2 or shape[0] != len(data.pixels[:2]):
        raise RequestError(f"the network gives outputs of shape {shape} for 2 images; make it (2, classes).")
    if largest >= shape[1]:
        raise RequestError(
            f"a label is {largest}, but the network has {shape[1]} outputs; classes count from 0: "
            "subtract 1 from labels that begin at 1, or give the network more outputs."
        )


def _unchecked(pixels: Tensor, labels: Tensor) -> Images:
    """Return part of what was checked, or a copy of it, as images that nobody checks again."""
    images = object.__new__(Images)
    object.__setattr__(images, "pixels", pixels)
    object.__setattr__(images, "labels", labels)
    return images


def _as_tensor(name: str, values: Any) -> Tensor:
    """Return a tensor as it is, an array as a tensor of its own."""
    if isinstance(values, Tensor):
        if values.is_meta or values.is_nested:
            raise RequestError(f"Images: {name} has no values or no one shape (meta or nested); give a plain tensor.")
        if values.layout != torch.strided:
            raise RequestError(f"Images: {name} is a sparse tensor; give {name}.to_dense().")
        plain: Tensor = values.clone() if values.is_inference() else values  # autograd takes none of inference mode
        return plain.detach() if plain.requires_grad else plain
    if not isinstance(values, np.ndarray):
        wanted = "(N, C, H, W)" if name == "pixels" else "(N,)"
        raise RequestError(f"Images: {name} is a {type(values).__name__}; give a tensor or array of shape {wanted}.")
    if isinstance(values, np.ma.MaskedArray) or values.dtype.kind not in "biuf":
        raise RequestError(f"Images: {name} is a {type(values).__name__} of {values.dtype}; give an array of numbers.")
    kinds = {"f": np.float32, "i": np.int64, "u": np.uint8 if values.dtype == np.uint8 else np.int64, "b": np.bool_}
    with np.errstate(over="ignore"):  # what is too large becomes infinite, which is refused
        return torch.from_numpy(np.array(values, kinds[values.dtype.kind]))


def _check_pixels(pixels: Tensor) -> None:
    shape = tuple(pixels.shape)
    if pixels.dim() != 4:
        hint = "; pixels.unsqueeze(1) gives them a channel" if pixels.dim() == 3 else ""
        raise RequestError(f"Images: pixels have shape {shape}; give (N, C, H, W){hint}.")
    if 0 in shape:
        raise RequestError(f"Images: pixels have shape {shape}, which holds no image; give at least one.")
    if pixels.dtype not in _FLOATING:
        raise RequestError(
            f"Images: pixels are {pixels.dtype}; give standardized floating-point ones, such as "
            "(pixels.float() - mean) / deviation."
        )
    low, high = (float(value) for value in torch.aminmax(pixels))  # not a number if any value is none
    if not (np.isfinite(low) and np.isfinite(high)):
        bad = (~pixels.isfinite().flatten(1).all(1)).nonzero().flatten().tolist()
        raise RequestError(
            f"Images: {len(bad):,} of {len(pixels):,} have pixels that are not finite numbers, the first is image "
            f"{bad[0]}; take them out, or mend what divides by zero."
        )
    if low == high:
        raise RequestError(f"Images: every pixel is {low:g}, which tells no classes apart; give other images.")


def _check_labels(labels: Tensor) -> None:
    shape = tuple(labels.shape)
    if labels.dim() != 1:
        hint = "; labels.argmax(1) makes classes of one-hot rows" if labels.dim() == 2 and shape[1] > 1 else ""
        hint = hint or ("; labels.flatten() makes one" if shape.count(1) >= labels.dim() - 1 and shape else "")
        raise RequestError(f"Images: labels have shape {shape}; give a class for each image, shape (N,){hint}.")
    if labels.is_floating_point() or labels.is_complex():
        raise RequestError(f"Images: labels are {labels.dtype}; classes are whole numbers from 0: give labels.long().")
    if len(labels) and (smallest := int(labels.long().min())) < 0:
        raise RequestError(f"Images: a label is {smallest}; classes count from 0: leave out images that have no class.")
