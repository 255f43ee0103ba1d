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
from bnbench.cli.options import integer
from bnbench.cli.paths import results_argument
from bnbench.errors import RequestError
from bnbench.sweep.interrupts import Interrupted

if TYPE_CHECKING:
    from rich.console import Console, RenderableType
    from rich.table import Table
    from rich.text import Text

    from bnbench.sweep.finished import Known
    from bnbench.sweep.status import FitStatus, SweepStatus

_LOOK_EVERY = 2.0  # seconds
_MARKS = {"done": "●", "running": "▶", "failed": "✗", "unreadable": "?", "cut off": "◐", "to do": "·"}
_STYLES = {"done": "green", "running": "cyan", "failed": "red", "unreadable": "red", "cut off": "yellow"}
_PORT = 8765
_MANY = 20  # seeds that get a mark each; more are counted


@click.command(cls=GroupedCommand)
@results_argument
@click.option("--watch", is_flag=True, help="Show it anew every two seconds, until all is done or Ctrl-C.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.option("--serve", is_flag=True, help="Show it in a browser of this machine, with landscapes, until Ctrl-C.")
@click.option("--port", type=integer(0, 65_535), help=f"Port of --serve; 0 is any free one.  [default: {_PORT}]")
def status(results: Path, watch: bool, as_json: bool, serve: bool, port: int | None) -> None:
    """Show how far every sweep below RESULTS is: done, running, failed, to do, and when it will be over.

    It only reads: another program may be running the sweep, also on another machine.
    """
    if watch and as_json:
        raise RequestError("--watch goes on and --json prints one object; give one of them.")
    if serve and (watch or as_json):
        raise RequestError(f"--serve shows a page and --{'watch' if watch else 'json'} prints; give one of them.")
    if port is not None and not serve:
        raise RequestError(f"--port {port} is of --serve; give both, or neither.")
    if serve:
        _serve(results, _PORT if port is None else port)
        return
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


def _serve(results: Path, port: int) -> None:
    """Answer a browser until Ctrl-C, which ends it as it ends --watch."""
    from bnbench.live.server import LiveServer

    with LiveServer(results, port) as server:
        click.echo(f"{server.address} (Ctrl-C ends it)")
        try:
            server.serve_forever()
        except (Interrupted, KeyboardInterrupt) as stop:
            if isinstance(stop, Interrupted) and stop.number != signal.SIGINT:
                raise


def _is_going_on(sweeps: list[SweepStatus]) -> bool:
    return any(sweep.of("running") or sweep.of("to do") for sweep in sweeps)


def _print(console: Console, sweeps: list[SweepStatus], broken: list[str]) -> None:
    from rich.text import Text

    for line in _lines(sweeps, broken):
        console.print(line, soft_wrap=isinstance(line, Text))


def _lines(sweeps: list[SweepStatus], broken: list[str]) -> Iterator[RenderableType]:
    """Yield what to show, as text that is not read as markup: it holds names of folders, arms and errors."""
    from rich.text import Text

    from bnbench.protocol.arm_names import names_words, short_key
    from bnbench.sweep.status_words import counts, pace, progress_words
    from bnbench.wording import on_one_line

    for number, sweep in enumerate(sweeps):
        if number:
            yield Text()
        yield Text(on_one_line(f"{', '.join(map(str, sweep.folders))}: {sweep.protocol.id}, {counts(sweep)}"))
        if sweep.fits:
            yield _table(sweep)
            yield Text(_legend(sweep))
        names = sweep.names
        if said := names_words(names):
            yield Text(on_one_line(said))
        for fit in sweep.of("running"):
            yield Text(on_one_line(f"running: {short_key(fit.key, names)}{progress_words(fit.progress, sweep.time)}"))
        yield Text(pace(sweep))
        for fit in sweep.of("failed"):
            yield Text(on_one_line(f"failed: {short_key(fit.key, names)}: {fit.failure}"))
        yield from (Text(on_one_line(f"note: {message}")) for message in sweep.notes)
        yield from (Text(on_one_line(f"damaged: {message}")) for message in sweep.broken)
    yield from (Text(on_one_line(f"damaged: {message}")) for message in broken)


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
    called = sweep.names
    for name, cells in zip(("p", *(called[arm] for arm in arms)), zip(*rows, strict=True), strict=True):
        widest = max(cell.cell_len for cell in cells)  # a long name folds, marks do not
        table.add_column(Text(name), min_width=widest, overflow="fold")
    for row in rows:
        table.add_row(*row)
    return table


def _mark(fit: FitStatus) -> tuple[str, str]:
    """Return a fit's mark and its style."""
    name = fit.kind
    return _MARKS[name], _STYLES.get(name, "")


def _summary(fits: list[FitStatus]) -> str:
    """Count the marks, such as ``12● 2▶ 6·``."""
    kinds = [fit.kind for fit in fits]
    return " ".join(f"{kinds.count(kind)}{mark}" for kind, mark in _MARKS.items() if kind in kinds)


def _legend(sweep: SweepStatus) -> str:
    there = {fit.kind for fit in sweep.fits}
    words = {"cut off": "to do, goes on from a checkpoint"}
    marks = "  ".join(f"{mark} {words.get(kind, kind)}" for kind, mark in _MARKS.items() if kind in there)
    seeds = sorted({fit.key.seed for fit in sweep.fits})
    named = ", ".join(map(str, seeds)) if len(seeds) < 4 else f"{seeds[0]} … {seeds[-1]}"
    return f"{marks}  (seeds {named})" if len(seeds) > 1 else f"{marks}  (seed {named})"
