"""Pictures to bend a landscape to: random masks, images to masks, and which pixels are trained."""

from __future__ import annotations

import math
import operator
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bnbench.inputs.seeds import seed_sequence
from bnbench.protocol.picture_text import picture_bits, picture_text
from bnbench.protocol.protocol import Protocol
from bnbench.protocol.sections import MaskProtocol

Mask = NDArray[np.bool_]
_SINGLE_PRECISION = 1e-3  # thousandths by which a p in 32 bits, or a step of linspace, may be off
LUMINANCE = np.array([0.299, 0.587, 0.114])  # of red, green and blue


class OneColourError(ValueError):
    """A mask came out all black or all white: there is nothing to bend a landscape to."""


def draw_mask(p: float, seed: int, shape: Sequence[int], kind: str = "random") -> Mask:
    """Draw a random mask, keyed by (p, seed) alone and equal on every platform.

    A pixel is black when its 53 random bits, read as a fraction, lie below p. The raw words of
    PCG64 are compared as integers: their stream is fixed by definition, and no rounding enters.

    Args:
        p: fill probability, the chance that a pixel is black; a multiple of 0.001. Any kind of number will do: one of
            NumPy or torch that is off by no more than single precision is (below 0.000001) is taken as that multiple.
        seed: replicate, from 1.
        shape: rows and columns, or any other number of axes; at least 3 pixels along each.
        kind: ``random``, or ``framed`` as the authors' code draws it: the outermost ring white, the
            ring inside it black, the rest random (along more axes, shells for rings).

    Returns:
        True where black, of the shape asked for.

    Raises:
        OneColourError: by chance all pixels have one colour.
        ValueError: not a probability in thousandths, not a whole seed, an unknown kind, or too small a shape.
    """
    permille, seed = _permille(p), _whole(seed)
    p = permille / 1000
    _check_size(shape, 3, "a mask")
    words = np.random.PCG64(seed_sequence("mask", permille, seed)).random_raw(math.prod(shape))
    limit = np.uint64((permille << 53) // 1000)
    mask: Mask = ((words >> np.uint64(11)) < limit).reshape(shape)
    if kind == "framed":
        mask = _framed(mask)
    elif kind != "random":
        raise ValueError(f"mask kind {kind!r} is unknown; use 'random' or 'framed'.")
    if mask.all() or not mask.any():
        colour = "black" if mask.all() else "white"
        raise OneColourError(
            f"the mask of p={p:g}, seed {seed} came out all {colour} at {_times(shape)}; use a larger mask."
        )
    return mask


def mask_of(p: float, seed: int, asked: MaskProtocol) -> Mask:
    """Return the mask that a protocol asks for: its picture, or else one that is drawn, see :func:`draw_mask`."""
    if not asked.picture:
        return draw_mask(p, seed, asked.mask_size, asked.mask_kind)
    bits = np.frombuffer(picture_bits(asked.picture), np.uint8)
    mask: Mask = np.unpackbits(bits, count=math.prod(asked.mask_size)).astype(bool).reshape(asked.mask_size)
    return mask


def with_picture(protocol: Protocol, name: str, mask: Mask) -> Protocol:
    """Return a protocol whose mask is a picture, under a name; the picture is part of its hash, and the name is not.

    Raises:
        RequestError: the protocol asks for framed masks.
    """
    return protocol.with_knobs(mask_size=mask.shape, picture=picture_text(name, np.packbits(mask).tobytes()))


def black_share(mask: Mask) -> float:
    """Return the share of a picture's pixels that are black, in thousandths: where a fit's key has p."""
    return min(max(round(1000 * float(mask.mean())), 1), 999) / 1000


def _permille(p: object) -> int:
    """Return a fill probability in thousandths, from any kind of number; truth values and what has several are none."""
    number = math.nan
    kind = str(getattr(p, "dtype", type(p).__name__))
    if "bool" not in kind and "complex" not in kind and not getattr(p, "ndim", 0):
        with suppress(TypeError, ValueError, OverflowError):
            number = float(p)  # type: ignore[arg-type]  # what is no number raises
    permille = round(1000 * number) if 0 <= number <= 1 and not isinstance(p, str | bytes) else -1
    if permille < 0 or abs(1000 * number - permille) > _SINGLE_PRECISION:
        shown = f"{number:g}" if math.isfinite(number) else repr(p)
        raise ValueError(f"p={shown} is not a fill probability; give a multiple of 0.001 between 0 and 1.")
    return permille


def _whole(seed: object) -> int:
    """Return a seed as Python's own whole number."""
    number = 0
    if not isinstance(seed, bool | np.bool_):
        with suppress(TypeError):
            number = operator.index(seed)  # type: ignore[arg-type]  # what is no whole number raises
    if number < 1:
        raise ValueError(f"seed={seed!r} is not a seed; give a whole number from 1.")
    return number


def _framed(mask: Mask) -> Mask:
    _check_size(mask.shape, 5, "a framed mask")
    ring, interior = (slice(1, -1),) * mask.ndim, (slice(2, -2),) * mask.ndim
    framed = np.zeros_like(mask)
    framed[ring] = True
    framed[interior] = mask[interior]
    return framed


def _check_size(shape: Sequence[int], least: int, what: str) -> None:
    if min(shape, default=0) < least:
        raise ValueError(f"{what} needs at least {_times([least] * max(len(shape), 1))} pixels, not {_times(shape)}.")


def _times(shape: Sequence[int]) -> str:
    """Return a shape as it is read: 30×20."""
    return "×".join(map(str, shape)) or "none"


def picture_to_mask(picture: Any, level: float = 0.5) -> Mask:
    """Turn a picture into a mask: what is darker than ``level`` is black.

    Args:
        picture: grey or colours, shape (rows, columns) or (rows, columns, channels), each of rows and columns at least
            3; channels are grey, red, green and blue, and opacity last (2 or 4 of them). What is transparent is white
            paper. What its numbers mean depends on their type:

            - floating point: from 0 (dark) to 1 (light);
            - bytes, or other whole numbers up to 255: from 0 (dark) to 255; unsigned 16-bit ones to 65,535;
            - truth values, and whole numbers that are all 0 or 1: no picture but a mask, in which true or 1 is *black*.

            An image of Pillow's is taken by its colours, palette and opacity included: white is white in every mode.
        level: the grey, between 0 and 1, from which a pixel is white.

    Returns:
        True where black, shape (rows, columns).

    Raises:
        ValueError: another shape, values that are outside of the above or not finite, or a level that is no grey.
        OneColourError: every pixel falls on the same side.
    """
    if not 0 <= level <= 1:
        raise ValueError(f"level={level!r} is no grey; give a number from 0 (dark) to 1 (light).")
    values = _values(picture)
    if values.ndim not in (2, 3) or min(values.shape[:2]) < 3 or (values.ndim == 3 and not 1 <= values.shape[2] <= 4):
        raise ValueError(
            f"a picture has shape (rows, columns) or (rows, columns, 1 to 4 channels), with at least 3 rows and "
            f"columns, not {values.shape}."
        )
    mask = _is_dark(values[..., 0] if values.ndim == 3 and values.shape[2] == 1 else values, level)
    if mask.all() or not mask.any():
        raise OneColourError(f"every pixel lies on one side of {level}; choose a level between the picture's greys.")
    return mask


def _values(picture: Any) -> NDArray[Any]:
    """Return a picture's numbers: of an array, a tensor, nested lists, or an image of Pillow's."""
    if hasattr(picture, "convert") and hasattr(picture, "mode"):
        if picture.mode.startswith("I"):  # 16 bits, or 32 that hold 16
            return np.asarray(picture) / 65_535
        return np.asarray(picture if picture.mode == "F" else picture.convert("RGBA"))
    if hasattr(picture, "detach"):
        picture = picture.detach().cpu()
        picture = picture.double() if picture.is_floating_point() else picture  # NumPy has no bfloat16
    return np.asarray(picture)


def _is_dark(values: NDArray[Any], level: float) -> Mask:
    if values.ndim == 2 and values.dtype.kind in "biu" and np.isin(values, (0, 1)).all():
        return values.astype(np.bool_)
    light = 1 if values.dtype.kind == "f" else 65_535 if values.dtype == np.uint16 else 255
    if values.dtype.kind not in "fiu" or not ((values >= 0) & (values <= light)).all():
        raise ValueError(
            "a picture's values are 0 (dark) to 1 (light) as floating-point numbers, 0 to 255 as whole ones, or 0 to "
            f"65,535 as uint16; these are {values.dtype}{_range(values)}."
        )
    grey = _grey(values.astype(np.float64) / light) if values.ndim == 3 else values.astype(np.float64) / light
    return np.asarray(grey < level)


def _range(values: NDArray[Any]) -> str:
    return f" from {values.min():g} to {values.max():g}" if values.dtype.kind in "fiu" else ""


def _grey(channels: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the grey of channels (rows, columns, 2 to 4) by ITU-R BT.601, on white paper."""
    opacity = channels[..., -1] if channels.shape[2] in (2, 4) else np.ones(channels.shape[:2])
    colours = channels[..., :3] @ LUMINANCE if channels.shape[2] > 2 else channels[..., 0]
    grey: NDArray[np.float64] = colours * opacity + 1 - opacity
    return grey


def is_trained(mask: Mask) -> Mask:
    """Say which pixels are trained on: those with a neighbour of the other colour.

    A pixel whose whole neighbourhood has its own colour is left to the plane's interpolation. Neighbours are one
    pixel away along some of the axes: 2 on a line, 8 in a picture, 26 in three axes; fewer at the border.

    Args:
        mask: True where black, shape (rows, columns) or any other number of axes.

    Returns:
        True where trained, same shape.

    Raises:
        ValueError: not truth values; a picture becomes a mask by :func:`picture_to_mask`.
    """
    mask = np.asarray(mask)
    if mask.dtype != np.bool_:
        raise ValueError(f"a mask holds truth values, not {mask.dtype}: picture_to_mask makes one of a picture.")
    windows = np.lib.stride_tricks.sliding_window_view(np.pad(mask, 1, mode="edge"), (3,) * mask.ndim)
    around = windows.reshape(*mask.shape, -1)  # (rows, columns, 9)
    trained: Mask = around.any(-1) != around.all(-1)
    return trained
