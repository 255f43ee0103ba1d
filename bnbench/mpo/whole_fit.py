"""A fit from its first step to its last, in one call."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from bnbench.mpo.fit import Fit
from bnbench.mpo.gradient import CHUNK
from bnbench.mpo.images import Images
from bnbench.mpo.plane import Plane
from bnbench.mpo.trace import TraceRow
from bnbench.mpo.training import Training, TrainingSettings


def fit(
    plane: Plane,
    black: Tensor,
    trained: Tensor,
    data: Images,
    training: TrainingSettings | None = None,
    *,
    origin: str = "centre",
    pixels: torch.Generator | None = None,
    images: torch.Generator | None = None,
    chunk: int = CHUNK,
    on_row: Callable[[TraceRow], None] | None = None,
) -> list[TraceRow]:
    """Train a plane in place until its landscape shows the picture, as far as it can.

    Args:
        plane: trained in place, on its own device.
        black: True where black, bool, with an axis for each direction of the plane: (rows, columns) for two.
        trained: True where trained, same shape.
        data: training images, pixels (N, C, H, W) and labels (N,), on the plane's device and of its dtype.
        training: objective and optimization; by default those of ``compact``.
        origin: where (α, β, …) = 0 lies, ``centre``, ``corner`` or ``middle-pixel``.
        pixels: generator of the pixels' order, on the CPU; by default a new one with seed 0.
        images: generator of the images' order, on the CPU; by default a new one with seed 1.
        chunk: pixels computed at once.
        on_row: called with each row of the trace.

    Returns:
        The training trace, about 100 rows.

    Raises:
        DivergedError: a loss or gradient stopped being finite.
        ValueError: masks that do not fit each other or the plane, or lack a trained pixel of either colour; no chunk.
    """
    under_way = Fit(
        plane, black, trained, data, training or Training(), origin=origin, pixels=pixels, images=images, chunk=chunk
    )
    try:
        while not under_way.is_done:
            rows = len(under_way.rows)
            under_way.advance()
            if on_row and len(under_way.rows) > rows:
                on_row(under_way.rows[-1])
    finally:
        under_way.forget_recordings()  # which refer to the fit, so that it would keep a GPU's memory
    return under_way.rows
