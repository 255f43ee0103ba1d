"""How many fits at once get most out of a GPU: found by trying, in threads of this process, as its worker runs them."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import torch

from bnbench.inputs.data import DataSet
from bnbench.mpo.fit import Fit
from bnbench.sweep.cost import fit_to_time
from bnbench.sweep.devices import free_cached_memory
from bnbench.sweep.execution import Execution
from bnbench.sweep.plan import Plan
from bnbench.sweep.side_by_side_fits import own_stream

_COUNTS = (1, 2, 4, 8)
_GAIN = 1.05  # more fits than this many times as fast as fewer: each costs memory
_LONG = 0.5  # seconds


def choose_fits_per_device(plan: Plan, execution: Execution, data: DataSet) -> int:
    """Return how many fits at once take the most steps a second, those of all arms together.

    Args:
        plan: names the protocol and the arms.
        execution: names the device, by its first slot, and the pixels computed at once.
        data: to take steps with.
    """
    best, fastest = 1, 0.0
    for count in _COUNTS:
        try:
            seconds = sum(_seconds_of_a_step(arm, count, plan, execution, data) for arm in plan.grid.arms)
        except Exception:  # an arm fails, or memory is too small: its fits leave a record
            break
        free_cached_memory(execution.slots[0].device)
        if 1 / seconds < _GAIN * fastest:
            break
        best, fastest = count, 1 / seconds
    return best


def _seconds_of_a_step(arm: str, count: int, plan: Plan, execution: Execution, data: DataSet) -> float:
    """Return the seconds of a step of one of several fits of an arm, divided by their number."""
    begun = threading.Barrier(count, timeout=600)

    def rate(_: int) -> float:
        with own_stream(execution.slots[0].device):
            try:
                under_way = fit_to_time(arm, plan.protocol, execution, data)
                _take(under_way, 2)  # the first one records
            except BaseException:
                begun.abort()
                raise
            begun.wait()
            start, steps = time.perf_counter(), 0
            while time.perf_counter() - start < _LONG:
                steps += _take(under_way, 10)
            return steps / (time.perf_counter() - start)

    with ThreadPoolExecutor(count) as threads:
        return 1 / sum(threads.map(rate, range(count)))


def _take(under_way: Fit, steps: int) -> int:
    for _ in range(steps):
        under_way.advance()
    if under_way.plane.vectors.is_cuda:
        torch.cuda.current_stream(under_way.plane.vectors.device).synchronize()
    return steps
