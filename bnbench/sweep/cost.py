"""What a sweep will cost, and which chunk makes it cheapest: from finished fits, or from a short timing."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from heapq import heapreplace
from typing import Any

from scipy.stats import trim_mean

from bnbench.arms.loading import foreign_code, use_module_path
from bnbench.inputs.data import DataSet
from bnbench.protocol.protocol import NORMALIZED, FitKey, Protocol
from bnbench.sweep.backends.shared_devices import groups_of, may_share
from bnbench.sweep.devices import (
    Slot,
    available_cores,
    device_name,
    free_cached_memory,
    prepare_process,
    processor_kind,
)
from bnbench.sweep.execution import Execution
from bnbench.sweep.measure import headline_policy, policies
from bnbench.sweep.plan import Plan
from bnbench.sweep.start import make_plane
from bnbench.sweep.timed_landscape import seconds_of_an_image
from bnbench.sweep.timed_steps import (
    busy,
    fit_to_time,
    seconds_of_a_step,
    seconds_of_a_step_beside,
    seconds_of_a_step_of_several,
)

_VISITS = 1_024  # (pixel, image) visits of a timed step
_AT_END = 2  # landscapes that a fit's end measures without BN: on the measured images, and on training images
_CHUNKS = (1, 4, 8, 16, 32, 64, 128)
_ENOUGH = 3  # fits of a grid that tell an arm's time by themselves
_NEWEST, _TRIMMED = 12, 0.25  # fits that an estimate goes by, and the share of them left out at either end
_CLEARLY_WORSE = 1.15  # a chunk this much slower than the best so far ends the search


def estimate_seconds(
    plan: Plan, execution: Execution, data: DataSet | None, *, any_processor: bool = False
) -> float | None:
    """Estimate the wall time that the rest of a sweep will take on its slots, in seconds.

    Fits that are done on the same device, and model of it, with as many threads tell best; for an arm that has none,
    a few pixels of a step, and of a landscape of those at its end, are timed and scaled up, on a processor while its
    other slots are busy, too. With ``--measure-at`` the landscapes on the way are added. Devices of unlike models share
    the work by their speed. The start of workers is not in it (:meth:`Backend.seconds_to_start`).

    Args:
        plan: what is left to run.
        execution: on which slots, and how.
        data: to time steps with; None if nothing should be timed.
        any_processor: whether fits of another model or kind of processor tell, too; of none where they are a GPU's.

    Returns:
        None where only timing could tell, or an arm failed while it was timed.
    """
    if execution.measures_slots:
        return None
    times = [_seconds_on(slots, plan, execution, data, any_processor) for slots in _of_one_model(execution.slots)]
    known = [time for time in times if time is not None]
    if len(known) < len(times):
        return None
    longest, rate = min(longest for longest, _ in known), sum(1 / total for _, total in known if total)
    return max(longest, 1 / rate) if rate else 0.0


def _of_one_model(slots: Sequence[Slot]) -> list[tuple[Slot, ...]]:
    """Return the slots of each model of device."""
    of_model: dict[str, list[Slot]] = {}
    for slot in slots:
        of_model.setdefault(_name(slot.device), []).append(slot)
    return [tuple(group) for group in of_model.values()]


def _seconds_on(
    slots: tuple[Slot, ...], plan: Plan, execution: Execution, data: DataSet | None, any_processor: bool
) -> tuple[float, float] | None:
    """Return what the longest fit takes on slots of one model, and all of them there alone, in seconds."""
    execution = replace(execution, slots=slots)
    timed: dict[str, float] = {}
    for arm in {key.arm for key in plan.to_run}:
        known = _known_seconds(plan, arm, execution, any_processor=any_processor)
        if known is None:
            if data is None:
                return None
            try:
                known = timed_fit(arm, plan.protocol, execution, data)
                landscapes = _landscapes(plan.protocol, execution) + _landscapes_at_end(arm, plan.protocol)
                known += landscapes * _fits_on_device(execution) * _timed_landscape(arm, plan.protocol, execution, data)
            except Exception:  # an arm that fails: its fits will find out and leave a record
                return None
        timed[arm] = known
    free_cached_memory(slots[0].device)  # fits run in other processes
    seconds = [timed[key.arm] for key in plan.to_run]
    return max(seconds, default=0.0), _until_the_last(seconds, len(slots))


def _until_the_last(seconds: Iterable[float], slots: int) -> float:
    """Return when the last fit ends, if each begins on the slot that is free first: three on two slots take two turns.

    Args:
        seconds: of each fit, in the order in which they begin.
        slots: fits at once.
    """
    free = [0.0] * slots
    for one in seconds:
        heapreplace(free, free[0] + one)
    return max(free)


def _known_seconds(plan: Plan, arm: str, execution: Execution, *, any_processor: bool = False) -> float | None:
    """Return what a fit of an arm takes by those that are finished under the same conditions, if there are any.

    It is the mean of the newest dozen without the fastest and the slowest quarter, so that fits of a loaded hour count
    little. Fits that shared their GPU with more or fewer others than now tell nothing of it.

    Those of the grid count; where these are few, those beside it, such as another shard's, too. What was
    measured at their end tells what a landscape on the way costs at most.
    """
    device, threads = execution.slots[0].device, execution.threads
    share = _landscapes(plan.protocol, execution) / _landscapes_at_end(arm, plan.protocol)
    name, kind, together = _name(device), processor_kind(device), _fits_on_device(execution)
    is_any = any_processor and device == "cpu"

    def times_of(finished: Mapping[FitKey, Mapping[str, Any]]) -> list[tuple[str, float]]:
        """Return when each fit under these conditions was finished, and its wall time."""
        return [
            (str(provenance.get("finished", "")), _wall_seconds(provenance, share))
            for key, provenance in finished.items()
            if key.arm == arm and provenance["device"] == device and provenance["threads"] == threads
            if is_any or provenance["device_name"] == name
            if is_any or provenance.get("processor") == kind  # of older fits, which lack it, no kind is known
            if provenance.get("fits_at_once", 1) == together
        ]

    times = times_of(plan.done)
    if len(times) < _ENOUGH:
        times += times_of(plan.done_beside(arm))
    newest = [seconds for _, seconds in sorted(times, reverse=True)[:_NEWEST]]
    return float(trim_mean(newest, _TRIMMED)) if newest else None


def _wall_seconds(provenance: Mapping[str, Any], share: float) -> float:
    """Return what a fit like this one would take if ``share`` times its end's measurement were made on the way."""
    wall, course = float(provenance["wall_seconds"]), float(provenance.get("course_seconds", 0.0))
    at_end = max(0.0, wall - course - float(provenance.get("fit_seconds", wall)))
    return wall - course + share * at_end


def _landscapes_at_end(arm: str, protocol: Protocol) -> int:
    """Return how many landscapes a fit's end measures."""
    return 1 + len(policies(protocol)) if arm in NORMALIZED else _AT_END


def _landscapes(protocol: Protocol, execution: Execution) -> int:
    """Return how many landscapes of a fit are measured on the way."""
    return len(execution.measure_at.of(protocol.training.steps)) - 1 if execution.measure_at else 0


def _timed_landscape(arm: str, protocol: Protocol, execution: Execution, data: DataSet) -> float:
    """Time few pixels of a landscape on few images, the other slots busy, and return the seconds of all of it."""
    device = execution.slots[0].device
    prepare_process(execution.threads)
    moved = data.to(device)
    with foreign_code(arm):
        plane = make_plane(FitKey(arm, 0.5, 1), protocol, moved, device)
        use_module_path(arm)
        with busy(_others(execution)):
            an_image = seconds_of_an_image(plane, moved.measured, headline_policy(plane, protocol), moved.train)
    return an_image * math.prod(protocol.mask.mask_size) * len(data.measured)


def _others(execution: Execution) -> int:
    """Return how many slots of this machine's processor are busy beside one of them."""
    return min(len(execution.slots), available_cores()) - 1 if execution.slots[0].device == "cpu" else 0


def _name(device: str) -> str:
    """Return the model of a device; empty for one that this machine lacks, such as a cluster's GPU."""
    try:
        return device_name(device)
    except (AssertionError, RuntimeError):  # torch without CUDA, or without that device
        return ""


def choose_chunk(plan: Plan, execution: Execution, data: DataSet) -> int:
    """Find by trying how many pixels at once make a step of all arms together fastest.

    The best number depends on the shapes and the processor: at wide layers one pixel at a time is
    best, at narrow ones some dozens. It changes rounding, so that a results folder keeps its first one.
    """
    times: dict[int, float] = {}
    for chunk in _CHUNKS:
        tried = replace(execution, chunk=chunk)
        try:
            times[chunk] = sum(_seconds_of_a_pixel(arm, plan.protocol, tried, data, chunk) for arm in plan.grid.arms)
        except Exception:  # an arm fails, or memory is too small: its fits leave a record
            break
        if times[chunk] > _CLEARLY_WORSE * min(times.values()):
            break
    free_cached_memory(execution.slots[0].device)  # as above
    return min(times, key=times.__getitem__, default=execution.chunk)


def timed_fit(arm: str, protocol: Protocol, execution: Execution, data: DataSet) -> float:
    """Time steps, and return the seconds that a fit of this arm takes, with as many others as run on its device.

    Fits that share a GPU's process are timed together; those that share a GPU as processes take turns. A fit alone is
    timed by a few pixels of a step; on a processor while all other slots are busy, as they will be.
    """
    training, count = protocol.training, _fits_on_device(execution)
    if count > 1 and may_share(protocol, execution, (arm,)):
        with foreign_code(arm):
            is_batch = (execution.slots[0].device, arm) in execution.one_batch
            step = seconds_of_a_step_of_several(arm, count, protocol, execution, data, is_batch=is_batch)
            return count * training.steps * step
    pixel = _seconds_of_a_pixel(arm, protocol, execution, data, _VISITS // training.images, is_estimate=True)
    return count * pixel * training.steps * (training.black_pixels + training.white_pixels)


def _fits_on_device(execution: Execution) -> int:
    """Return how many fits at once share the first slot's device; those of a processor have cores of their own."""
    return len(groups_of(execution.slots)[0])


def _seconds_of_a_pixel(
    arm: str, protocol: Protocol, execution: Execution, data: DataSet, pixels: int, *, is_estimate: bool = False
) -> float:
    """Time a step with about ``pixels`` pixels and nothing clamped, and return the seconds per pixel.

    To compare chunks the fastest step counts, which no other program has slowed; for an estimate, those of a sweep.
    """
    with foreign_code(arm):
        under_way = fit_to_time(arm, protocol, execution, data, pixels)
        try:
            if is_estimate and execution.slots[0].device == "cpu":
                seconds = seconds_of_a_step_beside(under_way, _others(execution))
            else:
                seconds = seconds_of_a_step(under_way)
        finally:
            under_way.forget_recordings()
        return seconds / len(under_way.targets.factors)
