"""Sweeps that differ in a few knobs, for ladder.py, tuning.py and tuned_capacity.py: options, plan, fits and readings.

Each is a results folder of its own below --out, on held-out images where the script says nothing else.
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pandas as pd

import bnbench
from bnbench.bn_policy import NO_BN
from bnbench.errors import RequestError
from bnbench.measures.measure import Pixels
from bnbench.measures.registry import REGISTERED
from bnbench.protocol.knob_text import knob_text
from bnbench.protocol.parsing import parse_probs, parse_seeds
from bnbench.protocol.profiles import PROFILES
from bnbench.protocol.protocol import Grid, Protocol
from bnbench.results import layout
from bnbench.results.evaluations import read_evaluated_landscapes
from bnbench.results.folder_protocol import check_folder
from bnbench.results.sweeps import read_sweep
from bnbench.sweep.cost import estimate_seconds
from bnbench.sweep.devices import DeviceRequest
from bnbench.sweep.execution import Execution
from bnbench.sweep.inputs import load_inputs
from bnbench.sweep.plan import plan_sweep
from bnbench.wording import counted, duration

ARMS = ("plain", "bn")
FIT = ["arm", "p", "seed"]
READINGS = ("difference", "objective", "right")  # over trained pixels
_OF_A_FIT = {measure.name: measure.of_pixels for measure in REGISTERED if measure.name in READINGS}


@dataclass(frozen=True)
class Rung:
    """One sweep of several that are compared: its name, its protocol, and the knobs in which it differs from the first.

    ``arms`` are those that these knobs can change: plain has no BN scale, so its fits would be those of the first.
    """

    name: str
    protocol: Protocol
    changes: dict[str, Any]
    arms: tuple[str, ...] = ARMS
    keeps_planes: bool = False

    def __str__(self) -> str:
        return f"{self.name}: {self.changed or self.protocol.profile}"

    @property
    def changed(self) -> str:
        """The knobs in which it differs, in words; nothing for the first."""
        return ", ".join(f"{name.replace('_', ' ')} {knob_text(name, to)}" for name, to in self.changes.items())


def options(description: str | None, out: str, seeds: str) -> argparse.ArgumentParser:
    """The command line that all have: what is compared, where it goes, and where fits run."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path(out))
    parser.add_argument("--base", choices=list(PROFILES), default="compact", help="profile that is changed")
    parser.add_argument("--steps", type=int, help="training steps, in place of the profile's")
    parser.add_argument("--p", default="0.5", help="fill probability")
    parser.add_argument("--seeds", default=seeds)
    parser.add_argument("--devices", default="auto")
    parser.add_argument("--jobs", type=int)
    parser.add_argument("--backend", default="process")
    parser.add_argument("--chunk", type=int, help="pixels computed at once; measured for each folder unless given")
    parser.add_argument("--data-folder", type=Path)
    parser.add_argument("--plan", action="store_true", help="say what is left and how long it takes, compute nothing")
    parser.add_argument("--table", action="store_true", help="write the tables of what there is, compute nothing")
    return parser


def base_and_grid(asked: argparse.Namespace) -> tuple[Protocol, Grid]:
    """The protocol that is changed, on held-out images, and both arms at one fill probability.

    Raises:
        RequestError: a value is none.
    """
    steps = {} if asked.steps is None else {"steps": asked.steps}
    grid = Grid(ARMS, parse_probs(asked.p, "--p")[:1], parse_seeds(asked.seeds))
    return PROFILES[asked.base].with_knobs(split="held-out", **steps), grid


def say_plan(asked: argparse.Namespace, grid: Grid, rungs: Sequence[Rung]) -> None:
    """Print how many fits of each rung are left and how long they take; where none is done, steps are timed."""
    where = DeviceRequest(asked.devices, asked.jobs)
    execution, total = Execution(slots=where.slots(), devices=where, data_folder=asked.data_folder), 0.0
    for rung in rungs:
        own = replace(grid, arms=rung.arms)
        data = load_inputs(own, rung.protocol, execution)
        protocol = replace(rung.protocol, content=data.content)
        check_folder(asked.out / rung.name, protocol)
        plan = plan_sweep(asked.out / rung.name, protocol, own)
        known = estimate_seconds(plan, execution, data) if plan.to_run else 0.0
        seconds = math.nan if known is None else known
        total += seconds
        print(f"{rung}: {plan}, {duration(seconds)}", flush=True)
    print(f"all: {duration(total)} on {counted(len(execution.slots), 'slot')}")


def run_rung(asked: argparse.Namespace, grid: Grid, rung: Rung) -> int:
    """Compute what is left of a rung, and return how many of its fits have failed."""
    print(rung, file=sys.stderr, flush=True)
    swept = bnbench.run(
        rung.protocol,
        probs=grid.probs,
        seeds=grid.seeds,
        arms=rung.arms,
        folder=asked.out / rung.name,
        backend=asked.backend,
        devices=asked.devices,
        jobs=asked.jobs,
        chunk=asked.chunk,
        data_folder=asked.data_folder,
        keep_planes=rung.keeps_planes,
    )
    return len(swept.failed)


def spread(mean: float, deviation: float, written: Callable[[float], str]) -> str:
    """A mean ± its deviation over seeds, where there are two; a dash where there is none."""
    if math.isnan(mean):
        return "–"
    return (
        written(mean)
        if math.isnan(deviation)
        else f"{written(mean)}\N{NO-BREAK SPACE}±\N{NO-BREAK SPACE}{deviation:.3f}"
    )


def fits_of(landscapes: pd.DataFrame, threshold: float) -> pd.DataFrame:
    """Every reading of each fit over its trained pixels, from a row per pixel with ``loss`` and ``accuracy``."""
    rows = []
    for (arm, p, seed), fit in landscapes.groupby(FIT):
        black, trained = (fit[name].to_numpy(bool) for name in ("black", "trained"))
        loss, accuracy = (fit[name].to_numpy(float) for name in ("loss", "accuracy"))
        pixels = Pixels(black, trained, loss, accuracy, threshold)
        found = {name: of_pixels(pixels) for name, of_pixels in _OF_A_FIT.items() if of_pixels}
        rows.append({"arm": arm, "p": p, "seed": seed, **found})
    return pd.DataFrame(rows, columns=[*FIT, *_OF_A_FIT])


def read_rung(out: Path, rung: Rung, *, images: int | None = None, option: str = "--out") -> pd.DataFrame:
    """The pixels of a rung's finished fits, or of those of its planes that were measured on so many other images.

    ``option`` is the one that named the folder.

    Raises:
        RequestError: the folder holds another protocol, or a file that cannot be read.
    """
    folder = out / rung.name
    if not layout.fit_paths(folder):
        return pd.DataFrame(columns=FIT)
    sweep = read_sweep(folder)
    if sweep.broken:
        raise RequestError(sweep.broken[0])
    if other := sweep.protocol.differences(rung.protocol):
        raise RequestError(f"{option} {out}: {folder} holds fits of another {', '.join(other)}; give another folder.")
    if images is not None:
        found = read_evaluated_landscapes(layout.evaluations_folder(folder))
        policies = [str(NO_BN), rung.protocol.measurement.bn_statistics]
        asked = (found["images"] == images) & found["policy"].isin(policies)
        return found[asked & found["identity"].isin(sweep.identities.values())]
    return sweep.landscapes.rename(columns={"test_loss": "loss", "test_accuracy": "accuracy"})
