"""``bnbench check``."""

from __future__ import annotations

import json
import os
import signal
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from bnbench.cli.options import arms_option, execution_of, machine_options, say
from bnbench.errors import RequestError
from bnbench.sweep.interrupts import Interrupted
from bnbench.wording import counted

if TYPE_CHECKING:
    from bnbench.check.baseline import CheckSet, Finding, Kind, Value
    from bnbench.protocol.protocol import Grid
    from bnbench.sweep.execution import Execution


_OUTPUTS = {"json_file": "--json", "junit": "--junit", "markdown": "--markdown"}
_LOG_WIDTH = 1_000  # a log has no right edge


@click.command()
@click.argument("baseline", type=click.Path(path_type=Path, dir_okay=False))
@click.option("--update", is_flag=True, help="Write a new baseline instead of comparing with it.")
@arms_option
@click.option("--set", "name", default="standard", show_default=True, help="Which fits to run.")
@click.option(
    "--only", type=click.Choice(("exact", "statistical")), help="One kind of checks; exact ones take seconds."
)
@click.option("--json", "json_file", type=click.Path(path_type=Path, dir_okay=False), help="Write the findings here.")
@click.option("--junit", type=click.Path(path_type=Path, dir_okay=False), help="Write JUnit's XML here.")
@click.option(
    "--markdown", type=click.Path(path_type=Path, dir_okay=False), help="Write a table for a CI summary here."
)
@machine_options
def check(baseline: Path, update: bool, arms: tuple[str, ...], name: str, only: Kind | None, **options: Any) -> None:
    """Run a small set of fits and compare them with BASELINE: exit 0 within, 1 outside, 2 a wrong request.

    Exact checks compare masks, geometry and the first steps in float64; statistical ones compare accuracies and
    the arms' difference after training.
    """
    from bnbench.check.baseline import check_set, compare, read_baseline
    from bnbench.protocol.protocol import Grid
    from bnbench.sweep.provenance import provenance

    chosen = check_set(name)
    grid = Grid(arms, chosen.probs, chosen.seeds)
    kinds: tuple[Kind, ...] = (only,) if only else ("exact", "statistical")
    stored = None if update else read_baseline(baseline, name, grid.arms, kinds)
    _check_outputs(baseline, options, update=update)
    execution = execution_of(options)
    try:
        now = _measure(chosen, grid, execution, kinds, stored)
    except (Interrupted, KeyboardInterrupt) as error:
        say("bnbench: interrupted; nothing was compared or written.")
        sys.exit(128 + (error.number if isinstance(error, Interrupted) else signal.SIGINT))
    origin = provenance(execution.slots[0], execution.threads, execution.chunk)
    if stored is None:
        _update(baseline, name, grid, now, origin)
        return
    findings = compare(stored, now, chosen)
    _print(findings, stored["provenance"], origin)  # before files are written: a full disk must not hide it
    _write(findings, stored["provenance"], origin, options)
    if not all(finding.is_within for finding in findings):
        sys.exit(1)


def _check_outputs(baseline: Path, options: dict[str, Any], *, update: bool) -> None:
    """Refuse a file that cannot be written before anything is computed, and make its folder."""
    if update and (given := [option for name, option in _OUTPUTS.items() if options[name]]):
        raise RequestError(f"{given[0]} writes findings, and --update compares nothing; give one of the two.")
    wanted = {option: path for name, option in _OUTPUTS.items() if (path := options[name])}
    taken = {os.path.realpath(baseline): "BASELINE"}
    for option, path in wanted.items():
        if other := taken.get(os.path.realpath(path)):
            raise RequestError(f"{option} {path} is the file of {other}, too; give each a file of its own.")
        taken[os.path.realpath(path)] = option
    for option, path in (wanted | ({"--update": baseline} if update else {})).items():
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise RequestError(f"{option} {path}: its folder cannot be made ({error.strerror}).") from error
        if not os.access(path if path.exists() else path.parent, os.W_OK):
            raise RequestError(f"{option} {path} cannot be written; give a file that can.")


def _measure(
    chosen: CheckSet, grid: Grid, execution: Execution, kinds: tuple[Kind, ...], stored: dict[str, Any] | None
) -> dict[Kind, dict[str, Value]]:
    from bnbench.check.baseline import compare
    from bnbench.check.exact import exact_quantities
    from bnbench.sweep.devices import prepare_process
    from bnbench.sweep.plan import check_request

    data = check_request(grid, chosen.protocol, execution)
    chosen = replace(chosen, protocol=replace(chosen.protocol, content=data.content))
    now: dict[Kind, dict[str, Value]] = {}
    if "exact" in kinds:
        prepare_process(execution.threads)
        now["exact"] = exact_quantities(chosen.protocol, grid)
        if stored is not None:
            compare(stored, now, chosen)  # a baseline of other quantities is refused before the fits
    if "statistical" in kinds:
        now["statistical"] = _fit(chosen, grid, execution)
    return now


def _fit(chosen: CheckSet, grid: Grid, execution: Execution) -> dict[str, Value]:
    """The means of all fits, computed in a temporary folder as bnbench run would."""
    from bnbench.check.baseline import FAILED, statistical_quantities
    from bnbench.results import store
    from bnbench.results.sweeps import read_sweep
    from bnbench.sweep.plan import plan_sweep
    from bnbench.sweep.runner import Sweeping, in_processes
    from bnbench.sweep.watching import watch

    with tempfile.TemporaryDirectory(prefix="bnbench-check-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        store.open_folder(folder, chosen.protocol)
        plan = plan_sweep(folder, chosen.protocol, grid)
        say(f"{plan.grid}; {counted(len(execution.slots), 'slot')}")
        outcomes = watch(Sweeping(plan, execution, in_processes))
        failed = sum(outcome.state == "failed" for outcome in outcomes)
        means = {} if failed else statistical_quantities(read_sweep(folder).summaries, grid.arms)
        return {FAILED: failed, **means}


def _update(baseline: Path, name: str, grid: Grid, now: dict[Kind, dict[str, Value]], origin: dict[str, Any]) -> None:
    from bnbench.check.baseline import DONE, FAILED, FIRST_STEPS, baseline_content
    from bnbench.results import layout

    for arm in grid.arms:
        if (steps := now.get("exact", {}).get(f"{arm}: {FIRST_STEPS}", DONE)) != DONE:
            say(f"bnbench check: no baseline was written, for the first steps of {arm} {steps}")
            sys.exit(1)
    if failed := now.get("statistical", {}).get(FAILED):
        say(f"bnbench check: no baseline was written, for {failed} of {len(grid.fits())} fits failed")
        sys.exit(1)
    content = baseline_content(name, grid.arms, now, origin)
    layout.write_atomically(baseline, (json.dumps(content, indent=2, ensure_ascii=False) + "\n").encode())
    say(f"wrote {baseline}")


def _write(findings: list[Finding], before: dict[str, Any], origin: dict[str, Any], options: dict[str, Any]) -> None:
    from bnbench.check import verdict

    plain = {**verdict.as_dict(findings), "baseline_provenance": before, "provenance": origin}
    contents = {
        # A name from a baseline may hold half a surrogate pair, which UTF-8 has not; \ud800 is how JSON writes it.
        "json_file": (json.dumps(plain, indent=2, ensure_ascii=False) + "\n").encode(errors="backslashreplace"),
        "junit": verdict.junit(findings),
        "markdown": verdict.markdown(findings, verdict.since(before, origin)).encode(),
    }
    for option, content in contents.items():
        if options[option]:  # in place: a CI server's summary, or /dev/stdout, is not ours to replace
            options[option].write_bytes(content)


def _print(findings: list[Finding], before: dict[str, Any], origin: dict[str, Any]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from bnbench.check import verdict

    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = _LOG_WIDTH
    table = Table(*verdict.HEADINGS, box=None, pad_edge=False)
    for column in table.columns:
        column.no_wrap = column.header != "quantity"  # the one that may take two lines
    for row, finding in zip(verdict.rows(findings), findings, strict=True):
        table.add_row(*map(Text, row), style=None if finding.is_within else "bold red")
    console.print(table)
    say(verdict.since(before, origin))
    say(f"bnbench check: {verdict.sentence(findings)}")
