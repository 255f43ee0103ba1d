"""``bnbench run``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from bnbench.cli.config import ConfiguredCommand, config_option
from bnbench.cli.options import (
    COUNT,
    FOLDER,
    SECONDS,
    SHARD,
    STEPS,
    Text,
    arms_option,
    checkpoint_option,
    chosen_data,
    data_option,
    image_options,
    integer,
    knob_options,
    machine_options,
    picture_options,
    profile_option,
    say_first,
)
from bnbench.process.loading import timed_loading
from bnbench.protocol.mask_request import check_mask_request
from bnbench.protocol.measured_steps import MeasuredSteps
from bnbench.protocol.parsing import parse_folder, parse_probs, parse_seeds
from bnbench.protocol.profile_values import naming_the_profile
from bnbench.protocol.profiles import PROFILES
from bnbench.protocol.protocol import Grid
from bnbench.sweep.backends import BACKENDS, make_backend


@click.command(cls=ConfiguredCommand)
@profile_option("compact")
@click.option(
    "--probs",
    type=Text("LIST", parse_probs),
    default="0.1:0.9:0.1",
    show_default=True,
    help="Fill probabilities: the chance that a pixel is black.",
)
@click.option(
    "--seeds",
    type=Text("LIST", parse_seeds),
    default="5",
    show_default=True,
    help="Number of masks at each p, or seeds such as 101,103.",
)
@arms_option
@click.option(
    "--mask",
    type=Text("PATH", parse_folder),
    help="Picture in place of random masks, or a folder of pictures; the longer side comes from --mask-size.",
)
@picture_options
@click.option("--out", type=FOLDER, help="Results folder.  [default: results/PROFILE]")
@machine_options
@data_option
@image_options
@click.option("--chunk", type=COUNT, help="Pixels computed at once.  [default: measured, once per results folder]")
@checkpoint_option(120.0)
@click.option(
    "--fit-timeout",
    type=SECONDS,
    help="Seconds after which a fit that is not done counts as failed.  [default: no limit]",
)
@click.option(
    "--fit-memory",
    type=integer(1),
    help="MiB of main memory beyond which a fit's process ends and the fit counts as failed.  [default: no limit]",
)
@click.option("--keep-planes", is_flag=True, help="Keep each fit's plane too, for bnbench evaluate.")
@click.option(
    "--measure-at",
    type=STEPS,
    help="Measure each fit on the way too: at 12 steps spaced by the logarithm, or at 100,300,1000.",
)
@click.option("--shard", type=SHARD, default="1/1", help="Every M-th fit of the grid from the N-th on, for job arrays.")
@click.option(
    "--backend",
    type=click.Choice(list(BACKENDS)),
    default=next(iter(BACKENDS)),
    show_default=True,
    help="Where fits run: processes of this machine, a Dask cluster, or this very process, for a debugger.",
)
@click.option("--scheduler", metavar="ADDRESS", help="Dask scheduler.  [default: one of this machine's own]")
@click.option("--retry-failed", is_flag=True, help="Run fits again that have failed.")
@click.option("--force", is_flag=True, help="Run every fit again; what is there is moved aside, not deleted.")
@click.option("--fail-fast", is_flag=True, help="Stop at the first fit that fails.")
@config_option
@click.option("--json", "as_json", is_flag=True, help="Print the plan, then each fit as it ends, as lines of JSON.")
@click.option("--dry-run", is_flag=True, help="Print the plan and start nothing.")
@knob_options
def run(
    profile: str,
    probs: tuple[float, ...],
    seeds: tuple[int, ...],
    arms: tuple[str, ...],
    mask: Path | None,
    grey_level: float | None,
    invert: bool,
    out: Path | None,
    devices: str,
    per_device: int | None,
    jobs: int | None,
    threads: int,
    data: tuple[str, Path | None] | None,
    data_folder: Path | None,
    download: bool,
    chunk: int | None,
    checkpoint_every: float,
    fit_timeout: float | None,
    fit_memory: int | None,
    keep_planes: bool,
    measure_at: MeasuredSteps | None,
    shard: tuple[int, int],
    backend: str,
    scheduler: str | None,
    retry_failed: bool,
    force: bool,
    fail_fast: bool,
    config: Path | None,
    as_json: bool,
    dry_run: bool,
    **knobs: Any,
) -> None:
    """Fit planes to seeded random masks, or to pictures, and measure their landscapes.

    Finished fits are kept, and a fit that was cut off goes on from its last checkpoint: the same command goes
    on where it was stopped. An option of the protocol changes what the profile says; its results then go to a
    folder of their own.
    """
    knobs["dataset"], data_folder = chosen_data(data, knobs["dataset"], data_folder)
    if mask:
        knobs["picture"] = None  # that of a --config gives way
    sizes = knobs.pop("mask_size") or (PROFILES[profile].mask.mask_size,)
    has_probs = click.get_current_context().get_parameter_source("probs") is ParameterSource.COMMANDLINE
    check_mask_request(mask, sizes, grey_level, invert=invert, has_probs=has_probs)
    if len(sizes) == 1:
        knobs["mask_size"] = sizes[0]
    knobs = {name: value for name, value in knobs.items() if value is not None}
    with naming_the_profile(PROFILES[profile], knobs):
        protocol = PROFILES[profile].with_knobs(**knobs)
    say_first("the plan follows")
    with timed_loading():
        from bnbench.cli.listeners import JsonLines
        from bnbench.sweep.devices import DeviceRequest
        from bnbench.sweep.execution import Execution
        from bnbench.sweep.messages import Messages
        from bnbench.sweep.request import SweepRequest
        from bnbench.sweep.several import run_sweeps

    execution = Execution(
        data_folder=data_folder,
        download=download,
        checkpoint_every=checkpoint_every,
        devices=DeviceRequest(devices, jobs, per_device, threads),
        keep_planes=keep_planes,
        measure_at=measure_at,
        fit_timeout=fit_timeout,
        fit_memory=fit_memory,
    )
    request = SweepRequest(
        protocol,
        Grid(arms, probs, seeds),
        out,
        execution,
        chunk,
        shard,
        retry_failed=retry_failed,
        force=force,
        fail_fast=fail_fast,
        dry_run=dry_run,
    )
    listener = JsonLines() if as_json else Messages()
    pictures = None
    if mask:
        from bnbench.inputs.pictures import read_pictures  # Pillow and matplotlib, which random masks do without

        pictures = read_pictures(mask, max(sizes[0]), grey_level, invert=invert)
    place, is_folder = make_backend(backend, scheduler), mask is not None and mask.is_dir()
    ended = run_sweeps(request, place, listener, sizes=sizes, pictures=pictures, is_folder=is_folder)
    has_lost_reader = isinstance(listener, JsonLines) and listener.has_lost_reader
    if has_lost_reader or any(one.failed or one.plan.broken for one in ended.each.values()):
        sys.exit(1)
