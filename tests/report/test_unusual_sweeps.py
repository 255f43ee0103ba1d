"""Reports of sweeps that are unfinished, broken, hostile, of several protocols, or refused."""

from __future__ import annotations

import itertools
import json
import re
import shlex
from pathlib import Path

import pandas as pd
import pytest

from bnbench.errors import RequestError
from bnbench.protocol.identity import identity_of
from bnbench.protocol.protocol import BUILT_IN, FitKey, Grid
from bnbench.report.arms import compared_arms
from bnbench.report.build import build_report
from bnbench.report.chapters import evidence
from bnbench.report.figures import protocols as forest
from bnbench.report.figures import style
from bnbench.report.page import manifest
from bnbench.report.tables import fits_table
from bnbench.results import layout
from bnbench.results.asked import effective_config, write_config
from bnbench.results.failures import Failure, write_failure
from bnbench.results.folder_protocol import open_folder
from bnbench.results.sweeps import read_sweeps
from tests.report.built import first_screen, page_of, record_of
from tests.sentences import named, numbers
from tests.synthetic import SMALL, write_sweep


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
    build_report(tmp_path / "results", tmp_path / "report", formats=("html", "json"))
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
    build_report(tmp_path / "results", tmp_path / "report", formats=("html", "json"))
    page = page_of(tmp_path / "report")
    record = record_of(tmp_path / "report")
    assert numbers(record["missing"]) == ["9", "12", "2", "1", "0.3", "2"]
    assert "n = 1 to 3 at 2" in page.text
    answer = record["answer"]
    assert answer["case"] == answer["in_short"]["case"] == "unfinished"
    assert -1 < page.text.find(answer["in_short"]["sentence"]) < page.text.index(answer["sentence"])
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
        probs=[0.5],
        seeds=[1],
        provenance={"device_name": device, "<svg onload=alert(1)>": "&amp;"},
    )
    report = build_report(tmp_path / "results", tmp_path / "report")
    page = page_of(tmp_path / "report")
    assert "img" not in page.tags
    assert page.tags.count("script") == 2
    explored = json.loads(page.scripts["application/json"])
    short = arm.partition(":")[2]
    assert short in [known["name"] for known in explored["arms"]]
    assert f"0.5|1|{short}" in explored["fits"]
    assert f"{short} is {arm}" in page.text
    run, _ = record_of(tmp_path / "report")["commands"]
    assert arm in shlex.split(run)[shlex.split(run).index("--arms") + 1].split(",")
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
    report = build_report(tmp_path / "results", tmp_path / "report", formats=("html", "json"))
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
def test_several_protocols_get_a_page_each_and_an_index_with_their_gaps(tmp_path: Path) -> None:
    out = tmp_path / "report"
    for folder, steps in (("a", 1000), ("b", 200)):
        write_sweep(tmp_path / "results" / folder, probs=[0.5], protocol=SMALL.with_knobs(steps=steps))
    asked = Grid(("plain", "bn"), (0.5,), (1, 2, 3))
    write_config(tmp_path / "results" / "b", effective_config(SMALL.with_knobs(steps=200), asked, {}))
    (tmp_path / "results" / "d").mkdir()
    (tmp_path / "results" / "d" / "protocol.json").write_text("{")
    report = build_report(tmp_path / "results", out, compare=True, formats=("html", "svg", "csv", "json"))
    assert len(report.broken) == 1
    assert out / "figures" / "comparison.svg" in report.paths
    index = page_of(out)
    assert re.search(r"steps 200: 4 .*n = 2 at 1", index.text)
    assert "± 0.005" in index.text, "the authors' curve lies behind"
    assert report.paths[0] == out / "index.html"
    assert len(set(report.paths)) == len(report.paths)
    assert "article" not in index.tags
    assert index.tags.count("script") == 0, "an index stays small"
    pages = {address for address in index.addresses if address.endswith("index.html")}
    assert {out / address for address in pages} == {path for path in report.paths[1:] if path.name == "index.html"}
    for address in pages:
        page = page_of((out / address).parent)
        assert page.tags.count("article") == 1
        assert "../index.html" in page.addresses
        assert len(page.ids) == len(set(page.ids))
        links = [link for link in page.addresses if not link.startswith("#")]
        assert all(((out / address).parent / link).is_file() for link in links)
    gaps = pd.read_csv(out / "tables" / "protocols.csv")
    assert gaps["protocol"].tolist() == ["quick: steps 200", "quick: steps 1000"], "in the order of their numbers"
    assert gaps["state"].tolist() == ["unfinished", "done"]
    assert gaps["contrast pairs"].tolist() == [2, 2]
    (across,) = json.loads((out / "report.json").read_text())["across"]
    assert across["tables"]["protocols"]["rows"][0]["contrast gap"] == pytest.approx(gaps["contrast gap"][0])


def test_the_gap_of_every_protocol_is_that_of_its_pairs(tmp_path: Path) -> None:
    for folder, steps in (("a", 250), ("b", 200)):
        write_sweep(tmp_path / folder, probs=[0.3, 0.5], protocol=SMALL.with_knobs(steps=steps))
    write_sweep(tmp_path / "c", arms=["bn"], probs=[0.5], protocol=SMALL.with_knobs(steps=280))
    tables = [fits_table(sweep) for sweep in read_sweeps(tmp_path)[0]]
    shown = [forest.Protocol(str(place), fits, compared_arms(fits), True) for place, fits in enumerate(tables)]
    figure = forest.protocols(shown)
    columns = {"contrast": "difference_trained", "J": "objective_trained", "right": "right_trained"}
    for row, fits in zip(figure.table.frame.to_dict("records"), tables, strict=True):
        for name, column in columns.items():
            gaps = fits.pivot(index=["p", "seed"], columns="arm", values=column)
            if "plain" not in gaps:
                assert (row[f"{name} pairs"], row["gap of"]) == (0, "")
                assert pd.isna(row[f"{name} gap"])
                continue
            gap = gaps["plain"] - gaps["bn"]
            assert row[f"{name} gap"] == pytest.approx(gap.mean())
            assert row[f"{name} low"] < gap.mean() < row[f"{name} high"]
    with style.print_style():
        panels = figure.draw().axes
        below_each_other = figure.narrow(narrow=True).axes if figure.narrow else []
    assert len(panels) == len(below_each_other) == 3
    assert ["no pair" in label.get_text() for label in panels[0].get_yticklabels()] == [False, False, True]


@pytest.mark.nightly
@pytest.mark.usefixtures("undrawn")
def test_the_overlay_says_what_lies_on_other_images_and_protocols_stand_in_the_order_of_their_names(
    tmp_path: Path,
) -> None:
    held_out = SMALL.with_knobs(steps=200, split="held-out")
    write_sweep(tmp_path / "results" / "a", probs=[0.5], protocol=held_out)
    write_sweep(tmp_path / "results" / "b")
    build_report(tmp_path / "results", tmp_path / "report", compare=True)
    page = page_of(tmp_path / "report")
    first, second = json.loads((tmp_path / "report" / "report.json").read_text())["protocols"]
    assert [numbers(one["answer"]["sentence"])[0] for one in (first, second)] == ["2", "4"], "pairs"
    assert all(one["answer"]["sentence"] in page.text for one in (first, second))
    assert "held-out" in first["name"]
    assert "held-out" not in second["name"]
    assert first["name"] < second["name"]
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


@pytest.mark.nightly
@pytest.mark.usefixtures("undrawn")
def test_only_the_same_images_are_set_against_the_authors(tmp_path: Path) -> None:
    write_sweep(tmp_path / "results", protocol=SMALL.with_knobs(dataset="digits", pool=1))
    report = build_report(tmp_path / "results", tmp_path / "report")
    assert not {"authors.csv", "agreement.csv"} & {path.name for path in report.paths}
    assert "no replication" not in page_of(tmp_path / "report").text


@pytest.mark.nightly
@pytest.mark.usefixtures("undrawn")
def test_no_sentence_of_a_page_lists_many_arms(tmp_path: Path) -> None:
    arms = BUILT_IN[:6]
    write_sweep(tmp_path / "results", arms=arms, probs=(0.3,), seeds=(1, 2))
    build_report(tmp_path / "results", tmp_path / "out", formats=("json",))
    record = record_of(tmp_path / "out")
    said = [text for texts in record["chapters"].values() for text in texts]
    said += [*record["captions"].values(), *record["status"].values(), record["answer"]["in_short"]["sentence"]]
    assert said
    for sentence in (one for text in said for one in text.split(". ")):
        assert len(named(sentence, arms)) <= 4, sentence


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
