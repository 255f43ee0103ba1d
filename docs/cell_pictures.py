"""Run the scripts in cells and keep what they save as SVG in docs/figures/cells: python docs/cell_pictures.py [FOLDER].

The pages of these scripts show the pictures, so that the site builds without computing. They have bnbench's own fonts
and no date; in a notebook the fonts are those of its settings.
"""

from __future__ import annotations

import contextlib
import os
import runpy
import shutil
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path

import matplotlib as mpl
import torch

from bnbench.report.figures.style import print_style

DOCS = Path(__file__).parent.resolve()


def keep_pictures(scripts: Iterable[Path], folder: Path) -> None:
    """Run each script in a folder of its own, and copy the pictures that it leaves there into ``folder``.

    Raises:
        FileExistsError: two scripts leave pictures of one name.
    """
    kept: set[str] = set()
    for script in scripts:
        with tempfile.TemporaryDirectory() as desk, contextlib.chdir(desk), print_style():
            runpy.run_path(str(script))
            for picture in sorted(Path(desk).glob("*.svg")):
                if picture.name in kept:
                    raise FileExistsError(f"{script} leaves a picture {picture.name}, as another script does.")
                kept.add(picture.name)
                shutil.copy(picture, folder)


def main(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.glob("*.svg"):
        old.unlink()
    keep_pictures(sorted((DOCS / "notebooks").glob("*.py")), folder)


if __name__ == "__main__":
    torch.set_num_threads(1)
    mpl.use("svg")
    os.environ["SOURCE_DATE_EPOCH"] = "0"  # else matplotlib writes the time of the day
    main(Path(sys.argv[1]).resolve() if len(sys.argv) > 1 else DOCS / "figures" / "cells")
