"""How many fits at once get most out of a GPU: found by trying, in threads of this process, as its worker runs them."""

from __future__ import annotations

from dataclasses import replace

from bnbench.inputs.data import DataSet
from bnbench.results.chunks import keep_fits_per_device, read_fits_per_device
from bnbench.sweep.backends.backend import Backend
from bnbench.sweep.backends.shared_devices import may_share
from bnbench.sweep.devices import device_name, free_cached_memory, spread
from bnbench.sweep.execution import Execution
from bnbench.sweep.plan import Plan
from bnbench.sweep.timed_steps import seconds_of_a_step_of_several

COUNTS = (1, 2, 4, 8)  # that are tried
_GAIN = 1.05  # more fits than this many times as fast as fewer: each costs memory


def with_fits_per_device(execution: Execution, plan: Plan, backend: Backend, data: DataSet | None) -> Execution:
    """Give each GPU as many fits at once as it takes best, where nobody has said how many.

    That is measured once for a results folder, a model of GPU and an arm. Of several arms the one that takes fewest
    decides, for fits of all of them may be under way at once.

    Args:
        execution: with a slot for each device.
        plan: names the folder, the protocol and the arms.
        backend: where fits are computed.
        data: to take steps with; None in a dry run, which says that it will be measured where it has not been.
    """
    asked, devices = execution.devices, [slot.device for slot in execution.slots]
    is_said = asked.jobs is not None or asked.per_device is not None or len({*devices}) < len(devices)
    if is_said or not backend.shares_devices or "cpu" in devices or not plan.to_run:
        return execution
    if not may_share(plan.protocol, execution, plan.grid.arms):
        return execution
    counts: dict[str, int] = {}
    for slot in execution.slots:
        of_it, found = replace(execution, slots=(slot,)), list[int]()
        for arm in plan.grid.arms:
            model, of_arm = device_name(slot.device), replace(plan, grid=replace(plan.grid, arms=(arm,)))
            count = read_fits_per_device(plan.folder, model, arm)
            if count is None:
                if data is None:
                    return replace(execution, measures_slots=True)
                tried = backend.time_on_device(choose_fits_per_device, of_arm, of_it, data)
                count = keep_fits_per_device(plan.folder, model, arm, tried)
            found.append(count)
        counts[slot.device] = min(found)
    return replace(execution, slots=spread(counts))


def most_slots(execution: Execution) -> int:
    """Return how many slots a run may have, at most, where how many fits share a GPU is yet to be measured."""
    return len(execution.slots) * (COUNTS[-1] if execution.measures_slots else 1)


def choose_fits_per_device(plan: Plan, execution: Execution, data: DataSet) -> int:
    """Return how many fits at once take the most steps a second, those of all arms together.

    Args:
        plan: names the protocol and the arms.
        execution: names the device, by its first slot, and the pixels computed at once.
        data: to take steps with.
    """
    best, fastest = 1, 0.0
    for count in COUNTS:
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
