"""How far do the means of bnbench check vary when nothing but rounding changes, and do they raise false alarms?

    python benchmarks/check_spread.py [--repetitions 75] [--python OTHER/bin/python]

Each repetition has seeds of its own and computes the check's fits twice: here, one thread a fit, 64 pixels at
once; and elsewhere. "Elsewhere" changes how sums are rounded and nothing else: gradients added up in another
order (8 pixels at once), a processor without AVX-512, two threads, and, with --python, another version of torch
(an interpreter where bnbench is installed; it runs the bnbench of this one). Training amplifies that. Prints
the standard deviation of one fit's change, which the tolerances in bnbench/check/baseline.py come from, how many fits
changed at all, and how many repetitions would have raised an alarm: one in which no fit changed cannot raise
any, and does not count. Every change is kept in check_spread.csv; what is there is not done again.
"""

from __future__ import annotations

import argparse
import itertools
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import pandas as pd

import bnbench
from bnbench.check.baseline import SETS, CheckSet, statistical_quantities, tolerance
from bnbench.results.summary import headline_rows
from bnbench.results.sweeps import read_sweep
from bnbench.sweep.devices import device_name

ARMS = ("plain", "bn")
TABLE = Path(__file__).with_suffix(".csv")
BATCH = 5  # repetitions that one command computes: starting it takes as long as several fits
KEYS, VALUES = ["arm", "p", "seed"], ["black", "white", "difference"]


@dataclass(frozen=True)
class Place:
    """Where fits are computed, in all that may change their rounding; ``share``: how many batches of each round."""

    name: str
    share: int = 0
    chunk: int = 64
    threads: int = 1
    options: tuple[str, ...] = ()
    environment: dict[str, str] = field(default_factory=dict)
    python: str = sys.executable


HERE = Place("here")
ELSEWHERE = [
    Place("8 pixels at once", share=8, chunk=8),  # with 40, 9 fits of 10 did not change by a bit
    Place("no AVX-512", share=8, environment={"ATEN_CPU_CAPABILITY": "avx2", "ONEDNN_MAX_CPU_ISA": "AVX2"}),
    # One fit at a time: threads that wait for each other and for other processes stand in each other's way.
    Place("two threads", share=1, threads=2, options=("--jobs", "1"), environment={"OMP_WAIT_POLICY": "PASSIVE"}),
]


def summaries(check_set: CheckSet, folder: Path, place: Place) -> pd.DataFrame:
    """The fits of a set, computed at a place by the command that users type; what is done is read."""
    command = [place.python, "-m", "bnbench", "run", "--profile", "smoke", "--steps", "150", "--out", str(folder)]
    command += ["--probs", ",".join(map(str, check_set.probs)), "--seeds", ",".join(map(str, check_set.seeds))]
    command += ["--devices", "cpu", "--chunk", str(place.chunk), "--threads", str(place.threads), *place.options]
    source = str(Path(bnbench.__file__).parents[1])
    environment = {**os.environ, **place.environment, "PYTHONPATH": source}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{' '.join(command)}\n{done.stderr}")
    sweep = read_sweep(folder)
    assert sweep.protocol.hash == check_set.protocol.hash, "the command above is not the check's set of fits"
    return headline_rows(sweep.summaries)


def seeds_of(repetition: int, check_set: CheckSet) -> tuple[int, ...]:
    """Seeds that no other repetition has, nor the check."""
    first = 1_001 + repetition * len(check_set.seeds)
    return tuple(range(first, first + len(check_set.seeds)))


def changes_of(repetitions: Sequence[int], check_set: CheckSet, folder: Path, place: Place) -> pd.DataFrame:
    """Each fit's change from here to elsewhere."""
    repetition_of = {seed: number for number in repetitions for seed in seeds_of(number, check_set)}
    own = replace(check_set, seeds=tuple(repetition_of))
    tables = [summaries(own, folder / where.name.replace(" ", "-"), where) for where in (HERE, place)]
    first, second = (table.set_index(KEYS)[VALUES].sort_index() for table in tables)
    changes = (second - first).reset_index().assign(elsewhere=place.name, device=device_name("cpu"))
    return changes.assign(repetition=changes["seed"].map(repetition_of))


def in_turn(places: Sequence[Place]) -> list[Place]:
    """Every place as often as its share, spread out."""
    rounds = range(max(place.share for place in places))
    return [place for number in rounds for place in places if place.share > number]


def alarms(changes: pd.DataFrame, check_set: CheckSet) -> list[str]:
    """The quantities of the check that one repetition's changes would have moved too far."""
    return [name for name, change in mean_changes(changes).items() if abs(change) > tolerance(name, check_set)]


def mean_changes(changes: pd.DataFrame) -> dict[str, float]:
    """How far one repetition's changes moved each quantity of the check: all are means, so that changes add up."""
    return statistical_quantities(changes.assign(headline=True, split="test", pixels="all"), ARMS)


def report(table: pd.DataFrame, check_set: CheckSet) -> str:
    """What was found so far."""
    table = table.assign(changed=(table[VALUES] != 0).any(axis=1))
    counted = int(table.groupby("repetition")["changed"].any().sum())
    raised = {number: found for number, mine in table.groupby("repetition") if (found := alarms(mine, check_set))}
    spread = table.groupby(["elsewhere", "arm"])[VALUES].std().round(4)
    groups = table.groupby(["elsewhere", "arm"])
    spread = spread.assign(
        changed=groups["changed"].sum(), fits=groups.size(), repetitions=groups["repetition"].nunique()
    )
    largest = max(
        abs(change) / tolerance(name, check_set)
        for _, mine in table.groupby("repetition")
        for name, change in mean_changes(mine).items()
    )
    return (
        f"{table['repetition'].nunique()} repetitions, {counted} in which a fit changed; alarms: {raised or 'none'}; "
        f"largest change of a mean: {largest:.2f} of its tolerance\n{spread}\n"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repetitions", type=int, default=75)
    parser.add_argument("--out", type=Path, default=Path("check-spread"), help="folder for the fits")
    parser.add_argument("--table", type=Path, default=TABLE, help="file for every change")
    parser.add_argument("--python", help="interpreter with another version of torch")
    asked = parser.parse_args()
    other = [Place("another torch", share=1, python=asked.python)] if asked.python else []
    turns = itertools.cycle(in_turn([*ELSEWHERE, *other]))
    standard = SETS["standard"]
    table = pd.read_csv(asked.table) if asked.table.exists() else pd.DataFrame({"repetition": []})
    for first, place in zip(range(0, asked.repetitions, BATCH), turns, strict=False):
        left = sorted(set(range(first, min(first + BATCH, asked.repetitions))) - set(table["repetition"]))
        if not left:
            continue
        table = pd.concat([table, changes_of(left, standard, asked.out / f"{first:03d}", place)])
        table.round(6).to_csv(asked.table, index=False)
        print(report(table, standard), flush=True)
    print(report(table, standard))


if __name__ == "__main__":
    main()
