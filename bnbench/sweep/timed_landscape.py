"""A landscape's time, found by measuring few pixels on few images."""

from __future__ import annotations

import time

from bnbench.bn_policy import BnPolicy
from bnbench.mpo.images import Images
from bnbench.mpo.landscape import measure_landscape
from bnbench.mpo.plane import Plane

_FEW = (4, 8)  # pixels of a timed landscape
_IMAGES = 32  # that it is measured on first, as a network of the paper's size takes half a second for
_ENOUGH = 0.2  # seconds that tell; what is faster is timed again with four times the images


def seconds_of_an_image(plane: Plane, measured: Images, policy: BnPolicy, reference: Images) -> float:
    """Time a landscape of few pixels on few images, and return the seconds of one pixel and image.

    Args:
        plane: at whose points networks are measured.
        measured: the images, of which the first are taken.
        policy: BN statistics.
        reference: training images that they may be estimated on.
    """
    count = _IMAGES
    while True:
        few = measured.first(count)
        start = time.perf_counter()
        measure_landscape(plane, _FEW, few, bn_statistics=policy, reference=reference)
        seconds = time.perf_counter() - start
        if seconds > _ENOUGH or count >= len(measured):
            return seconds / (_FEW[0] * _FEW[1] * len(few))
        count *= 4
