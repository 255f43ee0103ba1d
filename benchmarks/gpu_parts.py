"""What ``benchmarks/gpu.py`` asks of a device, part by part."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch
from engine import Case
from gpu import keep, rows_of
from gpu_right import ARMS, WAYS, held
from gpu_steps import steps, wait

import bnbench
from bnbench.mpo.landscape import measure_landscape
from bnbench.protocol.profiles import PROFILES
from bnbench.results.fits import read_fit
from bnbench.results.store import FitResult
from bnbench.sweep.devices import device_name, prepare_process

FEW = {"compact": 4, "paper": 2}  # pixels of each colour, and twice as many images, where no GPU is
COUNTS = (1, 2, 4, 8)
LONG = 0.5  # seconds that are timed
FITS = 90  # of figure 4
STOPPED = 130  # the exit code of a sweep that Ctrl-C has stopped
SLOTS = 2  # of that sweep
AT_ONCE = 5.0  # seconds in which a sweep ends


def run(part: str, device: str, out: Path) -> None:
    """Run a part, and keep each of its results in a line of a file."""
    prepare_process(threads=1)
    parts[part](device, partial(keep, out / f"{part}.jsonl"), out)


def right(device: str, tell: Callable[..., None], out: Path) -> None:
    """Every way to compute a step's gradient against a loop in float64, at both shapes, in several steps."""
    for shape, ways in WAYS:
        for arm in ARMS:
            for found in held(shape, arm, device, ways):
                tell(**found._asdict())


def ceilings(device: str, tell: Callable[..., None], out: Path) -> None:
    """How fast the device copies and multiplies, and what share of it the best step reaches."""
    tell(what="device", result=f"{device_name(device)}, torch {torch.__version__}")
    size = 2**22 if device == "cpu" else 2**28
    source = torch.zeros(size, device=device)
    target = torch.empty_like(source)
    tell(what="copy", result=f"{8 * size / seconds_of(lambda: target.copy_(source), device) / 1e9:.0f} GB/s")
    product, halves = (product_rate(device, dtype) for dtype in (torch.float32, torch.bfloat16))
    tell(what="float32 product", result=f"{product:.3g} TFLOP/s")
    tell(what="bfloat16 product", result=f"{halves:.3g} TFLOP/s")
    for row in best_of(out):
        what = f"share of the float32 product, {row['shape']}, {row['arm']}"
        tell(what=what, result=f"{100 * row['tflops'] / product:.0f} % ({row['way']}, {row['count']} at once)")


def product_rate(device: str, dtype: torch.dtype) -> float:
    """How fast a device multiplies two large square matrices, 10¹² operations a second."""
    side = 512 if device == "cpu" else 8192
    matrix = torch.randn(side, side, device=device, dtype=dtype)
    return 2 * side**3 / seconds_of(lambda: matrix @ matrix, device) / 1e12


def best_of(out: Path) -> list[dict[str, Any]]:
    """The fastest row of each shape and arm."""
    rows = [row for row in rows_of(out, "steps") if "seconds" in row]
    kinds = sorted({(row["shape"], row["arm"]) for row in rows})
    return [
        min((row for row in rows if (row["shape"], row["arm"]) == kind), key=lambda row: row["seconds"])
        for kind in kinds
    ]


def seconds_of(work: Callable[[], object], device: str) -> float:
    """Seconds of some work, the fastest of a few times."""
    times = []
    for _ in range(5):
        wait(device)
        start = time.perf_counter()
        work()
        wait(device)
        times.append(time.perf_counter() - start)
    return min(times)


def resumed(device: str, tell: Callable[..., None], out: Path) -> None:
    """A sweep of four fits (of two without a GPU), stopped by Ctrl-C and resumed, against an undisturbed one.

    It is stopped while nothing else runs, once every slot has a fit in its midst: a worker that is still importing
    is ended after the patience of the runner, which says nothing of a fit.
    """
    knobs: dict[str, Any] = {"steps": 20_000}
    seeds = 2
    if device == "cpu":
        # Long enough for both fits to be in their midst at once, however late on a busy machine one of them begins.
        knobs = {"steps": 800, "black_pixels": 4, "white_pixels": 4, "test_images": 64, "train_images": 64}
        seeds = 1
    folders = [out / "sweeps" / f"{name}-{time.time_ns()}" for name in ("whole", "stopped")]
    options = {"profile": "smoke", "probs": 0.5, "seeds": seeds, "devices": device, "per_device": SLOTS, **knobs}
    options |= {"chunk": 64, "out": folders[1]}  # a chunk of their own would round otherwise
    words = [word for name, value in options.items() for word in (f"--{name.replace('_', '-')}", str(value))]
    command = [sys.executable, "-m", "bnbench", "run", *words]
    silent = partial(subprocess.Popen, command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    running = silent()
    while running.poll() is None and sum(step_of(path) > 0 for path in folders[1].rglob("running/*.json")) < SLOTS:
        time.sleep(0.02)
    running.send_signal(signal.SIGINT)
    start = time.perf_counter()
    code = running.wait()
    took = time.perf_counter() - start
    said = f"in {took:.1f} s, exit code {code}" if code == STOPPED else f"it had ended, exit code {code}"
    # A processor may be anybody's at that moment, so that its time is told and not judged.
    tell(what="stopped by SIGINT", result=said, is_wrong=code != STOPPED or (took > AT_ONCE and device != "cpu"))
    begun = len([*folders[1].rglob("running/*.pt")])
    tell(what="checkpoints", result=f"{begun} of {SLOTS}", is_wrong=begun < SLOTS)
    again = silent()
    how: dict[str, Any] = {"backend": "inline"} if device == "cpu" else {"per_device": SLOTS}
    bnbench.run(
        "smoke", probs=0.5, seeds=seeds, devices=device, chunk=64, folder=folders[0], progress=False, **how, **knobs
    )
    code = again.wait()
    whole, stopped = ({path.name: read_fit(path) for path in folder.rglob("*.parquet")} for folder in folders)
    pairs = [(fit, stopped[name]) for name, fit in whole.items() if name in stopped and is_alike(fit, stopped[name])]
    equal = [one for one, other in pairs if one.landscape.equals(other.landscape) and one.trace.equals(other.trace)]
    said = f"{len(equal)} of {len(pairs)} fits bit for bit those of an undisturbed sweep, {len(whole)} in all"
    is_wrong = len(stopped) < 2 * seeds or len(equal) < len(pairs) or code != 0
    tell(what="resumed", result=said, is_wrong=is_wrong)
    notes = {str(fit.provenance["note"]) for fit in whole.values()} - {""}
    tell(what="what their provenance notes", result="; ".join(sorted(notes)) or "nothing")


def is_alike(one: FitResult, other: FitResult) -> bool:
    """Whether two fits were computed in one way: each takes the fastest, and another time another may be that."""
    return all(one.provenance.get(name) == other.provenance.get(name) for name in ("kernels", "recorded", "batch"))


def step_of(path: Path) -> int:
    """The step that a fit says it is at; 0 while its file is being written."""
    try:
        return int(json.loads(path.read_text()).get("step", 0))
    except (OSError, ValueError):
        return 0


def hour(device: str, tell: Callable[..., None], out: Path) -> None:
    """How many fits of compact an hour has: the fastest steps, and the landscape at the end."""
    protocol, total = PROFILES["compact"], 0.0
    best = {row["arm"]: row["seconds"] for row in best_of(out) if row["shape"] == "compact"}
    for arm, seconds in best.items():
        case = Case("compact", arm, device=device)
        side, seen = ((4, 4), 512) if device == "cpu" else (protocol.mask.mask_size, len(case.data))
        start = time.perf_counter()
        measure_landscape(case.plane, side, case.data.first(seen))
        measured = time.perf_counter() - start
        tell(what=f"landscape of {side[0]}×{side[1]} pixels, {arm}", result=f"{measured:.2f} s for {seen:,} images")
        total += protocol.training.steps * seconds + 2 * measured
    if best:
        mean = total / len(best)
        said = f"{3600 / mean:.1f} fits an hour, {FITS} fits in {FITS * mean / 60:.0f} minutes"
        tell(what="compact", result=said + (" (of small steps: no estimate)" if device == "cpu" else ""))


parts: dict[str, Callable[[str, Callable[..., None], Path], None]] = {
    "right": right,
    "steps": steps,
    "ceilings": ceilings,
    "resumed": resumed,
    "hour": hour,
}
