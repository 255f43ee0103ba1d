"""The report: complete, equal each time, true to the stored fits, and unharmed by what it is given."""

from __future__ import annotations

import hashlib
import itertools
import json
import math
import re
from collections.abc import Collection
from html.parser import HTMLParser
from io import BytesIO
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure as Drawing
from matplotlib.image import imread
from scipy import stats as scipy_stats

from bnbench import wording
from bnbench.errors import RequestError
from bnbench.measures.registry import compared_columns
from bnbench.protocol.identity import identity_of
from bnbench.protocol.parsing import FORMATS
from bnbench.protocol.profiles import PROFILES
from bnbench.protocol.protocol import FitKey, Grid
from bnbench.report.arms import compared_arms
from bnbench.report.build import Report, build_report
from bnbench.report.chapters import bn_statistics, evidence, fitted, gallery, headline
from bnbench.report.figures import style
from bnbench.report.figures.authors import authors_figure4
from bnbench.report.figures.figure import Figure
from bnbench.report.figures.figure4 import figure4, figure4_caption
from bnbench.report.page import manifest, writer
from bnbench.report.tables import Table, fits_table
from bnbench.results import layout, sweeps
from bnbench.results.asked import effective_config, write_config
from bnbench.results.failures import Failure, write_failure
from bnbench.results.folder_protocol import open_folder
from bnbench.stats import settling
from tests import synthetic
from tests.sentences import named, numbers
from tests.synthetic import SMALL, write_sweep

FIGURES = [
    *("figure4", "figure4a", "figure4b", "figure3", "training_against_test", "wall_time", "learning_curves"),
    *("difference_over_steps", "paired", "policies", "objective", "objective_right", "objective_j", "figure4_all"),
]
WIDE = ["figure3", "learning_curves", "difference_over_steps", "figure4_all"]  # drawn again for a narrow screen
TABLES = [
    *("quantities", "training_end", "paired", "sensitivity", "agreement", "per_p", "policies", "fits"),
    *("quantities_per_p", "learning_curves", "difference_over_steps", "authors", "objective", "readings"),
]


Whole = tuple[Path, Path, Report]  # the results, the report's folder, and what was said of it


class Page(HTMLParser):
    """What a browser would fetch, run and show."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.fetched: list[str] = []
        self.ids: list[str] = []
        self.addresses: list[str] = []
        self.scripts: dict[str, str] = {}
        self.script: str | None = None
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.script = dict(attributes).get("type", "text/javascript") if tag == "script" else None
        for name, value in ((name, value or "") for name, value in attributes):
            if name == "id":
                self.ids.append(value)
            if name == "href" and tag == "a":
                self.addresses.append(value)
            if name in ("src", "href", "xlink:href", "data", "srcset") and tag != "a" and not value.startswith("#"):
                self.fetched.append(value)

    def handle_endtag(self, tag: str) -> None:
        self.script = None

    def handle_data(self, data: str) -> None:
        if self.script:
            self.scripts[self.script] = self.scripts.get(self.script, "") + data
        else:
            self.text += data.replace("\N{NO-BREAK SPACE}", " ")


def page_of(out: Path) -> Page:
    return Page((out / "index.html").read_text(encoding="utf-8"))


def record_of(out: Path) -> dict[str, Any]:
    """What ``report.json`` says of the only protocol."""
    (protocol,) = json.loads((out / "report.json").read_text(encoding="utf-8"))["protocols"]
    return dict(protocol)


def first_screen(out: Path) -> str:
    """What stands above the explorer."""
    return Page((out / "index.html").read_text(encoding="utf-8").partition('-explorer">')[0]).text


EMPTY = b'<svg viewBox="0 0 10 10"></svg>'


def svg_alone(figure: Drawing, endings: Collection[str]) -> dict[str, bytes]:
    """SVG as the page needs it; what is printed takes most of the time and is drawn for figure 4 alone, and nightly."""
    return dict.fromkeys(endings, b"") | style.as_files(figure, {"svg"} & {*endings})


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Whole:
    """Results of two arms, two p and three seeds, and their report."""
    root = tmp_path_factory.mktemp("whole")
    write_sweep(root / "results", seeds=(1, 2, 3))
    before = dict(mpl.rcParams)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(writer, "as_files", svg_alone)
        report = build_report(root / "results", root / "report")
    assert dict(mpl.rcParams) == before, "building leaves matplotlib as it was"
    return root / "results", root / "report", report


@pytest.fixture
def undrawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave the drawing out where a test looks at the rest: it is most of the time."""
    monkeypatch.setattr(writer, "draw_files", lambda draw, endings: dict.fromkeys(endings, EMPTY))


def test_every_figure_and_table_is_written(whole: Whole) -> None:
    _, out, report = whole
    expected = {out / "index.html", out / "report.json", out / manifest.NAME, out / "figures" / "captions.md"}
    expected |= {out / "tables" / "figure3.csv"}
    expected |= {out / "figures" / f"{name}.{ending}" for name in FIGURES for ending in ("pdf", "png", "svg")}
    expected |= {out / "tables" / f"{name}.{ending}" for name in TABLES for ending in ("csv", "md")}
    assert set(report.paths) == expected == {path for path in out.rglob("*") if path.is_file()}
    assert report.paths[0] == out / "index.html"
    assert report.broken == []


@pytest.mark.parametrize("formats", [("csv", "md", "json"), pytest.param(FORMATS, marks=pytest.mark.nightly)])
def test_the_same_results_give_the_same_bytes(whole: Whole, tmp_path: Path, formats: tuple[str, ...]) -> None:
    results, out, _ = whole
    if formats == FORMATS:
        out = tmp_path / "before"
        build_report(results, out)
    again = build_report(results, tmp_path / "again", formats=formats)
    for path in (path for path in again.paths if path.name != manifest.NAME):
        assert path.read_bytes() == (out / path.relative_to(tmp_path / "again")).read_bytes(), path.name


def test_the_page_stands_alone(whole: Whole) -> None:
    _, out, _ = whole
    page = page_of(out)
    assert all(address.startswith("data:image/png;base64,") for address in page.fetched)
    assert not {"link", "iframe", "object", "embed", "img"} & set(page.tags)
    assert page.tags.count("script") == 2  # the explorer and its data, both inline
    assert "@import" not in page.text
    assert "url(http" not in page.text
    assert page.tags.count("svg") == len(FIGURES) - 2 + len(
        WIDE
    )  # figure 4 and the objective stand there as two panels
    assert len(page.ids) == len(set(page.ids))


def test_every_link_leads_somewhere_and_every_figure_to_its_numbers(whole: Whole) -> None:
    _, out, _ = whole
    page = page_of(out)
    for address in page.addresses:
        assert address[1:] in page.ids if address.startswith("#") else (out / address).is_file(), address
    for table in ("per_p", "figure3", "paired", "fits", "learning_curves", "difference_over_steps"):
        assert f"tables/{table}.csv" in page.addresses


def test_the_record_holds_the_tables_with_all_their_digits(whole: Whole) -> None:
    _, out, _ = whole
    text = (out / "report.json").read_text(encoding="utf-8")
    (protocol,) = json.loads(text, parse_constant=pytest.fail)["protocols"]
    assert protocol["answer"]["sentence"] in page_of(out).text
    assert protocol["protocol"]["id"] == SMALL.id
    assert protocol["provenance"]["device_name"] == "a processor"
    assert set(protocol["captions"]) == set(FIGURES)
    assert list(protocol["chapters"]) == [fitted.TITLE, bn_statistics.TITLE, evidence.TITLE]
    assert all(sentence in page_of(out).text for sentences in protocol["chapters"].values() for sentence in sentences)
    assert {"low", "high", "holm"} <= set(protocol["tables"]["paired"]["rows"][0])
    for name in TABLES:
        written = pd.read_csv(out / "tables" / f"{name}.csv").select_dtypes("number")
        rows = pd.DataFrame(protocol["tables"][name]["rows"])[written.columns].astype(float)
        pd.testing.assert_frame_equal(rows, written.astype(float), rtol=1e-12)


@pytest.mark.usefixtures("undrawn")
@pytest.mark.parametrize("formats", [("html",), ("pdf", "json"), ("csv",), ("svg", "md"), ("png",)])
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


@pytest.mark.parametrize("formats", [("csv",), ("csv", "json", "md")])
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
    monkeypatch.setattr(gallery, "wall_time", lambda fits: figure)
    out = tmp_path / "report"
    build_report(tmp_path / "results", out)
    (record,) = json.loads((out / "report.json").read_text())["protocols"]
    assert record["captions"]["fresh"] == figure.caption
    assert record["tables"]["fresh_numbers"]["rows"] == [{"n": 41.5}]
    assert {"figures/fresh.svg", "figures/fresh.pdf", "tables/fresh_numbers.csv"} <= set(page_of(out).addresses)
    assert all((out / address).is_file() for address in page_of(out).addresses if not address.startswith("#"))


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


def test_figures_on_the_page_take_its_colours(whole: Whole) -> None:
    _, out, _ = whole
    body = (out / "index.html").read_text(encoding="utf-8").partition("</style>")[2]
    assert not re.search("|".join(style.css_colours()), body)
    assert "var(--arm-plain)" in body


def test_the_answer_and_the_tables_agree_with_a_hand_computation(whole: Whole) -> None:
    results, out, _ = whole
    pixels = sweeps.load(results)
    whole_means = pixels.groupby(["p", "seed", "arm", "black"])["test_accuracy"].mean().unstack()
    means = pixels[pixels["trained"]].groupby(["p", "seed", "arm", "black"])["test_accuracy"].mean().unstack()
    wide = (means[True] - means[False]).unstack()
    gaps = wide["plain"] - wide["bn"]
    within = gaps - gaps.groupby("p").transform("mean")
    half = scipy_stats.t.ppf(0.975, 4) * math.sqrt((within**2).sum() / 4 / 6)
    texts = [f"{value:.3f}" for value in (gaps.mean(), gaps.mean() - half, gaps.mean() + half)]
    sentence = record_of(out)["answer"]["sentence"]
    assert numbers(sentence)[2:6] == [texts[0], "95", *texts[1:]]
    assert re.search(r"\bplain\b.*\bbn\b", sentence), "who has the larger contrast comes first"
    assert sentence in page_of(out).text
    written = pd.read_csv(out / "tables" / "paired.csv", index_col="p")
    np.testing.assert_allclose(written["mean"], gaps.groupby("p").mean(), rtol=1e-5)
    fits = pd.read_csv(out / "tables" / "fits.csv", index_col=["arm", "p", "seed"])
    np.testing.assert_allclose(fits["black"]["bn", 0.5, 3], whole_means[True][0.5, 3, "bn"], rtol=1e-5)
    np.testing.assert_allclose(fits["black_trained"]["bn", 0.5, 3], means[True][0.5, 3, "bn"], rtol=1e-5)


def test_every_quantity_has_its_means_and_its_gap_at_every_p(whole: Whole) -> None:
    results, out, _ = whole
    table = pd.read_csv(out / "tables" / "quantities_per_p.csv").set_index(["quantity", "p"])
    stored = set(pd.read_csv(out / "tables" / "fits.csv").columns) | set(fits_table(sweeps.read_sweep(results)).columns)
    assert len(table) == len(compared_columns().keys() & stored) * 2
    pixels = sweeps.load(results)
    white = pixels[~pixels["black"]].groupby(["arm", "p", "seed"])["test_loss"].mean()
    trained = pixels[pixels["trained"]].groupby(["arm", "p", "seed", "black"])["test_accuracy"].mean().unstack()
    counted = pixels[pixels["trained"]].assign(most=lambda rows: rows["test_loss"].clip(upper=2.5))
    losses = counted.groupby(["arm", "p", "seed", "black"])[["test_loss", "most"]].mean().unstack()
    for name, values in (
        ("objective J, trained pixels only", losses["test_loss", True] - losses["most", False]),
        ("loss, white pixels", white),
        ("difference, trained pixels only", trained[True] - trained[False]),
    ):
        for p in (0.3, 0.5):
            row, gaps = table.T[name, p], values["plain", p] - values["bn", p]
            half = scipy_stats.t.ppf(0.975, 2) * gaps.std() / math.sqrt(3)
            assert row[["plain n", "bn n", "pairs"]].tolist() == [3, 3, 3]
            means = [values["plain", p].mean(), values["plain", p].std(), values["bn", p].mean(), values["bn", p].std()]
            np.testing.assert_allclose(row[["plain mean", "plain sd", "bn mean", "bn sd"]].tolist(), means, rtol=1e-4)
            expected = [gaps.mean(), gaps.mean() - half, gaps.mean() + half]
            np.testing.assert_allclose(row[["gap", "low", "high"]].tolist(), expected, rtol=1e-3)
    assert "tables/quantities_per_p.csv" in page_of(out).addresses


@pytest.mark.usefixtures("undrawn")
def test_a_page_of_several_sizes_names_each_and_no_line_ends_before_a_unit(tmp_path: Path) -> None:
    for side in (6, 7, 10):  # 10 is the size of the profile itself
        size = PROFILES["quick"].with_knobs(mask_size=(side, side), steps=300)
        write_sweep(tmp_path / "results" / str(side), probs=[0.5], protocol=size)
    build_report(tmp_path / "results", tmp_path / "report", formats=["html", "json"])
    names = [one["name"] for one in json.loads((tmp_path / "report" / "report.json").read_text())["protocols"]]
    assert sorted(re.findall(r"\d+x\d+", " ".join(names))) == ["10x10", "6x6", "7x7"]
    page = (tmp_path / "report" / "index.html").read_text(encoding="utf-8")
    shown = re.sub(r"<(style|script|svg).*?</\1>", "", page, flags=re.DOTALL)
    assert re.search(r"\d\N{NO-BREAK SPACE}%", shown)
    assert not re.search(r"\d %", shown)


def test_captions_say_what_the_whisker_is_and_n(whole: Whole) -> None:
    _, out, _ = whole
    text = (out / "figures" / "captions.md").read_text(encoding="utf-8")
    assert all(token in text for token in ("ddof = 1", "n = 3 at 2", "± 0.005"))


def test_markdown_tables_are_tables(whole: Whole) -> None:
    _, out, _ = whole
    for name in TABLES:
        lines = (out / "tables" / f"{name}.md").read_text(encoding="utf-8").splitlines()[2:]
        assert len({line.count("|") for line in lines}) == 1
        assert re.fullmatch(r"\|( -+:? \|)+", lines[1])


@pytest.mark.nightly
def test_print_files_have_their_size_embed_their_fonts_and_are_the_same_each_time(whole: Whole) -> None:
    results, out, _ = whole
    both, panel, _ = figure4(fits_table(sweeps.read_sweep(results)), authors_figure4())
    with style.print_style():
        files, again = (style.as_files(panel.draw()) for _ in range(2))
        wide = style.as_files(both.draw(), ["png"])
    assert files == again
    assert files["svg"] == (out / "figures" / "figure4a.svg").read_bytes()
    assert imread(BytesIO(files["png"])).shape[1] == pytest.approx(8 / 2.54 * 300, abs=1)
    assert imread(BytesIO(wide["png"])).shape[1] == pytest.approx(17 / 2.54 * 300, abs=1)
    assert b"/FontFile2" in files["pdf"]
    assert b"/Type3" not in files["pdf"]
    assert b"/CreationDate" not in files["pdf"]
    assert b"<dc:date>" not in files["svg"]


@pytest.mark.usefixtures("undrawn")
def test_a_single_fit_gives_a_page_that_says_what_it_lacks(tmp_path: Path) -> None:
    write_sweep(tmp_path / "results", arms=["bn"], probs=[0.4], seeds=[7])
    report = build_report(tmp_path / "results", tmp_path / "report")
    text = page_of(tmp_path / "report").text
    answer = record_of(tmp_path / "report")["answer"]
    assert (named(answer["headline"], ("plain", "bn")), answer["case"]) == ({"bn"}, "")
    assert "n = 1 seed" in text
    assert "--seeds 7:7:1" in text
    assert "paired.csv" not in {path.name for path in report.paths}


@pytest.mark.usefixtures("undrawn")
def test_a_sweep_is_held_to_the_grid_that_was_asked_for(tmp_path: Path) -> None:
    write_sweep(tmp_path / "results", probs=[0.5], seeds=[1])
    asked = Grid(("plain", "bn"), (0.1, 0.3, 0.5), (1, 2, 3, 4, 5))
    write_config(tmp_path / "results", effective_config(SMALL, asked, {}))
    build_report(tmp_path / "results", tmp_path / "report")
    record = record_of(tmp_path / "report")
    assert numbers(record["missing"]) == ["2", "30", "28"]
    assert record["missing"] in page_of(tmp_path / "report").text
    assert numbers(record["run"]["Fits"]) == ["2", "30", "2", "3", "5"]
    layout.config_path(tmp_path / "results").write_text("probs = ")
    assert len(build_report(tmp_path / "results", tmp_path / "report", formats=("csv",)).broken) == 1


def failure(key: FitKey, kind: str, message: str) -> Failure:
    """A failure of a fit of the made-up sweeps."""
    return Failure(key, identity_of(key, SMALL), kind, message)


@pytest.mark.nightly
@pytest.mark.usefixtures("undrawn")
def test_an_arm_that_diverged_everywhere_is_not_one_that_was_never_run(tmp_path: Path) -> None:
    write_sweep(tmp_path / "results", arms=["plain"])
    for p, seed in itertools.product((0.3, 0.5), (1, 2)):
        write_failure(tmp_path / "results", failure(FitKey("bn", p, seed), "diverged", "the loss is nan"))
    build_report(tmp_path / "results", tmp_path / "report")
    record = record_of(tmp_path / "report")
    answer = record["answer"]
    assert (named(answer["headline"], ("plain", "bn")), answer["case"]) == ({"plain", "bn"}, "")
    (note,) = answer["notes"]
    assert (named(note, ("plain", "bn")), numbers(note)) == ({"bn"}, ["4"])
    assert "--arms" not in note, "a second arm was run"
    assert (named(record["diverged"], ("plain", "bn")), numbers(record["diverged"])) == ({"bn"}, ["4", "4"])
    assert "headline" not in record["diverged"], "there is no pair to leave out"
    write_failure(tmp_path / "results", failure(FitKey("bn", 0.5, 2), "out of memory", "too large"))
    build_report(tmp_path / "results", tmp_path / "report")
    later = record_of(tmp_path / "report")["answer"]
    assert later["headline"] != answer["headline"]
    (note,) = later["notes"]
    assert (named(note, ("plain", "bn")), numbers(note)) == ({"bn"}, ["3", "4"])


@pytest.mark.nightly
@pytest.mark.usefixtures("undrawn")
def test_a_single_pair_is_not_tested(tmp_path: Path) -> None:
    write_sweep(tmp_path / "results", probs=[0.5], seeds=[1])
    report = build_report(tmp_path / "results", tmp_path / "report")
    page, record = page_of(tmp_path / "report"), record_of(tmp_path / "report")
    answer = record["answer"]
    assert "sign" not in " ".join([answer["sentence"], *answer["notes"]]).lower(), "no test of a single pair"
    (paired,) = record["tables"]["paired"]["rows"]
    assert {paired[name] for name in ("sd", "low", "high", "p_value", "holm")} == {None}
    policies = [row for row in record["tables"]["policies"]["rows"] if row["gap"] is not None]
    assert policies
    assert {row[name] for row in policies for name in ("low", "high")} == {None}
    assert "interval" not in record["captions"]["policies"]
    assert not re.search(r"\bnan\b|ρ over", page.text)
    assert "paired.svg" not in {path.name for path in report.paths}


@pytest.mark.usefixtures("undrawn")
def test_an_unfinished_sweep_says_n_for_each_point(tmp_path: Path) -> None:
    write_sweep(tmp_path / "results", seeds=(1, 2, 3), skip=[("bn", 0.3, 2), ("plain", 0.5, 3), ("plain", 0.5, 1)])
    write_failure(tmp_path / "results", failure(FitKey("bn", 0.3, 2), "Diverged", "the loss is <b>nan</b>"))
    build_report(tmp_path / "results", tmp_path / "report")
    page = page_of(tmp_path / "report")
    record = record_of(tmp_path / "report")
    assert numbers(record["missing"]) == ["9", "12", "2", "1", "0.3", "2"]
    assert "n = 1 to 3 at 2" in page.text
    answer = record["answer"]
    assert answer["case"] == "unfinished"
    assert numbers(answer["sentence"])[0] == "3", "pairs"
    assert numbers(answer["sentence"])[-1] == "0.5", "the p that lacks a second pair"
    assert "<b>nan</b>" in page.text
    assert "b" not in page.tags


@pytest.mark.usefixtures("undrawn")
def test_hostile_names_are_text(tmp_path: Path) -> None:
    arm = "my_pkg.nets:make<script>alert('$x|y')</script>"
    device = '"><img src=x onerror=alert(1)>'
    write_sweep(
        tmp_path / "results",
        arms=["plain", arm, "other_pkg.nets:_make", "üñí.code:größe"],
        provenance={"device_name": device, "<svg onload=alert(1)>": "&amp;"},
    )
    report = build_report(tmp_path / "results", tmp_path / "report")
    page = page_of(tmp_path / "report")
    assert "img" not in page.tags
    assert page.tags.count("script") == 2
    explored = json.loads(page.scripts["application/json"])
    assert arm in [known["name"] for known in explored["arms"]]
    assert f"0.5|1|{arm}" in explored["fits"]
    assert arm in page.text
    assert device in page.text
    assert "&amp;" in page.text
    assert report.broken == []
    assert "<script" not in "".join(path.read_text() for path in report.paths if path.suffix in (".svg", ".md"))


@pytest.mark.nightly
@pytest.mark.usefixtures("undrawn")
def test_a_hostile_profile_name_stays_in_its_folder(tmp_path: Path) -> None:
    folders = {"../../away": "one", "<b>": "two"}
    for name, folder in folders.items():
        protocol = SMALL.with_knobs(steps=200 + len(name))
        object.__setattr__(protocol, "profile", name)
        write_sweep(tmp_path / "results" / folder, arms=["plain"], probs=[0.5], seeds=[1], protocol=protocol)
    report = build_report(tmp_path / "results", tmp_path / "report")
    assert all((tmp_path / "report") in path.resolve().parents for path in report.paths)
    assert "b" not in page_of(tmp_path / "report").tags


@pytest.mark.usefixtures("undrawn")
def test_broken_files_are_named_and_the_rest_is_reported(tmp_path: Path) -> None:
    write_sweep(tmp_path / "results", seeds=(1, 2, 3))
    path = layout.fit_path(tmp_path / "results", FitKey("bn", 0.5, 1))
    path.write_bytes(path.read_bytes()[:100])
    report = build_report(tmp_path / "results", tmp_path / "report")
    assert len(report.broken) == 1
    assert path.name in report.broken[0]
    assert path.name in page_of(tmp_path / "report").text
    assert numbers(record_of(tmp_path / "report")["answer"]["sentence"])[0] == "5", "pairs"


def test_a_folder_with_failures_alone_still_gives_a_page(tmp_path: Path) -> None:
    open_folder(tmp_path / "results", SMALL)
    write_failure(tmp_path / "results", failure(FitKey("bn", 0.5, 1), "one-colour mask", "all pixels have one colour"))
    report = build_report(tmp_path / "results", tmp_path / "report")
    assert [path.name for path in report.paths] == ["index.html", "report.json", manifest.NAME]
    record, text = record_of(tmp_path / "report"), page_of(tmp_path / "report").text
    assert (record["answer"]["case"], record["tables"]) == ("", {})
    assert record["answer"]["headline"] in text
    assert record["failures"][0]["message"] in text
    nothing = build_report(tmp_path / "results", tmp_path / "tables", formats=("csv",))
    assert [path.name for path in nothing.paths] == [manifest.NAME]


@pytest.mark.usefixtures("undrawn")
def test_figure_3_shows_the_p_and_seed_that_were_asked_for(whole: Whole, tmp_path: Path) -> None:
    results, default, _ = whole
    build_report(results, tmp_path / "report", formats=("html", "json", "csv"), figure3=(0.3, 2))
    (mine,) = json.loads((tmp_path / "report" / "report.json").read_text())["protocols"]
    assert "p = 0.3, seed 2" in mine["captions"]["figure3"]
    assert "p = 0.3, seed 2" in mine["captions"]["training_against_test"]
    assert mine["commands"][1].endswith("--figure3 0.3,2")
    drawn, otherwise = (pd.read_csv(out / "tables" / "figure3.csv") for out in (tmp_path / "report", default))
    landscape = sweeps.read_sweep(results).landscapes.query("arm == 'bn' and p == 0.3 and seed == 2")
    assert drawn["bn test_loss"].to_numpy() == pytest.approx(landscape["test_loss"].to_numpy())
    assert not drawn.equals(otherwise)
    explorer = json.loads(page_of(tmp_path / "report").scripts["application/json"])
    assert explorer["start"] == {"p": 0.3, "seed": 2}
    with pytest.raises(ValueError, match=r"0\.4,9.*0\.3, 0\.5.*1, 2, 3"):
        build_report(results, tmp_path / "other", figure3=(0.4, 9))
    assert not (tmp_path / "other").exists()


@pytest.mark.usefixtures("undrawn")
def test_several_protocols_get_a_section_each_and_one_overlay(tmp_path: Path) -> None:
    for folder, steps in (("a", 300), ("b", 200), ("c", 100)):
        write_sweep(tmp_path / "results" / folder, probs=[0.5], protocol=SMALL.with_knobs(steps=steps))
    (tmp_path / "results" / "d").mkdir()
    (tmp_path / "results" / "d" / "protocol.json").write_text("{")
    report = build_report(tmp_path / "results", tmp_path / "report", compare=True, formats=("html", "svg"))
    assert len(report.broken) == 1
    assert (tmp_path / "report" / "figures" / "comparison.svg") in report.paths
    page = page_of(tmp_path / "report")
    assert re.search(r"steps 200: 4 .*n = 2 at 1", page.text)
    assert "± 0.005" in page.text, "the authors' curve lies behind"
    assert page.tags.count("article") == 3
    assert len(set(report.paths)) == len(report.paths)
    assert len(page.ids) == len(set(page.ids))


@pytest.mark.nightly
@pytest.mark.usefixtures("undrawn")
def test_the_overlay_says_what_lies_on_other_images_and_who_has_most_fits_comes_first(tmp_path: Path) -> None:
    held_out = SMALL.with_knobs(steps=200, split="held-out")
    write_sweep(tmp_path / "results" / "a", probs=[0.5], protocol=held_out)
    write_sweep(tmp_path / "results" / "b")
    build_report(tmp_path / "results", tmp_path / "report", compare=True)
    page = page_of(tmp_path / "report")
    first, second = json.loads((tmp_path / "report" / "report.json").read_text())["protocols"]
    assert [numbers(one["answer"]["sentence"])[0] for one in (first, second)] == ["4", "2"], "pairs"
    assert all(one["answer"]["sentence"] in page.text for one in (first, second))
    assert "held-out" in second["name"]
    assert "held-out" not in first["name"]
    assert re.search(r"held-out [^.]*: [^.]*steps 200", page.text), "the overlay names what lies on other images"
    build_report(tmp_path / "results" / "a", tmp_path / "one", compare=True)
    assert not (tmp_path / "one" / "figures" / "comparison.svg").exists()
    assert "--compare" in page_of(tmp_path / "one").text


@pytest.mark.nightly
@pytest.mark.usefixtures("undrawn")
def test_fits_that_diverged_are_counted_and_other_failures_are_not(tmp_path: Path) -> None:
    lost = [("bn", 0.3, 2), ("bn", 0.5, 1), ("plain", 0.3, 1)]
    write_sweep(tmp_path / "results", seeds=(1, 2, 3), skip=lost)
    for key, kind in zip(lost, ("diverged", "diverged", "out of memory"), strict=True):
        write_failure(tmp_path / "results", failure(FitKey(*key), kind, "it failed"))
    build_report(tmp_path / "results", tmp_path / "report")
    page, record = page_of(tmp_path / "report"), record_of(tmp_path / "report")
    (said,) = [text for text in record["chapters"][evidence.TITLE] if re.search(r"\b0 of plain\b", text)]
    assert "2 of bn" in said
    assert (named(record["diverged"], ("plain", "bn")), numbers(record["diverged"])) == ({"bn"}, ["2", "2"])
    assert record["diverged"] in first_screen(tmp_path / "report")
    assert "#quick-sensitivity" in page.addresses
    table = pd.read_csv(tmp_path / "report" / "tables" / "sensitivity.csv")
    assert table["pairs"].tolist() == [3, 5, 5, 5]
    assert table["gap"][1] > table["gap"][0]
    assert table["gap"][2] == table["gap"][1] > table["gap"][3]


def test_the_page_says_what_else_a_smaller_difference_could_be(whole: Whole) -> None:
    results, out, _ = whole
    text = page_of(out).text
    assert fitted.TITLE in text
    table = pd.read_csv(out / "tables" / "training_end.csv", index_col="arm")
    traces = sweeps.read_sweep(results).traces
    late = traces[(traces["arm"] == "bn") & (traces["step"] > 0.9 * traces["step"].max())]
    np.testing.assert_allclose(table["clamped"]["bn"], late["clamped"].mean())
    for arm in ("plain", "bn"):
        assert f"{wording.percent_tenths(table['clamped'][arm])} of {arm}'s" in text
        assert f"{arm} by {wording.signed(table['moved'][arm])}" in text


def test_what_the_evidence_claims_of_small_samples_is_true(whole: Whole) -> None:
    _, out, _ = whole
    texts = record_of(out)["chapters"][evidence.TITLE]
    (why,) = [text for text in texts if "bootstrap" in text]
    assert f"{2 / 2**5:g}" in numbers(why)
    (tested,) = [text for text in texts if "Holm" in text and text != why]
    assert numbers(tested)[0] == "2", "p that were tested"


def test_nearly_satisfied_objectives_are_called_so() -> None:
    end = pd.DataFrame({"arm": ["plain", "bn"], "clamped": [0.97, 0.95], "beyond_threshold": [1.0, 0.99]})
    less = end.assign(clamped=[0.97, 0.6])
    assert (fitted.is_nearly_satisfied(end), fitted.is_nearly_satisfied(less)) == (True, False)
    words, fewer = fitted.clamped_words(end, 2.5), fitted.clamped_words(less, 2.5)
    assert numbers(words) == ["2.5", "97.0", "100.0", "95.0", "99.0"]
    assert len(words) > len(fewer), "what follows from it is said where it holds"


@pytest.mark.usefixtures("undrawn")
@pytest.mark.parametrize(("reached", "is_said"), [(0.97, True), (0.6, False)])
def test_the_first_screen_says_when_the_threshold_was_passed_nearly_everywhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, reached: float, is_said: bool
) -> None:
    monkeypatch.setattr(synthetic, "CLAMPED", reached)
    write_sweep(tmp_path / "results")
    build_report(tmp_path / "results", tmp_path / "report", formats=("html", "json"))
    screen, record = first_screen(tmp_path / "report"), record_of(tmp_path / "report")
    assert bool(record["caution"]) is is_said
    assert record["caution"] in screen
    sweep = sweeps.read_sweep(tmp_path / "results")
    fits = fits_table(sweep)
    compared = compared_arms(fits)
    assert compared is not None
    assert (headline.colours_words(fits, compared) in screen) is is_said


def test_the_difference_against_steps_is_what_its_table_says(whole: Whole) -> None:
    results, out, _ = whole
    traces = sweeps.read_sweep(results).traces
    traces = traces.assign(difference=traces["black_accuracy"] - traces["white_accuracy"])
    table = pd.read_csv(out / "tables" / "difference_over_steps.csv")
    assert table["arm"].unique().tolist() == ["plain", "bn", "gap plain − bn"]
    last = table.groupby("arm").last()
    window = traces[traces["step"] >= traces["step"].max() + 1 - 300 / settling.WINDOWS]
    means = window.groupby(["arm", "p", "seed"])["difference"].mean()
    np.testing.assert_allclose(last["mean"][["plain", "bn"]], means.groupby("arm").mean()[["plain", "bn"]])
    np.testing.assert_allclose(last["sd"][["plain", "bn"]], means.groupby("arm").std()[["plain", "bn"]])
    gap = last.loc["gap plain − bn"]
    np.testing.assert_allclose(gap["mean"], last["mean"]["plain"] - last["mean"]["bn"])
    assert gap["low"] < gap["mean"] < gap["high"]


def test_each_curve_against_the_authors_has_its_own_number_of_p() -> None:
    row = {"value": "difference", "ours": 0.4, "theirs": 0.3, "level": 0.1, "lowest": 0, "highest": 0.2, "rho": 0.9}
    table = pd.DataFrame([{"arm": "plain", "probabilities": 9, **row}, {"arm": "bn", "probabilities": 4, **row}])
    words = evidence.agreement_words(table)
    assert [number for number in numbers(words) if number in ("9", "4")] == ["4", "9", "4"]  # figure 4, then p
    same = evidence.agreement_words(table.assign(probabilities=9))
    assert [number for number in numbers(same) if number in ("9", "4")] == ["4", "9"]


def test_arms_without_a_common_mask_are_not_compared() -> None:
    fits = pd.DataFrame(
        [("plain", p, seed, 0.4) for p in (0.1, 0.3) for seed in (1, 2)] + [("bn", 0.5, 1, 0.3)],
        columns=["arm", "p", "seed", "difference_trained"],
    )
    none = pd.DataFrame(columns=["arm", "p", "seed"])
    found = headline.answer(fits, none)
    assert numbers(found.sentence) == ["0.400", "4", "0.1", "0.3", "0.300", "1", "0.5"]
    assert named(found.headline, ("plain", "bn")) == set()
    caption = figure4_caption(fits.assign(difference=0.4), "test", "a", pixels="all")
    assert re.search(r"n = 2 at 2 .*\(plain\).*n = 1 .* at 1 .*\(bn\)", caption)


def test_p_with_more_pairs_are_said_to_weigh_more_and_one_degree_is_singular() -> None:
    rows = [(arm, p, seed, 0.4 - (arm == "bn") * 0.01 * seed) for arm in ("plain", "bn") for p, seed in
            ((0.3, 1), (0.3, 2), (0.5, 1), (0.5, 2), (0.5, 3))]  # fmt: skip
    fits = pd.DataFrame(rows, columns=["arm", "p", "seed", "difference_trained"])
    none = pd.DataFrame(columns=["arm", "p", "seed"])
    assert any("2 to 3 pairs" in note and "same" in note for note in headline.answer(fits, none).notes)
    one = headline.answer(fits[fits["p"] == 0.3], none)
    assert numbers(one.sentence)[-1] == "1", "degrees of freedom"
    assert "degrees" not in one.sentence
    assert not any("same" in note for note in one.notes)


@pytest.mark.nightly
@pytest.mark.usefixtures("undrawn")
def test_only_the_same_images_are_set_against_the_authors(tmp_path: Path) -> None:
    write_sweep(tmp_path / "results", protocol=SMALL.with_knobs(dataset="digits", pool=1))
    report = build_report(tmp_path / "results", tmp_path / "report")
    assert not {"authors.csv", "agreement.csv"} & {path.name for path in report.paths}
    assert "no replication" not in page_of(tmp_path / "report").text


def test_a_folder_without_results_is_refused(tmp_path: Path) -> None:
    for folder in (tmp_path, tmp_path / "missing"):
        with pytest.raises(RequestError, match=re.escape(str(folder))):
            build_report(folder, tmp_path / "report")
    assert not (tmp_path / "report").exists()


@pytest.mark.parametrize("name", ["results", "results/quick", "results/quick/report"])
def test_an_output_folder_among_the_results_is_refused(tmp_path: Path, name: str) -> None:
    write_sweep(tmp_path / "results" / "quick", arms=["plain"], probs=[0.5], seeds=[1])
    before = set(tmp_path.rglob("*"))
    with pytest.raises(RequestError, match=re.escape(str(tmp_path / name))):
        build_report(tmp_path / "results", tmp_path / name)
    assert set(tmp_path.rglob("*")) == before


def test_an_output_folder_that_cannot_be_made_is_refused(tmp_path: Path) -> None:
    write_sweep(tmp_path / "results", arms=["plain"], probs=[0.5], seeds=[1])
    (tmp_path / "file").touch()
    with pytest.raises(RequestError, match=re.escape(str(tmp_path / "file"))):
        build_report(tmp_path / "results", tmp_path / "file" / "report")
