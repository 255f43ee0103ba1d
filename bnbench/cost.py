"""What a sweep will cost: from its finished fits, or from timing a few pixels of a step."""

from __future__ import annotations

import time
from dataclasses import replace

import torch

from bnbench.data import DataSet
from bnbench.masks import draw_mask, is_trained
from bnbench.mpo.fit import Fit
from bnbench.protocol import FitKey, Protocol
from bnbench.runner import Execution, Plan, make_plane
from bnbench.store import StoreError, fit_path, read_fit

_VISITS = 512  # (pixel, image) visits of a timed step
_TIMED_STEPS = 3


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


def duration_text(seconds: float) -> str:
    """A duration as people say it: ``40 s``, ``12 min``, ``3 h 10 min``, ``5 days 2 h``."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    if minutes < 90:
        return f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    if hours < 48:
        return f"{hours} h {minutes} min"
    return f"{hours // 24:,} days {hours % 24} h"


def _measured(plan: Plan, arm: str, execution: Execution) -> float | None:
    """Mean wall time of an arm's finished fits under the same conditions, if there are any."""
    times: list[float] = []
    for key in plan.done:
        if key.arm == arm:
            try:
                origin = read_fit(fit_path(plan.folder, key)).provenance
            except StoreError:
                continue
            if origin["device"] == execution.slots[0].device and origin["threads"] == execution.threads:
                times.append(origin["wall_seconds"])
    return sum(times) / len(times) if times else None


def _timed(arm: str, protocol: Protocol, execution: Execution, data: DataSet) -> float:
    """Seconds that a fit of this arm takes, from a few pixels of a few steps."""
    training = protocol.training
    colour = max(1, min(_VISITS // (2 * training.images), training.black_pixels, training.white_pixels))
    # A rate of almost nothing: whatever the protocol does to a fit, its first steps can be timed.
    few = replace(training, black_pixels=colour, white_pixels=colour, learning_rate=1e-12)
    torch.set_num_threads(execution.threads)
    moved = data.to(execution.slots[0].device)
    mask = draw_mask(0.5, 1, (30, 30))
    plane = make_plane(FitKey(arm, 0.5, 1), protocol, moved, execution.slots[0].device)
    under_way = Fit(
        plane, torch.from_numpy(mask), torch.from_numpy(is_trained(mask)), moved.train, few, chunk=execution.chunk
    )
    under_way.advance()
    start = time.perf_counter()
    for _ in range(_TIMED_STEPS):
        under_way.advance()
    if plane.vectors.is_cuda:
        torch.cuda.synchronize(plane.vectors.device)
    step = (time.perf_counter() - start) / _TIMED_STEPS
    return step * training.steps * (training.black_pixels + training.white_pixels) / (2 * colour)
