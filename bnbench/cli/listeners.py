"""What ``bnbench run --json`` and ``bnbench check`` say of a sweep where it differs from what any sweep says."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path

import click

from bnbench.cli.options import say
from bnbench.cli.streams import drop_output
from bnbench.sweep.execution import Execution, Outcome
from bnbench.sweep.messages import Messages
from bnbench.sweep.plan import Plan
from bnbench.sweep.request import EndedSweep
from bnbench.sweep.runner import Runner
from bnbench.sweep.watching import run_and_show
from bnbench.wording import counted


class JsonLines(Messages):
    """Prints the plan and each fit as a line of JSON; once nobody takes them any more, the fits go on without."""

    has_lost_reader = False

    def planned(self, plan: Plan, execution: Execution, estimate: Callable[[], float | None]) -> None:
        """Print the plan."""
        slots = None if execution.measures_slots else [str(slot) for slot in execution.slots]
        how = {"slots": slots, "threads": execution.threads, "chunk": execution.chunk or None}
        click.echo(json.dumps({**plan.as_dict(), **how, "seconds": estimate()}))

    def planned_several(self, planned: Sequence[EndedSweep], seconds: float | None, what: str) -> None:
        """Print the plans of all mask sizes or pictures together."""
        plans = [swept.plan for swept in planned]
        counts = {name: sum(len(getattr(plan, name)) for plan in plans) for name in ("done", "failed", "to_run")}
        folders = [str(plan.folder) for plan in plans]
        click.echo(
            json.dumps({f"{what.replace(' ', '_')}s": len(plans), "folders": folders, **counts, "seconds": seconds})
        )

    def run_through(self, runner: Runner) -> list[Outcome]:
        """Run the sweep, and print each fit as it ends."""
        return run_and_show(runner, self.print_outcome)

    def print_outcome(self, outcome: Outcome) -> None:
        """Print a fit that has ended."""
        try:
            click.echo(json.dumps(outcome.as_dict()))
        except OSError as error:
            self.has_lost_reader = True
            drop_output()
            say(f"bnbench: --json cannot be written any more ({error.strerror}); the fits go on")


class CheckMessages(Messages):
    """Tells of the fits of a check: how many there are, and how far they are."""

    def planned(self, plan: Plan, execution: Execution, estimate: Callable[[], float | None]) -> None:
        """Print how many fits there are, without their estimate: they take a minute."""
        self.note(f"{plan.grid}; {counted(len(execution.slots), 'slot')}")

    def ended(self, swept: EndedSweep) -> None:
        """Say nothing: the verdict counts the fits that failed."""

    def over(self, folder: Path) -> None:
        """Say nothing: the verdict is what there is to say."""
