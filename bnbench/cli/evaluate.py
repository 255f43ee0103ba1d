"""``bnbench evaluate``."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from bnbench.cli.help_in_groups import GroupedCommand
from bnbench.cli.options import FOLDER, Text, image_options, integer, machine_options, say, say_first
from bnbench.cli.paths import results_argument
from bnbench.errors import RequestError
from bnbench.protocol.parsing import parse_policies
from bnbench.protocol.sections import SPLITS
from bnbench.results import layout
from bnbench.wording import counted, duration, plain_number

if TYPE_CHECKING:
    from bnbench.bn_policy import BnPolicy
    from bnbench.evaluate.plan import EvaluationPlan, EvaluationRequest


@click.command(cls=GroupedCommand)
@results_argument
@click.option(
    "--bn-statistics",
    type=Text("LIST", parse_policies),
    default=(),
    help="batch:N and recalibrate:N, such as batch:64,recalibrate:512.  [default: those of the fits' own summaries]",
)
@click.option(
    "--arms", default="", help="Arms to evaluate; a user's own has to be named.  [default: all that are built in]"
)
@click.option("--split", type=click.Choice(SPLITS), help="Images to measure on.  [default: as the protocol]")
@click.option(
    "--test-images",
    type=integer(),
    help="First images of that split to measure on; 0 takes all.  [default: as the protocol]",
)
@click.option("--landscapes", is_flag=True, help="Keep loss and accuracy of every pixel too.")
@click.option("--ensembles", is_flag=True, help="Average the predictions of 1, 2, 5, 10 and all black pixels too.")
@click.option("--out", type=FOLDER, help="Folder to write.  [default: RESULTS/evaluations]")
@machine_options
@image_options
def evaluate(
    results: Path,
    bn_statistics: tuple[BnPolicy, ...],
    arms: str,
    split: str | None,
    test_images: int | None,
    landscapes: bool,
    ensembles: bool,
    out: Path | None,
    devices: str,
    per_device: int | None,
    jobs: int | None,
    threads: int,
    data_folder: Path | None,
    download: bool,
) -> None:
    """Measure the stored planes of every sweep below RESULTS again, without training.

    The planes are those that bnbench run --keep-planes kept. What is done is skipped: the same command goes on where
    it was stopped. Prints the mean difference under each policy.
    """
    say_first("the plan follows")
    from bnbench.evaluate.plan import EvaluationRequest, plan_evaluation
    from bnbench.sweep.devices import DeviceRequest
    from bnbench.sweep.execution import Execution

    where = DeviceRequest(devices, jobs, per_device, threads)
    request = EvaluationRequest(
        out=out or layout.evaluations_folder(results),
        execution=Execution(where.slots(), data_folder=data_folder, download=download, devices=where),
        policies=bn_statistics,
        arms=tuple(arm.strip() for arm in arms.split(",")) if arms else (),
        split=split,
        test_images=test_images,
        with_landscapes=landscapes,
        with_ensembles=ensembles,
    )
    plan = plan_evaluation(results, request)
    _announce(results, plan, request)
    failed = _compute(plan, request)
    _print_table(plan, request)
    if failed:
        say(f"{counted(failed, 'plane')} could not be measured; the same command tries again.")
    if failed or plan.broken or plan.without_plane:
        sys.exit(1)


def _announce(results: Path, plan: EvaluationPlan, request: EvaluationRequest) -> None:
    """Say what will be measured, and what cannot be and why."""
    for message in plan.notes:
        say(f"note: {message}")
    for message in plan.broken:
        say(f"skipped: {message}")
    if plan.left_out:
        named = ", ".join(f"{arm} ({counted(fits, 'fit')})" for arm, fits in plan.left_out.items())
        arms = ",".join([*{task.key.arm: None for task in plan.tasks}, *plan.left_out])
        say(f"left out: {named}; --arms {arms} measures them, which imports their code")
    bare = len(plan.without_plane)
    if not plan.tasks and not plan.broken:
        if plan.left_out and not plan.without_plane:
            raise RequestError(
                f"{results} holds no planes of other arms than {', '.join(plan.left_out)}, whose code runs only "
                f"when they are named; give --arms {','.join(plan.left_out)}."
            )
        raise RequestError(
            f"{results} holds no planes that were asked for; bnbench run --keep-planes keeps them, "
            "for fits that are done together with --force."
        )
    if bare:
        say(f"skipped: {counted(bare, 'fit')} without a plane; bnbench run --keep-planes --force computes them anew")
    done = len(plan.tasks) - len(plan.to_run)
    slots = counted(len(request.execution.slots), "slot")
    say(f"{counted(len(plan.tasks), 'plane')}; {done} done, {len(plan.to_run)} to measure; {slots}; to {request.out}")


def _compute(plan: EvaluationPlan, request: EvaluationRequest) -> int:
    """Measure what is left with a line for each plane, and return how many failed."""
    from bnbench.evaluate.measure import evaluate_planes

    tasks, start, failed = plan.to_run, time.monotonic(), 0
    for number, evaluated in enumerate(evaluate_planes(tasks, request), 1):
        seconds = (time.monotonic() - start) / number * (len(tasks) - number)
        rest = f"; {len(tasks) - number} left, {duration(seconds)}" if number < len(tasks) else ""
        say(f"[{number}/{len(tasks)}] {evaluated}{rest}")
        failed += bool(evaluated.message)
    return failed


def _print_table(plan: EvaluationPlan, request: EvaluationRequest) -> None:
    """Print the mean readings under each policy that was asked for, one block for each protocol."""
    from bnbench.measures.registry import SHORT_NAMES
    from bnbench.results.evaluations import mean_ensembles, mean_readings, read_done

    table = read_done([one for task in plan.tasks for one in task.evaluations], request.out)
    if table.empty:
        return
    for (protocol, split, images), means in mean_readings(table).groupby(["protocol", "split", "images"]):
        click.echo(f"{protocol}: means over trained pixels and fits, {images:,} {split} images")
        shown = means.drop(columns=["protocol", "split", "images"]).rename(columns=SHORT_NAMES)
        click.echo(shown.to_string(index=False, float_format=plain_number, na_rep="–"))
    if not request.with_ensembles:
        return
    for (protocol, split, images), means in mean_ensembles(table).groupby(["protocol", "split", "images"]):
        click.echo(f"{protocol}: accuracy of averaged black pixels, {images:,} {split} images")
        shown = means.drop(columns=["protocol", "split", "images"]).rename(columns=lambda name: name.replace("_", " "))
        click.echo(shown.to_string(index=False, float_format="{:.3f}".format))
