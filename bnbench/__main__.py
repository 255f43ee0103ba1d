"""``python -m bnbench``: the command line."""

from bnbench.cli import main

main()
