"""The figures that answer no question of their own: figure 4, the landscapes, training against test, cost, curves."""

from __future__ import annotations

from functools import partial

import pandas as pd

from bnbench.protocol.protocol import Protocol
from bnbench.report.figures import captions
from bnbench.report.figures import figure3 as landscapes
from bnbench.report.figures import figure4 as figures
from bnbench.report.figures import learning_curves as training
from bnbench.report.figures.figure import NarrowDrawing, ReportFigure
from bnbench.report.page.page import Picture
from bnbench.report.page.writer import Writer
from bnbench.results.sweeps import Sweep
from bnbench.stats import settling


def authors_of(protocol: Protocol, fits: pd.DataFrame) -> pd.DataFrame | None:
    """The authors' curves, where they are of the same images and of an arm that was fitted."""
    authors = figures.authors_figure4()
    same = (protocol.data.dataset, protocol.content) == figures.AUTHORS_IMAGES
    return authors if same and set(authors["arm"]) & set(fits["arm"]) else None


def lead(protocol: Protocol, fits: pd.DataFrame, writer: Writer) -> list[Picture]:
    """Figure 4 across two columns for print, then its panels, which a narrow screen can stack."""
    split, authors = protocol.measurement.split, authors_of(protocol, fits)
    drawn = {"figure4": figures.figure4, "figure4a": figures.figure4a, "figure4b": figures.figure4b}
    pictures = []
    for name, draw in drawn.items():
        panels = name.removeprefix("figure4") or "ab"
        caption = captions.figure4_caption(fits, split, panels, authors=authors is not None)
        pictures.append(writer.picture(ReportFigure(name, partial(draw, fits, authors, split), caption, "per_p")))
    return pictures


def gallery(sweep: Sweep, fits: pd.DataFrame, pair: tuple[float, int], writer: Writer) -> list[Picture]:
    """What is neither figure 4 nor in a chapter, in the order of the page; landscapes are those of one (p, seed)."""
    split, threshold = sweep.protocol.measurement.split, sweep.protocol.training.threshold
    shown, arms = sweep.landscapes, fits["arm"].nunique()
    p, seed = pair
    draw: NarrowDrawing = partial(landscapes.figure3, shown, p, seed, threshold, split)
    caption = captions.figure3_caption(shown, p, seed, threshold, split)
    pictures = [writer.picture(ReportFigure("figure3", draw, caption, "figure3", draw))]
    draw = partial(landscapes.training_against_test, shown, p, seed, split)
    caption = captions.training_caption(shown, p, seed, split)
    is_wide = landscapes.arms_at(shown, p, seed) > landscapes.ARMS_IN_A_COLUMN
    name = "training_against_test"
    pictures.append(writer.picture(ReportFigure(name, draw, caption, "figure3", draw if is_wide else None)))
    if "wall_seconds" in fits and len(fits) > arms:
        wall_time = partial(training.wall_time, fits)
        pictures.append(writer.picture(ReportFigure("wall_time", wall_time, captions.time_caption(fits), "fits")))
    if "step" in sweep.traces:
        draw, name = partial(training.learning_curves, sweep.traces), "learning_curves"
        caption = captions.curves_caption(sweep.traces, fits, settling.WINDOWS)
        pictures.append(writer.picture(ReportFigure(name, draw, caption, name, draw if arms > 1 else None)))
    return pictures
