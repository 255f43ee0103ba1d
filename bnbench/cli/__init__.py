"""The command line: parses, calls one function, prints. Imports torch only inside commands."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NoReturn

from bnbench.cli.ending import heed_signals

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run the program, see :func:`bnbench.cli.group.run_program`; a signal while that is imported ends it in a line."""
    if arguments is None:  # as a program
        heed_signals()
    from bnbench.cli.group import run_program

    run_program(arguments)
