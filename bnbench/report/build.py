"""From a results folder to a report: read, draw, write."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from bnbench import stats
from bnbench.errors import RequestError
from bnbench.profiles import title
from bnbench.protocol import Protocol
from bnbench.report import captions, figures, landscapes, reproduce, tables, training
from bnbench.report.captions import Two
from bnbench.report.page import Picture, Section, render
from bnbench.report.style import print_style
from bnbench.report.tables import Table
from bnbench.report.writer import Writer
from bnbench.store import StoreError, write_atomically
from bnbench.sweeps import Sweep, find_sweeps, read_sweep


@dataclass(frozen=True)
class Report:
    """What was written, ``index.html`` first, and a sentence for each file that could not be read."""

    paths: list[Path]
    broken: list[str]


def build_report(results: Path, out: Path, *, compare: bool = False) -> Report:
    """Write the report of every sweep at or below a folder: page, figures and tables.

    The same results give byte-identical files within one environment.

    Args:
        results: a results folder, or one above several; finished or not.
        out: where to write; made if it is not there.
        compare: overlay figure 4a of all sweeps.

    Raises:
        ValueError: no sweep there, or ``out`` cannot be written.
    """
    sweeps, broken = _read(results)
    names = _names([sweep.protocol for sweep in sweeps])
    writers = [Writer(out, name if len(sweeps) > 1 else "") for name in names]
    whole = Writer(out, "")
    index = out / "index.html"
    try:
        with print_style():
            sections = [_section(*parts) for parts in zip(sweeps, names, writers, strict=True)]
            comparison = _comparison(sweeps, names, whole) if compare else None
        out.mkdir(parents=True, exist_ok=True)
        write_atomically(index, render(sections, comparison, broken).encode())
    except OSError as error:
        reason = error.strerror or error
        raise RequestError(f"--out {out} cannot be written ({reason}); give a folder that you may write to.") from error
    paths = [index, *whole.paths, *(path for writer in writers for path in writer.paths)]
    return Report(paths, broken + [message for sweep in sweeps for message in sweep.broken])


def _read(results: Path) -> tuple[list[Sweep], list[str]]:
    sweeps: list[Sweep] = []
    broken: list[str] = []
    for folder in find_sweeps(results):
        try:
            sweeps.append(read_sweep(folder))
        except StoreError as error:
            broken.append(str(error))
    if not sweeps:
        nothing = f"{results} holds no results of bnbench; give a folder that bnbench run wrote, such as results/quick."
        raise RequestError(broken[0] if broken else nothing)
    return sweeps, broken


def _names(protocols: Sequence[Protocol]) -> list[str]:
    """A distinct name for each sweep, fit for a folder: its profile, with the hash where two share it."""
    profiles = Counter(protocol.profile for protocol in protocols)
    wanted = [protocol.profile if profiles[protocol.profile] == 1 else protocol.id for protocol in protocols]
    wanted = [re.sub(r"[^\w-]+", "-", name, flags=re.ASCII) for name in wanted]
    return [name if wanted.count(name) == 1 else f"{name}-{number}" for number, name in enumerate(wanted, start=1)]


def _section(sweep: Sweep, name: str, writer: Writer) -> Section:
    protocol, fits = sweep.protocol, tables.fits_table(sweep)
    two = captions.headline_arms(fits)
    lead = _figure4(protocol, fits, writer) if len(fits) else []
    pictures = _pictures(sweep, fits, two, writer) if len(fits) else []
    shown = [writer.table(table) for table in _tables(sweep, fits, two)] if len(fits) else []
    if len(fits):
        writer.captions([*lead, *pictures])
    return Section(
        slug=name,
        name=title(protocol),
        answer=captions.answer(fits),
        missing=captions.missing_note(fits, len(sweep.failures)),
        facts=reproduce.run_facts(protocol, fits, sweep.provenance),
        figure4=lead[0] if lead else None,
        panels=lead[1:],
        pictures=pictures,
        tables=[table for table in shown if table.name != "fits"],
        long_tables=[table for table in shown if table.name == "fits"],
        departures=reproduce.departures(protocol),
        knobs=[(knob.replace("_", " "), reproduce.shown(knob, value)) for knob, value in protocol.knobs()],
        provenance=Table("provenance", "Provenance", "", tables.provenance_table(sweep)),
        failures=Table("failures", "Fits that failed", "", tables.failures_table(sweep.failures)),
        broken=sweep.broken,
        commands=reproduce.commands(protocol, fits),
    )


def _figure4(protocol: Protocol, fits: pd.DataFrame, writer: Writer) -> list[Picture]:
    """Figure 4 across two columns for print, then its panels, which a narrow screen can stack."""
    split = protocol.measurement.split
    authors = figures.authors_figure4() if protocol.data.dataset == "fashion-mnist" else None
    has_authors = authors is not None and bool(set(authors["arm"]) & set(fits["arm"]))
    drawn = {"figure4": figures.figure4, "figure4a": figures.figure4a, "figure4b": figures.figure4b}
    pictures = []
    for name, draw in drawn.items():
        caption = captions.figure4_caption(fits, split, name.removeprefix("figure4") or "ab", authors=has_authors)
        pictures.append(writer.picture(draw(fits, authors, split), name, caption))
    return pictures


def _pictures(sweep: Sweep, fits: pd.DataFrame, two: Two | None, writer: Writer) -> list[Picture]:
    """Everything but figure 4, in the order of the page."""
    split, threshold = sweep.protocol.measurement.split, sweep.protocol.training.threshold
    p, seed = landscapes.choose(sweep.landscapes)
    figure = landscapes.figure3(sweep.landscapes, p, seed, threshold, split)
    caption = captions.figure3_caption(sweep.landscapes, p, seed, threshold, split)
    pictures = [writer.picture(figure, "figure3", caption, wide=True)]
    if two and len(two.pairs) > 1:
        pictures.append(writer.picture(figures.paired_figure(*two), "paired", captions.paired_caption(*two)))
    if "wall_seconds" in fits and len(fits) > len(set(fits["arm"])):
        pictures.append(writer.picture(training.wall_time(fits), "wall_time", captions.time_caption(fits)))
    if "step" in sweep.traces:
        caption = captions.curves_caption(sweep.traces, training.WINDOWS, sweep.protocol.training.schedule)
        pictures.append(writer.picture(training.learning_curves(sweep.traces), "learning_curves", caption, wide=True))
    return pictures


_NOTES = {
    "quantities": (
        "Less bendable, or less fitted? {two} in all that was measured",
        "Gap: mean paired difference; low, high: its 95 % t interval, variance pooled within p, df degrees of freedom; "
        "effect size: Cohen's d_z; wins: pairs with a positive gap; sign flip p: test over pairs; "
        "seed flip p: signs of whole seeds flipped together, so it cannot fall below 2 / 2ⁿ with n seeds",
    ),
    "comparisons": ("Every two arms: first − second", "Columns as above"),
    "paired": ("Paired difference {two} at every p", "Mean over n pairs with the 95 % t interval, df = n − 1"),
    "per_p": ("Every fill probability", "Means over n seeds; sd: standard deviation (ddof = 1)"),
    "policies": (
        "Batch-norm statistics",
        "How far the answer depends on the statistics that batch normalization uses at evaluation; all pixels",
    ),
    "fits": ("Every fit", "Trained: over trained pixels only; losses are means over all pixels of a colour"),
}


def _tables(sweep: Sweep, fits: pd.DataFrame, two: Two | None) -> list[Table]:
    """Every table that these fits allow, in the order of the page."""
    arms = set(fits["arm"])
    frames = {
        "quantities": tables.quantities_table(fits, two.first, two.second) if two else None,
        "comparisons": tables.comparisons_table(fits) if len(arms) > 2 else None,
        "paired": stats.paired_per_p(two.pairs) if two else None,
        "per_p": tables.per_p_table(fits),
        "policies": tables.policies_table(sweep, "plain" if "plain" in arms else None),
        "fits": fits,
    }
    names = f"{two.first} − {two.second}" if two else ""
    titles = {name: (title.replace("{two}", names), note) for name, (title, note) in _NOTES.items()}
    return [Table(name, *titles[name], frame) for name, frame in frames.items() if frame is not None and len(frame)]


def _comparison(sweeps: Sequence[Sweep], names: Sequence[str], writer: Writer) -> Picture | None:
    """Figure 4a of every sweep that has a fit, overlaid; the authors' curve where all are on their images."""
    found = [(name, tables.fits_table(sweep)) for sweep, name in zip(sweeps, names, strict=True)]
    found = [(name, fits) for name, fits in found if len(fits)]
    if not found:
        return None
    same_images = {sweep.protocol.data.dataset for sweep in sweeps} == {"fashion-mnist"}
    figure = figures.comparison_figure(found, figures.authors_figure4() if same_images else None)
    return writer.picture(figure, "comparison", captions.comparison_caption(found), wide=True)
