"""``bnbench run``."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

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
from bnbench.parsing import parse_probs, parse_seeds
from bnbench.profiles import PROFILES, folder_name, title
from bnbench.protocol import SECTIONS, Grid, Protocol
from bnbench.wording import counted, percent, plan_time

if TYPE_CHECKING:
    from bnbench.cluster import Cluster
    from bnbench.data import DataSet
    from bnbench.execution import Execution, Outcome
    from bnbench.plan import Plan

_NAMED = 8  # slots that the plan names one by one


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
    from bnbench import store
    from bnbench.cli.backend import connected

    knobs = {knob.name: options[knob.name] for section in SECTIONS.values() for knob in fields(section)}
    protocol = PROFILES[options["profile"]].with_knobs(
        **{name: value for name, value in knobs.items() if value is not None}
    )
    grid = Grid(options["arms"], options["probs"], options["seeds"])
    folder = options["out"] or Path("results") / folder_name(protocol)
    store.check_folder(folder, protocol)
    with connected(options) as cluster:
        _sweep(folder, protocol, grid, options, cluster)


def _sweep(folder: Path, protocol: Protocol, grid: Grid, options: dict[str, Any], cluster: Cluster | None) -> None:
    from bnbench import store
    from bnbench.config import effective_config, write_config
    from bnbench.plan import check_request

    execution = execution_of(
        options, cluster, **{name: options[name] for name in ("checkpoint_every", "fit_timeout", "keep_planes")}
    )
    data = check_request(grid, protocol, execution)
    plan = _plan(folder, protocol, grid, options)
    execution = replace(execution, chunk=options["chunk"] or store.read_chunk(folder) or execution.chunk)
    if options["dry_run"]:
        _announce(plan, execution, None, options["as_json"], cluster)
        sys.exit(1 if plan.broken or plan.failed else 0)
    store.open_folder(folder, protocol)
    write_config(folder, effective_config(protocol, grid, given_options(click.get_current_context())))
    execution = _with_chunk(options["chunk"], plan, execution, data, cluster)
    _announce(plan, execution, data, options["as_json"], cluster)
    outcomes = _compute(plan, execution, options, cluster)
    _conclude(plan, execution, outcomes, is_local=cluster is None)


def _plan(folder: Path, protocol: Protocol, grid: Grid, options: dict[str, Any]) -> Plan:
    """The plan; with ``--force`` as if nothing were there, and in a real run nothing is."""
    from bnbench.plan import plan_sweep, set_aside

    number, shards = options["shard"]
    keys = grid.fits()[number - 1 :: shards]
    if options["force"] and not options["dry_run"] and (aside := set_aside(folder, keys)):
        say(f"what was there is in {aside}")
    plan = plan_sweep(folder, protocol, grid, shard=(number, shards), retry_failed=options["retry_failed"])
    return replace(plan, done={}, failed={}, broken=[], to_run=keys) if options["force"] else plan


def _with_chunk(
    asked: int | None, plan: Plan, execution: Execution, data: DataSet, cluster: Cluster | None
) -> Execution:
    """The chunk that was asked for, else the one that the results folder was started with, else the fastest."""
    from bnbench import store
    from bnbench.cost import choose_chunk

    kept = store.read_chunk(plan.folder)
    if not plan.to_run:
        return execution
    chunk = asked or kept
    if chunk is None:
        chunk = cluster.measure(choose_chunk, plan, execution) if cluster else choose_chunk(plan, execution, data)
    if kept is None:
        first = store.keep_chunk(plan.folder, chunk)  # another shard may have been quicker: its choice holds
        chunk = asked or first
    elif asked not in (None, kept) and plan.done:
        say(f"--chunk {asked}: {plan.folder} was computed {kept} pixels at once so far; sums are rounded otherwise now")
    return replace(execution, chunk=chunk)


def _announce(plan: Plan, execution: Execution, data: DataSet | None, as_json: bool, cluster: Cluster | None) -> None:
    """Say what will run and how long it will take; without ``data`` nothing is measured for it."""
    from bnbench.cost import estimate_seconds

    if cluster and data and plan.to_run:
        seconds = cluster.measure(estimate_seconds, plan, execution)
    else:
        seconds = estimate_seconds(plan, execution, data) if plan.to_run else 0.0
    if as_json:
        click.echo(json.dumps({**plan.as_dict(), **_described(execution), "seconds": seconds}))
        return
    protocol = plan.protocol
    say(f"profile {title(protocol)} ({protocol.hash}), {protocol.data.dataset}, results in {plan.folder}")
    for message in plan.broken:
        say(f"skipped: {message}")
    if execution.keep_planes and (bare := plan.without_plane):
        they, them = ("it is", "it") if len(bare) == 1 else ("they are", "them")
        say(f"{counted(len(bare), 'fit')} done without keeping the plane, left as {they}; --force runs {them} again")
    names = [str(slot) for slot in execution.slots]
    slots = ", ".join(names) if len(names) <= _NAMED else f"{names[0]} … {names[-1]}"
    how = f"{counted(execution.threads, 'thread')} each, {counted(execution.chunk, 'pixel')} at once"
    line = f"{plan}; {counted(len(execution.slots), 'slot')} ({slots}), {how}"
    say(f"{line}; {plan_time(seconds)}" if plan.to_run else f"{line}; nothing to do")


def _described(execution: Execution) -> dict[str, Any]:
    slots = [str(slot) for slot in execution.slots]
    return {"slots": slots, "threads": execution.threads, "chunk": execution.chunk}


def _compute(plan: Plan, execution: Execution, options: dict[str, Any], cluster: Cluster | None) -> list[Outcome]:
    from bnbench.cli.backend import backend_for
    from bnbench.runner import Sweeping
    from bnbench.watching import watch

    on_outcome: Callable[[Outcome], None] | None = _print_json if options["as_json"] else None
    with backend_for(options["backend"], plan, execution, cluster) as backend:
        sweeping = Sweeping(plan, execution, backend, fail_fast=options["fail_fast"], is_remote=cluster is not None)
        return watch(sweeping, on_outcome)


def _print_json(outcome: Outcome) -> None:
    click.echo(json.dumps(outcome.as_dict()))


def _conclude(plan: Plan, execution: Execution, outcomes: list[Outcome], *, is_local: bool) -> None:
    """The last lines: speed, and which fits failed and how to run them again."""
    rates = [outcome.gflops for outcome in outcomes if outcome.state == "done"]
    if rates and is_local:
        say(_speed_line(rates, execution))
    failed = {outcome.key: outcome.message for outcome in outcomes if outcome.state == "failed"}
    again = [outcome.key for outcome in outcomes if outcome.is_fatal]  # no fault of theirs: not on record
    failed |= {key: f"{failure}" for key, failure in plan.failed.items() if key not in failed}
    for key, message in failed.items():
        say(f"failed: {key}: {message}")
    if failed:
        how = "the same command" if len(again) == len(failed) else "the same command with --retry-failed"
        them = "it" if len(failed) == 1 else "them"
        say(f"{counted(len(failed), 'fit')} failed; {how} runs {them} again.")
    if plan.broken:
        say(f"{counted(len(plan.broken), 'file')} could not be read; the reasons are above.")
    if failed or plan.broken:
        sys.exit(1)


def _speed_line(rates: list[float], execution: Execution) -> str:
    """How near the fits came to what the device can do at best."""
    from statistics import median

    from bnbench.devices import prepare_process
    from bnbench.mpo.flops import matmul_gflops

    prepare_process(execution.threads)
    peak, rate = matmul_gflops(execution.slots[0].device), median(rates)
    share = f"{percent(rate / peak)} of the matmul peak of {peak:.0f}"
    return f"while training, a fit ran at {rate:.2g} GFLOP/s (median), {share}"
