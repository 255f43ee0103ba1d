"""What ``bnbench run`` says before its fits and after them, to people or as lines of JSON."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any

import click

from bnbench.cli.options import say
from bnbench.cli.streams import drop_output
from bnbench.protocol.profiles import title
from bnbench.wording import counted, percent, plan_time

if TYPE_CHECKING:
    from bnbench.inputs.data import DataSet
    from bnbench.sweep.dask_cluster import Cluster
    from bnbench.sweep.execution import Execution, Outcome
    from bnbench.sweep.plan import Plan

_NAMED = 8  # slots that the plan names one by one


def announce(plan: Plan, execution: Execution, data: DataSet | None, as_json: bool, cluster: Cluster | None) -> None:
    """Say what will run and how long it will take; without ``data`` nothing is measured for it."""
    from bnbench.sweep.cost import estimate_seconds

    if cluster and data and plan.to_run:
        seconds = cluster.measure(estimate_seconds, plan, execution)
    else:
        seconds = estimate_seconds(plan, execution, data) if plan.to_run else 0.0
    if as_json:
        click.echo(json.dumps({**plan.as_dict(), **_described(execution), "seconds": seconds}))
        return
    protocol = plan.protocol
    images = protocol.images if protocol.content else protocol.data.dataset
    say(f"profile {title(protocol)} ({protocol.hash}), {images}, results in {plan.folder}")
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


class JsonLines:
    """Prints a line for each fit; once nobody takes them any more, the fits go on without."""

    def __init__(self) -> None:
        self.is_lost = False

    def __call__(self, outcome: Outcome) -> None:
        """Print a fit that has ended."""
        try:
            click.echo(json.dumps(outcome.as_dict()))
        except OSError as error:
            self.is_lost = True
            drop_output()
            say(f"bnbench: --json cannot be written any more ({error.strerror}); the fits go on")


def conclude(plan: Plan, execution: Execution, outcomes: list[Outcome], *, is_local: bool) -> None:
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

    from bnbench.mpo.flops import matmul_gflops
    from bnbench.sweep.devices import prepare_process

    prepare_process(execution.threads)
    peak, rate = matmul_gflops(execution.slots[0].device), median(rates)
    share = f"{percent(rate / peak)} of the matmul peak of {peak:.0f}"
    return f"while training, a fit ran at {rate:.2g} GFLOP/s (median), {share}"
