"""``bnbench check``."""

from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from bnbench.cli.help_in_groups import GroupedCommand
from bnbench.cli.options import arms_option, machine_options, say, say_first
from bnbench.cli.paths import BASELINE, FINDINGS
from bnbench.errors import RequestError
from bnbench.sweep.interrupts import Interrupted

if TYPE_CHECKING:
    from bnbench.check.baseline import Kind, Value
    from bnbench.check.comparison import Finding
    from bnbench.protocol.protocol import Grid

_LOG_WIDTH = 1_000  # a log has no right edge


@click.command(cls=GroupedCommand)
@click.argument("baseline", type=BASELINE)
@click.option("--update", is_flag=True, help="Write a new baseline instead of comparing with it.")
@click.option("--add", is_flag=True, help="Add the quantities that are new to BASELINE, and leave the others.")
@arms_option
@click.option("--set", "name", default="standard", show_default=True, help="Which fits to run.")
@click.option(
    "--only", type=click.Choice(("exact", "statistical")), help="One kind of checks; exact ones take seconds."
)
@click.option("--json", "json_file", type=FINDINGS, help="Write the findings here.")
@click.option("--junit", type=FINDINGS, help="Write JUnit's XML here.")
@click.option("--markdown", type=FINDINGS, help="Write a table for a CI summary here.")
@machine_options
def check(
    baseline: Path,
    update: bool,
    add: bool,
    arms: tuple[str, ...],
    name: str,
    only: Kind | None,
    json_file: Path | None,
    junit: Path | None,
    markdown: Path | None,
    devices: str,
    per_device: int | None,
    jobs: int | None,
    threads: int,
) -> None:
    """Run a small set of fits and compare them with BASELINE: exit 0 within, 1 outside, 2 a wrong request.

    Exact checks compare masks, geometry and the first steps in float64; statistical ones compare accuracies and
    the arms' difference after training.
    """
    say_first("the check follows")
    from bnbench.check.baseline import check_set, read_baseline
    from bnbench.check.comparison import compare, extended
    from bnbench.check.measured import measured_quantities
    from bnbench.cli.listeners import CheckMessages
    from bnbench.protocol.protocol import Grid
    from bnbench.sweep.devices import DeviceRequest
    from bnbench.sweep.execution import Execution
    from bnbench.sweep.provenance import read_provenance

    chosen = check_set(name)
    grid = Grid(arms, chosen.probs, chosen.seeds)
    kinds: tuple[Kind, ...] = (only,) if only else ("exact", "statistical")
    stored = None if update else read_baseline(baseline, name, arms, kinds)
    given = {"--json": json_file, "--junit": junit, "--markdown": markdown}
    outputs = {option: path for option, path in given.items() if path}
    if update and add:
        raise RequestError("--update writes every quantity anew, and --add new ones alone; give one of the two.")
    _check_outputs(baseline, outputs, "--update" if update else "--add" if add else None)
    request = DeviceRequest(devices, jobs, per_device, threads)
    execution = Execution(request.slots(), devices=request)
    try:
        now = measured_quantities(chosen, grid, execution, kinds, stored, CheckMessages())
    except (Interrupted, KeyboardInterrupt) as error:
        say("bnbench: interrupted; nothing was compared or written.")
        sys.exit(128 + (error.number if isinstance(error, Interrupted) else signal.SIGINT))
    provenance = read_provenance(execution.slots[0], execution.threads, execution.chunk)
    if stored is None:
        _update(baseline, name, grid, now, provenance)
        return
    findings = compare(stored, now, chosen)
    _print(findings, stored["provenance"], provenance)  # before files are written: a full disk must not hide it
    _write(findings, stored["provenance"], provenance, outputs)
    if not all(finding.is_within for finding in findings):
        sys.exit(1)
    if add:
        _write_baseline(baseline, extended(stored, findings))


def _check_outputs(baseline: Path, outputs: dict[str, Path], writes: str | None) -> None:
    """Refuse a file that cannot be written before anything is computed, and make its folder."""
    if writes == "--update" and outputs:
        raise RequestError(
            f"{next(iter(outputs))} writes findings, and --update compares nothing; give one of the two."
        )
    taken = {os.path.realpath(baseline): "BASELINE"}
    for option, path in outputs.items():
        if other := taken.get(os.path.realpath(path)):
            raise RequestError(f"{option} {path} is the file of {other}, too; give each a file of its own.")
        taken[os.path.realpath(path)] = option
    for option, path in (outputs | ({writes: baseline} if writes else {})).items():
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise RequestError(
                f"{option} {path}: its folder cannot be made ({error.strerror}); give another file."
            ) from error
        if not os.access(path if path.exists() else path.parent, os.W_OK):
            raise RequestError(f"{option} {path} cannot be written; give a file that can.")


def _update(baseline: Path, name: str, grid: Grid, now: dict[Kind, dict[str, Value]], here: dict[str, Any]) -> None:
    from bnbench.check.baseline import DONE, FAILED, FIRST_STEPS, baseline_content

    for arm in grid.arms:
        if (steps := now.get("exact", {}).get(f"{arm}: {FIRST_STEPS}", DONE)) != DONE:
            say(f"bnbench check: no baseline was written, for the first steps of {arm} {steps}")
            sys.exit(1)
    if failed := now.get("statistical", {}).get(FAILED):
        say(f"bnbench check: no baseline was written, for {failed} of {len(grid.fits())} fits failed")
        sys.exit(1)
    _write_baseline(baseline, baseline_content(name, grid.arms, now, here))


def _write_baseline(baseline: Path, content: dict[str, Any]) -> None:
    from bnbench.process.writers import remove_strays_of
    from bnbench.results import layout

    remove_strays_of([baseline])
    layout.write_atomically(baseline, (json.dumps(content, indent=2, ensure_ascii=False) + "\n").encode())
    say(f"wrote {baseline}")


def _write(findings: list[Finding], before: dict[str, Any], here: dict[str, Any], outputs: dict[str, Path]) -> None:
    from bnbench.check import verdict

    plain = {**verdict.as_dict(findings), "baseline_provenance": before, "provenance": here}
    contents = {
        # A name from a baseline may hold half a surrogate pair, which UTF-8 has not; \ud800 is how JSON writes it.
        "--json": (json.dumps(plain, indent=2, ensure_ascii=False) + "\n").encode(errors="backslashreplace"),
        "--junit": verdict.junit(findings),
        "--markdown": verdict.markdown(findings, verdict.since(before, here)).encode(),
    }
    for option, content in contents.items():
        if option in outputs:  # in place: a CI server's summary, or /dev/stdout, is not ours to replace
            outputs[option].write_bytes(content)


def _print(findings: list[Finding], before: dict[str, Any], here: dict[str, Any]) -> None:
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
    say(verdict.since(before, here))
    say(f"bnbench check: {verdict.sentence(findings)}")
