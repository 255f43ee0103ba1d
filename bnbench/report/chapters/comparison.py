"""Several protocols in one figure 4a, and which answer each of them gives."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import pandas as pd

from bnbench.protocol.profiles import title
from bnbench.report import tables
from bnbench.report.figures import captions
from bnbench.report.figures import figure4 as figures
from bnbench.report.figures.figure import NarrowDrawing, ReportFigure
from bnbench.report.page.page import Comparison
from bnbench.report.page.writer import Writer
from bnbench.report.tables import Table
from bnbench.results.sweeps import Sweep

NAME = "comparison"


def compare(sweeps: Sequence[Sweep], names: Sequence[str], writer: Writer) -> Comparison:
    """Figure 4a of every sweep that has a fit, overlaid; of less than two, a sentence that says so.

    The authors' curve is laid behind where all are on their images and one at least on test images, as theirs is.

    Args:
        sweeps: what was read.
        names: of each sweep, distinct.
        writer: of the figure and table.
    """
    labels = _labels(sweeps, names)
    found = [(sweep, label, tables.fits_table(sweep)) for sweep, label in zip(sweeps, labels, strict=True)]
    found = [(sweep, label, fits) for sweep, label, fits in found if len(fits)]
    if len(found) < 2:
        have = f"{found[0][1]} alone has" if found else "none has"
        return Comparison(f"Nothing to overlay: {have} finished fits, and --compare takes two protocols or more.")
    drawn = [(label, fits) for _, label, fits in found]
    on_test = [label for sweep, label, _ in found if sweep.protocol.measurement.split == "test"]
    protocols = [sweep.protocol for sweep, *_ in found]
    same_images = {(protocol.data.dataset, protocol.content) for protocol in protocols} == {figures.AUTHORS_IMAGES}
    authors = figures.authors_figure4() if same_images and on_test else None
    draw: NarrowDrawing = partial(figures.comparison_figure, drawn, authors)
    per_p = pd.concat([tables.per_p_table(fits).assign(protocol=label) for label, fits in drawn], ignore_index=True)
    note = "Means over n seeds; sd: standard deviation (ddof = 1)"
    table = writer.table(Table(NAME, "All protocols at every fill probability", note, per_p))
    elsewhere = [label for label, _ in drawn if label not in on_test]
    caption = captions.comparison_caption(drawn, elsewhere, authors=authors is not None)
    return Comparison("", writer.picture(ReportFigure(NAME, draw, caption, NAME, draw)), table)


def _labels(sweeps: Sequence[Sweep], names: Sequence[str]) -> list[str]:
    """What a legend calls each sweep: its profile and what was changed in it; its name where two share that."""
    titles = [title(sweep.protocol).replace(", changed: ", ": ") for sweep in sweeps]
    labels = [text if titles.count(text) == 1 else name for text, name in zip(titles, names, strict=True)]
    splits = [sweep.protocol.measurement.split for sweep in sweeps]
    return [
        label if split == "test" or split in label else f"{label}, {split} images"
        for label, split in zip(labels, splits, strict=True)
    ]
