"""``bnbench report``."""

from __future__ import annotations

import sys
import webbrowser
from pathlib import Path

import click

from bnbench.cli.help_in_groups import GroupedCommand
from bnbench.cli.options import FOLDER, Arms, Text, say
from bnbench.cli.paths import results_argument
from bnbench.errors import RequestError
from bnbench.protocol.parsing import FORMATS, parse_arms, parse_formats, parse_pair
from bnbench.wording import on_one_line


@click.command(cls=GroupedCommand)
@results_argument
@click.option("--out", type=FOLDER, help="Folder to write.  [default: reports/ and the name of RESULTS]")
@click.option(
    "--format",
    "formats",
    type=Text("LIST", parse_formats),
    default=",".join(FORMATS),
    show_default=True,
    help="What to write; files of an earlier report in that folder that this one does not write are removed.",
)
@click.option("--open", "show", is_flag=True, help="Show the page in a browser when it is written.")
@click.option(
    "--evaluations",
    type=FOLDER,
    help="What bnbench evaluate wrote.  [default: evaluations/ in RESULTS and in every sweep below it]",
)
@click.option(
    "--figure3",
    type=Text("P,SEED", parse_pair),
    help="Fill probability and seed of figure 3, such as 0.5,1.  [default: p nearest 0.5, first seed with most arms]",
)
@click.option(
    "--arms",
    type=Arms("A,B", parse_arms),
    default=(),
    help="The two arms to compare.  [default: plain and bn, else the first two that the run was asked for]",
)
@click.option("--compare", is_flag=True, help="Draw the sweeps of several protocols into one figure 4.")
def report(
    results: Path,
    out: Path | None,
    formats: tuple[str, ...],
    show: bool,
    evaluations: Path | None,
    figure3: tuple[float, int] | None,
    arms: tuple[str, ...],
    compare: bool,
) -> None:
    """Write statistics, figures and a page for every sweep below RESULTS, finished or not."""
    if show and "html" not in formats:
        raise RequestError(f"--open shows the page, which --format {','.join(formats)} leaves out; add html to it.")
    from bnbench.report import build_report

    target = out or Path("reports") / results.resolve().name
    built = build_report(
        results, target, compare=compare, formats=formats, evaluations=evaluations, figure3=figure3, arms=arms
    )
    for message in built.notes:
        say(f"note: {message}")
    for message in built.broken:
        say(f"skipped: {message}")
    for headline in built.headlines:
        say(headline)
    click.echo(on_one_line(built.paths[0] if "html" in formats else target))
    if show and not webbrowser.open(built.paths[0].resolve().as_uri()):
        say(f"no browser could be started; open {built.paths[0]} by hand.")
    if built.broken:
        sys.exit(1)
