"""How many fits at once get most out of a GPU: found by trying, in threads of this process, as its worker runs them."""

from __future__ import annotations

from bnbench.inputs.data import DataSet
from bnbench.sweep.devices import free_cached_memory
from bnbench.sweep.execution import Execution
from bnbench.sweep.plan import Plan
from bnbench.sweep.timed_steps import seconds_of_a_step_of_several

_COUNTS = (1, 2, 4, 8)
_GAIN = 1.05  # more fits than this many times as fast as fewer: each costs memory


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
            seconds = sum(
                seconds_of_a_step_of_several(arm, count, plan.protocol, execution, data) for arm in plan.grid.arms
            )
        except Exception:  # an arm fails, or memory is too small: its fits leave a record
            break
        free_cached_memory(execution.slots[0].device)
        if 1 / seconds < _GAIN * fastest:
            break
        best, fastest = count, 1 / seconds
    return best
