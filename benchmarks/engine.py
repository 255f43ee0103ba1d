"""How fast is a step's gradient, against a naive loop of our own?

The naive loop does what the authors' code does: one pixel after another, its whole minibatch, plain
autograd through eq. 1. Both are timed in turn, each in a process of its own (the engine keeps the
memory it frees, the loop does not), several times; the ratio of the medians counts. Both must give
the same gradient, or nothing is printed.

    python benchmarks/engine.py                     the table
    python benchmarks/engine.py --json engine.json  and the same as JSON
    python benchmarks/engine.py --flatness          cost of a step over the size of the mask
"""

from __future__ import annotations

import argparse
import json
import platform
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

ARMS = ("plain", "bn", "skip")
# Pixels of a step: enough that the time is the step's, few enough that the loop ends.
PIXELS = {"compact": 64, "paper": 2}
CHUNKS = {"compact": 64, "paper": 1}  # pixels at once: what runs have found fastest
IMAGE_SHAPE = {"compact": (1, 7, 7), "paper": (1, 28, 28)}
IMAGES = 5_000
HEADER = "shape   arm    threads  naive ms/pixel  engine ms/pixel  ratio  GFLOP/s  % of matmul peak  peak MiB"
ROW = (
    "{shape:7} {arm:6} {threads:7} {naive_ms:15.2f} {engine_ms:16.2f} {ratio:6.2f} "
    "{gflops:8.1f} {percent:17.0f} {mib:9.0f}"
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shapes", default="compact,paper")
    parser.add_argument("--arms", default=",".join(ARMS))
    parser.add_argument("--threads", default="1,2")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--chunk", type=int, default=0, help="pixels at once; 0 takes what runs have found fastest")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--flatness", action="store_true")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        print(json.dumps(measure(**json.loads(options.child))))
        return
    rows = flatness(options) if options.flatness else table(options)
    if options.json:
        about = {"python": platform.python_version(), "machine": platform.machine(), "rounds": options.rounds}
        options.json.write_text(json.dumps({**about, "rows": rows}, indent=2) + "\n")


def table(options: argparse.Namespace) -> list[dict[str, Any]]:
    rows = []
    print(HEADER)
    for threads in map(int, options.threads.split(",")):
        peak = statistics.median(child(kind="matmul", threads=threads)["gflops"] for _ in range(options.rounds))
        for shape in options.shapes.split(","):
            for arm in options.arms.split(","):
                request = {"shape": shape, "arm": arm, "threads": threads, "chunk": options.chunk}
                pairs = [[child(kind=kind, **request) for kind in ("naive", "engine")] for _ in range(options.rounds)]
                rows.append(summary(shape, arm, threads, peak, pairs))
                print(ROW.format(**rows[-1]), flush=True)
    return rows


def summary(shape: str, arm: str, threads: int, peak: float, pairs: list[list[dict[str, Any]]]) -> dict[str, Any]:
    naive, engine = ([pair[side] for pair in pairs] for side in (0, 1))
    for slow, fast in zip(naive, engine, strict=True):
        error = abs(slow["gradient"] - fast["gradient"]) / abs(slow["gradient"])
        if error > 1e-3:
            raise SystemExit(f"{shape} {arm}: the gradients differ by {error:.1e}; no speed is reported")
    slow, fast = (statistics.median(row["seconds"] for row in side) for side in (naive, engine))
    gflops = engine[0]["flops"] / fast / 1e9
    return {
        "shape": shape,
        "arm": arm,
        "threads": threads,
        "naive_ms": 1e3 * slow / PIXELS[shape],
        "engine_ms": 1e3 * fast / PIXELS[shape],
        "ratio": slow / fast,
        "gflops": gflops,
        "matmul_peak_gflops": peak,
        "percent": 100 * gflops / peak,
        "mib": max(row["mib"] for row in engine),
        "naive_mib": max(row["mib"] for row in naive),
    }


def flatness(options: argparse.Namespace) -> list[dict[str, Any]]:
    """Time and memory of a step over the mask's size, the pixels of a step fixed."""
    rows = []
    print("mask     engine ms/step  peak MiB")
    for size in (10, 30, 60, 100):
        request = {"kind": "engine", "shape": "compact", "arm": "plain", "threads": 1, "chunk": options.chunk}
        found = [child(**request, size=size) for _ in range(options.rounds)]
        milliseconds = 1e3 * statistics.median(row["seconds"] for row in found)
        rows.append({"size": size, "ms": milliseconds, "mib": max(row["mib"] for row in found)})
        print(f"{size:3}×{size:<3} {milliseconds:15.1f} {rows[-1]['mib']:9.0f}", flush=True)
    return rows


def child(**request: Any) -> dict[str, Any]:
    command = [sys.executable, __file__, "--child", json.dumps(request)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def measure(kind: str, threads: int, **request: Any) -> dict[str, Any]:
    import torch
    from torch.utils.benchmark import Timer

    torch.set_num_threads(threads)
    if kind == "matmul":
        matrix = torch.ones(1024, 1024)
        timed_product = Timer("matrix @ matrix", globals={"matrix": matrix}, num_threads=threads).blocked_autorange()
        return {"gflops": 2 * 1024**3 / timed_product.median / 1e9}
    seconds, gradient, flops = timed(kind, **request)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10
    return {"seconds": seconds, "gradient": gradient, "flops": flops, "mib": peak}


def timed(kind: str, shape: str, arm: str, chunk: int, size: int = 30) -> tuple[float, float, float]:
    """Median seconds of a step, the norm of its gradient, and the FLOPs that it takes."""
    from bnbench.mpo.flops import count_flops
    from bnbench.sweep.devices import keep_freed_memory

    if kind == "engine":
        keep_freed_memory()
    case = Case(shape, arm, size=size)
    step = partial(case.step, case.engine(chunk or CHUNKS[shape])) if kind == "engine" else case.naive
    norm = float(step().double().norm())
    visits = PIXELS[shape] * case.images.shape[-1]
    return median_seconds(step), norm, visits * count_flops(case.plane, IMAGE_SHAPE[shape]).gradient


class Case:
    """A step's pixels and images at one of the two shapes, the same on every device; arm: a name, or what makes it."""

    def __init__(
        self,
        shape: str,
        arm: Any,
        *,
        size: int = 30,
        device: str = "cpu",
        double: bool = False,
        pixels: int | None = None,
        images: int | None = None,
        seed: int = 0,
    ) -> None:
        import torch

        from bnbench.arms.networks import arm_factory
        from bnbench.inputs.data import Images
        from bnbench.mpo.objective import colour_targets
        from bnbench.mpo.plane import Plane, grid_coordinates
        from bnbench.protocol.profiles import PROFILES

        protocol, generator = PROFILES[shape], torch.Generator().manual_seed(seed)
        image_shape, pixels, seen = IMAGE_SHAPE[shape], pixels or PIXELS[shape], images or protocol.training.images
        dtype = torch.float64 if double else torch.float32
        factory = arm_factory(arm, image_shape, 10, protocol.network) if isinstance(arm, str) else arm
        self.plane = Plane.from_factory(factory, generator).to(device, dtype)
        labels = torch.randint(10, (IMAGES,), generator=generator)
        self.data = Images(torch.randn(IMAGES, *image_shape, generator=generator), labels).to(device, dtype)
        self.coordinates = grid_coordinates((size, size)).to(device, dtype)
        self.pixels = torch.randperm(size * size, generator=generator)[:pixels].to(device)
        self.targets = colour_targets(torch.arange(pixels) < pixels // 2).to(torch.device(device))
        minibatches = (seen,) if protocol.training.minibatch == "shared" else (pixels, seen)
        self.images = torch.randint(IMAGES, minibatches, generator=generator).to(device)

    def engine(self, chunk: int) -> Any:
        """The engine at as many pixels at once, nothing clamped: it does what the loop does, and tries nothing else."""
        from bnbench.mpo.gradient import CHUNK, ObjectiveGradient

        engine = ObjectiveGradient(self.plane, self.data, self.coordinates, 1e9, chunk or CHUNK)
        engine.trial = engine.replayed = None
        return engine

    def step(self, engine: Any) -> Any:
        """A step's gradient by the engine."""
        return engine.step(self.plane.frame().detach(), self.pixels, self.targets, self.images)[0]

    def naive(self, *, channels_last: bool = False) -> Any:
        """The same gradient: one pixel after another, its whole minibatch, autograd through eq. 1.

        With channels last, convolutions' weights lie so, and with them the maps: torch takes other kernels then.
        """
        import torch
        import torch.nn.functional as F
        from torch.func import functional_call

        frame = self.plane.frame().detach().requires_grad_()
        for index, (pixel, factor) in enumerate(zip(self.pixels, self.targets.factors, strict=True)):
            own = frame[0] + self.coordinates[pixel] @ frame[1:]
            parameters = {layer.name: own[layer.start : layer.stop].view(layer.shape) for layer in self.plane.layers}
            seen = self.images if self.images.dim() == 1 else self.images[index]
            if channels_last:
                parameters = {
                    name: value.contiguous(memory_format=torch.channels_last) if value.dim() == 4 else value
                    for name, value in parameters.items()
                }
            logits = functional_call(self.plane.module, parameters, (self.data.pixels[seen],))
            (factor.to(frame) * F.cross_entropy(logits, self.data.labels[seen])).backward()
        return frame.grad


def median_seconds(work: Callable[[], object]) -> float:
    """The median of some runs; whoever calls it has run it once before, so that caches are warm."""
    times: list[float] = []
    while len(times) < 2 or (sum(times) < 2 and len(times) < 20):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return statistics.median(times)


if __name__ == "__main__":
    main()
