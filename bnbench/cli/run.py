"""``bnbench run``."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from bnbench.cli.announce import JsonLines, announce, conclude
from bnbench.cli.config import ConfiguredCommand, config_option, given_options
from bnbench.cli.options import (
    COUNT,
    FOLDER,
    SECONDS,
    SHARD,
    Text,
    arms_option,
    execution_of,
    image_options,
    knob_options,
    machine_options,
    say,
)
from bnbench.protocol.parsing import parse_probs, parse_seeds
from bnbench.protocol.profiles import PROFILES, folder_name
from bnbench.protocol.protocol import SECTIONS, Grid, Protocol

if TYPE_CHECKING:
    from bnbench.inputs.data import DataSet
    from bnbench.sweep.dask_cluster import Cluster
    from bnbench.sweep.execution import Execution, Outcome
    from bnbench.sweep.plan import Plan


@click.command(cls=ConfiguredCommand)
@click.option(
    "--profile", type=click.Choice(list(PROFILES)), default="compact", show_default=True, help="Protocol to follow."
)
@click.option(
    "--probs", type=Text("LIST", parse_probs), default="0.1:0.9:0.1", show_default=True, help="Fill probabilities."
)
@click.option(
    "--seeds", type=Text("LIST", parse_seeds), default="5", show_default=True, help="Count, or seeds such as 101,103."
)
@arms_option
@click.option("--out", type=FOLDER, help="Results folder.  [default: results/PROFILE]")
@machine_options
@image_options
@click.option("--chunk", type=COUNT, help="Pixels computed at once.  [default: measured, once per results folder]")
@click.option(
    "--checkpoint-every",
    type=SECONDS,
    default=120.0,
    show_default=True,
    help="Seconds between two checkpoints of a fit.",
)
@click.option(
    "--fit-timeout",
    type=SECONDS,
    help="Seconds after which a fit that is not done counts as failed.  [default: no limit]",
)
@click.option("--keep-planes", is_flag=True, help="Keep each fit's plane too, for bnbench evaluate.")
@click.option("--shard", type=SHARD, default="1/1", help="Every M-th fit of the grid from the N-th on, for job arrays.")
@click.option(
    "--backend",
    type=click.Choice(["process", "dask", "inline"]),
    default="process",
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
def run(**options: Any) -> None:
    """Fit planes to seeded random masks and measure their landscapes.

    Finished fits are kept, and a fit that was cut off goes on from its last checkpoint: the same command goes
    on where it was stopped. Every option below --dry-run changes the profile's protocol; its results then go
    to a folder of their own.
    """
    from bnbench.cli.backend import connected
    from bnbench.results import store

    knobs = {knob.name: options[knob.name] for section in SECTIONS.values() for knob in fields(section)}
    protocol = PROFILES[options["profile"]].with_knobs(
        **{name: value for name, value in knobs.items() if value is not None}
    )
    grid = Grid(options["arms"], options["probs"], options["seeds"])
    folder = options["out"] or Path("results") / folder_name(protocol)
    store.check_folder(folder, protocol, with_images=False)
    with connected(options) as cluster:
        _sweep(protocol, grid, options, cluster)


def _sweep(protocol: Protocol, grid: Grid, options: dict[str, Any], cluster: Cluster | None) -> None:
    from bnbench.results import store
    from bnbench.results.asked import effective_config, write_config
    from bnbench.sweep.plan import check_request

    execution = execution_of(
        options, cluster, **{name: options[name] for name in ("checkpoint_every", "fit_timeout", "keep_planes")}
    )
    data = check_request(grid, protocol, execution)
    protocol = replace(protocol, content=data.content)
    folder = options["out"] or Path("results") / folder_name(protocol)
    store.check_folder(folder, protocol)
    plan = _plan(folder, protocol, grid, options)
    kept = _kept_chunk(plan)
    execution = replace(execution, chunk=options["chunk"] or kept or execution.chunk)
    if options["dry_run"]:
        announce(plan, execution, None, options["as_json"], cluster)
        sys.exit(1 if plan.broken or plan.failed else 0)
    store.open_folder(folder, protocol)
    write_config(folder, effective_config(protocol, grid, given_options(click.get_current_context())))
    execution = _with_chunk(options["chunk"], kept, plan, execution, data, cluster)
    announce(plan, execution, data, options["as_json"], cluster)
    lines = JsonLines() if options["as_json"] else None
    outcomes = _compute(plan, execution, options, cluster, lines)
    conclude(plan, execution, outcomes, is_local=cluster is None)
    if lines and lines.is_lost:
        sys.exit(1)


def _plan(folder: Path, protocol: Protocol, grid: Grid, options: dict[str, Any]) -> Plan:
    """The plan; with ``--force`` as if nothing were there, and in a real run nothing is."""
    from bnbench.sweep.plan import plan_sweep, set_aside

    number, shards = options["shard"]
    keys = grid.fits()[number - 1 :: shards]
    if options["force"] and not options["dry_run"] and (aside := set_aside(folder, keys)):
        say(f"what was there is in {aside}")
    plan = plan_sweep(folder, protocol, grid, shard=(number, shards), retry_failed=options["retry_failed"])
    return replace(plan, done={}, failed={}, broken=[], to_run=keys) if options["force"] else plan


def _kept_chunk(plan: Plan) -> int | None:
    """The chunk that a results folder was started with; where its file does not tell, that of its fits, and said so."""
    from statistics import mode

    from bnbench.results.chunks import read_chunk
    from bnbench.results.store import StoreError

    try:
        return read_chunk(plan.folder)
    except StoreError as error:
        known = [int(origin["chunk"]) for origin in plan.done.values() if "chunk" in origin]
        said = f"its fits were computed {mode(known)} at once" if known else "no fit that is done tells it either"
        say(f"{error} Here {said}.")
        return mode(known) if known else None


def _with_chunk(
    asked: int | None, kept: int | None, plan: Plan, execution: Execution, data: DataSet, cluster: Cluster | None
) -> Execution:
    """The chunk that was asked for, else the one that the results folder was started with, else the fastest."""
    from bnbench.results.chunks import keep_chunk
    from bnbench.sweep.cost import choose_chunk

    if not plan.to_run:
        return execution
    chunk = asked or kept
    if chunk is None:
        chunk = cluster.measure(choose_chunk, plan, execution) if cluster else choose_chunk(plan, execution, data)
    first = keep_chunk(plan.folder, kept or chunk)  # another shard may have been quicker: its choice holds
    if kept is None:
        chunk = asked or first
    elif asked not in (None, kept) and plan.done:
        say(f"--chunk {asked}: {plan.folder} was computed {kept} pixels at once so far; sums are rounded otherwise now")
    return replace(execution, chunk=chunk)


def _compute(
    plan: Plan,
    execution: Execution,
    options: dict[str, Any],
    cluster: Cluster | None,
    on_outcome: Callable[[Outcome], None] | None,
) -> list[Outcome]:
    from bnbench.cli.backend import backend_for
    from bnbench.sweep.runner import Sweeping
    from bnbench.sweep.watching import watch

    with backend_for(options["backend"], plan, execution, cluster) as backend:
        sweeping = Sweeping(plan, execution, backend, fail_fast=options["fail_fast"], is_remote=cluster is not None)
        return watch(sweeping, on_outcome)
