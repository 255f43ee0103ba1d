"""A check's findings, written for people, CI summaries and machines."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any
from xml.etree import ElementTree

from bnbench.check.baseline import Value
from bnbench.check.comparison import NONE, Finding
from bnbench.wording import counted

HEADINGS = ("quantity", "baseline", "now", "tolerance", "verdict")
# What in a provenance can move a number, and how a person calls it.
_CONDITIONS = {
    "bnbench": "bnbench",
    "git_revision": "revision",
    "python": "Python",
    "torch": "torch",
    "numpy": "numpy",
    "system": "system",
    "device_name": "device",
    "processor": "processor",
    "threads": "threads",
}


def rows(findings: Sequence[Finding]) -> list[tuple[str, ...]]:
    """Return findings as cells of a table, see ``HEADINGS``."""
    return [
        (
            _one_line(finding.name),
            _text(finding.baseline),
            _text(finding.now),
            f"{finding.tolerance:.2g}" if finding.tolerance else "equal" if finding.is_compared else "–",
            _verdict(finding),
        )
        for finding in findings
    ]


def markdown(findings: Sequence[Finding], changes: str) -> str:
    """Write a heading with the verdict, what :func:`since` says, and a table for each kind; fit for a CI summary."""
    lines = [f"### bnbench check: {sentence(findings)}", "", _plain(changes)]
    for kind in ("exact", "statistical"):
        if own := [finding for finding in findings if finding.kind == kind]:
            lines += ["", f"**{kind}**", "", _line(HEADINGS), _line("---" for _ in HEADINGS)]
            lines += [_line(_plain(cell) for cell in row) for row in rows(own)]
    return "\n".join(lines) + "\n"


def junit(findings: Sequence[Finding]) -> bytes:
    """Write JUnit's XML: a test case for each quantity, a failure for each that is outside."""
    failures = sum(not finding.is_within for finding in findings)
    suite = ElementTree.Element("testsuite", name="bnbench check", tests=str(len(findings)), failures=str(failures))
    for finding, row in zip(findings, rows(findings), strict=True):
        case = ElementTree.SubElement(suite, "testcase", classname=f"bnbench.{finding.kind}", name=row[0])
        if not finding.is_within:
            ElementTree.SubElement(case, "failure", message=f"baseline {row[1]}, now {row[2]}, tolerance {row[3]}")
        elif not finding.is_compared:
            ElementTree.SubElement(case, "skipped", message=row[4])
    content: bytes = ElementTree.tostring(suite, encoding="utf-8", xml_declaration=True)
    return content + b"\n"


def as_dict(findings: Sequence[Finding]) -> dict[str, Any]:
    """Return findings as plain values."""
    return {
        "within": all(finding.is_within for finding in findings),
        "findings": [{**asdict(finding), "within": finding.is_within} for finding in findings],
    }


def since(before: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    """Say what has changed since a baseline was written, going by its provenance and by that of here."""
    known = [name for name in _CONDITIONS if None not in (before.get(name), now.get(name))]
    names = [name for name in known if before[name] != now[name]]
    changes = [f"{_CONDITIONS[name]} {_short(before[name])} → {_short(now[name])}" for name in names]
    changes += [
        f"{where} with uncommitted changes" for where, one in (("then", before), ("now", now)) if _is_dirty(one)
    ]
    nothing = "same versions, same kind of machine" if known else "what it was written with is unknown"
    day = _one_line(str(before["finished"]))[:10] if "finished" in before else "of an unknown day"
    return f"Since the baseline ({day}): {', '.join(changes) or nothing}."


def sentence(findings: Sequence[Finding]) -> str:
    """Say the verdict in one sentence."""
    outside = [finding for finding in findings if not finding.is_within]
    compared = [finding for finding in findings if finding.is_compared]
    left = len(findings) - len(compared)
    more = f"; {counted(left, 'quantity')} more of other versions' settings could not be compared" if left else ""
    if not outside:
        return f"all {len(compared)} quantities are within their tolerance{more}"
    names = ", ".join(_one_line(finding.name) for finding in outside[:3]) + (" and more" if len(outside) > 3 else "")
    return f"{len(outside)} of {len(compared)} quantities are outside their tolerance{more}: {names}"


def _verdict(finding: Finding) -> str:
    if not finding.is_compared:
        return "new" if finding.baseline == NONE else "no longer checked"
    return "within" if finding.is_within else "OUTSIDE"


def _text(value: Value) -> str:
    return f"{value:.10g}" if isinstance(value, float) else _one_line(str(value))


def _one_line(text: str) -> str:
    """Replace what would break a line, move a terminal's cursor or be no character of XML."""
    return "".join(letter if letter.isprintable() else " " if letter.isspace() else "�" for letter in text)


def _short(value: Any) -> str:
    text = _one_line(str(value))
    return text[:7] if len(text) == 40 else text  # a revision


def _is_dirty(provenance: Mapping[str, Any]) -> bool:
    return provenance.get("git_dirty") is True


def _plain(text: str) -> str:
    return re.sub(r"([\\`*<\[|])", r"\\\1", text)


def _line(cells: Any) -> str:
    return f"| {' | '.join(cells)} |"
