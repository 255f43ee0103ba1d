"""The command line: parses, calls one function, prints. Imports torch only inside commands."""

from bnbench.cli.group import main

__all__ = ["main"]
