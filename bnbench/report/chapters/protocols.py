"""Several protocols side by side: what differs between them, and the gap of two arms under each."""

from __future__ import annotations

import re
from collections.abc import Sequence

from bnbench.protocol.knob_text import shown_text
from bnbench.protocol.profiles import title
from bnbench.protocol.protocol import Protocol
from bnbench.report.chapters.chapter import Chapter
from bnbench.report.chapters.section import Section
from bnbench.report.chapters.standing import standing
from bnbench.report.figures import protocols as forest
from bnbench.results.sweeps import Sweep

NAME = "protocols"
_SENTENCE = (
    "A row is a protocol, named by what tells it from the others of its profile. Gaps under different protocols are of "
    "different masks, images or training: they stand beside each other, and no test is made between them."
)


def chapters(sections: Sequence[Section]) -> list[Chapter]:
    """Return the chapter of a report on several protocols; none on a single one."""
    if len(sections) < 2:
        return []
    names = distinct_names([one.sweep.protocol for one in sections])
    shown = [
        forest.Protocol(name, one.fits, one.compared, not standing(one.sweep).to_run)
        for name, one in zip(names, sections, strict=True)
    ]
    figure = forest.protocols(shown)
    return [Chapter(NAME, f"{len(sections)} protocols", [_SENTENCE], [figure], [figure.table])]


def in_order(sweeps: Sequence[Sweep]) -> list[Sweep]:
    """Return sweeps in the order of their protocols' names, which figure, index and pages share."""
    names = distinct_names([sweep.protocol for sweep in sweeps])
    return [sweep for _, sweep in sorted(zip(names, sweeps, strict=True), key=lambda row: _by_numbers(row[0]))]


def _by_numbers(name: str) -> list[tuple[bool, float, str]]:
    """Return what sorts names as a reader would: 900 steps before 1,200."""
    parts = re.split(r"(\d+(?:\.\d+)?)", name)
    return [(place % 2 == 0, float(part) if place % 2 else 0.0, part) for place, part in enumerate(parts)]


def distinct_names(protocols: Sequence[Protocol]) -> list[str]:
    """Name each protocol in words by what tells it from the others of its profile: ``compact: steps 6000``."""
    names = []
    for protocol in protocols:
        family = [one for one in protocols if one.profile == protocol.profile]
        if len(family) == 1:
            names.append(title(protocol))
            continue
        others = [dict(one.knobs()) for one in family]
        differing = [
            f"{name.replace('_', ' ')} {shown_text(name, value)}"
            for name, value in protocol.knobs()
            if any(other[name] != value for other in others)
        ]
        if len({one.content for one in family}) > 1:
            differing.append(f"images {protocol.content or protocol.data.dataset}")
        if len({one.revision for one in family}) > 1:
            differing.append(f"revision {protocol.revision}")
        names.append(f"{protocol.profile}: {', '.join(differing)}")
    return [
        name if names.count(name) == 1 else f"{name} ({protocol.hash})"  # such as two pictures of one name
        for name, protocol in zip(names, protocols, strict=True)
    ]
