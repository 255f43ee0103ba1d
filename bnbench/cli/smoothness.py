"""``bnbench smoothness``."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click
from click.core import ParameterSource

from bnbench.cli.help_in_groups import GroupedCommand
from bnbench.cli.options import (
    COUNT,
    FOLDER,
    Text,
    arms_option,
    chosen_data,
    data_option,
    image_options,
    integer,
    profile_option,
    say,
    say_first,
)
from bnbench.cli.paths import RESULTS
from bnbench.errors import RequestError
from bnbench.protocol.parsing import parse_seeds
from bnbench.protocol.profiles import PROFILES, folder_name
from bnbench.wording import counted, duration, percent

if TYPE_CHECKING:
    from bnbench.results.smoothness import Measured
    from bnbench.sweep.execution import Execution


@click.command(cls=GroupedCommand)
@profile_option("compact")
@click.option(
    "--seeds",
    type=Text("LIST", parse_seeds),
    default="5",
    show_default=True,
    help="Number of networks of each arm, or seeds such as 101,103.",
)
@arms_option
@click.option("--steps", type=integer(1), default=600, show_default=True, help="Training steps.")
@click.option("--points", type=integer(1, 1000), default=4, show_default=True, help="Steps measured after the first.")
@click.option("--batch", type=integer(2), default=64, show_default=True, help="Images of a minibatch.")
@click.option("--minibatches", type=COUNT, default=4, show_default=True, help="Minibatches measured, and averaged.")
@click.option(
    "--probes", type=integer(30), default=30, show_default=True, help="Random vectors of a trace, at least 30."
)
@click.option(
    "--planes",
    type=RESULTS,
    metavar="RESULTS",
    help="Instead: measure black pixels of the planes that bnbench run --keep-planes kept in this results folder.",
)
@click.option("--pixels", type=integer(1, 1000), default=3, show_default=True, help="Pixels of each plane.")
@click.option("--out", type=FOLDER, help="Results folder.  [default: results/PROFILE]")
@click.option("--jobs", type=COUNT, default=1, show_default=True, help="Networks at once.")
@click.option("--threads", type=COUNT, default=1, show_default=True, help="Processor threads of each.")
@data_option
@image_options
@click.option("--dry-run", is_flag=True, help="Print the plan and start nothing.")
def smoothness(
    profile: str,
    seeds: tuple[int, ...],
    arms: tuple[str, ...],
    steps: int,
    points: int,
    batch: int,
    minibatches: int,
    probes: int,
    planes: Path | None,
    pixels: int,
    out: Path | None,
    jobs: int,
    threads: int,
    data: tuple[str, Path | None] | None,
    data_folder: Path | None,
    download: bool,
    dry_run: bool,
) -> None:
    """Measure the smoothness of ordinary networks along ordinary training, as the field does.

    Leaves a file for each arm and seed in the folder smoothness of the results; bnbench report shows them beside the
    fits there. What is done is skipped: the same command goes on where it was stopped. With --planes, black pixels
    of fitted planes are measured in the same way: of all seeds without --seeds, of all built-in arms without --arms.

    Ordinary networks have no mask. Where their results name a mask size, it is the profile's, and the report shows them
    beside fits of that size; with --planes it is that of the planes.
    """
    say_first("the plan follows")
    from bnbench.results.smoothness_settings import PlaneSettings, SmoothnessSettings
    from bnbench.smoothness.fitted_planes import PlanesRequest, planned_planes
    from bnbench.smoothness.networks import SmoothnessRequest, planned
    from bnbench.smoothness.run import seconds_of_fits
    from bnbench.sweep.devices import DeviceRequest
    from bnbench.sweep.execution import Execution

    _refuse_what_is_of_no_use(with_planes=planes is not None)
    where = DeviceRequest("cpu", jobs, None, threads)
    dataset, data_folder = chosen_data(data, None, data_folder)
    execution = Execution(where.slots(), data_folder=data_folder, download=download, devices=where)
    how = f"measured on {minibatches} × {batch} images"
    if planes:
        told = PlaneSettings(batch, minibatches, pixels, probes)
        chosen, replicates = (arms if _is_given("arms") else ()), (seeds if _is_given("seeds") else ())
        found = planned_planes(PlanesRequest(planes, told, chosen, replicates, execution))
        for message in found.broken:
            say(f"skipped: {message}")
        if found.without_plane:
            say(f"skipped: {counted(found.without_plane, 'fit')} without a plane")
        what = f"{counted(len(found.asked), 'plane')} of {counted(pixels, 'black pixel')}, {how}"
        beside = found.fit_seconds, "what their fits took"
        _measure(what, found.asked, found.left, planes, execution, dry_run, beside)
        return
    protocol = PROFILES[profile].with_knobs(**({"dataset": dataset} if dataset else {}))
    request = SmoothnessRequest(
        protocol,
        SmoothnessSettings(steps, batch, minibatches, points, probes),
        arms,
        seeds,
        out or Path("results") / folder_name(protocol),
        execution,
    )
    asked, left = planned(request)
    what = f"{counted(len(asked), 'network')} of {counted(steps, 'step')}, {how}"
    beside = seconds_of_fits(left, execution), "what fits of these arms and seeds would take"
    _measure(what, asked, left, request.out, execution, dry_run, beside)


def _refuse_what_is_of_no_use(*, with_planes: bool) -> None:
    """Refuse options that belong to the other place where measures are taken.

    Raises:
        RequestError: the command line has one.
    """
    for name in ("profile", "steps", "points", "out", "data") if with_planes else ("pixels",):
        if _is_given(name) and with_planes:
            raise RequestError(f"--{name} does not go with --planes, whose folder has a protocol and networks already.")
        if _is_given(name):
            raise RequestError(f"--{name} needs --planes, which says of which planes.")


def _is_given(name: str) -> bool:
    return click.get_current_context().get_parameter_source(name) is ParameterSource.COMMANDLINE


def _measure(
    what: str,
    asked: Sequence[Measured],
    left: Sequence[Measured],
    out: Path,
    execution: Execution,
    dry_run: bool,
    beside: tuple[float, str],
) -> None:
    """Say the plan and what it costs, then measure what is left with a line for each; exit with 1 where some fail.

    Args:
        what: is measured, in words.
        asked: networks or planes.
        left: those of them that are left to do.
        out: results folder.
        execution: slots.
        dry_run: whether the plan is all.
        beside: seconds of fits on one slot that the cost is held to, and which these are in words.
    """
    from bnbench.smoothness.run import estimated_seconds, measure_all

    cost = ""
    if left:
        seconds = estimated_seconds(left, execution)
        cost = f", about {duration(seconds)}"
        fit_seconds, of_which = beside
        if fit_seconds:
            share = seconds * min(len(execution.slots), len(left)) / fit_seconds
            cost += f" ({percent(share)} of {of_which})"
    say(f"{what}; {len(asked) - len(left)} done, {len(left)} left{cost}; to {out}")
    if dry_run or not left:
        return
    start, failed = time.monotonic(), 0
    for number, ended in enumerate(measure_all(left, out, execution), 1):
        seconds = (time.monotonic() - start) / number * (len(left) - number)
        rest = f"; {len(left) - number} left, {duration(seconds)}" if number < len(left) else ""
        say(f"[{number}/{len(left)}] {ended}{rest}")
        failed += ended.is_failed
    say(f"figures, tables and a page of it: bnbench report {out}")
    if failed:
        say(f"{failed} failed; the same command tries again.")
        sys.exit(1)
