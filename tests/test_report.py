"""The report: complete, equal each time, true to the stored fits, and unharmed by what it is given."""

from __future__ import annotations

import math
import re
import shlex
from html.parser import HTMLParser
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.image import imread
from scipy import stats as scipy_stats

from bnbench import store, sweeps
from bnbench.parsing import parse_probs, parse_seeds
from bnbench.profiles import PROFILES
from bnbench.protocol import FitKey
from bnbench.report import build_report, captions, figures, landscapes, reproduce, style, tables
from tests.synthetic import SMALL, write_sweep

FIGURES = ["figure4", "figure4a", "figure4b", "figure3", "paired", "wall_time", "learning_curves"]
TABLES = ["quantities", "paired", "per_p", "policies", "fits"]


class Page(HTMLParser):
    """What a browser would fetch, run and show."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.fetched: list[str] = []
        self.ids: list[str] = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        for name, value in attributes:
            if name == "id":
                self.ids.append(value)
            if name in ("src", "href", "xlink:href", "data", "srcset") and tag != "a" and not value.startswith("#"):
                self.fetched.append(value)

    def handle_data(self, data):
        self.text += data


def page_of(out: Path) -> Page:
    return Page((out / "index.html").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """Results of two arms, two p and three seeds, and their report."""
    root = tmp_path_factory.mktemp("whole")
    write_sweep(root / "results", seeds=(1, 2, 3))
    return root / "results", root / "report", build_report(root / "results", root / "report")


@pytest.fixture
def svg_only(monkeypatch):
    """Leave out the formats that a test does not look at: they are most of the time."""
    monkeypatch.setattr(style, "_METADATA", {"svg": {"Date": None}})


def test_every_figure_and_table_is_written(whole):
    _, out, report = whole
    expected = {out / "index.html", out / "figures" / "captions.md"}
    expected |= {out / "figures" / f"{name}.{ending}" for name in FIGURES for ending in ("pdf", "png", "svg")}
    expected |= {out / "tables" / f"{name}.{ending}" for name in TABLES for ending in ("csv", "md")}
    assert set(report.paths) == expected == {path for path in out.rglob("*") if path.is_file()}
    assert report.paths[0] == out / "index.html"
    assert report.broken == []


def test_the_same_results_give_the_same_bytes(whole, tmp_path):
    results, out, _ = whole
    again = build_report(results, tmp_path)
    for path in again.paths:
        assert path.read_bytes() == (out / path.relative_to(tmp_path)).read_bytes(), path.name


def test_the_page_stands_alone(whole):
    _, out, _ = whole
    page = page_of(out)
    assert all(address.startswith("data:image/png;base64,") for address in page.fetched)
    assert not {"script", "link", "iframe", "object", "embed", "img"} & set(page.tags)
    assert "@import" not in page.text
    assert "url(http" not in page.text
    assert page.tags.count("svg") == len(FIGURES) - 1  # figure 4 stands there as its two panels
    assert len(page.ids) == len(set(page.ids))


def test_figures_on_the_page_take_its_colours(whole):
    _, out, _ = whole
    body = (out / "index.html").read_text(encoding="utf-8").partition("</style>")[2]
    assert not re.search("|".join(style.css_colours()), body)
    assert "var(--arm-plain)" in body


def test_the_answer_and_the_tables_agree_with_a_hand_computation(whole):
    results, out, _ = whole
    pixels = sweeps.load(results)
    means = pixels.groupby(["p", "seed", "arm", "black"])["test_accuracy"].mean().unstack()
    gaps = (means[True] - means[False]).unstack()
    gaps = gaps["plain"] - gaps["bn"]
    within = gaps - gaps.groupby("p").transform("mean")
    half = scipy_stats.t.ppf(0.975, 4) * math.sqrt((within**2).sum() / 4 / 6)
    texts = [f"{value:.3f}" for value in (gaps.mean(), gaps.mean() - half, gaps.mean() + half)]
    assert f"is {texts[0]} larger for plain than for bn (95 % interval {texts[1]} to {texts[2]}" in page_of(out).text
    written = pd.read_csv(out / "tables" / "paired.csv", index_col="p")
    np.testing.assert_allclose(written["mean"], gaps.groupby("p").mean(), rtol=1e-5)
    fits = pd.read_csv(out / "tables" / "fits.csv", index_col=["arm", "p", "seed"])
    np.testing.assert_allclose(fits.loc[("bn", 0.5, 3), "black"], means.loc[(0.5, 3, "bn"), True], rtol=1e-5)


def test_captions_say_what_the_whisker_is_and_n(whole):
    _, out, _ = whole
    text = (out / "figures" / "captions.md").read_text(encoding="utf-8")
    assert "± one standard deviation over seeds (ddof = 1)" in text
    assert "n = 3 at 2 fill probabilities" in text
    assert "read off their published plot (± 0.005)" in text


def test_markdown_tables_are_tables(whole):
    _, out, _ = whole
    for name in TABLES:
        lines = (out / "tables" / f"{name}.md").read_text(encoding="utf-8").splitlines()[2:]
        assert len({line.count("|") for line in lines}) == 1
        assert re.fullmatch(r"\|( -+:? \|)+", lines[1])


def test_print_files_have_their_size_and_embed_their_fonts(whole):
    _, out, _ = whole
    assert imread(out / "figures" / "figure4a.png").shape[1] == pytest.approx(8 / 2.54 * 300, abs=1)
    assert imread(out / "figures" / "figure4.png").shape[1] == pytest.approx(17 / 2.54 * 300, abs=1)
    content = (out / "figures" / "figure4.pdf").read_bytes()
    assert b"/FontFile2" in content
    assert b"/Type3" not in content
    assert b"/CreationDate" not in content
    assert "<dc:date>" not in (out / "figures" / "figure4.svg").read_text(encoding="utf-8")


@pytest.mark.usefixtures("svg_only")
def test_building_leaves_matplotlib_as_it_was(tmp_path):
    write_sweep(tmp_path / "results", arms=["plain"], probs=[0.5], seeds=[1])
    before = dict(mpl.rcParams)
    build_report(tmp_path / "results", tmp_path / "report")
    assert dict(mpl.rcParams) == before


@pytest.mark.usefixtures("svg_only")
def test_a_single_fit_gives_a_page_that_says_what_it_lacks(tmp_path):
    write_sweep(tmp_path / "results", arms=["bn"], probs=[0.4], seeds=[7])
    report = build_report(tmp_path / "results", tmp_path / "report")
    text = page_of(tmp_path / "report").text
    assert "bn alone, nothing to compare it with" in text
    assert "n = 1 seed" in text
    assert "--seeds 7:7:1" in text
    assert "paired.csv" not in {path.name for path in report.paths}


@pytest.mark.usefixtures("svg_only")
def test_an_unfinished_sweep_says_n_for_each_point(tmp_path):
    write_sweep(tmp_path / "results", seeds=(1, 2, 3), skip=[("bn", 0.3, 2), ("plain", 0.5, 3), ("plain", 0.5, 1)])
    store.write_failure(tmp_path / "results", FitKey("bn", 0.3, 2), "Diverged", "the loss is <b>nan</b>")
    build_report(tmp_path / "results", tmp_path / "report")
    page = page_of(tmp_path / "report")
    assert "Unfinished: 9 of 12 fits are done (1 failed)." in page.text
    assert "n = 1 to 3 at 2 fill probabilities" in page.text
    assert "Over 3 pairs of (p, seed)" in page.text
    assert "the loss is <b>nan</b>" in page.text
    assert "b" not in page.tags


@pytest.mark.usefixtures("svg_only")
def test_hostile_names_are_text(tmp_path):
    arm = "my_pkg.nets:make<script>alert('$x|y')</script>"
    device = '"><img src=x onerror=alert(1)>'
    write_sweep(
        tmp_path / "results",
        arms=["plain", arm, "other_pkg.nets:_make", "üñí.code:größe"],
        provenance={"device_name": device, "<svg onload=alert(1)>": "&amp;"},
    )
    report = build_report(tmp_path / "results", tmp_path / "report")
    page = page_of(tmp_path / "report")
    assert not {"script", "img"} & set(page.tags)
    assert arm in page.text
    assert device in page.text
    assert "&amp;" in page.text
    assert report.broken == []
    assert "<script" not in "".join(path.read_text() for path in report.paths if path.suffix in (".svg", ".md"))


@pytest.mark.usefixtures("svg_only")
def test_a_hostile_profile_name_stays_in_its_folder(tmp_path):
    folders = {"../../away": "one", "<b>": "two"}
    for name, folder in folders.items():
        protocol = SMALL.with_knobs(steps=200 + len(name))
        object.__setattr__(protocol, "profile", name)
        write_sweep(tmp_path / "results" / folder, arms=["plain"], probs=[0.5], seeds=[1], protocol=protocol)
    report = build_report(tmp_path / "results", tmp_path / "report")
    assert all((tmp_path / "report") in path.resolve().parents for path in report.paths)
    assert "b" not in page_of(tmp_path / "report").tags


@pytest.mark.usefixtures("svg_only")
def test_broken_files_are_named_and_the_rest_is_reported(tmp_path):
    write_sweep(tmp_path / "results", seeds=(1, 2, 3))
    path = store.fit_path(tmp_path / "results", FitKey("bn", 0.5, 1))
    path.write_bytes(path.read_bytes()[:100])
    report = build_report(tmp_path / "results", tmp_path / "report")
    assert len(report.broken) == 1
    assert path.name in report.broken[0]
    assert path.name in page_of(tmp_path / "report").text
    assert "Over 5 pairs" in page_of(tmp_path / "report").text


def test_a_folder_with_failures_alone_still_gives_a_page(tmp_path):
    store.open_folder(tmp_path / "results", SMALL)
    store.write_failure(tmp_path / "results", FitKey("bn", 0.5, 1), "OneColourError", "all pixels have one colour")
    report = build_report(tmp_path / "results", tmp_path / "report")
    assert [path.name for path in report.paths] == ["index.html"]
    text = page_of(tmp_path / "report").text
    assert "No fit to report" in text
    assert "all pixels have one colour" in text


@pytest.mark.usefixtures("svg_only")
def test_several_protocols_get_a_section_each_and_one_overlay(tmp_path):
    for folder, steps in (("a", 300), ("b", 200), ("c", 300)):
        write_sweep(tmp_path / "results" / folder, probs=[0.5], protocol=SMALL.with_knobs(steps=steps))
    (tmp_path / "results" / "d").mkdir()
    (tmp_path / "results" / "d" / "protocol.json").write_text("{")
    report = build_report(tmp_path / "results", tmp_path / "report", compare=True)
    assert len(report.broken) == 1
    assert (tmp_path / "report" / "figures" / "comparison.svg") in report.paths
    page = page_of(tmp_path / "report")
    assert page.tags.count("article") == 3
    assert len(set(report.paths)) == len(report.paths)
    assert len(page.ids) == len(set(page.ids))


def test_a_folder_without_results_is_refused(tmp_path):
    with pytest.raises(ValueError, match="holds no results of bnbench"):
        build_report(tmp_path, tmp_path / "report")
    with pytest.raises(ValueError, match="holds no results of bnbench"):
        build_report(tmp_path / "missing", tmp_path / "report")
    assert not (tmp_path / "report").exists()


def test_an_output_folder_that_cannot_be_made_is_refused(tmp_path):
    write_sweep(tmp_path / "results", arms=["plain"], probs=[0.5], seeds=[1])
    (tmp_path / "file").touch()
    with pytest.raises(ValueError, match="cannot be written"):
        build_report(tmp_path / "results", tmp_path / "file" / "report")


def fits_of(gaps: dict[tuple[float, int], float], arms: tuple[str, ...] = ("plain", "bn")) -> pd.DataFrame:
    rows = [
        {"arm": arm, "p": p, "seed": seed, "difference": 0.4 - (number * gap)}
        for (p, seed), gap in gaps.items()
        for number, arm in enumerate(arms)
    ]
    return pd.DataFrame(rows)


@pytest.mark.parametrize(
    ("fits", "words"),
    [
        (fits_of({(0.5, 1): 0.05, (0.5, 2): 0.06, (0.5, 3): 0.055}), "plain bends its landscape further than bn"),
        (fits_of({(0.5, 1): -0.05, (0.5, 2): -0.06, (0.5, 3): -0.055}), "bn bends its landscape further than plain"),
        (fits_of({(0.5, 1): 0.05, (0.5, 2): -0.06}), "these fits cannot say which bends further"),
        (fits_of({(0.5, 1): 0.05, (0.3, 1): 0.06}), "it cannot be said yet"),
        (fits_of({(0.5, 1): 0.05}, arms=("skip",)), "skip alone, nothing to compare it with"),
        (fits_of({(0.5, 1): 0.05, (0.5, 2): 0.051}, arms=("bn", "a:b")), "bn bends its landscape further than"),
        (pd.concat([fits_of({(0.5, 1): 0}, ("bn",)), fits_of({(0.3, 1): 0}, ("plain",))]), "No pair to compare yet"),
        (fits_of({}), "No fit to report"),
    ],
)
def test_the_headline_claims_no_more_than_the_interval(fits, words):
    fits = fits if len(fits) else pd.DataFrame(columns=["arm", "p", "seed", "difference"])
    assert words in captions.answer(fits).headline


def test_figure_3_shows_the_fit_nearest_one_half_with_most_arms():
    rows = [("plain", 0.3, 1), ("bn", 0.3, 1), ("plain", 0.6, 1), ("plain", 0.6, 2), ("bn", 0.6, 2), ("bn", 0.6, 3)]
    table = pd.DataFrame(rows, columns=["arm", "p", "seed"])
    assert landscapes.choose(table) == (0.6, 2)
    assert landscapes.choose(pd.DataFrame([("bn", 0.4, 5), ("bn", 0.6, 1)], columns=["arm", "p", "seed"])) == (0.4, 5)


def test_figure_3_has_row_0_on_top_and_one_scale_for_all_arms(tmp_path):
    write_sweep(tmp_path, probs=[0.5], seeds=[1], protocol=SMALL.with_knobs(mask_size=(5, 7)))
    table = sweeps.read_sweep(tmp_path).landscapes
    with style.print_style():
        figure = landscapes.figure3(table.sample(frac=1, random_state=0), 0.5, 1, 2.5)
    mask, plain, bn = (axes.images[0] for axes in figure.axes[:3])
    expected = table[table["arm"] == "plain"].pivot(index="row", columns="column", values="black")
    np.testing.assert_array_equal(mask.get_array(), expected.to_numpy(dtype=float))
    assert mask.origin == plain.origin == "upper"
    assert mask.cmap(1.0)[:3] == (0, 0, 0)
    assert plain.norm is bn.norm
    assert plain.norm.vmin <= 2.5 <= plain.norm.vmax
    with pytest.raises(ValueError, match=r"no fit has p=0\.5 and seed 9"):
        landscapes.figure3(table, 0.5, 9, 2.5)


def test_losses_that_are_not_numbers_still_draw(tmp_path):
    write_sweep(tmp_path / "results", probs=[0.5], seeds=[1])
    table = sweeps.read_sweep(tmp_path / "results").landscapes
    for loss in (math.nan, math.inf):
        with style.print_style():
            figure = landscapes.figure3(table.assign(test_loss=loss), 0.5, 1, 2.5)
            style.save(figure, tmp_path, "figure3")


def test_the_authors_curve_is_theirs():
    authors = figures.authors_figure4()
    assert len(authors) == 27
    assert set(authors["arm"]) == {"plain", "bn", "skip"}
    np.testing.assert_allclose(authors["black"] - authors["white"], authors["difference"], atol=0.0015)


def test_arms_keep_their_colours_whoever_stands_beside_them():
    few, many = style.arm_colours(["bn", "plain"]), style.arm_colours(["z:z", "skip", "bn", "plain", "a:a"])
    assert all(many[arm] == colour for arm, colour in few.items())
    assert len(set(many.values())) == 5
    assert style.arm_order(many) == ["plain", "bn", "skip", "a:a", "z:z"]


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.12345, "0.123"), (-0.5, "−0.5"), (45, "45"), (1e-5, "0.00001"), (float("nan"), "–"), (0.1, "0.1"), ("a", "a")],
)
def test_cells_are_short(value, text):
    assert tables.cell(value) == text


@given(st.lists(st.integers(1, 999), min_size=1, max_size=12, unique=True))
def test_the_command_names_the_same_probabilities(permille):
    values = pd.Series([number / 1000 for number in permille])
    assert parse_probs(reproduce.probs_text(values)) == tuple(sorted(values))


@given(st.lists(st.integers(1, 50), min_size=1, max_size=12, unique=True))
def test_the_command_names_the_same_seeds(seeds):
    assert parse_seeds(reproduce.seeds_text(pd.Series(seeds))) == tuple(sorted(seeds))


def test_the_command_names_what_differs_from_the_profile():
    fits = pd.DataFrame([("plain", 0.1 * p, 1) for p in range(1, 10)], columns=["arm", "p", "seed"])
    protocol = PROFILES["quick"].with_knobs(mask_size=(12, 8), learning_rate=0.001, widths=(4, 4, 8, 8, 8, 8))
    words = shlex.split(reproduce.command(protocol, fits))
    assert words[:4] == ["bnbench", "run", "--profile", "quick"]
    options = dict(zip(words[4::2], words[5::2], strict=True))
    assert options == {
        "--probs": "0.1:0.9:0.1",
        "--seeds": "1",
        "--arms": "plain",
        "--mask-size": "12x8",
        "--learning-rate": "0.001",
        "--widths": "4,4,8,8,8,8",
    }


def test_the_paper_has_no_departure_from_itself():
    assert reproduce.departures(PROFILES["paper"]) == []
    assert {"images", "steps", "pool"} <= {name for name, *_ in reproduce.departures(PROFILES["quick"])}


def test_core_time_counts_threads():
    table = pd.DataFrame({"wall_seconds": [1800.0, 1800.0], "threads": [2, 1], "device": ["cpu", "cuda:0"]})
    assert reproduce.cost(table) == "60 min of core time and 30 min of device time"
