"""The engine on a GPU: is it right, how fast is it, and where does the time go?

    python benchmarks/gpu.py --device cuda:0 --out gpu/     (nox -s gpu)

Writes gpu.json (gradient error against float64 on the CPU, milliseconds a pixel for several chunks, each step
launched anew and replayed, and for a loop over pixels, memory) and trace.json, which chrome://tracing and
Perfetto open. Any device name will do, so that the same code runs where there is no GPU: --device cpu.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch
from engine import ARMS, Case
from torch.profiler import ProfilerActivity, profile

from bnbench.sweep.devices import device_name, prepare_process

CHUNKS = {"compact": (8, 32, 64), "paper": (1, 2)}
TOLERANCE = 1e-4  # float32 against float64, relative


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda:0")
    parser.add_argument("--shapes", default="compact,paper")
    parser.add_argument("--arms", default=",".join(ARMS))
    parser.add_argument("--out", type=Path, default=Path("gpu"))
    options = parser.parse_args()
    prepare_process(threads=1)
    options.out.mkdir(parents=True, exist_ok=True)
    rows = [
        row
        for shape in options.shapes.split(",")
        for arm in options.arms.split(",")
        for row in measure(shape, arm, options.device)
    ]
    about = {"device": device_name(options.device), "torch": torch.__version__, "rows": rows}
    (options.out / "gpu.json").write_text(json.dumps(about, indent=2) + "\n")
    trace(options.shapes.split(",")[0], options.device, options.out / "trace.json")
    worst = max(row["error"] for row in rows)
    if worst > TOLERANCE:
        raise SystemExit(f"the gradient on {options.device} is off by {worst:.1e}, more than {TOLERANCE:g}")


def measure(shape: str, arm: str, device: str) -> list[dict[str, Any]]:
    """One row per strategy: its error, its time per pixel, its memory."""
    expected = Case(shape, arm, double=True).naive()
    case = Case(shape, arm, device=device)
    print(f"{shape}, {arm}")
    replays = (False,) if device == "cpu" else (False, True)
    ways = [(0, False), *((chunk, way) for chunk in CHUNKS[shape] for way in replays)]
    return [{"shape": shape, "arm": arm, **strategy(case, expected, *way, device)} for way in ways]


def strategy(case: Case, expected: Any, chunk: int, replays: bool, device: str) -> dict[str, Any]:
    """One way to compute a step, the others' memory given back; chunk 0 is the loop over pixels."""
    if device != "cpu":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(device)
    engine = case.engine(chunk, replays=replays)
    step = partial(case.step, engine) if chunk else case.naive
    name = f"{'replay' if replays else 'vmap'}, chunk {chunk}" if chunk else "loop over pixels"
    for _ in range(2):  # a GPU's second step also records itself
        step()
    if engine.refusal:
        name += f" REFUSED: {engine.refusal}"
    error = float((step().cpu().double() - expected).norm() / expected.norm())
    milliseconds = 1e3 * seconds(step, device) / len(case.pixels)
    # Reserved, not allocated: a recording's own memory would be left out.
    memory = torch.cuda.max_memory_reserved(device) / 2**20 if device != "cpu" else float("nan")
    print(f"{name:24}{milliseconds:9.3f} ms/pixel  error {error:.1e}  {memory:7.0f} MiB", flush=True)
    return {"strategy": name, "error": error, "ms": milliseconds, "mib": memory}


def seconds(step: Callable[[], Any], device: str) -> float:
    """Time of one step over as many as fill half a second, the device waited for at both ends."""
    steps, elapsed = 1, 0.0
    while True:
        wait(device)
        start = time.perf_counter()
        for _ in range(steps):
            step()
        wait(device)
        elapsed = time.perf_counter() - start
        if elapsed > 0.5:
            return elapsed / steps
        steps *= 2


def wait(device: str) -> None:
    if device != "cpu":
        torch.cuda.synchronize(device)


def trace(shape: str, device: str, path: Path) -> None:
    """A profile of one step, for a trace viewer."""
    case = Case(shape, "bn", device=device)
    activities = [ProfilerActivity.CPU] + ([ProfilerActivity.CUDA] if device != "cpu" else [])
    with profile(activities=activities) as profiler:
        case.step(case.engine(CHUNKS[shape][-1]))
        wait(device)
    profiler.export_chrome_trace(str(path))


if __name__ == "__main__":
    main()
