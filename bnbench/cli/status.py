"""``bnbench status``."""

from __future__ import annotations

import json
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from bnbench.cli.help_in_groups import GroupedCommand
from bnbench.errors import RequestError
from bnbench.sweep.interrupts import Interrupted
from bnbench.wording import counted, duration, plan_time

if TYPE_CHECKING:
    from rich.console import Console, RenderableType
    from rich.table import Table
    from rich.text import Text

    from bnbench.results.claims import Progress
    from bnbench.sweep.finished import Known
    from bnbench.sweep.status import FitStatus, SweepStatus

_LOOK_EVERY = 2.0  # seconds
_MARKS = {"done": "●", "running": "▶", "failed": "✗", "unreadable": "?", "cut off": "◐", "to do": "·"}
_STYLES = {"done": "green", "running": "cyan", "failed": "red", "unreadable": "red", "cut off": "yellow"}
_STILL = 60.0  # seconds without a step that are worth a word
_MANY = 20  # seeds that get a mark each; more are counted


@click.command(cls=GroupedCommand)
@click.argument("results", type=click.Path(path_type=Path, exists=True, file_okay=False))
@click.option("--watch", is_flag=True, help="Show it anew every two seconds, until all is done or Ctrl-C.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def status(results: Path, watch: bool, as_json: bool) -> None:
    """Show how far every sweep below RESULTS is: done, running, failed, to do, and when it will be over.

    It only reads: another program may be running the sweep, also on another machine.
    """
    if watch and as_json:
        raise RequestError("--watch goes on and --json prints one object; give one of them.")
    from rich.console import Console

    look = _Look(results)
    if watch:
        sweeps, broken = _watch(look, Console(highlight=False))
    else:
        sweeps, broken = look()
        if as_json:
            click.echo(json.dumps({"sweeps": [sweep.as_dict() for sweep in sweeps], "broken": broken}))
        else:
            _print(Console(highlight=False), sweeps, broken)
    if broken or any(sweep.broken or sweep.of("failed") or sweep.of("unreadable") for sweep in sweeps):
        sys.exit(1)


class _Look:
    """Looks at every sweep below a folder, again and again; what is finished is read once."""

    def __init__(self, results: Path) -> None:
        self.results = results
        self.known: Known = {}

    def __call__(self) -> tuple[list[SweepStatus], list[str]]:
        """Return the sweeps, and a sentence for each folder that cannot be read."""
        from bnbench.sweep.status import read_statuses

        return read_statuses(self.results, self.known)


def _watch(look: _Look, console: Console) -> tuple[list[SweepStatus], list[str]]:
    """Show every look until nothing is left; on a terminal in place, elsewhere what has changed. Ctrl-C ends it."""
    from rich.console import Group
    from rich.live import Live

    sweeps, broken = look()
    try:
        if console.is_terminal:
            with Live(console=console, auto_refresh=False, vertical_overflow="ellipsis") as live:
                while True:
                    live.update(Group(*_lines(sweeps, broken)), refresh=True)
                    if not _is_going_on(sweeps):
                        return sweeps, broken
                    time.sleep(_LOOK_EVERY)
                    sweeps, broken = look()
        shown = None
        while True:
            if shown != (now := [[(fit.key, fit.state) for fit in sweep.fits] for sweep in sweeps]):
                shown = now
                _print(console, sweeps, broken)
            if not _is_going_on(sweeps):
                return sweeps, broken
            time.sleep(_LOOK_EVERY)
            sweeps, broken = look()
    except (Interrupted, KeyboardInterrupt) as stop:
        if isinstance(stop, Interrupted) and stop.number != signal.SIGINT:
            raise
        return [], []


def _is_going_on(sweeps: list[SweepStatus]) -> bool:
    return any(sweep.of("running") or sweep.of("to do") for sweep in sweeps)


def _print(console: Console, sweeps: list[SweepStatus], broken: list[str]) -> None:
    from rich.text import Text

    for line in _lines(sweeps, broken):
        console.print(line, soft_wrap=isinstance(line, Text))


def _lines(sweeps: list[SweepStatus], broken: list[str]) -> Iterator[RenderableType]:
    """Yield what to show, as text that is not read as markup: it holds names of folders, arms and errors."""
    from rich.text import Text

    for number, sweep in enumerate(sweeps):
        if number:
            yield Text()
        yield Text(f"{', '.join(map(str, sweep.folders))}: {sweep.protocol.id}, {_counts(sweep)}")
        if sweep.fits:
            yield _table(sweep)
            yield Text(_legend(sweep))
        for fit in sweep.of("running"):
            yield Text(f"running: {fit.key}{_progress(fit.progress, sweep.time)}")
        yield Text(_pace(sweep))
        for fit in sweep.of("failed"):
            yield Text(f"failed: {fit.key}: {fit.failure}")
        yield from (Text(f"note: {message}") for message in sweep.notes)
        yield from (Text(f"damaged: {message}") for message in sweep.broken)
    yield from (Text(f"damaged: {message}") for message in broken)


def _counts(sweep: SweepStatus) -> str:
    counts = [(sweep.counts[state], state) for state in ("done", "running", "failed", "unreadable", "to do")]
    words = ", ".join(f"{number:,} {state}" for number, state in counts if number or state in ("done", "to do"))
    return f"{counted(len(sweep.fits), 'fit')}: {words}"


def _table(sweep: SweepStatus) -> Table:
    """Draw a row for each p and a column for each arm, with a mark for each seed."""
    from rich.table import Table
    from rich.text import Text

    arms = list(dict.fromkeys(fit.key.arm for fit in sweep.fits))
    seeds = sorted({fit.key.seed for fit in sweep.fits})
    fits = {fit.key: fit for fit in sweep.fits}
    rows: list[list[Text]] = []
    for p in sorted({fit.key.p for fit in sweep.fits}):
        rows.append([Text(f"{p:g}")])
        for arm in arms:
            here = {key.seed: fit for key, fit in fits.items() if (key.arm, key.p) == (arm, p)}
            marks = Text.assemble(*(_mark(here[seed]) if seed in here else " " for seed in seeds))
            rows[-1].append(marks if len(seeds) <= _MANY else Text(_summary(list(here.values()))))
    table = Table(box=None, pad_edge=False)
    for name, cells in zip(("p", *arms), zip(*rows, strict=True), strict=True):
        widest = max(cell.cell_len for cell in cells)  # a long name folds, marks do not
        table.add_column(Text(name), min_width=widest, overflow="fold")
    for row in rows:
        table.add_row(*row)
    return table


def _mark(fit: FitStatus) -> tuple[str, str]:
    """Return a fit's mark and its style."""
    name = _kind(fit)
    return _MARKS[name], _STYLES.get(name, "")


def _kind(fit: FitStatus) -> str:
    return "cut off" if fit.has_checkpoint else fit.state


def _summary(fits: list[FitStatus]) -> str:
    """Count the marks, such as ``12● 2▶ 6·``."""
    kinds = [_kind(fit) for fit in fits]
    return " ".join(f"{kinds.count(kind)}{mark}" for kind, mark in _MARKS.items() if kind in kinds)


def _legend(sweep: SweepStatus) -> str:
    there = {_kind(fit) for fit in sweep.fits}
    words = {"cut off": "to do, goes on from a checkpoint"}
    marks = "  ".join(f"{mark} {words.get(kind, kind)}" for kind, mark in _MARKS.items() if kind in there)
    seeds = sorted({fit.key.seed for fit in sweep.fits})
    named = ", ".join(map(str, seeds)) if len(seeds) < 4 else f"{seeds[0]} … {seeds[-1]}"
    return f"{marks}  (seeds {named})" if len(seeds) > 1 else f"{marks}  (seed {named})"


def _progress(progress: Progress | None, now: float) -> str:
    if progress is None:
        return ", about to start"
    accuracies = ""
    if progress.black is not None and progress.white is not None:
        accuracies = f", black {progress.black:.2f}, white {progress.white:.2f}"
    resumed = f" from step {progress.first_step:,}" if progress.first_step else ""
    since = duration(max(0.0, now - progress.started))
    stalled = now - progress.time if progress.time is not None and progress.step < progress.steps else 0.0
    still = f", no step for {duration(stalled)}" if stalled > _STILL else ""
    return f", step {progress.step:,}/{progress.steps:,}{accuracies}{still}, for {since}{resumed} on {progress.slot}"


def _pace(sweep: SweepStatus) -> str:
    """Say when the last fit ended, how fast they come, and how long the rest takes."""
    parts: list[str] = []
    if sweep.seconds_since_last is not None:
        parts.append(f"last fit finished {duration(sweep.seconds_since_last)} ago")
    if sweep.fits_per_hour is not None:
        parts.append(f"{counted(round(sweep.fits_per_hour), 'fit')} an hour")
    if sweep.of("running"):
        left = sweep.seconds_left
        parts.append("time left not known yet" if left is None else f"{plan_time(left)}")
    elif sweep.of("to do"):
        parts.append("nothing runs; the same bnbench run goes on")
    elif sweep.of("failed"):
        parts.append("nothing to do; the same bnbench run with --retry-failed tries what failed again")
    else:
        parts.append("nothing to do")
    return ", ".join(parts)
