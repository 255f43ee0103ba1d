"""``bnbench export``."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from bnbench.cli.help_in_groups import GroupedCommand
from bnbench.cli.options import FOLDER, say
from bnbench.cli.paths import results_argument
from bnbench.errors import RequestError
from bnbench.wording import counted, on_one_line, shell_word


@click.command(cls=GroupedCommand)
@results_argument
@click.option("--tensorboard", type=FOLDER, help="Folder for runs of TensorBoard, one for each fit.")
def export(results: Path, tensorboard: Path | None) -> None:
    """Write the finished fits below RESULTS for another program: their losses and accuracies, step by step.

    The same command again writes the same files, and adds the fits that were finished since.
    """
    if tensorboard is None:
        raise RequestError("export has to be told for which program; give --tensorboard FOLDER.")
    from bnbench.export import export_tensorboard

    exported = export_tensorboard(results, tensorboard)
    for message in exported.notes:
        say(f"note: {message}")
    for message in exported.broken:
        say(f"skipped: {message}")
    say(f"{counted(len(exported.runs), 'run')}; tensorboard --logdir {shell_word(tensorboard)} shows them")
    click.echo(on_one_line(tensorboard))
    if exported.broken:
        sys.exit(1)
