"""What explains the levels of figure 4: each difference of the authors' code alone, then all of them together.

    python benchmarks/ladder.py --plan     what there is to do, and how long it takes
    python benchmarks/ladder.py            all of it; the same command goes on where it was stopped
    python benchmarks/ladder.py --table    only the table of what there is so far

A rung is a results folder below --out: the profile --base at one fill probability with one knob as the authors' code
has it (bnbench.protocol.profiles.AUTHORS_CODE), measured on held-out images and on seeds from 101 on, which no
benchmark uses. How many images are measured changes no fit: the planes of the first and the last rung are measured
again on as few as theirs. The table, ladder.csv and ladder.md, is that of ladder_table.py.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from ladder_table import ARMS, FEW_IMAGES, Rung, ladder_table, rungs, table_text

import bnbench
from bnbench.errors import RequestError
from bnbench.evaluate.measure import evaluate_planes
from bnbench.evaluate.plan import EvaluationRequest, plan_evaluation
from bnbench.protocol.parsing import parse_probs, parse_seeds
from bnbench.protocol.profiles import PROFILES
from bnbench.protocol.protocol import Grid
from bnbench.results import layout
from bnbench.sweep.cost import estimate_seconds
from bnbench.sweep.devices import DeviceRequest
from bnbench.sweep.execution import Execution
from bnbench.sweep.plan import load_inputs, plan_sweep
from bnbench.wording import counted, duration


def say_plan(asked: argparse.Namespace, ladder: Sequence[Rung]) -> None:
    """Print how many fits of each rung are left and how long they take; where none is done, steps are timed."""
    where = DeviceRequest(asked.devices, asked.jobs)
    execution, total = Execution(slots=where.slots(), devices=where, data_folder=asked.data_folder), 0.0
    for rung in ladder:
        grid = replace(asked.grid, arms=rung.arms)
        data = load_inputs(grid, rung.protocol, execution)
        plan = plan_sweep(asked.out / rung.name, replace(rung.protocol, content=data.content), grid)
        seconds = estimate_seconds(plan, execution, data) if plan.to_run else 0.0
        total += float("nan") if seconds is None else seconds
        print(f"{rung}: {plan}, {duration(seconds or 0.0)}", flush=True)
    print(f"all: {duration(total)} on {counted(len(execution.slots), 'slot')}")


def run_rung(asked: argparse.Namespace, rung: Rung) -> int:
    """Compute what is left of a rung, and return how many of its fits have failed."""
    print(rung, file=sys.stderr, flush=True)
    grid: Grid = asked.grid
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
    return len(swept.failed) + (measure_few(asked, rung) if rung.keeps_planes else 0)


def measure_few(asked: argparse.Namespace, rung: Rung) -> int:
    """Measure a rung's planes again on as few images as the authors, and return how many could not be."""
    where = DeviceRequest(asked.devices, asked.jobs)
    request = EvaluationRequest(
        out=layout.evaluations_folder(asked.out / rung.name),
        execution=Execution(slots=where.slots(), devices=where, data_folder=asked.data_folder),
        policies=(rung.protocol.measurement.bn_policy,),
        test_images=FEW_IMAGES,
        with_landscapes=True,
    )
    tasks = plan_evaluation(asked.out / rung.name, request).to_run
    wrong = [str(one) for one in (evaluate_planes(tasks, request) if tasks else ()) if one.message]
    print(*wrong, sep="\n", file=sys.stderr, flush=True)
    return len(wrong)


def parse(arguments: Sequence[str] | None) -> tuple[argparse.ArgumentParser, argparse.Namespace]:
    """Read the command line; ``grid`` is what its arms, fill probability and seeds say."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("evidence/ladder"))
    parser.add_argument("--base", choices=list(PROFILES), default="compact", help="profile that is changed")
    parser.add_argument("--steps", type=int, help="training steps, in place of the profile's")
    parser.add_argument("--p", default="0.5", help="fill probability")
    parser.add_argument("--seeds", default="101:103:1")
    parser.add_argument("--rungs", help="some of them, such as baseline,threshold")
    parser.add_argument("--devices", default="auto")
    parser.add_argument("--jobs", type=int)
    parser.add_argument("--backend", default="process")
    parser.add_argument("--chunk", type=int, help="pixels computed at once; measured for each rung unless given")
    parser.add_argument("--data-folder", type=Path)
    parser.add_argument("--plan", action="store_true", help="say what is left and how long it takes, compute nothing")
    parser.add_argument("--table", action="store_true", help="write the table of what there is, compute nothing")
    return parser, parser.parse_args(arguments)


def chosen(ladder: Sequence[Rung], names: str | None) -> list[Rung]:
    """The rungs of some names, in the ladder's order.

    Raises:
        RequestError: there is no such rung.
    """
    known = [rung.name for rung in ladder]
    asked = names.split(",") if names else known
    if unknown := [name for name in asked if name not in known]:
        raise RequestError(f"--rungs {names}: {unknown[0]} is no rung; use {', '.join(known)}.")
    return [rung for rung in ladder if rung.name in asked]


def main(arguments: Sequence[str] | None = None) -> int:
    parser, asked = parse(arguments)
    try:
        asked.grid = Grid(ARMS, parse_probs(asked.p, "--p")[:1], parse_seeds(asked.seeds))
        steps = {} if asked.steps is None else {"steps": asked.steps}
        ladder = rungs(PROFILES[asked.base].with_knobs(**steps))
        wanted = chosen(ladder, asked.rungs)
        if asked.plan:
            say_plan(asked, wanted)
            return 0
        failed = 0 if asked.table else sum(run_rung(asked, rung) for rung in wanted)
        table = ladder_table(asked.out, ladder, asked.grid)
    except RequestError as error:
        parser.error(str(error))
    table.to_csv(asked.out / "ladder.csv", index=False)
    (asked.out / "ladder.md").write_text(table_text(table), encoding="utf-8")
    print(table_text(table))
    return int(failed > 0)


if __name__ == "__main__":
    sys.exit(main())
