"""Pictures to bend a landscape to: random masks, images to masks, and which pixels are trained."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from bnbench.seeds import seed_sequence

Mask = NDArray[np.bool_]


class OneColourError(ValueError):
    """A mask came out all black or all white: there is nothing to bend a landscape to."""


def draw_mask(p: float, seed: int, shape: tuple[int, int], kind: str = "random") -> Mask:
    """Draw a random mask, keyed by (p, seed) alone and equal on every platform.

    A pixel is black when its 53 random bits, read as a fraction, lie below p. The raw words of
    PCG64 are compared as integers: their stream is fixed by definition, and no rounding enters.

    Args:
        p: fill probability, the chance that a pixel is black; a multiple of 0.001.
        seed: replicate, from 1.
        shape: rows and columns, at least 3 each.
        kind: ``random``, or ``framed`` as the authors' code draws it: the outermost ring white, the
            ring inside it black, the rest random.

    Returns:
        True where black, shape (rows, columns).

    Raises:
        OneColourError: by chance all pixels have one colour.
        ValueError: not a probability in thousandths, an unknown kind, or too small a shape.
    """
    permille = round(1000 * p)
    if not 0 <= permille <= 1000 or abs(1000 * p - permille) > 1e-6:
        raise ValueError(f"p={p:g} is not a fill probability; give a multiple of 0.001 between 0 and 1.")
    if min(shape) < 3:
        raise ValueError(f"a mask needs at least 3×3 pixels, not {shape[0]}×{shape[1]}.")
    words = np.random.PCG64(seed_sequence("mask", permille, seed)).random_raw(shape[0] * shape[1])
    limit = np.uint64((permille << 53) // 1000)
    mask: Mask = ((words >> np.uint64(11)) < limit).reshape(shape)
    if kind == "framed":
        mask = _framed(mask)
    elif kind != "random":
        raise ValueError(f"mask kind {kind!r} is unknown; use 'random' or 'framed'.")
    if mask.all() or not mask.any():
        colour = "black" if mask.all() else "white"
        raise OneColourError(
            f"the mask of p={p:g}, seed {seed} came out all {colour} at {shape[0]}×{shape[1]}; use a larger mask."
        )
    return mask


def _framed(mask: Mask) -> Mask:
    if min(mask.shape) < 5:
        raise ValueError(f"a framed mask needs at least 5×5 pixels, not {mask.shape[0]}×{mask.shape[1]}.")
    framed = np.zeros_like(mask)
    framed[1:-1, 1:-1] = True
    framed[2:-2, 2:-2] = mask[2:-2, 2:-2]
    return framed


def picture_to_mask(picture: NDArray[Any], level: float = 0.5) -> Mask:
    """Turn a grey picture into a mask: darker than ``level`` is black.

    Args:
        picture: grey values from 0 (black) to 1 (white), shape (rows, columns).
        level: the value from which a pixel is white.

    Raises:
        ValueError: not two-dimensional, smaller than 3×3, or values outside [0, 1].
        OneColourError: every pixel falls on the same side.
    """
    grey = np.asarray(picture, dtype=np.float64)
    if grey.ndim != 2 or min(grey.shape) < 3:
        raise ValueError(f"a picture has shape (rows, columns), each at least 3, not {grey.shape}.")
    if not ((grey >= 0) & (grey <= 1)).all():
        raise ValueError("a picture has grey values from 0 (black) to 1 (white).")
    mask: Mask = grey < level
    if mask.all() or not mask.any():
        raise OneColourError(f"every pixel lies on one side of {level}; choose a level between the picture's greys.")
    return mask


def is_trained(mask: Mask) -> Mask:
    """Say which pixels are trained on: those with a neighbour of the other colour.

    A pixel whose whole neighbourhood (8 neighbours, fewer at the border) has its own colour is left
    to the plane's interpolation.

    Args:
        mask: True where black, shape (rows, columns).

    Returns:
        True where trained, same shape.
    """
    around = np.lib.stride_tricks.sliding_window_view(np.pad(mask, 1, mode="edge"), (3, 3))  # (rows, columns, 3, 3)
    trained: Mask = around.any((2, 3)) != around.all((2, 3))
    return trained
