"""What a sweep will cost: from its finished fits, or from timing a few pixels of a step."""

from __future__ import annotations

import time
from dataclasses import replace

import torch

from bnbench.data import DataSet
from bnbench.devices import prepare_process
from bnbench.masks import draw_mask, is_trained
from bnbench.mpo.fit import Fit
from bnbench.protocol import FitKey, Protocol
from bnbench.runner import Plan
from bnbench.worker import Execution, make_plane

_VISITS = 512  # (pixel, image) visits of a timed step
_LONG = 1.0  # seconds


def estimate_seconds(plan: Plan, execution: Execution, data: DataSet) -> float:
    """Wall time that the rest of a sweep will take on its slots, in seconds.

    Fits that are done on the same device with as many threads tell best; for an arm that has none,
    a few pixels of a step are timed and scaled up (the measurement at the end is not counted).
    """
    slots = execution.slots
    seconds = {arm: _measured(plan, arm, execution) for arm in plan.grid.arms}
    timed = {arm: known or _timed(arm, plan.protocol, execution, data) for arm, known in seconds.items()}
    total = sum(timed[key.arm] for key in plan.to_run)
    longest = max((timed[key.arm] for key in plan.to_run), default=0.0)
    return max(longest, total / len(slots))


def _measured(plan: Plan, arm: str, execution: Execution) -> float | None:
    """Mean wall time of an arm's finished fits under the same conditions, if there are any."""
    device, threads = execution.slots[0].device, execution.threads
    times = [
        float(origin["wall_seconds"])
        for key, origin in plan.done.items()
        if key.arm == arm and origin["device"] == device and origin["threads"] == threads
    ]
    return sum(times) / len(times) if times else None


def _timed(arm: str, protocol: Protocol, execution: Execution, data: DataSet) -> float:
    """Seconds that a fit of this arm takes, from a few pixels of a few steps."""
    training = protocol.training
    colour = max(1, min(_VISITS // (2 * training.images), training.black_pixels, training.white_pixels))
    # A rate of almost nothing: whatever the protocol does to a fit, its first steps can be timed.
    few = replace(training, black_pixels=colour, white_pixels=colour, learning_rate=1e-12)
    prepare_process(execution.threads)
    moved = data.to(execution.slots[0].device)
    mask = draw_mask(0.5, 1, (30, 30))
    plane = make_plane(FitKey(arm, 0.5, 1), protocol, moved, execution.slots[0].device)
    under_way = Fit(
        plane, torch.from_numpy(mask), torch.from_numpy(is_trained(mask)), moved.train, few, chunk=execution.chunk
    )
    step = _seconds_of_a_step(under_way)
    return step * training.steps * (training.black_pixels + training.white_pixels) / (2 * colour)


def _seconds_of_a_step(under_way: Fit) -> float:
    """The second step's time, or the first's where that already takes too long to wait for another."""
    for _ in range(2):
        start = time.perf_counter()
        under_way.advance()
        if under_way.plane.vectors.is_cuda:
            torch.cuda.synchronize(under_way.plane.vectors.device)
        seconds = time.perf_counter() - start
        if seconds > _LONG:
            break
    return seconds
