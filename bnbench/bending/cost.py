"""What bending to a picture will cost, from a few steps and a few pixels that are timed first."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence

from bnbench.bending.arm_bending import FRAME_IMAGES, ArmBending, frame_steps
from bnbench.bending.request import BendRequest
from bnbench.inputs.data import DataSet
from bnbench.mpo.landscape import measure_landscape
from bnbench.sweep.cost import timed_fit
from bnbench.sweep.devices import DeviceRequest, Slot
from bnbench.sweep.execution import Execution

_FEW = (4, 8)  # pixels of a timed landscape


def estimated_seconds(request: BendRequest, arms: Sequence[str], data: DataSet) -> float:
    """Estimate the wall time of the arms that are left to fit, steps and landscapes together, in seconds.

    Args:
        request: what is asked.
        arms: those of its arms that are left.
        data: images.
    """
    return sum(_seconds_of(request, arm, data) for arm in arms)


def _seconds_of(request: BendRequest, arm: str, data: DataSet) -> float:
    execution = Execution(slots=(Slot(request.device, 0),), devices=DeviceRequest(threads=request.threads))
    bending = ArmBending(request, arm, data)
    left = 1 - bending.fit.step / bending.fit.training.steps
    start = time.perf_counter()
    measure_landscape(bending.plane, _FEW, bending.data.measured, reference=bending.data.train)
    a_visit = (time.perf_counter() - start) / (math.prod(_FEW) * len(data.measured))
    frames = len(frame_steps(bending.fit.training.steps)) * FRAME_IMAGES if request.animate else 0
    visits = request.mask.size * (left * frames + len(data.measured) + len(data.train_sample))
    return left * timed_fit(arm, request.protocol, execution, data) + visits * a_visit
