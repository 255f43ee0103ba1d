"""From a results folder to a report: read, draw, write."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pandas as pd

from bnbench.errors import RequestError
from bnbench.protocol.mask_sizes import Size, size_name
from bnbench.protocol.parsing import FORMATS, parse_formats
from bnbench.protocol.profiles import changes
from bnbench.protocol.protocol import Protocol
from bnbench.report.arms import arms_to_compare, named_in_short, names_of, with_names
from bnbench.report.chapters import capacity, pictures, protocols
from bnbench.report.chapters.chapter import Chapter
from bnbench.report.chapters.comparison import Comparison
from bnbench.report.chapters.comparison import compare as compare_sweeps
from bnbench.report.chapters.section import Section, section
from bnbench.report.chapters.smoothness_agreement import read_smoothness
from bnbench.report.figures.landscapes import arms_at
from bnbench.report.figures.style import print_style
from bnbench.report.page.explorer import explorer_data, with_files
from bnbench.report.page.manifest import remove_outdated
from bnbench.report.page.page import Entry, Part, render, render_part
from bnbench.report.page.record import render_record
from bnbench.report.page.writer import Writer
from bnbench.results import layout
from bnbench.results.evaluations import find_evaluations
from bnbench.results.folders import refuse_results_folder
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
        headlines: of each protocol its name and its answer in a few words.
    """

    paths: list[Path]
    broken: list[str]
    notes: list[str]
    headlines: list[str]


def build_report(
    results: str | Path,
    out: str | Path,
    *,
    compare: bool = False,
    formats: str | Collection[str] = FORMATS,
    evaluations: str | Path | None = None,
    figure3: Pair | None = None,
    arms: Sequence[str] = (),
) -> Report:
    """Write the report of every sweep at or below a folder: page, figures and tables.

    The same results give byte-identical files within one environment. What an earlier report wrote there
    and this one does not is removed.

    Args:
        results: a results folder, or one above several; finished or not.
        out: where to write; made if it is not there.
        compare: overlay figure 4a of all sweeps, of two or more.
        formats: what to write, of :data:`bnbench.protocol.parsing.FORMATS`: several, or text with commas.
        evaluations: where planes were measured again; by default ``evaluations`` in ``results`` and in every
            sweep's own folder.
        figure3: the (p, seed) of figure 3, where a sweep has it; else p nearest one half.
        arms: the two arms that sentences, paired tables and figures compare, where a sweep has both on one mask; by
            default plain and bn, else the first two of those asked for.

    Raises:
        RequestError: no sweep there, an unknown format, arms that the results do not have or never on one mask, or
            ``out`` cannot be written or belongs to results.
    """
    results, out = Path(results).expanduser(), Path(out).expanduser()
    formats = parse_formats(formats if isinstance(formats, str) else ",".join(formats))
    evaluations = None if evaluations is None else Path(evaluations).expanduser()
    refuse_results_folder("--out", out, results, "reports/mine")
    sweeps, broken = _read(results)
    called = names_of(sweeps)
    chosen = arms_to_compare(arms, called, results)
    sweeps = named_in_short(sweeps)
    evaluated, unreadable = _read_evaluations(results, sweeps, evaluations)
    broken += unreadable
    evaluated = with_names(evaluated, called)
    if figure3 and not any(arms_at(sweep.landscapes, *figure3) for sweep in sweeps):
        raise RequestError(
            f"--figure3 {figure3[0]:g},{figure3[1]}: {results} has no such fit; it has {_fits_words(sweeps)}."
        )
    names = _names([sweep.protocol for sweep in sweeps])
    measured = [read_smoothness(sweep, sweeps) for sweep in sweeps]
    broken += [message for _, messages in measured for message in messages]
    sections = _with_sizes(
        [section(sweep, evaluated, found, figure3, chosen) for sweep, (found, _) in zip(sweeps, measured, strict=True)]
    )
    if chosen and not any(one.compared and {one.compared.first, one.compared.second} == {*chosen} for one in sections):
        raise RequestError(f"--arms {','.join(arms)}: no (p, seed) of {results} has both; run the missing fits.")
    comparison = compare_sweeps(sweeps, names) if compare else None
    sizes, across = capacity.chapters(sweeps), [*protocols.chapters(sections), *pictures.chapters(sweeps)]
    leads = capacity.differ_in_size_alone(sweeps) and any(one.tables[0].name == "capacity" for one in sizes)
    across = [*sizes, *across] if leads else [*across, *sizes]
    try:
        paths = _write(out, names, sections, across, comparison, broken, formats)
    except OSError as error:
        reason = error.strerror or error
        raise RequestError(f"--out {out} cannot be written ({reason}); give a folder that you may write to.") from error
    return Report(
        paths,
        broken + [message for sweep in sweeps for message in sweep.broken],
        [message for sweep in sweeps for message in sweep.notes],
        [f"{shown.name}: {shown.answer.headline}" for shown in sections],
    )


def _write(
    out: Path,
    names: Sequence[str],
    sections: Sequence[Section],
    across: Sequence[Chapter],
    comparison: Comparison | None,
    broken: Sequence[str],
    formats: Collection[str],
) -> list[Path]:
    """Write all files in the formats asked for.

    Several sections have a folder with a page each, and the report's own page is an index of them.

    Returns:
        Every file, the report's own page first if there is one.
    """
    several = len(sections) > 1
    writers = [Writer(out, name if several else "", formats) for name in names]
    whole = Writer(out, "", formats)
    overlay = None
    parts = []
    with print_style():
        if comparison and comparison.figure:
            overlay = whole.picture(comparison.figure)
            whole.table(comparison.figure.table)
        drawn_across = whole.chapters(across)
        for shown, name, writer in zip(sections, names, writers, strict=True):
            pictures_of_it = writer.section(shown)
            if "html" not in formats:
                continue
            part = Part(shown, name, pictures_of_it, _explorer(shown, writer))
            if several:  # its page is written, and its pictures leave memory
                writer.write(out / name / PAGE, render_part(part, formats).encode())
            else:
                parts.append(part)
    if "html" in formats:
        index = [Entry(shown, f"{name}/{PAGE}") for shown, name in zip(sections, names, strict=True)] * several
        text = render(parts, index, comparison, overlay, across, drawn_across, broken, formats)
        whole.write(out / PAGE, text.encode())
    if "json" in formats:
        whole.write(out / "report.json", render_record(sections, across, broken).encode())
    digests = {path: digest for writer in (whole, *writers) for path, digest in writer.digests.items()}
    return sorted([*digests, remove_outdated(out, digests)], key=lambda path: path != out / PAGE)


def _explorer(shown: Section, writer: Writer) -> dict[str, Any] | None:
    """Return what the page's explorer needs, and write what it loads later; None where no fit can be shown."""
    sweep, protocol = shown.sweep, shown.sweep.protocol
    if not shown.lead:
        return None
    data, files = with_files(
        explorer_data(sweep.landscapes, protocol.training.threshold, protocol.measurement.split, shown.pair)
    )
    for name, content in files.items():
        writer.write(writer.out / writer.folder / name, content)
    return data


def _read(results: Path) -> tuple[list[Sweep], list[str]]:
    """Return every sweep, in the order of their names, and a sentence for each that could not be read."""
    sweeps, broken = read_sweeps(results)
    if not sweeps:
        raise RequestError(broken[0])
    return protocols.in_order(sweeps), broken


def _read_evaluations(
    results: Path, sweeps: Sequence[Sweep], evaluations: Path | None
) -> tuple[pd.DataFrame, list[str]]:
    """Read what bnbench evaluate wrote, wherever it may lie, and a sentence for each file that cannot be used."""
    evaluated_from = dict.fromkeys([results, *(folder for sweep in sweeps for folder in sweep.folders)])
    found, broken = find_evaluations(
        [evaluations] if evaluations else [layout.evaluations_folder(folder) for folder in evaluated_from]
    )
    if evaluations and not set(found["protocol"]) & {sweep.protocol.id for sweep in sweeps}:
        raise RequestError(
            f"--evaluations {evaluations} holds none of these sweeps; give a folder that bnbench evaluate wrote."
        )
    return found, broken


def _fits_words(sweeps: Sequence[Sweep]) -> str:
    """List the fill probabilities and seeds that there are, all sweeps together."""
    fits = pd.concat([sweep.landscapes[["p", "seed"]] for sweep in sweeps])
    probs, seeds = (", ".join(f"{value:g}" for value in sorted(fits[name].unique())) for name in ("p", "seed"))
    return f"p {probs} and seeds {seeds}" if len(fits) else "none"


def _with_sizes(sections: Sequence[Section]) -> list[Section]:
    """Name the mask size of each section where those of its profile differ, also where it is the profile's own."""
    sizes: dict[str, set[Size]] = {}
    for shown in sections:
        sizes.setdefault(shown.sweep.protocol.profile, set()).add(shown.sweep.protocol.mask.mask_size)
    named = []
    for shown in sections:
        protocol = shown.sweep.protocol
        is_told = len(sizes[protocol.profile]) == 1 or "mask_size" in changes(protocol)
        size = f"{shown.name}, mask size {size_name(protocol.mask.mask_size)}"
        named.append(shown if is_told else replace(shown, name=size))
    return named


def _names(protocols: Sequence[Protocol]) -> list[str]:
    """Return a distinct name for each sweep, fit for a folder: its profile, with the hash where two share it."""
    profiles = Counter(protocol.profile for protocol in protocols)
    wanted = [protocol.profile if profiles[protocol.profile] == 1 else protocol.id for protocol in protocols]
    wanted = [re.sub(r"[^\w-]+", "-", name, flags=re.ASCII) for name in wanted]
    return [name if wanted.count(name) == 1 else f"{name}-{number}" for number, name in enumerate(wanted, start=1)]
