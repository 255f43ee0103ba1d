"""What explains the levels of figure 4: each difference of the authors' code alone, then all of them together.

    python benchmarks/ladder.py --plan     what there is to do, and how long it takes
    python benchmarks/ladder.py            all of it; the same command goes on where it was stopped
    python benchmarks/ladder.py --table    only the table and the figure of what there is so far

A rung is a results folder below --out: the profile --base at one fill probability with one knob as the authors' code
has it (bnbench.protocol.profiles.AUTHORS_CODE), measured on held-out images and on seeds from 101 on, which no
benchmark uses. How many images are measured changes no fit: the planes of the first and the last rung are measured
again on as few as theirs. fits.csv has a row per fit, ladder.csv and ladder.md are the table of ladder_table.py, and
ladder.svg draws it.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from ladder_figure import draw_ladder
from ladder_table import FEW_IMAGES, authors_contrast, ladder_fits, ladder_table, rungs, table_text
from rungs import Rung, base_and_grid, options, run_rung, say_plan

from bnbench.errors import RequestError
from bnbench.evaluate.measure import evaluate_planes
from bnbench.evaluate.plan import EvaluationRequest, plan_evaluation
from bnbench.report.figures.style import print_style, save
from bnbench.results import layout
from bnbench.sweep.devices import DeviceRequest
from bnbench.sweep.execution import Execution


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
    for sentence in wrong:
        print(sentence, file=sys.stderr, flush=True)
    return len(wrong)


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
    parser = options(__doc__, "evidence/ladder", "101:103:1")
    parser.add_argument("--rungs", help="some of them, such as baseline,threshold")
    asked = parser.parse_args(arguments)
    try:
        base, grid = base_and_grid(asked)
        ladder = rungs(base)
        wanted = chosen(ladder, asked.rungs)
        if asked.plan:
            say_plan(asked, grid, wanted)
            return 0
        failed = 0
        for rung in () if asked.table else wanted:
            failed += run_rung(asked, grid, rung) + (measure_few(asked, rung) if rung.keeps_planes else 0)
        fits = ladder_fits(asked.out, ladder, grid)
        table = ladder_table(fits, ladder, grid)
    except RequestError as error:
        parser.error(error.as_command)
    asked.out.mkdir(parents=True, exist_ok=True)
    fits.to_csv(asked.out / "fits.csv", index=False)
    table.to_csv(asked.out / "ladder.csv", index=False)
    (asked.out / "ladder.md").write_text(table_text(table), encoding="utf-8")
    with print_style():
        save(draw_ladder(fits, ladder, authors_contrast(base, grid.probs[0])), asked.out, "ladder", ["svg"])
    print(table_text(table))
    return int(failed > 0)


if __name__ == "__main__":
    sys.exit(main())
