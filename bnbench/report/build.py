"""From a results folder to a report: read, draw, write."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from bnbench.errors import RequestError
from bnbench.protocol.parsing import FORMATS
from bnbench.protocol.profiles import title
from bnbench.protocol.protocol import Protocol
from bnbench.report import tables
from bnbench.report.chapters import bn_statistics, evidence, fitted, gallery, headline, reproduce
from bnbench.report.chapters import comparison as comparing
from bnbench.report.chapters.drawn import drawn_tables, pixels_table
from bnbench.report.chapters.headline import Two
from bnbench.report.figures.figure3 import arms_at, choose
from bnbench.report.figures.style import print_style
from bnbench.report.page.explorer import explorer_data
from bnbench.report.page.manifest import settle
from bnbench.report.page.page import Chapter, Section, render
from bnbench.report.page.record import render_record
from bnbench.report.page.writer import Writer
from bnbench.report.tables import Table
from bnbench.results import layout
from bnbench.results.evaluations import find_evaluations
from bnbench.results.sweeps import Sweep, read_sweeps

PAGE = "index.html"
Pair = tuple[float, int]  # fill probability and seed


@dataclass(frozen=True)
class Report:
    """What was written.

    Attributes:
        paths: every file, the page first if there is one.
        broken: a sentence for each file that could not be used.
        notes: a sentence on fits that were found more than once.
    """

    paths: list[Path]
    broken: list[str]
    notes: list[str]


def build_report(
    results: Path,
    out: Path,
    *,
    compare: bool = False,
    formats: Collection[str] = FORMATS,
    evaluations: Path | None = None,
    figure3: Pair | None = None,
) -> Report:
    """Write the report of every sweep at or below a folder: page, figures and tables.

    The same results give byte-identical files within one environment. What an earlier report wrote there
    and this one does not is removed.

    Args:
        results: a results folder, or one above several; finished or not.
        out: where to write; made if it is not there.
        compare: overlay figure 4a of all sweeps, of two or more.
        formats: what to write, of :data:`bnbench.protocol.parsing.FORMATS`.
        evaluations: where planes were measured again; by default ``evaluations`` in ``results`` and in every
            sweep's own folder.
        figure3: the (p, seed) of figure 3, where a sweep has it; else p nearest one half.

    Raises:
        ValueError: no sweep there, or ``out`` cannot be written or belongs to results.
    """
    _refuse_results(out, results)
    sweeps, broken = _read(results)
    folders = [evaluations] if evaluations else [layout.evaluations_folder(one) for one in _above(results, sweeps)]
    evaluated, unreadable = find_evaluations(folders)
    if evaluations and not set(evaluated["protocol"]) & {sweep.protocol.id for sweep in sweeps}:
        raise RequestError(
            f"--evaluations {evaluations} holds none of these sweeps; give a folder that bnbench evaluate wrote."
        )
    broken += unreadable
    if figure3 and not any(arms_at(sweep.landscapes, *figure3) for sweep in sweeps):
        raise RequestError(f"--figure3 {figure3[0]:g},{figure3[1]}: {results} has no such fit; it has {_has(sweeps)}.")
    names = _names([sweep.protocol for sweep in sweeps])
    writers = [Writer(out, name if len(sweeps) > 1 else "", formats) for name in names]
    whole = Writer(out, "", formats)
    try:
        with print_style():
            sections = [_section(*parts, evaluated, figure3) for parts in zip(sweeps, names, writers, strict=True)]
            comparison = comparing.compare(sweeps, names, whole) if compare else None
        if "html" in formats:
            whole.write(out / PAGE, render(sections, comparison, broken, formats).encode())
        if "json" in formats:
            whole.write(out / "report.json", render_record(sections, broken).encode())
        digests = {path: digest for writer in (whole, *writers) for path, digest in writer.digests.items()}
        paths = [*digests, settle(out, digests)]
    except OSError as error:
        reason = error.strerror or error
        raise RequestError(f"--out {out} cannot be written ({reason}); give a folder that you may write to.") from error
    return Report(
        sorted(paths, key=lambda path: path.name != PAGE),
        broken + [message for sweep in sweeps for message in sweep.broken],
        [message for sweep in sweeps for message in sweep.notes],
    )


def _refuse_results(out: Path, results: Path) -> None:
    """A report among the results would mix its files with theirs."""
    place = out.resolve()
    inside = next((folder for folder in (place, *place.parents) if (folder / "protocol.json").exists()), None)
    if place == results.resolve() or inside:
        raise RequestError(f"--out {out} is a folder of results or lies in one; give another, such as reports/mine.")


def _read(results: Path) -> tuple[list[Sweep], list[str]]:
    """Every sweep, those with most finished fits first, and a sentence for each that could not be read."""
    sweeps, broken = read_sweeps(results)
    if not sweeps:
        raise RequestError(broken[0])
    return sorted(sweeps, key=lambda sweep: -len(sweep.identities)), broken


def _above(results: Path, sweeps: Sequence[Sweep]) -> list[Path]:
    """The folders that bnbench evaluate may have been given, each once."""
    return list(dict.fromkeys([results, *(folder for sweep in sweeps for folder in sweep.folders)]))


def _has(sweeps: Sequence[Sweep]) -> str:
    """The fill probabilities and seeds that there are, all sweeps together."""
    fits = pd.concat([sweep.landscapes[["p", "seed"]] for sweep in sweeps])
    probs, seeds = (", ".join(f"{value:g}" for value in sorted(fits[name].unique())) for name in ("p", "seed"))
    return f"p {probs} and seeds {seeds}" if len(fits) else "none"


def _names(protocols: Sequence[Protocol]) -> list[str]:
    """A distinct name for each sweep, fit for a folder: its profile, with the hash where two share it."""
    profiles = Counter(protocol.profile for protocol in protocols)
    wanted = [protocol.profile if profiles[protocol.profile] == 1 else protocol.id for protocol in protocols]
    wanted = [re.sub(r"[^\w-]+", "-", name, flags=re.ASCII) for name in wanted]
    return [name if wanted.count(name) == 1 else f"{name}-{number}" for number, name in enumerate(wanted, start=1)]


def _section(sweep: Sweep, name: str, writer: Writer, evaluated: pd.DataFrame, wanted: Pair | None) -> Section:
    protocol, fits = sweep.protocol, tables.fits_table(sweep)
    pair = choose(sweep.landscapes, wanted) if len(fits) else (math.nan, 0)
    two, diverged = headline.headline_arms(fits), tables.diverged_fits(sweep)
    caution, grid = fitted.caution(sweep), reproduce.whole_grid(sweep)
    lead = gallery.lead(protocol, fits, writer) if len(fits) else []
    pictures = gallery.gallery(sweep, fits, pair, writer) if len(fits) else []
    chapters = _chapters(sweep, fits, two, writer, evaluated) if len(fits) else []
    shown = [writer.table(table) for table in _tables(fits, two)] if len(fits) else []
    behind = [writer.table(table) for table in drawn_tables(sweep, fits, two)] if len(fits) else []
    if len(fits):
        writer.table(pixels_table(sweep, *pair), ["csv"])  # nobody reads 900 rows: the page has the explorer
        writer.captions([*lead, *pictures, *(picture for chapter in chapters for picture in chapter.pictures)])
    return Section(
        slug=name,
        folder=writer.folder,
        name=title(protocol),
        protocol=protocol,
        answer=headline.answer(fits, diverged, per_arm=len(grid.probs) * len(grid.seeds), by_colour=bool(caution)),
        caution=caution,
        diverged=headline.diverged_note(diverged, two),
        missing=reproduce.missing_note(sweep),
        facts=reproduce.run_facts(sweep),
        figure4=lead[0] if lead else None,
        panels=lead[1:],
        explorer=_explorer(sweep, pair) if len(fits) else None,
        pictures=pictures,
        chapters=chapters,
        tables=[table for table in shown if table.name not in _LONG],
        long_tables=[table for table in shown if table.name in _LONG] + behind,
        departures=reproduce.departures(protocol),
        knobs=[(knob.replace("_", " "), reproduce.shown(knob, value)) for knob, value in protocol.knobs()],
        provenance=Table("provenance", "Provenance", "", tables.provenance_table(sweep)),
        failures=Table("failures", "Fits that failed", "", tables.failures_table(sweep.failures)),
        broken=sweep.broken,
        commands=reproduce.commands(protocol, fits, wanted if wanted == pair else None),
    )


def _explorer(sweep: Sweep, pair: Pair) -> dict[str, Any]:
    return explorer_data(sweep.landscapes, sweep.protocol.training.threshold, sweep.protocol.measurement.split, pair)


def _chapters(
    sweep: Sweep, fits: pd.DataFrame, two: Two | None, writer: Writer, evaluated: pd.DataFrame
) -> list[Chapter]:
    """What the answer rests on, and what else it could be."""
    found = [
        fitted.chapter(sweep, fits, two, writer),
        bn_statistics.chapter(sweep, evaluated, writer),
        evidence.chapter(fits, tables.diverged_fits(sweep), gallery.authors_of(sweep.protocol, fits), two, writer),
    ]
    return [chapter for chapter in found if chapter is not None]


_LONG = ("quantities_per_p", "fits")  # the page folds them
_NOTES = {
    "comparisons": ("Every two arms: first − second", "Columns as in the table of all quantities"),
    "per_p": ("Every fill probability", "Means over n seeds; sd: standard deviation (ddof = 1)"),
    "quantities_per_p": (
        "All that was measured at every fill probability",
        "Each arm's mean over its n seeds; sd: standard deviation (ddof = 1); gap: mean paired difference with its "
        "95 % t interval low to high, df = pairs − 1",
    ),
    "fits": ("Every fit", "Trained: over trained pixels only; losses are means over all pixels of a colour"),
}


def _tables(fits: pd.DataFrame, two: Two | None) -> list[Table]:
    """Every table that these fits allow and no chapter has, in the order of the page."""
    frames = {
        "comparisons": tables.comparisons_table(fits) if fits["arm"].nunique() > 2 else None,
        "per_p": tables.per_p_table(fits),
        "quantities_per_p": tables.quantities_per_p_table(fits, two.first, two.second) if two else None,
        "fits": fits,
    }
    return [Table(name, *_NOTES[name], frame) for name, frame in frames.items() if frame is not None and len(frame)]
