"""A step's time on a device: of one fit, or of several at once, found by taking some of their first steps."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import replace

import torch

from bnbench.arms.loading import use_module_path
from bnbench.inputs.data import DataSet
from bnbench.inputs.masks import draw_mask, is_trained
from bnbench.mpo.cuda_graph import RECORDING
from bnbench.mpo.fit import Fit
from bnbench.mpo.one_batch import Batch
from bnbench.protocol.protocol import FitKey, Protocol
from bnbench.sweep.devices import own_stream, prepare_process
from bnbench.sweep.execution import Execution
from bnbench.sweep.start import make_plane

_LONG_STEP = 0.5  # seconds from which a step is timed once
_LONG = 0.5  # seconds that several fits are timed for
_FEWEST = 3  # steps whose mean tells something
_TOO_LONG = 2.0  # seconds to wait for them
_ENOUGH = 10.0  # seconds of a first step, which also allocates, beyond which there is no second one
_SIDE = 512  # of the matrices that stand in for other fits: milliseconds without Python
# What a GPU's fits of an arm, on a device, of a protocol and chunk have been found to use: later ones only prove it.
_kernels: dict[tuple[str, str, str, int], str] = {}


def fit_to_time(arm: str, protocol: Protocol, execution: Execution, data: DataSet, pixels: int | None = None) -> Fit:
    """Return a fit whose first steps can be timed.

    Args:
        arm: of the fit.
        protocol: of the fit, but for a rate of almost nothing, and a threshold that no pixel reaches.
        execution: names the device, by its first slot, and the pixels computed at once.
        data: of the fit.
        pixels: of a step, about so many; by default the protocol's.
    """
    training, device = protocol.training, execution.slots[0].device
    colours = training.black_pixels, training.white_pixels
    black, white = (max(1, min(pixels // 2, asked)) if pixels else asked for asked in colours)
    # A rate of almost nothing: whatever the protocol does to a fit, its first steps can be timed.
    few = replace(training, black_pixels=black, white_pixels=white, learning_rate=1e-12, threshold=1e9)
    prepare_process(execution.threads, protocol.training.precision)
    moved = data.to(device)
    # A step's time depends on how many pixels it takes, which is set above, and on no mask: one of any protocol's size
    # may lack a colour, this one never does.
    mask = draw_mask(0.5, 1, (30, 30))
    plane = make_plane(FitKey(arm, 0.5, 1), protocol, moved, device)
    use_module_path(arm)
    masks = torch.from_numpy(mask), torch.from_numpy(is_trained(mask))
    return Fit(plane, *masks, moved.train, few, chunk=execution.chunk)


def seconds_of_a_step(under_way: Fit) -> float:
    """Time the fastest of some steps after the first, in seconds; the first where it takes too long to wait."""
    times: list[float] = []
    is_cuda = under_way.plane.vectors.is_cuda
    first = 2 if is_cuda else 1  # a GPU's second step also records itself
    while len(times) <= first or (len(times) < 6 and sum(times) < _LONG_STEP):
        start = time.perf_counter()
        under_way.advance()
        if is_cuda:
            torch.cuda.current_stream(under_way.plane.vectors.device).synchronize()
        times.append(time.perf_counter() - start)
        if times[0] > _LONG_STEP and not is_cuda:  # a GPU's first step also tries how to compute it
            return times[0]
    return min(times[first:])


def seconds_of_a_step_beside(under_way: Fit, others: int) -> float:
    """Time steps as they go while a sweep's other slots are busy too, and return their mean, in seconds.

    The fastest step of a fit alone tells what the processor can do; a sweep gets what its own fits and whatever else
    runs on the machine leave of it, which may be a fifth.

    Args:
        under_way: the fit.
        others: slots of this machine's processor beside its own; each is kept busy meanwhile.
    """
    start = time.perf_counter()
    under_way.advance()  # the first one allocates
    if (first := time.perf_counter() - start) > _ENOUGH:
        return first
    with busy(others):
        start, steps = time.perf_counter(), 0
        while steps < _FEWEST or time.perf_counter() - start < _LONG:
            under_way.advance()
            steps += 1
            if time.perf_counter() - start > _TOO_LONG:
                break
        return (time.perf_counter() - start) / steps


@contextmanager
def busy(threads: int) -> Iterator[None]:
    """Keep as many threads computing, as a sweep's other slots would; they leave Python to others."""
    over = threading.Event()

    def compute() -> None:
        factor, product = torch.ones(_SIDE, _SIDE), torch.empty(_SIDE, _SIDE)
        while not over.is_set():
            torch.mm(factor, factor, out=product)

    with ThreadPoolExecutor(max(1, threads)) as pool:
        for _ in range(threads):
            pool.submit(compute)
        try:
            yield
        finally:
            over.set()


def seconds_of_a_step_of_several(
    arm: str, count: int, protocol: Protocol, execution: Execution, data: DataSet, *, is_batch: bool = False
) -> float:
    """Time steps of several fits of an arm, in threads of this process, as a GPU's worker runs them.

    Args:
        arm: of the fits.
        count: how many of them at once.
        protocol: of the fits.
        execution: names the device, by its first slot, and the pixels computed at once.
        data: of the fits.
        is_batch: whether they are one batch of networks; else each has a stream of its own.

    Returns:
        Seconds of a step of one of them, divided by their number.
    """
    begun, batch = threading.Barrier(count, timeout=600), Batch()
    kind = arm, execution.slots[0].device, protocol.hash, execution.chunk
    limit = math.inf  # steps after which all of them end: one that left a batch would have the others record anew
    batch.expect(count)

    def rate(number: int) -> float:
        nonlocal limit
        with ExitStack() as stack:
            try:
                stack.enter_context(own_stream(execution.slots[0].device))
                with RECORDING:  # one after another: the first chooses its kernels, and the others prove its choice
                    under_way = fit_to_time(arm, protocol, execution, data)
                    stack.callback(under_way.forget_recordings)
                    under_way.engine.prefer(_kernels.get(kind, ""))
                    under_way.choose_kernels()
                    if under_way.engine.strategy:
                        _kernels[kind] = under_way.engine.strategy.name
                if is_batch:
                    stack.enter_context(batch.joined(under_way, (number,)))
                batch.expect(-1)
                _take(under_way, 2)  # the first one records
            except BaseException:
                begun.abort()
                batch.expect(-count)
                raise
            begun.wait()
            start, steps = time.perf_counter(), 0
            while steps < limit:
                steps += _take(under_way, 10)
                if time.perf_counter() - start > _LONG:
                    limit = min(limit, steps + 10)
            return steps / (time.perf_counter() - start)

    with ThreadPoolExecutor(count) as threads:
        return 1 / sum(threads.map(rate, range(count)))


def _take(under_way: Fit, steps: int) -> int:
    for _ in range(steps):
        under_way.advance()
    if under_way.plane.vectors.is_cuda:
        torch.cuda.current_stream(under_way.plane.vectors.device).synchronize()
    return steps
