"""From a results folder to a report: read, draw, write."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure

from bnbench import stats
from bnbench.protocol import Protocol
from bnbench.report import captions, figures, landscapes, reproduce, tables, training
from bnbench.report.page import Picture, Section, inline_svg, render
from bnbench.report.style import print_style, save
from bnbench.report.tables import Table
from bnbench.store import StoreError, Sweep, find_sweeps, read_sweep, write_atomically


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
    try:
        with print_style():
            writers = [_Writer(out, name if len(sweeps) > 1 else "") for name in names]
            sections = [_section(sweep, name, writer) for sweep, name, writer in zip(sweeps, names, writers, strict=True)]
            overlay = _Writer(out, "")
            comparison = _comparison(sweeps, names, overlay) if compare else None
        index = out / "index.html"
        write_atomically(index, render(sections, comparison, broken).encode())
    except OSError as error:
        raise ValueError(f"--out {out} cannot be written ({error.strerror}); give a folder that you may write to.") from error
    paths = [index, *overlay.paths, *(path for writer in writers for path in writer.paths)]
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
        reason = broken[0] if broken else f"{results} holds no results of bnbench; give a folder that bnbench run wrote."
        raise ValueError(reason)
    return sweeps, broken


def _names(protocols: Sequence[Protocol]) -> list[str]:
    """A distinct name for each sweep, fit for a folder: its profile, with the hash where two share it."""
    profiles = Counter(protocol.profile for protocol in protocols)
    wanted = [protocol.profile if profiles[protocol.profile] == 1 else protocol.id for protocol in protocols]
    wanted = [re.sub(r"[^\w-]+", "-", name, flags=re.ASCII) for name in wanted]
    return [name if wanted.count(name) == 1 else f"{name}-{number}" for number, name in enumerate(wanted, start=1)]


class _Writer:
    """Writes one sweep's figures and tables and remembers their paths."""

    def __init__(self, out: Path, folder: str) -> None:
        self.out, self.folder = out, folder
        self.paths: list[Path] = []

    def picture(self, figure: Figure, name: str, caption: str, *, wide: bool = False) -> Picture:
        folder = self._folder("figures")
        saved = save(figure, folder, name)
        self.paths += saved
        svg = inline_svg(next(path for path in saved if path.suffix == ".svg"), caption)
        return Picture(name, caption, folder.relative_to(self.out).as_posix(), svg, wide)

    def table(self, table: Table) -> Table:
        self.write(f"{table.name}.csv", table.frame.to_csv(index=False, lineterminator="\n"))
        self.write(f"{table.name}.md", table.markdown())
        return table

    def write(self, name: str, text: str) -> None:
        path = self._folder("tables" if not name.startswith("captions") else "figures") / name
        write_atomically(path, text.encode())
        self.paths.append(path)

    def _folder(self, kind: str) -> Path:
        folder = self.out / self.folder / kind
        folder.mkdir(parents=True, exist_ok=True)
        return folder


def _section(sweep: Sweep, name: str, writer: _Writer) -> Section:
    fits = tables.fits_table(sweep)
    answer = captions.answer(fits)
    missing = captions.missing_note(fits, sweep.failures) if len(fits) else ""
    arms = captions.headline_arms(fits) if len(fits) else None
    pairs = stats.paired(fits, *arms) if arms else None
    lead = _lead_pictures(sweep.protocol, fits, writer) if len(fits) else []
    pictures = _pictures(sweep, fits, pairs, arms, writer) if len(fits) else []
    shown = [writer.table(table) for table in _tables(sweep, fits, pairs, arms)]
    if lead:
        writer.write("captions.md", "\n\n".join(f"**{p.name}**: {p.caption}" for p in [*lead, *pictures]) + "\n")
    return Section(
        slug=name,
        name=sweep.protocol.profile,
        answer=captions.Answer(answer.headline, answer.sentence, [*answer.notes, *([missing] if missing else [])]),
        facts=reproduce.run_facts(sweep.protocol, fits, sweep.provenance),
        figure4=lead[0] if lead else None,
        panels=lead[1:],
        pictures=pictures,
        tables=[table for table in shown if table.name != "fits"],
        long_tables=[table for table in shown if table.name == "fits"],
        departures=reproduce.departures(sweep.protocol),
        knobs=[(knob.replace("_", " "), reproduce.knob_text(knob, value)) for knob, value in sweep.protocol.knobs()],
        provenance=Table("provenance", "Provenance", "", tables.provenance_table(sweep)),
        failures=Table("failures", "Fits that failed", "", tables.failures_table(sweep.failures)),
        broken=sweep.broken,
        commands=reproduce.commands(sweep.protocol, fits),
    )


def _lead_pictures(protocol: Protocol, fits: pd.DataFrame, writer: _Writer) -> list[Picture]:
    """Figure 4, as two panels that a narrow screen can stack; the two-column figure is for print."""
    split = protocol.measurement.split
    authors = figures.authors_figure4() if protocol.data.dataset == "fashion-mnist" else None
    has_authors = authors is not None and bool(set(authors["arm"]) & set(fits["arm"]))
    drawn = {"figure4": figures.figure4, "figure4a": figures.figure4a, "figure4b": figures.figure4b}
    pictures = []
    for name, draw in drawn.items():
        caption = captions.figure4_caption(fits, split, name.removeprefix("figure4") or "ab", authors=has_authors)
        pictures.append(writer.picture(draw(fits, authors, split), name, caption))
    return pictures


def _pictures(
    sweep: Sweep, fits: pd.DataFrame, pairs: pd.DataFrame | None, arms: tuple[str, str] | None, writer: _Writer
) -> list[Picture]:
    split, threshold = sweep.protocol.measurement.split, sweep.protocol.training.threshold
    p, seed = landscapes.choose(sweep.landscapes)
    caption = captions.figure3_caption(sweep.landscapes, p, seed, threshold, split)
    figure = landscapes.figure3(sweep.landscapes, p, seed, threshold, split)
    pictures = [writer.picture(figure, "figure3", caption, wide=True)]
    if pairs is not None and arms is not None:
        pictures.append(writer.picture(figures.paired_figure(pairs, *arms), "paired", captions.paired_caption(pairs, *arms)))
    if "wall_seconds" in fits:
        pictures.append(writer.picture(training.wall_time(fits), "wall_time", captions.time_caption(fits)))
    if "step" in sweep.traces:
        caption = captions.curves_caption(sweep.traces, training.WINDOWS)
        pictures.append(writer.picture(training.learning_curves(sweep.traces), "learning_curves", caption, wide=True))
    return pictures


_INTERVAL = "gap: mean paired difference, low and high: its 95 % interval"


def _tables(
    sweep: Sweep, fits: pd.DataFrame, pairs: pd.DataFrame | None, arms: tuple[str, str] | None
) -> list[Table]:
    if fits.empty:
        return []
    found = [Table("per_p", "Every fill probability", "Means over n seeds; sd: standard deviation (ddof = 1)", tables.per_p_table(fits))]
    if pairs is not None and arms is not None:
        first, second = arms
        name = f"{first} − {second}"
        note = f"{_INTERVAL} (t, variance pooled within p, df degrees of freedom); d z: Cohen's effect size; wins: pairs with a positive gap; "
        note += "sign flip p: over pairs; seed flip p: signs of whole seeds flipped together"
        found.insert(0, Table("quantities", f"Less bendable, or less fitted? {name} in all that was measured", note, tables.quantities_table(fits, *arms)))
        note = "Mean over n pairs with the 95 % t interval, df = n − 1"
        found.append(Table("paired", f"Paired difference {name} at every p", note, stats.paired_per_p(pairs)))
        if fits["arm"].nunique() > 2:
            found.append(Table("comparisons", "Every two arms", note.replace("Mean", "Gap: mean"), tables.comparisons_table(fits)))
    policies = tables.policies_table(sweep, _reference(fits))
    if len(policies):
        note = "How far the answer depends on the statistics that batch normalization uses at evaluation; all pixels"
        found.append(Table("policies", "Batch-norm statistics", note, policies))
    found.append(Table("fits", "Every fit", "trained: over trained pixels only; losses are means over all pixels of a colour", fits))
    return found


def _reference(fits: pd.DataFrame) -> str | None:
    return "plain" if "plain" in set(fits["arm"]) else None


def _comparison(sweeps: Sequence[Sweep], names: Sequence[str], writer: _Writer) -> Picture | None:
    """Figure 4a of every sweep that has a fit, overlaid."""
    shown = [(name, fits) for sweep, name in zip(sweeps, names, strict=True) if len(fits := tables.fits_table(sweep))]
    if not shown:
        return None
    caption = "Figure 4a of all protocols: mean ± one standard deviation over seeds (ddof = 1); colour: arm, line: protocol."
    return writer.picture(figures.comparison_figure(shown, figures.authors_figure4()), "comparison", caption, wide=True)
