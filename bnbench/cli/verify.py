"""``bnbench verify``."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import click

from bnbench.cli.help_in_groups import GroupedCommand
from bnbench.cli.options import say
from bnbench.cli.paths import results_argument
from bnbench.wording import counted, on_one_line


@click.command(cls=GroupedCommand)
@results_argument
@click.option("--record", is_flag=True, help="Write SHA256SUMS, digests of fits and planes, if none is damaged.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def verify(results: Path, record: bool, as_json: bool) -> None:
    """Check every stored file below RESULTS whole: fits, planes, checkpoints, evaluations, and what lies beside them.

    It prints a line for each damaged file.
    """
    from bnbench.results import verify as stored

    for path in stored.record(results) if record else []:
        say(f"wrote {path}")
    found = stored.verify(results)
    if as_json:
        click.echo(json.dumps(found.as_dict()))
    else:
        for reason in found.damaged.values():
            click.echo(on_one_line(f"damaged: {reason}"))
        click.echo(f"{counted(found.checked, 'file')} checked, {len(found.damaged):,} damaged.")
    if unsure := found.without_digest:
        say(
            f"no digest: {counted(len(unsure), 'file')} written before there were digests, such as {unsure[0]}; "
            "of these only what they must be was checked."
        )
    if found.damaged:
        sys.exit(1)
