"""A program of its own that draws an SVG: it reads the drawing from its input and writes a PNG to its output.

resvg, which draws, ends the process over some drawings (of many pixels, or nested deep). So
:mod:`bnbench.inputs.drawings` runs this file by its path, in a process whose memory and time are bounded. It imports
nothing of bnbench.
"""

from __future__ import annotations

import os
import resource
import sys

_LARGEST_MEMORY = 2**30  # bytes
_LONGEST = 30  # processor seconds


def draw(longest: int, fonts: list[str]) -> None:
    """Draw the SVG on the standard input as a PNG on the standard output.

    Args:
        longest: number of rows and of columns that the PNG has at most, and one of the two has.
        fonts: files of DejaVu Sans, in which every text is set: which fonts a machine has would change the picture.

    Raises:
        ValueError: resvg cannot read the drawing.
    """
    import resvg_py

    for limit, value in ((resource.RLIMIT_AS, _LARGEST_MEMORY), (resource.RLIMIT_CPU, _LONGEST)):
        _, hard = resource.getrlimit(limit)
        resource.setrlimit(limit, (value if hard == resource.RLIM_INFINITY else min(value, hard), hard))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    families = ("font_family", "serif_family", "sans_serif_family", "cursive_family", "fantasy_family")
    sys.stdout.buffer.write(
        resvg_py.svg_to_bytes(
            svg_string=sys.stdin.buffer.read().decode(),
            width=longest,
            height=longest,
            dpi=96,
            resources_dir=os.devnull,  # no folder: below it no path that a drawing names leads to a file
            skip_system_fonts=True,
            font_files=fonts,
            **dict.fromkeys((*families, "monospace_family"), "DejaVu Sans"),
        )
    )


if __name__ == "__main__":
    try:
        draw(int(sys.argv[1]), sys.argv[2:])
    except ValueError as error:
        sys.exit(str(error))
