"""``bnbench smoothness``."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import click

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
)
from bnbench.protocol.parsing import parse_seeds
from bnbench.protocol.profiles import PROFILES, folder_name
from bnbench.wording import counted, duration


@click.command(cls=GroupedCommand)
@profile_option("compact")
@click.option(
    "--seeds", type=Text("LIST", parse_seeds), default="5", show_default=True, help="Count, or seeds such as 101,103."
)
@arms_option
@click.option("--steps", type=integer(1), default=600, show_default=True, help="Training steps.")
@click.option("--points", type=integer(1, 1000), default=4, show_default=True, help="Steps measured after the first.")
@click.option("--batch", type=integer(2), default=64, show_default=True, help="Images of a minibatch.")
@click.option("--minibatches", type=COUNT, default=4, show_default=True, help="Minibatches measured, and averaged.")
@click.option("--probes", type=integer(30), default=30, show_default=True, help="Random vectors of a trace.")
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
    fits there. What is done is skipped: the same command goes on where it was stopped.
    """
    from bnbench.results.smoothness import SmoothnessSettings
    from bnbench.smoothness.run import SmoothnessRequest, estimated_seconds, measure_networks, planned
    from bnbench.sweep.devices import DeviceRequest
    from bnbench.sweep.execution import Execution

    dataset, data_folder = chosen_data(data, None, data_folder)
    protocol = PROFILES[profile].with_knobs(**({"dataset": dataset} if dataset else {}))
    where = DeviceRequest("cpu", jobs, None, threads)
    request = SmoothnessRequest(
        protocol,
        SmoothnessSettings(steps, batch, minibatches, points, probes),
        arms,
        seeds,
        out or Path("results") / folder_name(protocol),
        Execution(where.slots(), data_folder=data_folder, download=download, devices=where),
    )
    asked, left = planned(request)
    cost = f", about {duration(estimated_seconds(left, request))}" if left else ""
    say(
        f"{counted(len(asked), 'network')} of {counted(steps, 'step')}, measured on {minibatches} × {batch} images; "
        f"{len(asked) - len(left)} done, {len(left)} left{cost}; to {request.out}"
    )
    if dry_run or not left:
        return
    start, failed = time.monotonic(), 0
    for number, ended in enumerate(measure_networks(left, request), 1):
        seconds = (time.monotonic() - start) / number * (len(left) - number)
        rest = f"; {len(left) - number} left, {duration(seconds)}" if number < len(left) else ""
        say(f"[{number}/{len(left)}] {ended}{rest}")
        failed += ended.is_failed
    if failed:
        say(f"{counted(failed, 'network')} failed; the same command tries again.")
        sys.exit(1)
