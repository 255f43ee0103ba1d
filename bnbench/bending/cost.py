"""What bending to a picture will cost, from a few steps and a few pixels that are timed first."""

from __future__ import annotations

import math
import time

from bnbench.bending.arm_bending import FRAME_IMAGES, ArmBending
from bnbench.mpo.landscape import measure_landscape
from bnbench.sweep.cost import timed_fit
from bnbench.sweep.devices import DeviceRequest, Slot
from bnbench.sweep.execution import Execution

_FEW = (4, 8)  # pixels of a timed landscape


def estimated_seconds(bending: ArmBending) -> float:
    """Estimate the wall time of what is left of an arm's fit to a picture, steps and landscapes together, in seconds.

    Args:
        bending: not begun yet, or gone on with from its checkpoint.
    """
    request, data = bending.request, bending.data
    execution = Execution(slots=(Slot(request.device, 0),), devices=DeviceRequest(threads=request.threads))
    left = 1 - bending.fit.step / bending.fit.training.steps
    start = time.perf_counter()
    measure_landscape(bending.plane, _FEW, data.measured, reference=data.train)
    a_visit = (time.perf_counter() - start) / (math.prod(_FEW) * len(data.measured))
    visits = request.mask.size * (left * len(bending.due) * FRAME_IMAGES + len(data.measured) + len(data.train_sample))
    return left * timed_fit(bending.arm, request.protocol, execution, data) + visits * a_visit
