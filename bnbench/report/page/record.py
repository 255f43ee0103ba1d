"""report.json: the answer, the tables, the protocol and the provenance for another program to read."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import pandas as pd

from bnbench.report.chapters.chapter import Chapter
from bnbench.report.chapters.section import Section

LAYOUT = 2  # raised when a reader of the file would have to change


def render_record(sections: Sequence[Section], across: Sequence[Chapter], broken: Sequence[str]) -> str:
    """Return the report as JSON: what has no number is null, every number has all of its digits.

    Args:
        sections: one for each protocol, at least one.
        across: chapters that go across protocols; the record names them where there are some.
        broken: a sentence for each folder or file that could not be read.
    """
    record = {
        "bnbench_report": LAYOUT,
        "protocols": [_section(section) for section in sections],
        "unreadable": list(broken),
        **({"across": [_chapter(chapter) for chapter in across]} if across else {}),
    }
    return json.dumps(record, ensure_ascii=False, indent=1, allow_nan=False) + "\n"


def _section(section: Section) -> dict[str, Any]:
    return {
        "name": section.name,
        "answer": asdict(section.answer),
        "status": dict(section.status),
        "caution": section.caution,
        "diverged": section.diverged,
        "missing": section.missing,
        "run": dict(section.facts),
        "protocol": {"id": section.sweep.protocol.id, **section.sweep.protocol.as_dict()},
        "chapters": {chapter.title: chapter.sentences for chapter in section.chapters},
        "tables": {table.name: {"title": table.title, "rows": _rows(table.frame)} for table in section.all_tables},
        "captions": {figure.name: figure.caption for figure in section.all_figures},
        "provenance": dict(section.provenance.rows),
        "failures": _rows(section.failures.frame),
        "unreadable_files": section.sweep.broken,
        "commands": section.commands,
        "needs": section.needs,
    }


def _chapter(chapter: Chapter) -> dict[str, Any]:
    return {
        "name": chapter.name,
        "title": chapter.title,
        "sentences": chapter.sentences,
        "tables": {table.name: {"title": table.title, "rows": _rows(table.frame)} for table in chapter.tables},
        "captions": {figure.name: figure.caption for figure in chapter.figures},
    }


def _rows(table: pd.DataFrame) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = json.loads(table.to_json(orient="records", double_precision=15))
    return rows
