"""What bending to a picture will cost, from a step of few pixels and a landscape of few that are timed first."""

from __future__ import annotations

import time

from bnbench.bending.arm_bending import FRAME_IMAGES, ArmBending
from bnbench.mpo.batch_norm import uses_bn
from bnbench.mpo.images import Images
from bnbench.mpo.landscape import measure_landscape
from bnbench.sweep.cost import timed_fit
from bnbench.sweep.devices import DeviceRequest, Slot
from bnbench.sweep.execution import Execution
from bnbench.sweep.measure import headline_policy, policies

_FEW = (4, 8)  # pixels of a timed landscape
_IMAGES = 32  # that it is measured on first, as a network of the paper's size takes half a second for
_ENOUGH = 0.2  # seconds that tell; what is faster is timed again with four times the images


def estimated_seconds(bending: ArmBending) -> float:
    """Estimate the wall time of what is left of an arm's fit to a picture, steps and landscapes together, in seconds.

    What is loaded and drawn is not in it.

    Args:
        bending: not begun yet, or gone on with from its checkpoint.
    """
    request, data, fit = bending.request, bending.data, bending.fit
    execution = Execution(slots=(Slot(request.device, 0),), devices=DeviceRequest(threads=request.threads))
    left = 1 - fit.step / fit.training.steps
    at_end = len(policies(request.protocol)) if uses_bn(bending.plane.module) else 1
    images = left * len(bending.due) * FRAME_IMAGES + at_end * len(data.measured) + len(data.train_sample)
    there = request.protocol.with_knobs(black_pixels=fit.black_count, white_pixels=fit.white_count)
    steps = left * timed_fit(bending.arm, there, execution, data)
    return steps + request.mask.size * images * _seconds_of_an_image(bending)


def _seconds_of_an_image(bending: ArmBending) -> float:
    """Time a landscape of few pixels on few images, and return the seconds of one pixel and image."""
    measured, count = bending.data.measured, _IMAGES
    policy = headline_policy(bending.plane, bending.request.protocol)
    while True:
        few = Images(measured.pixels[:count], measured.labels[:count])
        start = time.perf_counter()
        measure_landscape(bending.plane, _FEW, few, bn_statistics=policy, reference=bending.data.train)
        seconds = time.perf_counter() - start
        if seconds > _ENOUGH or count >= len(measured):
            return seconds / (_FEW[0] * _FEW[1] * len(few))
        count *= 4
