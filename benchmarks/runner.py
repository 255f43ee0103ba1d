"""What does the runner cost, does a second slot pay, and how long does a plan take?

Fits of known duration go the way of every fit: planned, claimed, leased, trained by the engine, with
checkpoints, measured, written. They are those of two arms of a user's own (below): one sleeps in each
step, the other computes a fixed number of matrix products.

    python benchmarks/runner.py                     the three tables
    python benchmarks/runner.py --json runner.json  and the same as JSON
    python benchmarks/runner.py --only plan         one of overhead, slots, plan
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from bnbench.bn_policy import NO_BN
from bnbench.inputs.data import load_data
from bnbench.inputs.masks import draw_mask, is_trained
from bnbench.mpo.landscape import Landscape
from bnbench.mpo.whole_fit import fit
from bnbench.protocol.profiles import PROFILES
from bnbench.protocol.protocol import FitKey, Grid
from bnbench.results import layout, store
from bnbench.results.fits import read_fit
from bnbench.results.folder_protocol import open_folder
from bnbench.sweep.backends.inline import Inline
from bnbench.sweep.backends.processes import Processes
from bnbench.sweep.devices import make_slots, prepare_process
from bnbench.sweep.execution import Execution
from bnbench.sweep.identity import fit_identity
from bnbench.sweep.measure import measure_fit, summary_rows
from bnbench.sweep.plan import plan_sweep
from bnbench.sweep.runner import Runner
from bnbench.sweep.start import draw_masks, make_plane

LONG = 60.0  # seconds of the fit that the overhead is a share of
STEPS, TRAINED_ON = 100, 5  # the arms tell training from measurement by the number of images
PROTOCOL = PROFILES["smoke"].with_knobs(
    mask_size=(10, 10), black_pixels=8, white_pixels=8, images=TRAINED_ON, steps=STEPS, held_out=0, test_images=100
)
THIS = Path(__file__).stem  # runner and workers import the arms from here
SECONDS, PRODUCTS = "BNBENCH_SECONDS", "BNBENCH_PRODUCTS"  # of a fit; workers have the runner's environment


class _Working(nn.Module):
    def __init__(self, image_shape: tuple[int, int, int], classes: int, work: Callable[[], object]) -> None:
        super().__init__()
        self.linear = nn.Linear(image_shape[1] * image_shape[2], classes)
        self.work = work

    def forward(self, images: Tensor) -> Tensor:
        if len(images) == TRAINED_ON:
            self.work()
        logits: Tensor = self.linear(images.flatten(1))
        return logits


def sleeps(image_shape: tuple[int, int, int], classes: int) -> nn.Module:
    return _Working(image_shape, classes, lambda: time.sleep(float(os.environ[SECONDS]) / STEPS))


def computes(image_shape: tuple[int, int, int], classes: int) -> nn.Module:
    matrix = torch.zeros(256, 256)  # stays in the cache

    def work() -> None:
        for _ in range(int(os.environ[PRODUCTS]) // STEPS):
            matrix @ matrix

    return _Working(image_shape, classes, work)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", choices=("overhead", "slots", "plan"))
    parser.add_argument("--fits", type=int, default=10, help="fits of each sweep")
    parser.add_argument("--seconds", type=float, default=2.0, help="of the fits that sleep")
    parser.add_argument("--products", type=int, default=8_000, help="of the fits that compute")
    parser.add_argument("--rounds", type=int, default=3, help="sweeps with one slot and with two, in turn")
    parser.add_argument("--done", type=int, default=10_000, help="finished fits of the plan")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    os.environ |= {SECONDS: str(options.seconds), PRODUCTS: str(options.products)}
    measures = {"overhead": overhead, "slots": slots, "plan": planning}
    found = {name: measure(options) for name, measure in measures.items() if options.only in (None, name)}
    if options.json:
        about = {"python": platform.python_version(), "machine": platform.machine(), "cores": os.cpu_count()}
        options.json.write_text(json.dumps({**about, **found}, indent=2) + "\n")


def overhead(options: argparse.Namespace) -> dict[str, float]:
    """From the end of one fit to the end of the next on one slot, less what the same fit takes without a runner."""
    ends, _ = sweep("sleeps", options.fits + 1, slots=1, checkpoint_every=options.seconds / 2)
    period = statistics.median(later - earlier for earlier, later in pairwise(ends))
    alone = statistics.median(bare_fit(FitKey(f"{THIS}:sleeps", 0.5, seed)) for seed in range(1, 6))
    each = period - alone
    found = {"fits": options.fits, "alone_s": alone, "period_s": period, "each_s": each, "percent": 100 * each / LONG}
    print("fits  fit without a runner, s  fit in a sweep, s  overhead, s  of a fit of 60 s, %")
    print("{fits:4} {alone_s:24.3f} {period_s:18.3f} {each_s:12.3f} {percent:21.2f}".format(**found), flush=True)
    return found


def slots(options: argparse.Namespace) -> dict[str, Any]:
    """Time from the start of the first fit to the end of the last, with one slot and with two."""
    times: dict[int, list[float]] = {1: [], 2: []}
    for _ in range(options.rounds):
        for count, taken in times.items():
            ends, seconds = sweep("computes", options.fits, slots=count)
            taken.append(ends[-1] - (ends[0] - seconds[0]))
    one, two = (statistics.median(taken) for taken in times.values())
    found = {"fits": options.fits, "one_s": one, "two_s": two, "ratio": one / two, "rounds": times}
    print("fits  one slot, s  two slots, s  ratio")
    print("{fits:4} {one_s:12.2f} {two_s:13.2f} {ratio:6.2f}".format(**found), flush=True)
    return found


def as_of(key: FitKey, result: store.FitResult) -> store.FitResult:
    """Another fit with the numbers of one that was computed."""
    mask, trained = draw_masks(key, PROTOCOL)
    table = result.landscape.assign(
        arm=key.arm, p=key.p, seed=np.int32(key.seed), black=mask.ravel(), trained=trained.ravel()
    )
    rows = []
    for split, images in ((PROTOCOL.measurement.split, "test"), ("train", "train")):
        loss, accuracy = (
            torch.from_numpy(table[f"{images}_{measure}"].to_numpy(float)).view(mask.shape)
            for measure in ("loss", "accuracy")
        )
        policy = PROTOCOL.measurement.bn_policy if key.arm == "bn" else NO_BN
        rows += summary_rows(
            Landscape(loss, accuracy), mask, trained, policy=policy, split=split, threshold=PROTOCOL.training.threshold
        )
    identity = fit_identity(key, PROTOCOL)
    return replace(result, key=key, identity=identity, landscape=table, summary=pd.DataFrame(rows))


def planning(options: argparse.Namespace) -> dict[str, float]:
    """A plan over one finished fit, written again as every other: each is read and checked whole."""
    per_seed = Grid(("plain", "bn"), tuple(round(0.05 * k, 3) for k in range(1, 20)), (1,))
    seeds = tuple(range(1, -(-options.done // len(per_seed.fits())) + 1))
    grid = Grid(per_seed.arms, per_seed.probs, seeds)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        open_folder(folder, PROTOCOL)
        first, *others = grid.fits()[: options.done]
        one = Execution(make_slots(("cpu",), 1, 1))
        plan = plan_sweep(folder, PROTOCOL, Grid((first.arm,), (first.p,), (first.seed,)))
        assert [outcome.state for outcome in Runner(plan, one, Inline()).outcomes()] == ["done"]
        result = read_fit(layout.fit_path(folder, first))
        for key in others:
            store.write_fit(folder, as_of(key, result))
        size = layout.fit_path(folder, first).stat().st_size
        start, used = time.perf_counter(), time.process_time()
        plan = plan_sweep(folder, PROTOCOL, grid)
        seconds, used = time.perf_counter() - start, time.process_time() - used
        assert len(plan.done) == options.done
    found = {"done": options.done, "kib": size / 2**10, "seconds": seconds, "processor_seconds": used}
    print("done fits  KiB each  plan, s  of these on the processor, s")
    print("{done:9,} {kib:9.0f} {seconds:8.2f} {processor_seconds:28.2f}".format(**found), flush=True)
    return found


def sweep(arm: str, fits: int, *, slots: int, checkpoint_every: float = 120.0) -> tuple[list[float], list[float]]:
    """Run fits of an arm: when each was written, in order of time, and the seconds that each says it took."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        open_folder(folder, PROTOCOL)
        grid = Grid((f"{THIS}:{arm}",), (0.5,), tuple(range(1, fits + 1)))
        execution = Execution(make_slots(("cpu",), slots, 1), chunk=16, checkpoint_every=checkpoint_every)
        outcomes = list(Runner(plan_sweep(folder, PROTOCOL, grid), execution, Processes()).outcomes())
        assert [outcome.state for outcome in outcomes] == ["done"] * fits, outcomes
        paths = sorted(layout.fit_paths(folder), key=lambda path: path.stat().st_mtime_ns)
        ends = [path.stat().st_mtime_ns / 1e9 for path in paths]
        return ends, [read_fit(path).provenance["wall_seconds"] for path in paths]


def bare_fit(key: FitKey) -> float:
    """Seconds of the same plane, training and measurement without claim, lease, checkpoint, file or process."""
    prepare_process(1)
    start = time.perf_counter()
    data = load_data(PROTOCOL.data, PROTOCOL.measurement, None, False)
    mask = draw_mask(key.p, key.seed, PROTOCOL.mask.mask_size)
    trained = is_trained(mask)
    plane = make_plane(key, PROTOCOL, data, "cpu")
    fit(plane, torch.from_numpy(mask), torch.from_numpy(trained), data.train, PROTOCOL.training, chunk=16)
    measure_fit(plane, key, mask, trained, data, PROTOCOL)
    return time.perf_counter() - start


if __name__ == "__main__":
    main()
