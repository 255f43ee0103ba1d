"""What does a report over thousands of fits take: processor seconds, memory, and how large is its largest file?

The fits are made up and written by the package's own writer: two arms, 25 fill probabilities and 100 seeds of 30×30
pixels, of ``compact``, with traces of 100 rows. With ``--against`` another revision reports the same folder in the
same run, and its ``report.json`` is compared.

    python benchmarks/large_report.py                           this code
    python benchmarks/large_report.py --against main            and another revision, with the ratio
    python benchmarks/large_report.py --seeds 4 --json out.json fewer fits, and the table as JSON
    python benchmarks/large_report.py --results results/quick   a folder that is there, nothing made up
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tarfile
import tempfile
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from bnbench.bn_policy import NO_BN, BnPolicy
from bnbench.inputs.masks import is_trained, mask_of
from bnbench.mpo.landscape import Landscape
from bnbench.protocol.identity import identity_of
from bnbench.protocol.profiles import PROFILES
from bnbench.protocol.protocol import FitKey
from bnbench.results.folder_protocol import open_folder
from bnbench.results.schemas import pixel_columns
from bnbench.results.store import FitResult, write_fit
from bnbench.sweep.measure import summary_rows

ROOT = Path(__file__).parents[1]
PROTOCOL = PROFILES["compact"]
ARMS = {
    "plain": (0.79, 0.33, 2.0),
    "bn": (0.83, 0.43, 3.0),
}  # black and white accuracy, noise of the log loss in tenths
PROBABILITIES = [round(0.02 + 0.04 * number, 3) for number in range(25)]
TRACED = 100  # rows of a trace


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=100)
    parser.add_argument("--results", type=Path, help="a folder of results that is there")
    parser.add_argument("--against", metavar="REVISION", help="also report with this revision of the package")
    parser.add_argument("--json", type=Path, help="write the table as JSON, too")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="bnbench-") as name:
        place = Path(name)
        results = options.results or make_sweep(place / "results", options.seeds)
        trees = {"this code": ROOT}
        if options.against:
            trees = {options.against: unpacked(options.against, place / "before"), **trees}
        rows: list[dict[str, Any]] = [
            {"code": code, **measured(tree, results, place / f"report-{at}")}
            for at, (code, tree) in enumerate(trees.items())
        ]
        print(pd.DataFrame(rows).to_string(index=False, float_format="{:.1f}".format))
        if options.against:
            before, after = rows
            print(*(f"{name}: {before[name] / after[name]:.2f} times less" for name in list(before)[1:]), sep="\n")
            print("report.json:", *differing(place / "report-0", place / "report-1"))
        if options.json:
            options.json.write_text(json.dumps(rows, indent=1) + "\n")


def make_sweep(folder: Path, seeds: int) -> Path:
    """Write the made-up fits; the same call writes the same numbers."""
    open_folder(folder, PROTOCOL)
    for p in PROBABILITIES:
        for seed in range(1, seeds + 1):
            for arm in ARMS:
                write_fit(folder, made_up_fit(FitKey(arm, p, seed)))
    return folder


def made_up_fit(key: FitKey) -> FitResult:
    """Return a fit whose landscape is its mask with noise."""
    random = np.random.default_rng([key.permille, key.seed, *key.arm.encode()])
    mask = mask_of(key.p, key.seed, PROTOCOL.mask)
    trained = is_trained(mask)
    black, white, noise = ARMS[key.arm]
    level = np.where(mask, black, white) + 0.06 * (key.p - 0.5) + random.normal(0, 0.012)
    accuracy = np.clip(level + random.normal(0, 0.05, mask.shape), 0, 1)
    loss = np.where(mask, 0.6, 3.2) * np.exp(random.normal(0, noise / 10, mask.shape))
    pixels = {
        "test_loss": loss,
        "test_accuracy": accuracy,
        "train_loss": 0.97 * loss,
        "train_accuracy": np.clip(accuracy + 0.01, 0, 1),
    }
    pixels = {name: values.ravel().astype(np.float32) for name, values in pixels.items()}
    table = pd.DataFrame(
        {
            "arm": key.arm,
            "p": key.p,
            "seed": np.int32(key.seed),
            **pixel_columns(mask, trained),
            **pixels,
        }
    )
    return FitResult(
        key=key,
        identity=identity_of(key, PROTOCOL),
        protocol=PROTOCOL,
        landscape=table,
        summary=summary_of(key, table, mask, trained),
        trace=trace_of(random, black, white),
        provenance={
            "bnbench": "0.1.0",
            "python": "3.12.1",
            "torch": "2.14.1",
            "device": "cpu",
            "device_name": "a processor",
            "threads": 1,
            "finished": f"2026-01-{1 + key.seed % 28:02}T10:00:00+00:00",
            "wall_seconds": float(400 + 100 * (key.arm == "bn") + random.normal()),
        },
    )


def summary_of(key: FitKey, table: pd.DataFrame, mask: np.ndarray, trained: np.ndarray) -> pd.DataFrame:
    """Return the rows of a fit's headline and, with batch normalization, those of two other policies."""
    policies = [NO_BN]
    if key.arm == "bn":
        policies = [PROTOCOL.measurement.bn_policy, *map(BnPolicy.parse, ("batch:16", "recalibrate:1000"))]
    parts = []
    for images, split in (("test", PROTOCOL.measurement.split), ("train", "train")):
        loss, accuracy = (
            torch.from_numpy(table[f"{images}_{name}"].to_numpy(float)).view(mask.shape)
            for name in ("loss", "accuracy")
        )
        rows = summary_rows(
            Landscape(loss, accuracy),
            mask,
            trained,
            policy=policies[0],
            split=split,
            threshold=PROTOCOL.training.threshold,
        )
        parts += [
            pd.DataFrame(rows).assign(policy=str(policy), headline=place == 0) for place, policy in enumerate(policies)
        ]
    return pd.concat(parts, ignore_index=True)


def trace_of(random: np.random.Generator, black: float, white: float) -> pd.DataFrame:
    steps = np.linspace(0, PROTOCOL.training.steps, TRACED).astype(int)
    rise = 1 - np.exp(-steps / (0.12 * PROTOCOL.training.steps))
    noise = random.normal(0, 0.02, (2, TRACED))
    return pd.DataFrame(
        {
            "step": steps,
            "black_loss": 2.3 - 1.6 * rise,
            "white_loss": 2.3 + 0.6 * rise,
            "black_accuracy": 0.1 + (black - 0.1) * rise + noise[0],
            "white_accuracy": 0.1 + (white - 0.1) * rise + noise[1],
            "clamped": 0.6 * rise,
            "scale": 0.1 + 0.05 * rise,
            "gradient_norm": 1.0 + noise[0],
            "learning_rate": 1e-3 * (1 + np.cos(np.pi * steps / PROTOCOL.training.steps)) / 2,
        }
    )


def unpacked(revision: str, place: Path) -> Path:
    """Return a folder with the package of a revision."""
    packed = subprocess.run(["git", "archive", revision, "bnbench"], cwd=ROOT, check=True, capture_output=True).stdout
    with tarfile.open(fileobj=BytesIO(packed)) as archive:
        archive.extractall(place, filter="data")
    return place


def measured(tree: Path, results: Path, out: Path) -> dict[str, float]:
    """Report with the package of a tree in a process of its own, and return what that took."""
    command = [sys.executable, "-m", "bnbench", "report", str(results.resolve()), "--out", str(out)]
    environment = {**os.environ, "PYTHONPATH": str(tree), "OMP_NUM_THREADS": "1"}
    # Python looks for a module in the folder where it starts, before anywhere else.
    process = subprocess.Popen(command, env=environment, cwd=tree, stdout=subprocess.DEVNULL)
    _, code, used = os.wait4(process.pid, 0)
    if code:
        sys.exit(f"{' '.join(command)} with {tree} ended with {code}")
    sizes = {path: path.stat().st_size / 1e6 for path in out.rglob("*") if path.is_file()}
    largest = max(sizes, key=lambda path: sizes[path])
    return {
        "processor seconds": used.ru_utime + used.ru_stime,
        "peak MB": used.ru_maxrss * 1024 / 1e6,
        "page MB": sizes[out / "index.html"],
        "largest file MB": sizes[largest],
        "all files MB": sum(sizes.values()),
    }


def differing(one: Path, other: Path) -> list[str]:
    """Return where two reports' records differ, by their paths in the JSON; equal ones give one word."""
    first, second = (json.loads((out / "report.json").read_text()) for out in (one, other))
    return list(_differences(first, second, "")) or ["equal"]


def _differences(one: Any, other: Any, place: str) -> list[str]:
    if isinstance(one, dict) and isinstance(other, dict):
        names = dict.fromkeys([*one, *other])
        return [found for name in names for found in _differences(one.get(name), other.get(name), f"{place}/{name}")]
    if isinstance(one, list) and isinstance(other, list) and len(one) == len(other):
        pairs = enumerate(zip(one, other, strict=True))
        return [found for at, pair in pairs for found in _differences(*pair, f"{place}/{at}")]
    return [] if one == other else [place]


if __name__ == "__main__":
    main()
