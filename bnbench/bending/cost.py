"""What bending to a picture will cost, from a step of few pixels and a landscape of few that are timed first."""

from __future__ import annotations

from bnbench.bending.arm_bending import FRAME_IMAGES, ArmBending
from bnbench.mpo.batch_norm import uses_bn
from bnbench.sweep.cost import timed_fit
from bnbench.sweep.devices import DeviceRequest, Slot
from bnbench.sweep.execution import Execution
from bnbench.sweep.measure import headline_policy, policies
from bnbench.sweep.timed_landscape import seconds_of_an_image


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
    policy = headline_policy(bending.plane, request.protocol)
    return steps + request.mask.size * images * seconds_of_an_image(bending.plane, data.measured, policy, data.train)
