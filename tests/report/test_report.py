"""The report: complete, equal each time, and true to the stored fits."""

from __future__ import annotations

import json
import math
import re
from io import BytesIO
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
from matplotlib.collections import LineCollection
from matplotlib.image import imread
from scipy import stats as scipy_stats

from bnbench import wording
from bnbench.measures.registry import compared_columns
from bnbench.protocol.parsing import FORMATS
from bnbench.protocol.profiles import PROFILES
from bnbench.report.arms import compared_arms
from bnbench.report.build import Report, build_report
from bnbench.report.chapters import bn_statistics, evidence, fitted, headline
from bnbench.report.figures import style
from bnbench.report.figures.authors import authors_figure4
from bnbench.report.figures.figure4 import figure4
from bnbench.report.figures.strip import strip
from bnbench.report.page import manifest, writer
from bnbench.report.tables import fits_table
from bnbench.results import sweeps
from bnbench.stats import settling
from tests import synthetic
from tests.report.built import Page, first_screen, page_of, record_of, svg_alone
from tests.sentences import numbers
from tests.synthetic import SMALL, write_sweep

FIGURES = [
    *("strip", "figure4", "figure4a", "figure4b", "figure3", "training_against_test", "wall_time", "learning_curves"),
    *("difference_over_steps", "paired", "policies", "objective", "objective_right", "objective_j", "figure4_all"),
    "paired_objective",
]
WIDE = [
    "figure3",
    "learning_curves",
    "difference_over_steps",
    "figure4_all",
    "paired_objective",
]  # drawn again for a narrow screen
TABLES = [
    *("quantities", "training_end", "paired", "sensitivity", "agreement", "per_p", "policies", "fits", "strip"),
    *("quantities_per_p", "learning_curves", "difference_over_steps", "authors", "objective", "readings"),
    "paired_objective",
]


Whole = tuple[Path, Path, Report]  # the results, the report's folder, and what was said of it


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


@pytest.fixture(scope="module")
def page(whole: Whole) -> Page:
    """Its page, which is long to read."""
    return page_of(whole[1])


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


def test_the_page_stands_alone(page: Page) -> None:
    assert all(address.startswith("data:image/png;base64,") for address in page.fetched)
    assert not {"link", "iframe", "object", "embed", "img"} & set(page.tags)
    assert page.tags.count("script") == 2  # the explorer and its data, both inline
    assert "@import" not in page.text
    assert "url(http" not in page.text
    assert page.tags.count("svg") == len(FIGURES) - 2 + len(
        WIDE
    )  # figure 4 and the objective stand there as two panels
    assert len(page.ids) == len(set(page.ids))


def test_the_page_says_whatever_the_numbers_whether_fits_settled_and_what_was_past_the_threshold(
    whole: Whole, page: Page
) -> None:
    results, out, _ = whole
    (protocol,) = json.loads((out / "report.json").read_text(encoding="utf-8"))["protocols"]
    settled, past = protocol["status"].values()
    assert all(one in page.text for one in (*protocol["status"], settled, past))
    end = fitted.end_table(sweeps.read_sweep(results), None).set_index("arm")
    for arm in ("plain", "bn"):
        assert f"{arm} {wording.percent_tenths(end['clamped'][arm])}" in past
        assert f"{arm} {wording.signed(end['moved'][arm])}" in settled


def test_white_pixels_past_the_threshold_are_trained_ones_and_every_p_weighs_the_same(tmp_path: Path) -> None:
    write_sweep(tmp_path, probs=(0.1, 0.5, 0.8), seeds=(1, 2), skip=[("plain", 0.5, 2)])
    sweep = sweeps.read_sweep(tmp_path)
    found = fitted.end_table(sweep, None).set_index("arm")["beyond_threshold"]
    columns = ("arm", "p", "seed", "trained", "black", "test_loss")
    for arm in ("plain", "bn"):
        of_p = []
        for p in (0.1, 0.5, 0.8):
            shares = []
            for seed in (1, 2):
                pixels = zip(*(sweep.landscapes[name] for name in columns), strict=True)
                losses = [
                    loss for *fit, trained, black, loss in pixels if fit == [arm, p, seed] and trained and not black
                ]
                shares += [sum(loss >= 2.5 for loss in losses) / len(losses)] if losses else []
            of_p.append(sum(shares) / len(shares))
        assert found[arm] == pytest.approx(sum(of_p) / 3)
        assert 0.05 < found[arm] < 0.999


def test_the_first_picture_shows_the_fits_nearest_to_three_probabilities(tmp_path: Path) -> None:
    write_sweep(tmp_path, probs=(0.2, 0.5, 0.7), seeds=(1, 2), skip=[("bn", 0.2, 1)])
    landscapes = sweeps.read_sweep(tmp_path).landscapes
    frame = strip(landscapes, 2.5).table.frame
    assert {(row["p"], row["seed"]) for _, row in frame.iterrows()} == {(0.2, 2), (0.5, 1), (0.7, 1)}, "both arms"
    for _, row in frame.iterrows():
        fit = landscapes.query("arm == @row.arm and p == @row.p and seed == @row.seed and black")
        assert row["black"] == pytest.approx(fit["test_accuracy"].mean())
    alone = strip(landscapes.query("p == 0.5"), 2.5).table.frame
    assert len(alone) == 2, "one probability is shown once"


def test_two_seeds_have_no_whisker_and_every_seed_of_figure_4_says_which_fit_it_is(tmp_path: Path) -> None:
    for count in (2, 3):
        write_sweep(tmp_path / str(count), probs=(0.3, 0.5), seeds=range(1, count + 1))
        panel = figure4(fits_table(sweeps.read_sweep(tmp_path / str(count))))[1]
        with style.print_style():
            axes = panel.draw().axes[0]
        whiskers = [one.get_segments() for one in axes.collections if isinstance(one, LineCollection)]
        heights = [segment[1][1] - segment[0][1] for segments in whiskers for segment in segments if len(segment) > 1]
        assert np.isfinite(heights).any() == (count == 3)
        assert ("whiskers" in panel.caption) == (count == 3)
        names = {str(line.get_gid()) for line in axes.lines} - {"None"}
        arms = (0, 1)
        assert names == {
            f"fit-difference-{arm}-{p:g}-{seed}" for arm in arms for p in (0.3, 0.5) for seed in range(1, count + 1)
        }


def test_every_link_leads_somewhere_and_every_figure_to_its_numbers(whole: Whole, page: Page) -> None:
    _, out, _ = whole
    for address in page.addresses:
        assert address[1:] in page.ids if address.startswith("#") else (out / address).is_file(), address
    for table in ("per_p", "figure3", "paired", "fits", "learning_curves", "difference_over_steps"):
        assert f"tables/{table}.csv" in page.addresses


def test_the_record_holds_the_tables_with_all_their_digits(whole: Whole, page: Page) -> None:
    _, out, _ = whole
    text = (out / "report.json").read_text(encoding="utf-8")
    (protocol,) = json.loads(text, parse_constant=pytest.fail)["protocols"]
    assert protocol["answer"]["sentence"] in page.text
    assert protocol["protocol"]["id"] == SMALL.id
    assert protocol["provenance"]["device_name"] == "a processor"
    assert set(protocol["captions"]) == set(FIGURES)
    assert list(protocol["chapters"]) == [fitted.TITLE, bn_statistics.TITLE, evidence.TITLE]
    assert all(sentence in page.text for sentences in protocol["chapters"].values() for sentence in sentences)
    assert {"low", "high", "holm"} <= set(protocol["tables"]["paired"]["rows"][0])
    for name in TABLES:
        written = pd.read_csv(out / "tables" / f"{name}.csv").select_dtypes("number")
        rows = pd.DataFrame(protocol["tables"][name]["rows"])[written.columns].astype(float)
        pd.testing.assert_frame_equal(rows, written.astype(float), rtol=1e-12)


def test_figures_on_the_page_take_its_colours(whole: Whole) -> None:
    _, out, _ = whole
    body = (out / "index.html").read_text(encoding="utf-8").partition("</style>")[2]
    assert not re.search("|".join(style.css_colours()), body)
    assert "var(--arm-plain)" in body


def test_the_answer_and_the_tables_agree_with_a_hand_computation(whole: Whole, page: Page) -> None:
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
    assert sentence in page.text
    written = pd.read_csv(out / "tables" / "paired.csv", index_col="p")
    np.testing.assert_allclose(written["mean"], gaps.groupby("p").mean(), rtol=1e-5)
    fits = pd.read_csv(out / "tables" / "fits.csv", index_col=["arm", "p", "seed"])
    np.testing.assert_allclose(fits["black"]["bn", 0.5, 3], whole_means[True][0.5, 3, "bn"], rtol=1e-5)
    np.testing.assert_allclose(fits["black_trained"]["bn", 0.5, 3], means[True][0.5, 3, "bn"], rtol=1e-5)


def test_every_quantity_has_its_means_and_its_gap_at_every_p(whole: Whole, page: Page) -> None:
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
    assert "tables/quantities_per_p.csv" in page.addresses


@pytest.mark.usefixtures("undrawn")
def test_a_page_of_several_sizes_names_each_and_no_line_ends_within_a_quantity(tmp_path: Path) -> None:
    for side in (7, 10):  # 10 is the size of the profile itself
        size = PROFILES["quick"].with_knobs(mask_size=(side, side), steps=300)
        write_sweep(tmp_path / "results" / str(side), arms=["plain"], probs=[0.5], seeds=[1], protocol=size)
    build_report(tmp_path / "results", tmp_path / "report", formats=["html", "json"])
    names = [one["name"] for one in json.loads((tmp_path / "report" / "report.json").read_text())["protocols"]]
    assert sorted(re.findall(r"\d+x\d+", " ".join(names))) == ["10x10", "7x7"]
    page = (tmp_path / "report" / "index.html").read_text(encoding="utf-8")
    shown = re.sub(r"<(style|script|svg).*?</\1>", "", page, flags=re.DOTALL)
    assert re.search(r"\d\N{NO-BREAK SPACE}%", shown)
    assert not re.search(r"\d %|\w [=<≤] \d|± \w|\bJ [+−]?\d|\d × \d", shown)


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
def test_print_files_have_their_size_embed_their_fonts_and_are_the_same_each_time(whole: Whole, tmp_path: Path) -> None:
    results, *_ = whole
    build_report(results, tmp_path, formats=("svg",))
    both, panel, _ = figure4(fits_table(sweeps.read_sweep(results)), authors_figure4())
    with style.print_style():
        files, again = (style.as_files(panel.draw()) for _ in range(2))
        wide = style.as_files(both.draw(), ["png"])
    assert files == again
    assert files["svg"] == (tmp_path / "figures" / "figure4a.svg").read_bytes()
    assert imread(BytesIO(files["png"])).shape[1] == pytest.approx(8 / 2.54 * 300, abs=1)
    assert imread(BytesIO(wide["png"])).shape[1] == pytest.approx(17 / 2.54 * 300, abs=1)
    assert b"/FontFile2" in files["pdf"]
    assert b"/Type3" not in files["pdf"]
    assert b"/CreationDate" not in files["pdf"]
    assert b"<dc:date>" not in files["svg"]


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


def test_the_page_says_what_else_a_smaller_difference_could_be(whole: Whole, page: Page) -> None:
    results, out, _ = whole
    text = page.text
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
    assert numbers(tested)[-1] == "2", "p that were tested"


@pytest.mark.usefixtures("undrawn")
def test_the_first_screen_says_when_the_threshold_was_passed_nearly_everywhere(
    whole: Whole, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(synthetic, "CLAMPED", 0.97)
    write_sweep(tmp_path / "results", probs=[0.5])
    build_report(tmp_path / "results", tmp_path / "report", formats=("html", "json"))
    results, out, _ = whole
    for folder, shown, is_said in ((tmp_path / "results", tmp_path / "report", True), (results, out, False)):
        screen, record = first_screen(shown), record_of(shown)
        assert bool(record["caution"]) is is_said
        assert record["caution"] in screen
        fits = fits_table(sweeps.read_sweep(folder))
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
