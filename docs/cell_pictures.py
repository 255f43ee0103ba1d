"""Run the scripts in cells and keep what they save as SVG in docs/figures/cells: python docs/cell_pictures.py [FOLDER].

The pages of these scripts show the pictures, so that the site builds without computing.
"""

from __future__ import annotations

import contextlib
import runpy
import shutil
import sys
import tempfile
from pathlib import Path

import matplotlib as mpl
import torch

from bnbench.report.figures.style import print_style

DOCS = Path(__file__).parent.resolve()


def keep_pictures(script: Path, folder: Path) -> None:
    """Run a script in a folder of its own, and copy the pictures that it leaves there."""
    with tempfile.TemporaryDirectory() as desk, contextlib.chdir(desk), print_style():
        mpl.rcParams["svg.hashsalt"] = script.stem
        runpy.run_path(str(script))
        for picture in Path(desk).glob("*.svg"):
            shutil.copy(picture, folder)


def main(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for script in sorted((DOCS / "notebooks").glob("*.py")):
        keep_pictures(script, folder)


if __name__ == "__main__":
    torch.set_num_threads(1)
    mpl.use("svg")
    main(Path(sys.argv[1]).resolve() if len(sys.argv) > 1 else DOCS / "figures" / "cells")
