"""The kernels of a GPU's fits, chosen once for a results folder, an arm and a model of GPU: others round otherwise."""

from __future__ import annotations

import threading
from contextlib import suppress
from pathlib import Path

from bnbench.mpo.fit import Fit
from bnbench.results.chunks import keep_kernels, read_kernels

_CHOOSING = threading.Lock()  # fits of one process begin at once: the first one chooses, and the others keep its choice


def choose_once(fit: Fit, folder: Path, device_name: str, arm: str) -> None:
    """Have a GPU's fit compute as its own earlier part did, else as the folder's fits do, else as is fastest.

    What is kept is proved by a step, drawn and put back; where it fails, the fit chooses for itself. A processor's
    fit is left as it is.

    Args:
        fit: before its next step.
        folder: of the results.
        device_name: the model of the GPU.
        arm: of the fit.

    Raises:
        DeviceLostError: the GPU answers no more.
    """
    if not fit.engine.trial:
        return
    with _CHOOSING:
        if not fit.engine.preferred:
            fit.engine.prefer(read_kernels(folder, device_name, arm))
        fit.choose_kernels()
        if fit.engine.strategy:
            with suppress(OSError):  # a fit that cannot be written says so itself
                keep_kernels(folder, device_name, arm, fit.engine.strategy.name)
