"""What a person sees while a sweep runs: bars on a terminal, a line per start and end elsewhere."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn

from bnbench.protocol.arm_names import short_key, short_names
from bnbench.protocol.protocol import FitKey
from bnbench.results import claims
from bnbench.sweep.execution import Outcome
from bnbench.sweep.pace import seconds_left
from bnbench.sweep.runner import Runner
from bnbench.sweep.silence import Silence
from bnbench.wording import duration, on_one_line

_LOOK_EVERY = 0.5  # seconds


def run_and_show(runner: Runner, on_outcome: Callable[[Outcome], None] | None = None) -> list[Outcome]:
    """Run a sweep and show how far it is, on stderr.

    Args:
        runner: what runs it.
        on_outcome: called with each outcome too; it may write to stdout.

    Raises:
        Interrupted: a signal has stopped the sweep.
    """
    console = Console(stderr=True, highlight=False, emoji=False, force_jupyter=False)
    # In a notebook, too, they are lines on stderr. Lines for a machine on the same terminal would tear bars apart.
    has_bars = console.is_terminal and not (on_outcome and sys.stdout.isatty())
    view = _Bars(runner, console) if has_bars else _Lines(runner, console)
    outcomes: list[Outcome] = []
    with view:
        for outcome in runner.outcomes():
            outcomes.append(outcome)
            view.ended(outcome)
            if on_outcome:
                on_outcome(outcome)
    return outcomes


class _Lines:
    """Prints a line when a fit starts and one when it ends, for logs."""

    def __init__(self, runner: Runner, console: Console) -> None:
        self.runner, self.console = runner, console
        self.names = short_names(runner.plan.grid.arms)
        self.total = len(runner.left)
        self.done = 0
        self.times = _known_times(runner)
        self.under_way: list[claims.Progress] = []  # in this folder, also by other runners
        self.announced: set[FitKey] = set()
        self.is_stopping = False
        self.silence = Silence(time.monotonic())
        self.is_over = threading.Event()
        self.thread = threading.Thread(target=self._look, daemon=True)

    def __enter__(self) -> None:
        self.thread.start()

    def __exit__(self, *error: object) -> None:
        self.is_over.set()
        self.thread.join()

    def ended(self, outcome: Outcome) -> None:
        """Say how a fit ended, and how long the others will take."""
        self.silence.is_broken(time.monotonic())
        if outcome.state == "stopped":
            self.say(self.named(outcome))
            return
        self.done += 1
        self.announced.add(outcome.key)
        if outcome.state == "done":
            self.times.append((outcome.key.arm, outcome.seconds))
        self.say(f"[{self.done}/{self.total}] {self.named(outcome)}{self.rest('; {left} left, {time}')}")

    def named(self, outcome: Outcome) -> str:
        """Say how a fit ended, its arm by its short name."""
        return str(replace(outcome, key=short_key(outcome.key, self.names)))

    def rest(self, text: str) -> str:
        """Say how many fits are left and for how long, in the words of ``text``; empty once none is left."""
        left = list(self.runner.left)
        if not left:
            return ""
        under_way = {progress.key: progress for progress in self.under_way if progress.key in left}
        others = sum(progress.token != self.runner.job.token for progress in under_way.values())
        slots = len(self.runner.job.execution.slots) + others
        seconds = seconds_left(set(left) - under_way.keys(), under_way, self.times, slots, time.time())
        return text.format(left=len(left), time="time unknown" if seconds is None else f"about {duration(seconds)}")

    def say(self, line: str) -> None:
        """Print a line above the bars; in a log it stays one line, however long it is."""
        self.console.print(on_one_line(line), markup=False, soft_wrap=not self.console.is_terminal)

    def show(self, fits: list[claims.Progress]) -> None:
        """Say which fits have started."""
        for progress in fits:
            if progress.key not in self.announced:
                self.announced.add(progress.key)
                resumed = f" from step {progress.first_step:,}" if progress.first_step else ""
                self.say(f"started {short_key(progress.key, self.names)}{resumed} on {progress.slot}")

    def _look(self) -> None:
        token = self.runner.job.token
        while not self.is_over.wait(_LOOK_EVERY):
            with suppress(OSError):  # a disk that is out of reach for a moment: the fits go on, and so does this
                self.under_way = claims.running(self.runner.job.folder)
            self.show(ours := [progress for progress in self.under_way if progress.token == token])
            self._break_silence(is_busy=bool(ours) or self.runner.stop.is_requested)
            if self.runner.stop.is_requested and not self.is_stopping:
                self.is_stopping = True
                self.say("stopping: fits under way write their checkpoints")

    def _break_silence(self, *, is_busy: bool) -> None:
        """Say why nothing happens, once that has lasted."""
        now, runner = time.monotonic(), self.runner
        if is_busy or not runner.left:
            self.silence.is_broken(now)
        elif word := self.silence.word(now, [*runner.elsewhere], self.under_way, is_remote=runner.job.is_remote):
            self.say(word)


class _Bars(_Lines):
    """Shows a bar for the sweep and one for each fit that runs; they go when it is over, and the lines stay."""

    def __init__(self, runner: Runner, console: Console) -> None:
        super().__init__(runner, console)
        columns = (
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            TextColumn("{task.fields[text]}", markup=False),
        )
        # Were stdout redirected, lines for a machine would go to the bars' console, which is stderr.
        self.bars = Progress(*columns, console=console, transient=True, redirect_stdout=False, refresh_per_second=4)
        self.sweep = self.bars.add_task("sweep", total=self.total, text=f"0/{self.total}")
        self.tasks: dict[FitKey, TaskID] = {}

    def __enter__(self) -> None:
        self.bars.start()
        super().__enter__()

    def __exit__(self, *error: object) -> None:
        super().__exit__(*error)
        self.bars.stop()

    def show(self, fits: list[claims.Progress]) -> None:
        """Draw a bar for the sweep and one for each fit: its step, and its accuracies so far."""
        text = f"{self.done}/{self.total}{self.rest(', {time} left')}"
        self.bars.update(self.sweep, completed=self.done, text=text)
        keys = {progress.key for progress in fits}
        for key in self.tasks.keys() - keys:
            self.bars.remove_task(self.tasks.pop(key))
        for progress in fits:
            if progress.key not in self.tasks:
                self.tasks[progress.key] = self.bars.add_task(
                    str(short_key(progress.key, self.names)), total=progress.steps, text=""
                )
            accuracies = ""
            if progress.black is not None and progress.white is not None:
                accuracies = f", black {progress.black:.2f}, white {progress.white:.2f}"
            text = f"step {progress.step:,}/{progress.steps:,}{accuracies}"
            self.bars.update(self.tasks[progress.key], completed=progress.step, text=text)


def _known_times(runner: Runner) -> list[tuple[str, float]]:
    """Return arm and wall time of the fits that earlier runs have finished on this device, with as many threads."""
    execution = runner.job.execution
    asked = execution.slots[0].device, execution.threads
    return [
        (key.arm, float(provenance["wall_seconds"]))
        for key, provenance in runner.plan.done.items()
        if (provenance["device"], provenance["threads"]) == asked
    ]
