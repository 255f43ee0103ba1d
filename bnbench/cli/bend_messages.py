"""What ``bnbench bend`` says: what it will cost, a bar on a terminal or lines in a log, and what came of it."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from types import TracebackType

import click
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from bnbench.bend.bend import BendListener
from bnbench.bend.files import Bent
from bnbench.bend.request import BendRequest
from bnbench.bend.strip import ACCURACY
from bnbench.cli.options import say
from bnbench.mpo.trace import TraceRow
from bnbench.protocol.profiles import title
from bnbench.wording import counted, percent, plan_time

_LINES = 10  # that a log gets of each fit


class BendMessages(BendListener):
    """Tells people on stderr, and prints the accuracies to stdout; as a context it takes its bar away again."""

    def __init__(self) -> None:
        self._console = Console(stderr=True, highlight=False, emoji=False)
        self._stack = ExitStack()
        self._steps = 1
        self._bar: Progress | None = None
        self._tasks: dict[str, TaskID] = {}

    def __enter__(self) -> BendMessages:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._stack.close()

    def planned(self, request: BendRequest, left: list[str], seconds: float) -> None:
        """Print the picture, the protocol, and what it will cost."""
        rows, columns = request.mask.shape
        black, arms = percent(float(request.mask.mean())), ", ".join(request.arms)
        say(f"{request.name}: {rows}×{columns} pixels, {black} of them black; {arms}; {title(request.protocol)}")
        say(f"{counted(len(left), 'fit')} to run, {plan_time(seconds)}" if left else "all is fitted, and drawn anew")
        self._steps = request.protocol.training.steps
        if left and self._console.is_terminal:
            parts = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[said]}"))
            bar = Progress(*parts, TimeRemainingColumn(), console=self._console, transient=True)
            self._bar = self._stack.enter_context(bar)

    def note(self, sentence: str) -> None:
        """Print a sentence that somebody should know."""
        say(sentence)

    def stepped(self, arm: str, step: int, row: TraceRow | None) -> None:
        """Move the bar, or print a line ten times a fit."""
        said = f"accuracy {row.black_accuracy:.2f} on black, {row.white_accuracy:.2f} on white" if row else ""
        if self._bar:
            if arm not in self._tasks:
                self._tasks[arm] = self._bar.add_task(arm, total=self._steps, said="")
            self._bar.update(self._tasks[arm], completed=step, said=said)
        elif step % max(1, self._steps // _LINES) == 0:
            say(f"{arm}: step {step:,} of {self._steps:,}; {said}")

    def ended(self, bents: list[Bent], files: list[Path]) -> None:
        """Print each arm's accuracies and the names of the files."""
        self._stack.close()
        for bent in bents:
            black, white = (bent.mean(ACCURACY, black=colour) for colour in (True, False))
            click.echo(f"{bent.arm}: accuracy {black:.2f} on black pixels, {white:.2f} on white ones")
        say(f"written: {', '.join(map(str, files))}")
