"""What a sweep says to people, on stderr: before its fits, while they run, and after them."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from bnbench.protocol.arm_names import short_key, short_names
from bnbench.protocol.profiles import title
from bnbench.protocol.protocol import Protocol
from bnbench.sweep.execution import Execution, Outcome
from bnbench.sweep.plan import Plan
from bnbench.sweep.request import EndedSweep
from bnbench.sweep.result_lines import result_lines
from bnbench.sweep.runner import Runner
from bnbench.sweep.watching import run_and_show
from bnbench.wording import counted, on_one_line, plan_time, shell_word

_NAMED = 8  # slots that the plan names one by one


class Listener:
    """Takes what a sweep has to say, and prints nothing."""

    def note(self, sentence: str) -> None:
        """Take a sentence that the user should know."""

    def planned(self, plan: Plan, execution: Execution, estimate: Callable[[], float | None]) -> None:
        """Take the plan, before anything is computed.

        Args:
            plan: what is done and what will run.
            execution: how.
            estimate: says how many seconds it will take, None where that is unknown; it may time some steps first.
        """

    def planned_several(self, planned: Sequence[EndedSweep], seconds: float | None, what: str) -> None:
        """Take the plans of several mask sizes or pictures, before anything is computed.

        Args:
            planned: a dry run of each.
            seconds: how many all of them will take, None where that is unknown.
            what: in what they differ, ``mask size`` or ``picture``.
        """

    def run_through(self, runner: Runner) -> list[Outcome]:
        """Run the sweep to its end, and return each outcome."""
        return list(runner.outcomes())

    def ended(self, swept: EndedSweep) -> None:
        """Take how the sweep ended."""

    def over(self, folder: Path) -> None:
        """Take, after all of it, the folder that holds every fit."""


class Messages(Listener):
    """Tells people on stderr: the plan, bars on a terminal or lines in a log, and which fits failed."""

    def note(self, sentence: str) -> None:
        """Print a sentence."""
        print(on_one_line(sentence), file=sys.stderr, flush=True)

    def planned(self, plan: Plan, execution: Execution, estimate: Callable[[], float | None]) -> None:
        """Print what will run and how long it will take."""
        seconds = estimate()
        protocol = plan.protocol
        images = protocol.images if protocol.content else protocol.data.dataset
        self.note(f"profile {title(protocol)} ({protocol.hash}), {images}, results in {plan.folder}")
        for message in plan.broken:
            self.note(f"skipped: {message}")
        for line in _more_than_there_are(protocol):
            self.note(line)
        if execution.keep_planes:
            self._note_left(len(plan.without_plane), "keeping the plane")
        if execution.measure_at:
            self._note_left(len(plan.without_course), "measuring at all of these steps")
        pixels = counted(execution.chunk, "pixel") if execution.chunk else "as many pixels as prove fastest"
        how = f"{counted(execution.threads, 'thread')} each, {pixels} at once"
        line = f"{plan}; {_places(execution)}, {how}"
        self.note(f"{line}; {plan_time(seconds)}" if plan.to_run else f"{line}; nothing to do")

    def _note_left(self, count: int, without: str) -> None:
        """Say how many finished fits lack what is asked for now, if there are any."""
        if count:
            they, them = ("it is", "it") if count == 1 else ("they are", "them")
            done = f"{counted(count, 'fit')} done without {without}"
            self.note(f"{done}, left as {they}; --force runs {them} again")

    def planned_several(self, planned: Sequence[EndedSweep], seconds: float | None, what: str) -> None:
        """Print how much of all is done and will run, and how long it will take."""
        plans = [swept.plan for swept in planned]
        fits = sum(len(plan.grid.shard(*plan.shard)) for plan in plans)
        done, to_run = sum(len(plan.done) for plan in plans), sum(len(plan.to_run) for plan in plans)
        line = f"{counted(len(plans), what)}: {counted(fits, 'fit')} in all; {done:,} done, {to_run:,} to run"
        self.note(f"{line}; {plan_time(seconds)}" if to_run else f"{line}; nothing to do")

    def run_through(self, runner: Runner) -> list[Outcome]:
        """Run the sweep, and show how far it is."""
        return run_and_show(runner)

    def ended(self, swept: EndedSweep) -> None:
        """Print which fits failed and how to run them again, and what the others say."""
        failed = swept.failed
        names = short_names(swept.plan.grid.arms)
        for key, message in failed.items():
            self.note(f"failed: {short_key(key, names)}: {message}")
        if failed:
            not_on_record = sum(outcome.is_fatal for outcome in swept.outcomes)  # the disk's fault, not the fit's
            how = "the same command" if not_on_record == len(failed) else "the same command with --retry-failed"
            them = "it" if len(failed) == 1 else "them"
            self.note(f"{counted(len(failed), 'fit')} failed; {how} runs {them} again.")
        if swept.plan.broken:
            self.note(f"{counted(len(swept.plan.broken), 'file')} could not be read; the reasons are above.")
        for line in result_lines(swept.plan):
            self.note(line)

    def over(self, folder: Path) -> None:
        """Print the command that looks at all of it, unless it was moved or deleted in the meantime."""
        if folder.is_dir():
            self.note(f"figures, tables and a page of it: bnbench report {shell_word(folder)}")


def _more_than_there_are(protocol: Protocol) -> list[str]:
    """Say where a step is to draw more pixels of a colour than the mask has in all: it draws those that there are."""
    there = math.prod(protocol.mask.mask_size)
    return [
        f"--{colour}-pixels {asked}: the mask has {there} pixels in all, so that each step takes every trained "
        f"{colour} pixel, as it would with --{colour}-pixels {there}; results of the two are kept apart"
        for colour, asked in (("black", protocol.training.black_pixels), ("white", protocol.training.white_pixels))
        if asked > there
    ]


def _places(execution: Execution) -> str:
    """Say where fits run: on which slots, or on which GPUs where how many of them share one is yet to be measured."""
    slots = execution.slots
    names = [slot.device if execution.measures_slots else str(slot) for slot in slots]
    listed = ", ".join(names) if len(names) <= _NAMED else f"{names[0]} … {names[-1]}"
    if execution.measures_slots:
        return f"{counted(len(slots), 'GPU')} ({listed}), as many fits on each as prove fastest"
    return f"{counted(len(slots), 'slot')} ({listed})"
