"""Several protocols in one figure 4a, and which answer each of them gives."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from bnbench.protocol.profiles import title
from bnbench.report import tables
from bnbench.report.figures.authors import authors_figure4, has_their_images
from bnbench.report.figures.comparison import comparison
from bnbench.report.figures.figure import Figure
from bnbench.results.sweeps import Sweep


@dataclass(frozen=True)
class Comparison:
    """All protocols in one figure; or a sentence that says why there is none."""

    sentence: str
    figure: Figure | None = None


def compare(sweeps: Sequence[Sweep], names: Sequence[str]) -> Comparison:
    """Overlay figure 4a of every sweep that has a fit; of fewer than two, say so in a sentence.

    The authors' curve is laid behind where all are on their images and one at least on test images, as theirs is.

    Args:
        sweeps: what was read.
        names: of each sweep, distinct.
    """
    labels = _labels(sweeps, names)
    fits = [tables.fits_table(sweep) for sweep in sweeps]
    finished = [place for place, table in enumerate(fits) if len(table)]
    if len(finished) < 2:
        have = f"{labels[finished[0]]} alone has" if finished else "none has"
        return Comparison(f"Nothing to overlay: {have} finished fits, and --compare takes two protocols or more.")
    elsewhere = [labels[place] for place in finished if sweeps[place].protocol.measurement.split != "test"]
    same_images = all(has_their_images(sweeps[place].protocol) for place in finished)
    authors = authors_figure4() if same_images and len(elsewhere) < len(finished) else None
    drawn = [(labels[place], fits[place]) for place in finished]
    return Comparison("", comparison(drawn, elsewhere, authors))


def _labels(sweeps: Sequence[Sweep], names: Sequence[str]) -> list[str]:
    """Return what a legend calls each sweep: its profile and what was changed in it; its name where two share that."""
    titles = [title(sweep.protocol).replace(", changed: ", ": ") for sweep in sweeps]
    labels = [text if titles.count(text) == 1 else name for text, name in zip(titles, names, strict=True)]
    splits = [sweep.protocol.measurement.split for sweep in sweeps]
    return [
        label if split == "test" or split in label else f"{label}, {split} images"
        for label, split in zip(labels, splits, strict=True)
    ]
