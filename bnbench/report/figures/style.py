"""How figures look: sizes in print, colours of the arms, fonts, and how they are saved."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import NamedTuple

import matplotlib as mpl
import matplotlib.style
import numpy as np
import seaborn as sns
from matplotlib.figure import Figure as Drawing
from matplotlib.layout_engine import ConstrainedLayoutEngine

from bnbench.process.writers import remove_strays_of
from bnbench.report.arms import arm_order
from bnbench.results.layout import write_atomically

SINGLE = 8.0 / 2.54  # inches: a single column of print
DOUBLE = 17.0 / 2.54
INK = "#24282e"
PAPER = "#ffffff"


class Look(NamedTuple):
    """How an arm is drawn: its colour in print and on a light page, on a dark page, and its marker."""

    light: str
    dark: str
    marker: str


# The paper's arms have blue, red and green that stay apart in every kind of colour blindness and in grey. No two arms
# share a marker. A built-in arm that has no look here takes one of the further ones, as a user's own does.
_LOOKS = {
    "plain": Look("#0077bb", "#4fb3f0", "o"),
    "bn": Look("#cc3311", "#ff7b5f", "s"),
    "skip": Look("#009e73", "#3ecf9f", "^"),
    "bn-skip": Look("#882255", "#dd6f9f", "<"),
    "groupnorm": Look("#e69f00", "#f5bd45", ">"),
    "layernorm": Look("#b07aa1", "#d6a6ca", "*"),
    "standardized": Look("#33506b", "#93b4d3", "d"),
    "softplus": Look("#7f7f00", "#c6c654", "8"),
    "softplus-centred": Look("#4d4d00", "#a3a33a", "H"),
    "rescaled": Look("#8a8a8a", "#b9b9b9", "."),
}
_FURTHER = (
    Look("#aa3377", "#e07ab2", "D"),
    Look("#ee7733", "#f79a5e", "v"),
    Look("#6a5acd", "#a195f2", "P"),
    Look("#8c6d1f", "#d0ad55", "X"),
    Look("#3f8fa3", "#74c3d6", "p"),
    Look("#66656e", "#a9a8b2", "h"),
)

_RC = {
    "font.family": ["DejaVu Sans"],  # comes with matplotlib: the same on every machine
    "font.size": 7,
    "axes.titlesize": 7.5,
    "axes.labelsize": 7,
    "xtick.labelsize": 6.5,
    "ytick.labelsize": 6.5,
    "legend.fontsize": 6.5,
    "legend.frameon": False,
    "legend.handlelength": 1.8,
    "legend.columnspacing": 1.2,
    "legend.handletextpad": 0.5,
    "axes.linewidth": 0.6,
    "axes.edgecolor": INK,
    "axes.labelcolor": INK,
    "axes.titlecolor": INK,
    "text.color": INK,
    "text.parse_math": False,  # an arm may be named a$b
    "xtick.color": INK,
    "ytick.color": INK,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "xtick.major.size": 2.5,
    "ytick.major.size": 2.5,
    "xtick.minor.width": 0.4,
    "ytick.minor.width": 0.4,
    "xtick.minor.size": 1.5,
    "ytick.minor.size": 1.5,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "lines.linewidth": 1.0,
    "lines.markersize": 3.2,
    "figure.facecolor": PAPER,
    "axes.facecolor": PAPER,
    "savefig.dpi": 300,
    "pdf.fonttype": 42,
    "svg.fonttype": "path",
    "svg.hashsalt": "bnbench",
}
_DECIMALS = 9  # of a place in a figure, as a share of its size
_METADATA: dict[str, dict[str, str | None]] = {"pdf": {"CreationDate": None}, "svg": {"Date": None}, "png": {}}


@contextmanager
def print_style() -> Iterator[None]:
    """Draw and save inside this: matplotlib's settings are as they were afterwards."""
    with matplotlib.style.context(["default", sns.axes_style("ticks"), _RC]), mpl.rc_context():
        yield


def new_drawing(width: float, height: float) -> Drawing:
    """Make an empty drawing of a size in inches that lays itself out."""
    return Drawing(figsize=(width, height), layout=ConstrainedLayoutEngine(w_pad=0.03, h_pad=0.03))


def as_files(drawing: Drawing, endings: Collection[str] = ("pdf", "svg", "png")) -> dict[str, bytes]:
    """Return what PDF, SVG and PNG (300 dpi) files hold; equal figures give equal bytes, for no date goes in."""
    _lay_out(drawing)
    contents = {}
    for ending, metadata in _METADATA.items():
        if ending in endings:
            content = BytesIO()
            drawing.savefig(content, format=ending, metadata=metadata)
            contents[ending] = content.getvalue()
    return contents


def save(drawing: Drawing, folder: Path, name: str, endings: Collection[str] = ("pdf", "svg", "png")) -> list[Path]:
    """Write what :func:`as_files` gives, each file whole or not at all.

    Raises:
        OSError: the folder cannot be written.
    """
    contents = {folder / f"{name}.{ending}": content for ending, content in as_files(drawing, endings).items()}
    remove_strays_of(contents)
    for path, content in contents.items():
        write_atomically(path, content)
    return list(contents)


def _lay_out(drawing: Drawing) -> None:
    """Lay out once: formats agree, and saving takes half the time.

    The solver of the layout takes its unknowns in the order of their addresses, so that the last bits of a place differ
    from process to process, and with them the names that an SVG gives its clips. So places are rounded.
    """
    if drawing.get_layout_engine() is not None:
        drawing.draw_without_rendering()
        drawing.set_layout_engine("none")
        for axes in drawing.axes:
            axes.set_position(np.round(axes.get_position(original=True).bounds, _DECIMALS).tolist())


def arm_colours(arms: Iterable[str]) -> dict[str, str]:
    """Return the colour of each arm; those without a look take further ones, in the order of arms."""
    return {arm: look.light for arm, look in _looks(arms).items()}


def arm_markers(arms: Iterable[str]) -> dict[str, str]:
    """Return the marker of each arm, chosen as its colour is."""
    return {arm: look.marker for arm, look in _looks(arms).items()}


def _looks(arms: Iterable[str]) -> dict[str, Look]:
    order = arm_order(arms)
    without = [arm for arm in order if arm not in _LOOKS]
    return {arm: _LOOKS[arm] if arm in _LOOKS else _FURTHER[without.index(arm) % len(_FURTHER)] for arm in order}


def page_colours() -> dict[str, Look]:
    """Return every look by the page's custom property that holds its colour."""
    own = {f"--arm-{arm}": look for arm, look in _LOOKS.items()}
    return own | {f"--arm-further-{number}": look for number, look in enumerate(_FURTHER)}


def css_colours() -> dict[str, str]:
    """Return, for each colour of a figure, the page's custom property: figures then follow dark mode."""
    return {INK: "--ink", PAPER: "--paper", **{look.light: name for name, look in page_colours().items()}}
