"""How many fits at once get most out of a GPU: found by trying, in threads of this process, as its worker runs them."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import replace
from functools import partial
from itertools import product

from bnbench.inputs.data import DataSet
from bnbench.results.chunks import FitsAtOnce, keep_fits_at_once, read_fits_at_once
from bnbench.sweep.backends.backend import Backend
from bnbench.sweep.backends.shared_devices import may_share
from bnbench.sweep.devices import Slot, device_name, free_cached_memory, spread
from bnbench.sweep.execution import Execution
from bnbench.sweep.plan import Plan
from bnbench.sweep.timed_steps import seconds_of_a_step_of_several

COUNTS = (1, 2, 4, 8)  # that are tried
_FEWEST_STEPS = 12  # that a fit takes while it is timed
_GAIN = 1.05  # more fits than this many times as fast as fewer: each costs memory


def with_fits_per_device(execution: Execution, plan: Plan, backend: Backend, data: DataSet | None) -> Execution:
    """Give each GPU as many fits at once as it takes best, where nobody has said how many, on streams or as one batch.

    That is measured once for a results folder, a model of GPU and an arm. Of several arms the one that takes fewest
    decides, for fits of all of them may be under way at once; an arm without a fit to run is not asked.

    Args:
        execution: with the slots that were asked for.
        plan: names the folder, the protocol and the arms.
        backend: where fits are computed.
        data: to take steps with; None in a dry run, which says that it will be measured where it has not been.
    """
    devices, asked = Counter(slot.device for slot in execution.slots), execution.devices.per_device
    is_said = execution.devices.jobs is not None or asked == 1 or max(devices.values(), default=0) > (asked or 1)
    if is_said or not backend.shares_devices or "cpu" in devices or not plan.to_run:
        return execution
    if not may_share(plan.protocol, execution, plan.grid.arms):
        return execution
    counts, one_batch = dict[str, int](), set[tuple[str, str]]()
    left = [arm for arm in plan.grid.arms if any(key.arm == arm for key in plan.to_run)]
    for device, arm in product(devices, left):
        model = device_name(device)
        found = read_fits_at_once(plan.folder, model, arm, asked)
        if found is None:
            if data is None:
                return replace(execution, measures_slots=asked is None)
            of_it = replace(execution, slots=(Slot(device, 0),))
            of_arm = replace(plan, grid=replace(plan.grid, arms=(arm,)))
            tried = backend.time_on_device(partial(choose_fits_at_once, asked=asked), of_arm, of_it, data)
            found = keep_fits_at_once(plan.folder, model, arm, tried, asked) if tried else None
        found = found or FitsAtOnce(asked or 1, is_batch=False)
        counts[device] = min(found.fits, counts.get(device, found.fits))
        one_batch |= {(device, arm)} if found.is_batch else set()
    return replace(execution, slots=spread(counts), one_batch=frozenset(one_batch))


def most_slots(execution: Execution) -> int:
    """Return how many slots a run may have, at most, where how many fits share a GPU is yet to be measured."""
    return len(execution.slots) * (COUNTS[-1] if execution.measures_slots else 1)


def choose_fits_at_once(
    plan: Plan, execution: Execution, data: DataSet, *, asked: int | None = None
) -> FitsAtOnce | None:
    """Return how many fits at once take the most steps a second, those of all arms together, and whether as one batch.

    Args:
        plan: names the protocol and the arms.
        execution: names the device, by its first slot, and the pixels computed at once.
        data: to take steps with.
        asked: how many there are to be; None for whatever is fastest.

    Returns:
        The choice; None where the fits that are left are too few or too short: trying would cost more than they do.
    """
    best, fastest, begun = FitsAtOnce(asked or 1, is_batch=False), 0.0, time.perf_counter()
    fits = sum(key.arm in plan.grid.arms for key in plan.to_run)
    steps = fits * plan.protocol.training.steps / max(1, len(plan.grid.arms))
    if fits < 2 or steps < _FEWEST_STEPS:
        return None
    for count in (asked,) if asked else COUNTS:
        before = fastest
        for is_batch in (False, True) if count > 1 else (False,):
            if fastest and time.perf_counter() - begun > steps / fastest / 2:  # what follows takes as long, about
                return None
            try:
                seconds = sum(
                    seconds_of_a_step_of_several(arm, count, plan.protocol, execution, data, is_batch=is_batch)
                    for arm in plan.grid.arms
                )
            except Exception:  # an arm fails, or memory is too small: its fits leave a record
                return best
            finally:
                free_cached_memory(execution.slots[0].device)
            if 1 / seconds >= _GAIN * fastest:
                best, fastest = FitsAtOnce(count, is_batch), 1 / seconds
        if fastest == before:
            break
    return best
