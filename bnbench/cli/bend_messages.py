"""What ``bnbench bend`` says: what it will cost, a bar on a terminal or lines in a log, and what came of it."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType

import click
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from bnbench.bending.files import Bent
from bnbench.bending.messages import BendMessages, accuracies
from bnbench.bending.request import BendRequest
from bnbench.bending.strip import ACCURACY
from bnbench.cli.options import say
from bnbench.mpo.ensemble import Ensemble
from bnbench.mpo.trace import TraceRow
from bnbench.protocol.arm_names import short_names


class BarMessages(BendMessages):
    """Tells people on stderr, with a bar on a terminal; as a context it takes its bar away again."""

    def __init__(self) -> None:
        super().__init__()
        self._console = Console(stderr=True, highlight=False, emoji=False)
        self._stack = ExitStack()
        self._bar: Progress | None = None
        self._tasks: dict[str, TaskID] = {}

    def __enter__(self) -> BarMessages:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._stack.close()

    def planned(self, request: BendRequest, left: list[str], seconds: float) -> None:
        """Print what it will cost, and begin a bar on a terminal."""
        super().planned(request, left, seconds)
        if left and self._console.is_terminal:
            parts = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[said]}"))
            bar = Progress(*parts, TimeRemainingColumn(), console=self._console, transient=True)
            self._bar = self._stack.enter_context(bar)

    def stepped(self, arm: str, step: int, row: TraceRow | None) -> None:
        """Move the bar; where there is none, print a line ten times a fit."""
        if not self._bar:
            super().stepped(arm, step, row)
            return
        if arm not in self._tasks:
            self._tasks[arm] = self._bar.add_task(self.names.get(arm, arm), total=self.steps, said="")
        self._bar.update(self._tasks[arm], completed=step, said=accuracies(row))


def print_end(bents: list[Bent], ensembles: Mapping[str, Ensemble], files: list[Path]) -> None:
    """Print each arm's accuracies and its ensembles, if they were measured, and the names of the files."""
    names = short_names(bent.arm for bent in bents)
    for bent in bents:
        black, white = (bent.mean(ACCURACY, black=colour) for colour in (True, False))
        means = f"accuracy {black:.2f} on black pixels, {white:.2f} on white ones"
        click.echo(f"{names[bent.arm]}: {means} (all pixels, unseen images)")
        if bent.arm in ensembles:
            click.echo(f"{names[bent.arm]}: {ensembles[bent.arm]}")
    say(f"written: {', '.join(map(str, files))}")
