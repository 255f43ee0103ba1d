"""All that the report says of one sweep, before anything is written: its answer, figures, chapters and tables."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import pandas as pd

from bnbench.protocol.arm_names import names_words
from bnbench.protocol.profiles import title
from bnbench.report import tables
from bnbench.report.arms import ComparedArms, as_asked, compared_arms
from bnbench.report.chapters import (
    bn_statistics,
    evidence,
    fitted,
    headline,
    reproduce,
    smoothness,
    speed,
    without_fits,
)
from bnbench.report.chapters.chapter import Chapter
from bnbench.report.chapters.gallery import gallery
from bnbench.report.chapters.headline import Answer
from bnbench.report.chapters.smoothness_agreement import Smoothness
from bnbench.report.chapters.standing import standing
from bnbench.report.figures.authors import authors_of, authors_table
from bnbench.report.figures.figure import Figure
from bnbench.report.figures.figure4 import figure4, figure4_all_pixels
from bnbench.report.figures.landscapes import choose_pair
from bnbench.report.figures.objective import objective
from bnbench.report.figures.strip import strip
from bnbench.report.tables import Table
from bnbench.results.sweeps import Sweep


@dataclass(frozen=True)
class Section:
    """One protocol's part of the report.

    Attributes:
        sweep: what was read.
        fits: a row per fit, see :func:`bnbench.report.tables.fits_table`.
        name: its profile and what was changed in it.
        compared: the two arms that are compared and their pairs; None where no two share a mask.
        answer: what a reader sees first.
        status: two questions that limit every number, each with its answer: settled, and past the threshold; nothing
            without fits.
        caution: a sentence where nearly all white pixels were past the threshold; else empty.
        diverged: a sentence on fits that diverged; else empty.
        missing: a sentence on fits that are still to run, and on those that failed; else empty.
        facts: what was run, as pairs of a word and its value.
        pair: the (p, seed) whose landscapes are shown; NaN and 0 without fits.
        strip: masks and the landscapes that were bent to them; nothing without fits.
        lead: figure 4, then its panels; nothing without fits, as all that follows up to the tables.
        objective: right and J, then each by itself, to stand beside figure 4; nothing where the fits do not tell.
        behind_switch: figure 4 over all pixels, since ``lead`` is over trained ones.
        gallery: the figures outside the chapters.
        chapters: questions, and what the fits say to them.
        tables: the tables outside the chapters.
        long_tables: those that the page folds.
        departures: where the protocol departs from ``paper``: knob, what it is, here, there.
        knobs: the whole protocol.
        provenance: where the numbers come from.
        failures: the fits that failed.
        commands: what runs the same fits and writes this report again.
        needs: what else must be at hand for that, a sentence each.
    """

    sweep: Sweep
    fits: pd.DataFrame
    name: str
    compared: ComparedArms | None
    answer: Answer
    status: list[tuple[str, str]]
    caution: str
    diverged: str
    missing: str
    facts: list[tuple[str, str]]
    pair: tuple[float, int]
    strip: list[Figure]
    lead: list[Figure]
    objective: list[Figure]
    behind_switch: list[Figure]
    gallery: list[Figure]
    chapters: list[Chapter]
    tables: list[Table]
    long_tables: list[Table]
    departures: list[tuple[str, str, str, str]]
    knobs: list[tuple[str, str]]
    provenance: Table
    failures: Table
    commands: list[str]
    needs: list[str]

    @property
    def all_figures(self) -> list[Figure]:
        """Return every figure, in the order of the page."""
        in_chapters = [figure for chapter in self.chapters for figure in chapter.figures]
        return [*self.strip, *self.lead, *self.objective, *self.behind_switch, *self.gallery, *in_chapters]

    @property
    def all_tables(self) -> list[Table]:
        """Return every table of numbers that the page holds, in its order."""
        in_chapters = [table for chapter in self.chapters for table in chapter.tables]
        return [*in_chapters, *self.tables, *self.long_tables]

    @property
    def tables_shown(self) -> set[str]:
        """Return the names of the tables that the page itself holds."""
        return {table.name for table in self.all_tables if table.on_page}


def section(
    sweep: Sweep,
    evaluated: pd.DataFrame,
    smooth: Smoothness,
    wanted: tuple[float, int] | None,
    arms: Sequence[str] = (),
) -> Section:
    """Say all that a sweep allows to say.

    Args:
        sweep: what was read; it may hold no fit.
        evaluated: planes measured again, of any sweep.
        smooth: networks measured along training, pixels of planes and capacities, of this sweep.
        wanted: the (p, seed) of figure 3, if the sweep has it; else p nearest one half.
        arms: those to compare, where two of them share a mask.
    """
    protocol, fits, diverged = sweep.protocol, tables.fits_table(sweep), tables.diverged_fits(sweep)
    order = [*arms, *as_asked(sweep.asked.arms if sweep.asked else ())]
    compared, has_fits = compared_arms(fits, order), len(fits) > 0
    pair = choose_pair(sweep.landscapes, wanted) if has_fits else (math.nan, 0)
    authors = authors_of(protocol, fits)
    split = protocol.measurement.split
    lead = _with_full_names(figure4(fits, authors, split), sweep) if has_fits else []
    read = objective(fits, protocol.training.threshold, authors) if has_fits else []
    pictures = gallery(sweep, fits, pair) if has_fits else []
    first = (
        [strip(sweep.landscapes, protocol.training.threshold, split, compared[1:] if compared else ())]
        if has_fits
        else []
    )
    if has_fits:
        chapters = _chapters(sweep, fits, evaluated, smooth, compared, authors)
    else:
        chapters = without_fits.chapters(sweep, evaluated, smooth)
    shown = [*_shown_tables(fits, lead), *(figure.table for figure in read[:1])] if has_fits else []
    long_tables = _long_tables(fits, compared) if has_fits else []
    drawn = [*first, *pictures, *(figure for chapter in chapters for figure in chapter.figures)]
    placed = [*shown, *long_tables, *(table for chapter in chapters for table in chapter.tables)]
    behind = [*_unplaced(drawn, placed), *([authors_table(authors)] if authors is not None else [])]
    caution, stands = fitted.caution(sweep), standing(sweep)
    if has_fits:
        said = headline.answer(
            fits, diverged, stands, order=order, by_colour=bool(caution), steps=protocol.training.steps
        )
    else:
        said = without_fits.answer(sweep, diverged)
    return Section(
        sweep=sweep,
        fits=fits,
        name=title(protocol),
        compared=compared,
        answer=said,
        status=fitted.status(sweep) if has_fits else [],
        caution=caution,
        diverged=headline.diverged_note(diverged, compared),
        missing=stands.note(),
        facts=reproduce.run_facts(sweep, stands),
        pair=pair,
        strip=first,
        lead=lead,
        objective=read,
        behind_switch=[figure4_all_pixels(fits, split)] if lead else [],
        gallery=pictures,
        chapters=chapters,
        tables=shown,
        long_tables=[*long_tables, *behind],
        departures=reproduce.departures(protocol),
        knobs=[(knob.replace("_", " "), reproduce.shown(knob, value)) for knob, value in protocol.knobs()],
        provenance=Table("provenance", "Provenance", "", tables.provenance_table(sweep)),
        failures=Table("failures", "Fits that failed", "", tables.failures_table(sweep.failures)),
        commands=reproduce.commands(sweep, fits, wanted if wanted == pair else None, arms),
        needs=reproduce.needs(sweep),
    )


def _with_full_names(figures: Sequence[Figure], sweep: Sweep) -> list[Figure]:
    """Let captions say which arms the short names in them stand for."""
    said = names_words({arm: name for name, arm in sweep.full_names.items()})
    return [replace(figure, caption=f"{figure.caption} {said}." if said else figure.caption) for figure in figures]


def _chapters(
    sweep: Sweep,
    fits: pd.DataFrame,
    evaluated: pd.DataFrame,
    smooth: Smoothness,
    compared: ComparedArms | None,
    authors: pd.DataFrame | None,
) -> list[Chapter]:
    """Return what the answer rests on, and what else it could be."""
    chapters = [
        fitted.chapter(sweep, fits, compared),
        speed.chapter(sweep, compared),
        bn_statistics.chapter(sweep, evaluated, fits),
        smoothness.chapter(smooth, fits, sweep.landscapes, sweep.protocol.training),
        evidence.chapter(fits, tables.diverged_fits(sweep), authors, compared),
    ]
    return [chapter for chapter in chapters if chapter is not None]


def _shown_tables(fits: pd.DataFrame, lead: Sequence[Figure]) -> list[Table]:
    """Return the short tables that these fits allow and no chapter has."""
    per_p = [lead[0].table]
    if fits["arm"].nunique() <= 2:
        return per_p
    note = "Both readings, over trained and over all pixels; lower is better of J alone; columns as in the table of all"
    comparisons = Table("comparisons", "Every two arms: first − second", note, tables.comparisons_table(fits))
    return [comparisons, *per_p] if len(comparisons.frame) else per_p


def _long_tables(fits: pd.DataFrame, compared: ComparedArms | None) -> list[Table]:
    """Return the tables with a row per fit, or per p and quantity."""
    if compared is None:
        return [tables.every_fit(fits)]
    note = (
        "Each arm's mean over its n seeds; sd: standard deviation (ddof = 1); gap: mean paired difference with its "
        "95 % t interval low to high, df = pairs − 1"
    )
    frame = tables.quantities_per_p_table(fits, compared.first, compared.second)
    per_p = Table("quantities_per_p", "All that was measured at every fill probability", note, frame)
    return [per_p, tables.every_fit(fits)]


def _unplaced(figures: Iterable[Figure], placed: Iterable[Table]) -> list[Table]:
    """Return the tables of figures that stand nowhere on the page yet, each once."""
    names = {table.name for table in placed}
    tables = {figure.table.name: figure.table for figure in figures}
    return [table for name, table in tables.items() if name not in names and table.on_page]
