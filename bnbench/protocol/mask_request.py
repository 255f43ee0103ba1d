"""Random masks or pictures: what may be asked for together."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from bnbench.errors import RequestError
from bnbench.protocol.mask_sizes import Size


def check_mask_request(
    mask: Path | None, sizes: Sequence[Size], level: float | None, *, invert: bool, has_probs: bool
) -> None:
    """Refuse what does not go together.

    Args:
        mask: a picture's file, or a folder of them; None for random masks.
        sizes: of masks, as many as are asked for.
        level: the grey from which a pixel of a picture is white; None where none is asked for.
        invert: whether a picture's dark pixels are to be white.
        has_probs: whether fill probabilities are asked for.

    Raises:
        RequestError: a picture with probabilities or several sizes, or what is about pictures without one.
    """
    if mask is None:
        if level is not None or invert:
            option = "--invert" if invert else f"--grey-level {level:g}"
            raise RequestError(f"{option} is about a picture; give one with --mask.")
    elif has_probs:
        raise RequestError(
            f"--mask {mask} and --probs: a picture has its own share of black pixels; give one of the two."
        )
    elif len(sizes) > 1:
        raise RequestError(f"--mask {mask} and several --mask-size; give one, the longer side of the picture.")
