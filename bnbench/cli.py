"""The command line: parses, calls one function, prints. Imports torch only inside commands."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import fields, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import click

from bnbench.errors import RequestError
from bnbench.parsing import parse_counts, parse_probs, parse_seeds, parse_size
from bnbench.profiles import PROFILES, folder_name, title
from bnbench.protocol import SECTIONS, Grid
from bnbench.wording import counted, duration

if TYPE_CHECKING:
    from bnbench.runner import Plan
    from bnbench.worker import Execution, Outcome

Command = Callable[..., Any]
_NAMED = 8  # slots that the plan names one by one


class Text(click.ParamType[Any]):
    """An option whose text one of bnbench's own parsers reads."""

    def __init__(self, name: str, parse: Callable[[str, str], Any]) -> None:
        self.name = name
        self.parse = parse

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Read the option's text; what is wrong with it becomes one sentence."""
        option = param.opts[0] if param else ""
        try:
            return self.parse(value, option) if isinstance(value, str) else value
        except RequestError as error:
            raise click.ClickException(str(error)) from error


def _folder(text: str, option: str) -> Path:
    if not text.strip():
        raise RequestError(f"{option} is empty; give a folder, such as results/own.")
    return Path(text)


FOLDER = Text("FOLDER", _folder)


def knob_options(command: Command) -> Command:
    """Give a command one option for each knob of a protocol, with the knob's own help."""
    kinds: dict[str, Any] = {
        "int": int,
        "float": float,
        "str": str,
        "tuple[int, ...]": Text("LIST", parse_counts),
        "tuple[int, int]": Text("SIZE", parse_size),
    }
    for section in reversed(SECTIONS.values()):
        for knob in reversed(fields(section)):
            choices = knob.metadata.get("choices")
            kind = click.Choice(choices) if choices else kinds[str(knob.type)]
            option = click.option(f"--{knob.name.replace('_', '-')}", knob.name, type=kind, help=knob.metadata["help"])
            command = option(command)
    return command


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(package_name="bnbench")
def cli() -> None:
    """How easily can a loss landscape be bent to a picture, and how much harder is it with batch normalization?"""


@cli.command()
@click.option(
    "--profile", type=click.Choice(list(PROFILES)), default="compact", show_default=True, help="Protocol to follow."
)
@click.option(
    "--probs", type=Text("LIST", parse_probs), default="0.1:0.9:0.1", show_default=True, help="Fill probabilities."
)
@click.option(
    "--seeds", type=Text("LIST", parse_seeds), default="5", show_default=True, help="Count, or seeds such as 101,103."
)
@click.option("--arms", default="plain,bn", show_default=True, help="plain, bn, skip or package.module:factory.")
@click.option("--out", type=FOLDER, help="Results folder.  [default: results/PROFILE]")
@click.option("--devices", default="auto", show_default=True, help="auto, cpu, cpu,cpu, cuda:0,cuda:1 or cuda:*.")
@click.option("--jobs", type=click.IntRange(1), help="Fits at once.  [default: one a device; on the CPU, one a core]")
@click.option("--threads", type=click.IntRange(1), default=1, show_default=True, help="Processor threads of each fit.")
@click.option(
    "--chunk", type=click.IntRange(1), help="Pixels computed at once.  [default: measured, once per results folder]"
)
@click.option("--data-folder", type=FOLDER, help="torchvision's folder of data sets.")
@click.option("--download", is_flag=True, help="Let torchvision download a missing data set.")
@click.option("--dry-run", is_flag=True, help="Print the plan and start nothing.")
@knob_options
def run(**options: Any) -> None:
    """Fit planes to seeded random masks and measure their landscapes.

    Finished fits are kept: the same command goes on where it was stopped. Every option below --dry-run
    changes the profile's protocol; its results then go to a folder of their own.
    """
    from bnbench import runner, store

    knobs = {knob.name: options[knob.name] for section in SECTIONS.values() for knob in fields(section)}
    asked = {name: value for name, value in knobs.items() if value is not None}
    protocol = PROFILES[options["profile"]].with_knobs(**asked)
    grid = Grid(_arms(options["arms"]), options["probs"], options["seeds"])
    execution = _execution(options)
    folder = options["out"] or Path("results") / folder_name(protocol)
    store.check_folder(folder, protocol)
    data = runner.check_request(grid, protocol, execution)
    plan = runner.plan_sweep(folder, protocol, grid)
    execution = replace(execution, chunk=options["chunk"] or store.read_chunk(folder) or execution.chunk)
    if not options["dry_run"]:
        store.open_folder(folder, protocol)
        execution = _with_chunk(options["chunk"], plan, execution, data)
    _say(f"profile {title(protocol)} ({protocol.hash}), {protocol.data.dataset}, results in {folder}")
    for message in plan.broken:
        _say(f"skipped: {message}")
    _say(_plan_line(plan, execution, data))
    if options["dry_run"]:
        sys.exit(1 if plan.broken else 0)
    outcomes = _watch(plan, execution)
    failed = [outcome for outcome in outcomes if outcome.failure]
    if rates := [outcome.gflops for outcome in outcomes if not outcome.failure]:
        _say(_speed_line(rates, execution))
    if failed or plan.broken:
        _say(
            f"{len(failed)} failed, {len(plan.broken)} unreadable; the reasons are above and in {folder / 'failures'}."
        )
        sys.exit(1)


@cli.command()
@click.argument("results", type=click.Path(path_type=Path, exists=True, file_okay=False))
@click.option("--out", type=FOLDER, help="Folder to write.  [default: reports/ and the name of RESULTS]")
@click.option("--compare", is_flag=True, help="Draw the sweeps of several protocols into one figure 4.")
def report(results: Path, out: Path | None, compare: bool) -> None:
    """Statistics, figures and a page for every sweep below RESULTS, finished or not."""
    from bnbench.report import build_report

    target = out or Path("reports") / results.resolve().name
    built = build_report(results, target, compare=compare)
    for message in built.broken:
        _say(f"skipped: {message}")
    click.echo(built.paths[0])
    if built.broken:
        sys.exit(1)


def _arms(text: str) -> tuple[str, ...]:
    arms = tuple(arm.strip() for arm in text.split(","))
    if not all(arms) or len(set(arms)) < len(arms):
        raise RequestError(f"--arms {text}: give each arm once, such as plain,bn.")
    return arms


def _execution(options: dict[str, Any]) -> Execution:
    from bnbench.devices import make_slots, parse_devices
    from bnbench.worker import Execution

    slots = make_slots(parse_devices(options["devices"]), options["jobs"], options["threads"])
    threads, folder, download = (options[name] for name in ("threads", "data_folder", "download"))
    return Execution(slots, threads, data_folder=folder, download=download)


def _with_chunk(asked: int | None, plan: Plan, execution: Execution, data: Any) -> Execution:
    """The chunk that was asked for, else the one that the results folder was started with, else the fastest."""
    from bnbench import store
    from bnbench.cost import choose_chunk

    kept = store.read_chunk(plan.folder)
    if not plan.to_run:
        return execution
    chunk = asked or kept or choose_chunk(plan, execution, data)
    if kept is None:
        store.write_chunk(plan.folder, chunk)
    return replace(execution, chunk=chunk)


def _plan_line(plan: Plan, execution: Execution, data: Any) -> str:
    from bnbench.cost import estimate_seconds

    names = [str(slot) for slot in execution.slots]
    slots = ", ".join(names) if len(names) <= _NAMED else f"{names[0]} … {names[-1]}"
    how = f"{counted(execution.threads, 'thread')} each, {counted(execution.chunk, 'pixel')} at once"
    line = f"{plan}; {counted(len(execution.slots), 'slot')} ({slots}), {how}"
    if not plan.to_run:
        return f"{line}; nothing to do"
    return f"{line}; about {duration(estimate_seconds(plan, execution, data))}"


def _watch(plan: Plan, execution: Execution) -> list[Outcome]:
    """Run what is left: a bar on a terminal, a line per fit elsewhere."""
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    from bnbench.runner import run_sweep

    console = Console(stderr=True, highlight=False)
    columns = (TextColumn("fits"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TimeRemainingColumn())
    outcomes: list[Outcome] = []
    with Progress(*columns, console=console, disable=not console.is_terminal) as progress:
        task = progress.add_task("fits", total=len(plan.to_run))
        for done, outcome in enumerate(run_sweep(plan, execution), start=1):
            progress.advance(task)
            console.print(f"[{done}/{len(plan.to_run)}] {outcome}", markup=False, soft_wrap=True)
            outcomes.append(outcome)
    return outcomes


def _speed_line(rates: list[float], execution: Execution) -> str:
    """How near the fits came to what the device can do at best."""
    from statistics import median

    from bnbench.devices import prepare_process
    from bnbench.mpo.flops import matmul_gflops

    prepare_process(execution.threads)
    peak, rate = matmul_gflops(execution.slots[0].device), median(rates)
    share = f"{rate / peak:.0%} of the matmul peak of {peak:.0f}"
    return f"while training, a fit ran at {rate:.2g} GFLOP/s (median), {share}"


_say = partial(click.echo, err=True)


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Entry point: every error that a request can cause is one sentence and exit code 2."""
    try:
        code = cli.main(arguments, prog_name="bnbench", standalone_mode=False)
    except click.exceptions.NoArgsIsHelpError as error:
        error.show()
        code = 2
    except click.ClickException as error:
        _say(f"bnbench: {error.format_message()}")
        code = 2
    except RequestError as error:
        _say(f"bnbench: {error}")
        code = 2
    except OSError as error:
        _say(
            f"bnbench: {error.filename or 'the system'}: {error.strerror or error}; nothing that was finished is lost."
        )
        code = 2
    except (KeyboardInterrupt, click.Abort):
        _say("bnbench: interrupted; finished fits are kept, and the same command goes on from there.")
        code = 130
    sys.exit(code if isinstance(code, int) else 0)
