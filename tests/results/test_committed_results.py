"""The committed reports and what the pages say of them, held to a computation by hand from its parquet files."""

from __future__ import annotations

import json
import math
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose
from scipy import stats

from bnbench.protocol.protocol import FitKey
from bnbench.report import build_report
from bnbench.report.figures import style
from bnbench.report.page import writer
from bnbench.results import layout

RESULTS, REPORTS = (Path(__file__).parents[2] / name for name in ("results", "reports"))
SWEEP = RESULTS / "quick"
HEADLINE = "difference, trained pixels only"


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    with pytest.MonkeyPatch.context() as patch:
        undrawn = b'<svg viewBox="0 0 10 10"></svg>'
        patch.setattr(writer, "draw_files", lambda draw, endings: dict.fromkeys(endings, undrawn))
        out = tmp_path_factory.mktemp("committed")
        build_report(SWEEP, out)
    return out


def gaps_of(sweep: Path, fits: pd.DataFrame | None = None, *, trained: bool = True) -> pd.Series:
    """plain − bn of every (p, seed), straight from trained or all pixels; of some fits, or of all that are there."""
    paths = sorted((sweep / "fits").glob("*.parquet"))
    if fits is not None:
        paths = [layout.fit_path(sweep, FitKey(arm, p, seed)) for arm, p, seed in fits.to_numpy().tolist()]
    pixels = pd.concat(map(pd.read_parquet, paths))
    pixels = pixels[pixels["trained"]] if trained else pixels
    means = pixels.groupby(["p", "seed", "arm", "black"])["test_accuracy"].mean().unstack()
    wide = (means[True] - means[False]).unstack("arm")
    return (wide["plain"] - wide["bn"]).dropna()


def quantity_of(report: Path, quantity: str) -> pd.Series:
    """A row of a report's table of quantities."""
    return pd.read_csv(report / "tables" / "quantities.csv", index_col="quantity").loc[[quantity]].iloc[0]


def interval(gaps: pd.Series) -> list[float]:
    """The mean gap, every p weighing the same, and its 95 % interval: t, on the variance within each p."""
    by_p = gaps.groupby("p")
    share, sizes = 1 / by_p.size(), by_p.size()
    df = share.sum() ** 2 / (share**2 / (sizes - 1)).sum()
    half = stats.t.ppf(0.975, df) * math.sqrt((by_p.var() / sizes).sum()) / by_p.ngroups
    mean = by_p.mean().mean()
    return [mean, mean - half, mean + half]


@pytest.fixture(scope="module")
def gaps() -> pd.Series:
    return gaps_of(SWEEP)


@pytest.mark.parametrize("profile", ["quick", "compact"])
def test_a_kept_report_is_of_the_fits_that_are_there(profile: str) -> None:
    fits = pd.read_csv(REPORTS / profile / "tables" / "fits.csv")  # a sweep may have gone on since
    for pixels, quantity in ((True, HEADLINE), (False, "difference, all pixels")):
        gaps = gaps_of(RESULTS / profile, fits[["arm", "p", "seed"]], trained=pixels)
        row = quantity_of(REPORTS / profile, quantity)
        assert (row["pairs"], row["positive_gaps"]) == (len(gaps), (gaps > 0).sum())
        assert_allclose(row[["gap", "low", "high"]].to_list(), interval(gaps), rtol=1e-5)
    assert not fits.duplicated(["arm", "p", "seed"]).any()


@pytest.mark.nightly
def test_the_headline_is_what_ten_lines_by_hand_say(report: Path, gaps: pd.Series) -> None:
    d, by_p = gaps, gaps.groupby("p")
    df = len(d) - by_p.ngroups
    gap, low, high = interval(d)
    signs = np.random.default_rng(1).choice([-1, 1], (100_000, len(d)))
    flip = np.mean(np.abs(signs @ d.to_numpy()) >= abs(d.sum()) - 1e-12)
    per_p = by_p.apply(lambda x: stats.ttest_1samp(x, 0).pvalue if len(x) > 1 else math.nan)
    row = quantity_of(report, HEADLINE)
    assert (row["pairs"], row["df"], row["positive_gaps"]) == (len(d), df, (d > 0).sum())
    assert_allclose(row[["gap", "low", "high"]].to_list(), [gap, low, high], rtol=1e-5)
    assert_allclose(row["effect_size"], d.mean() / d.std(), rtol=1e-5)
    assert_allclose(row["sign_flip_p"], flip, atol=5 * math.sqrt(max(flip, 1e-4) / 100_000))
    single = pd.read_csv(report / "tables" / "paired.csv", index_col="p")
    assert_allclose(single["p_value"], per_p, rtol=1e-4)
    assert_allclose(single["mean"], by_p.mean(), rtol=1e-4)
    text = (report / "index.html").read_text(encoding="utf-8")
    numbers = f"is {abs(gap):.3f} larger for {'plain' if gap > 0 else 'bn'}.*?"
    low, high = sorted([low, high] if gap > 0 else [-low, -high])
    numbers += f"interval {low:.3f} to {high:.3f}".replace("-", "−")
    assert re.search(numbers, text)


@pytest.mark.nightly
def test_the_other_statistics_by_hand(report: Path, gaps: pd.Series) -> None:
    theirs = pd.read_csv(Path(style.__file__).with_name("authors.csv")).pivot(index="p", columns="arm")["difference"]
    ours, theirs = gaps.groupby("p").mean().align(theirs["plain"] - theirs["bn"], join="inner")
    row = pd.read_csv(report / "tables" / "agreement.csv").iloc[-1]
    assert_allclose(row["level"], (ours - theirs).mean(), rtol=1e-4)
    rho = stats.spearmanr(ours, theirs).statistic if len(ours) > 2 else math.nan
    assert_allclose(row["rho"], rho, rtol=1e-4)
    seeds = gaps.groupby("seed").sum().to_numpy(float)  # sums of float32 would differ from those of float64
    flips = np.array(np.meshgrid(*[[-1, 1]] * len(seeds))).reshape(len(seeds), -1).T  # every pattern
    flipped = np.mean(np.abs(flips @ seeds) >= abs(seeds.sum()) - 1e-12)
    assert_allclose(quantity_of(report, HEADLINE)["seed_flip_p"], flipped)


@pytest.mark.nightly
def test_the_committed_report_is_one_of_today(report: Path) -> None:
    (here,), (kept,) = (
        json.loads((folder / "report.json").read_text())["protocols"] for folder in (report, REPORTS / "quick")
    )
    assert kept["answer"] == here["answer"]
    for part in ("chapters", "captions", "tables"):
        assert list(kept[part]) == list(here[part])
    for chapter, sentences in here["chapters"].items():  # last digits may be another processor's
        assert [re.sub(r"\d", "", one) for one in kept["chapters"][chapter]] == [
            re.sub(r"\d", "", one) for one in sentences
        ]
    for name, table in here["tables"].items():
        assert [list(row) for row in kept["tables"][name]["rows"][:1]] == [list(row) for row in table["rows"][:1]]
