"""The files of a report: those of the formats asked for and no others, and an earlier report's go."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from bnbench.report.build import build_report
from bnbench.report.chapters import evidence, gallery
from bnbench.report.chapters.chapter import Chapter
from bnbench.report.figures.figure import Figure
from bnbench.report.page import manifest, writer
from bnbench.report.tables import Table
from bnbench.results import layout
from tests.report.built import page_of
from tests.synthetic import write_sweep


@pytest.mark.usefixtures("undrawn")
@pytest.mark.parametrize("formats", [("html",), ("pdf", "json"), ("csv", "svg", "md", "png")])
def test_a_report_has_the_formats_asked_for_and_no_others(tmp_path: Path, formats: tuple[str, ...]) -> None:
    write_sweep(tmp_path / "results", arms=["plain"], probs=[0.5], seeds=[1])
    report = build_report(tmp_path / "results", tmp_path / "report", formats=formats)
    found = {path for path in (tmp_path / "report").rglob("*") if path.is_file()}
    assert found == set(report.paths)
    assert {path.suffix.removeprefix(".") for path in found} == {*formats, "sha256"}
    if "html" in formats:
        page = page_of(tmp_path / "report")
        assert page.tags.count("svg") > 2
        assert all(address[1:] in page.ids for address in page.addresses)


@pytest.mark.parametrize("formats", [("csv", "json", "md"), pytest.param(("csv",), marks=pytest.mark.nightly)])
def test_formats_without_a_picture_draw_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, formats: tuple[str, ...]
) -> None:
    write_sweep(tmp_path / "results", arms=["plain"], probs=[0.5], seeds=[1])
    monkeypatch.setattr(writer, "as_files", lambda figure, endings: pytest.fail("a figure was drawn"))
    report = build_report(tmp_path / "results", tmp_path / "report", formats=formats)
    assert tmp_path / "report" / "tables" / "fits.csv" in report.paths


@pytest.mark.usefixtures("undrawn")
def test_a_new_figure_brings_its_files_its_caption_and_its_table(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_sweep(tmp_path / "results", arms=["plain"], probs=[0.5], seeds=[1])
    table = Table("fresh_numbers", "Numbers", "Made up", pd.DataFrame({"n": [41.5]}))
    figure = Figure("fresh", lambda: pytest.fail("drawn"), "A caption of its own.", table)
    unread = Table("unread", "For programs", "Made up", pd.DataFrame({"n": [1]}), on_page=False)
    said = Chapter("said", "Said", [], [replace(figure, name="second", table=unread)], [unread])
    monkeypatch.setattr(gallery, "wall_time", lambda fits: figure)
    monkeypatch.setattr(evidence, "chapter", lambda *_: said)
    out = tmp_path / "report"
    build_report(tmp_path / "results", out)
    (record,) = json.loads((out / "report.json").read_text())["protocols"]
    assert record["captions"]["fresh"] == figure.caption
    assert record["tables"]["fresh_numbers"]["rows"] == [{"n": 41.5}]
    assert {"figures/fresh.svg", "figures/fresh.pdf", "tables/fresh_numbers.csv"} <= set(page_of(out).addresses)
    page = page_of(out)
    assert "For programs" not in page.text, "a table that nobody reads is a file alone"
    for address in page.addresses:
        assert address[1:] in page.ids if address.startswith("#") else (out / address).is_file(), address


def test_files_of_an_earlier_report_go_and_foreign_ones_stay(tmp_path: Path) -> None:
    results, out = tmp_path / "results", tmp_path / "report"
    write_sweep(results, arms=["plain"], probs=[0.5], seeds=[1])
    build_report(results, out, formats=("csv", "md", "json"))
    (out / "tables" / "mine.csv").write_text("mine")
    (out / "tables" / "fits.csv").write_text("changed by hand")
    listed = (out / manifest.NAME).read_text()
    outside = tmp_path / "outside.txt"
    outside.write_text("not the report's")
    digest = hashlib.sha256(outside.read_bytes()).hexdigest()
    (out / manifest.NAME).write_text(f"{listed}{digest}  ../outside.txt\n{digest}  {outside}\n")
    build_report(results, out, formats=("json",))
    left = {path.relative_to(out).as_posix() for path in out.rglob("*") if path.is_file()}
    assert left == {"report.json", manifest.NAME, "tables/mine.csv", "tables/fits.csv"}
    assert outside.exists()
    assert not (out / "figures").exists()


@pytest.mark.nightly
@pytest.mark.usefixtures("undrawn")
def test_another_report_into_the_same_folder_at_that_moment_does_no_harm(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_sweep(tmp_path / "results", arms=["plain"], probs=[0.5], seeds=[1])

    def write_and_lose(path: Path, content: bytes) -> None:
        layout.write_atomically(path, content)
        if path.suffix in (".svg", ".csv"):
            path.unlink()  # the other report took it away

    with monkeypatch.context() as patch:
        patch.setattr(writer, "write_atomically", write_and_lose)
        build_report(tmp_path / "results", tmp_path / "report")
    listed = (tmp_path / "report" / manifest.NAME).read_text()
    build_report(tmp_path / "results", tmp_path / "alone")
    assert (tmp_path / "alone" / "index.html").read_bytes() == (tmp_path / "report" / "index.html").read_bytes()
    for line in listed.splitlines():
        if line.endswith(".svg"):
            assert line in (tmp_path / "alone" / manifest.NAME).read_text()
