"""The second part of ``benchmarks/gpu.py``: milliseconds a step, in each way to take it, of one fit and of several."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import torch
from engine import CHUNKS, IMAGE_SHAPE, Case
from recordings import computes_again

from bnbench.inputs.masks import draw_mask, is_trained
from bnbench.mpo.cuda_graph import RECORDING
from bnbench.mpo.fit import Fit
from bnbench.mpo.one_batch import Batch
from bnbench.mpo.replayed import Replayed
from bnbench.protocol.profiles import PROFILES
from bnbench.sweep.devices import own_stream

FEW = {"compact": 4, "paper": 2}  # pixels of each colour, and twice as many images, where no GPU is
COUNTS = (2, 4, 8)
LONG = 0.5  # seconds that are timed
WHOLE, GRADIENT, KERNELS, BATCH = "whole step", "gradient recorded", "kernel by kernel", "one batch"
ARMS = ("plain", "bn")
_kept: dict[tuple[str, str], str] = {}  # kernels that the first fit of a shape and arm has taken: the others prove them


class Timed(NamedTuple):
    """What was measured.

    Attributes:
        seconds: of a step, divided by the fits at once.
        share: of a core that they used.
        fit: one of them.
    """

    seconds: float
    share: float
    fit: Fit


def steps(device: str, tell: Callable[..., None], out: Path) -> None:
    """Milliseconds a step of one fit and of several, on streams and as one batch; then in the ways that are slower."""
    fastest = KERNELS if device == "cpu" else WHOLE
    asked = [(shape, arm, 1, fastest) for shape in FEW for arm in ARMS]
    asked += [("compact", arm, count, way) for count in COUNTS for arm in ARMS for way in (fastest, BATCH)]
    if device != "cpu":
        asked += [(shape, arm, 1, way) for way in (GRADIENT, KERNELS) for shape in FEW for arm in ARMS]
    for shape, arm, count, way in asked:
        tell_time(tell, shape, arm, count, way, timed(shape, arm, count, device, way))


def tell_time(tell: Callable[..., None], shape: str, arm: str, count: int, way: str, found: Timed) -> None:
    """Tell what was measured, and end the fit; one batch of fits that were none is wrong."""
    fit, pixels = found.fit, len(found.fit.targets.factors)
    visits = fit.engine.forward_visits + fit.engine.gradient_visits
    rate = fit.engine.flops(IMAGE_SHAPE[shape]) / visits * pixels * fit.images_shape[-1] / found.seconds / 1e12
    milliseconds = 1e3 * found.seconds
    said = f"{milliseconds:.3g} ms a step and fit, {milliseconds / pixels:.3g} a pixel, {rate:.2g} TFLOP/s"
    said += f", {100 * found.share:.0f} % of a core"
    for note in (*fit.notes, *([f"convolutions: {fit.engine.strategy}"] if fit.engine.strategy else [])):
        said += f"; {note}"
    about = {"shape": shape, "arm": arm, "count": count, "way": way, "seconds": found.seconds, "tflops": rate}
    is_wrong = way == BATCH and fit.batched != [count]
    tell(what=f"{shape}, {arm}, {count} at once, {way}", result=said, is_wrong=is_wrong, **about)
    fit.forget_recordings()


def timed(shape: str, arm: str, count: int, device: str, way: str) -> Timed:
    """Time steps of several fits, each in a thread of its own."""
    begun, batch, fits = threading.Barrier(count, timeout=60), Batch(), list[Fit]()
    limit = math.inf  # steps behind which all of them end
    batch.expect(count)

    def rate(number: int) -> tuple[float, float]:
        nonlocal limit
        with ExitStack() as stack:
            try:
                stack.enter_context(own_stream(device))
                with RECORDING:
                    fit = made_fit(shape, arm, device, way)
                if way == BATCH:
                    stack.enter_context(batch.joined(fit, (number,)))
            finally:
                batch.expect(-1)
            for _ in range(2 if device == "cpu" else 4):
                fit.advance()
            fits.append(fit)
            wait(device)
            begun.wait()
            start, used, taken = time.perf_counter(), time.process_time(), 0
            while taken < limit:
                fit.advance()
                taken += 1
                if time.perf_counter() - start > LONG:
                    limit = min(limit, taken + 1)
            wait(device)
            elapsed = time.perf_counter() - start
            return taken / elapsed, (time.process_time() - used) / elapsed

    with ThreadPoolExecutor(count) as threads:
        rates = list(threads.map(rate, range(count)))
    for other in fits[1:]:
        other.forget_recordings()
    if fits[0].engine.strategy:
        _kept[shape, arm] = fits[0].engine.strategy.name
    return Timed(1 / sum(of_one for of_one, _ in rates), max(share for _, share in rates), fits[0])


def made_fit(shape: str, arm: str, device: str, way: str) -> Fit:
    """A fit whose steps change next to nothing, and clamp nothing."""
    case, training = Case(shape, arm, device=device), PROFILES[shape].training
    training = replace(training, learning_rate=1e-12, threshold=1e9)
    if device == "cpu":
        few = FEW[shape]
        training = replace(training, black_pixels=few, white_pixels=few, images=2 * few)
    mask = draw_mask(0.5, 1, (30, 30))
    masks = torch.from_numpy(mask), torch.from_numpy(is_trained(mask))
    chunk = 2 * CHUNKS[shape] if shape == "compact" else 1
    record = computes_again if device == "cpu" and way == BATCH else None
    fit = Fit(case.plane, *masks, case.data, training, chunk=chunk, record=record)
    if kept := _kept.get((shape, arm)):
        fit.engine.prefer(kept)
    if way == KERNELS:
        fit.forget_recordings()
    elif way == GRADIENT:
        fit.whole, fit.engine.replayed = None, Replayed()
    return fit


def wait(device: str) -> None:
    """Wait for the device."""
    if device != "cpu":
        torch.cuda.current_stream(device).synchronize()
