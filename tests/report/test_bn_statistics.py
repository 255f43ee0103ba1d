"""The chapter on BN statistics: every policy its own gap, and only evaluations of these very fits."""

from __future__ import annotations

import json
import math
import re
import shutil
from collections.abc import Iterable
from dataclasses import replace
from html import unescape
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from matplotlib.container import ErrorbarContainer

from bnbench.bn_policy import BnPolicy
from bnbench.protocol.protocol import FitKey
from bnbench.report import build_report
from bnbench.report.chapters import bn_statistics
from bnbench.report.chapters.measured_again import evaluations_of, measurements
from bnbench.report.figures.policies import OWN_IMAGES, compared_rows, policies, policies_table
from bnbench.report.page import writer
from bnbench.report.tables import fits_table
from bnbench.results import sweeps
from bnbench.results.evaluations import Evaluation, find_evaluations, plane_hash
from bnbench.results.layout import evaluation_paths, plane_path
from bnbench.stats.differences import overall, paired
from bnbench.wording import signed
from tests.cli.test_cli import bnbench as command
from tests.sentences import named, numbers
from tests.synthetic import SMALL, write_sweep

SEEDS = (1, 2, 3)


@pytest.fixture(scope="module")
def sweep(tmp_path_factory: pytest.TempPathFactory) -> sweeps.Sweep:
    """A sweep that no test changes; what it was measured again lies in folders of the tests' own."""
    folder = tmp_path_factory.mktemp("swept") / "results"
    write_sweep(folder, probs=[0.3, 0.7], seeds=SEEDS)
    return sweeps.read_sweep(folder)


@pytest.fixture
def own_sweep(sweep: sweeps.Sweep, tmp_path: Path) -> sweeps.Sweep:
    """A copy of it for a test that writes there."""
    return sweeps.read_sweep(Path(shutil.copytree(sweep.folder, tmp_path / "results")))


def evaluate(
    sweep: sweeps.Sweep,
    out: Path,
    gap: float,
    *,
    keys: Iterable[FitKey] | None = None,
    images: int = 10_000,
    policy: str = "batch:64",
    plane: str = "plane",
    objective: dict[FitKey, float] | None = None,
) -> None:
    """Evaluations of all or some fits, in which plain is ahead by ``gap``; J of the arm's pixels where it is given."""
    for key in sweep.identities if keys is None else keys:
        measured, black = ("none", 0.8 + gap) if key.arm == "plain" else (policy, 0.8)
        rows = [
            {"headline": False, "pixels": pixels, "black": black, "white": 0.3, "difference": black - 0.3}
            for pixels in ("all", "trained")
        ]
        table = pd.DataFrame(rows).assign(black_loss=0.5, white_loss=3.0, device="cpu", threads=1)
        if objective is not None:
            table = table.assign(objective=objective[key])
        identity = sweep.identities[key]
        asked = BnPolicy.parse_stored(measured)
        Evaluation(sweep.protocol, key, identity, plane, "test", images, asked).write(out, table)


def table_of(sweep: sweeps.Sweep, out: Path) -> pd.DataFrame:
    return policies_table(measured_of(sweep, out), "plain").frame


def measured_of(sweep: sweeps.Sweep, out: Path) -> pd.DataFrame:
    evaluated, broken = find_evaluations([out])
    assert broken == []
    current, stale = evaluations_of(sweep, evaluated)
    assert stale == 0
    return measurements(sweep, current, fits_table(sweep))


def contrast_of(sweep: sweeps.Sweep, out: Path, pixels: str = "trained") -> pd.DataFrame:
    """The rows of one reading."""
    table = table_of(sweep, out)
    return table[(table["reading"] == "difference") & (table["pixels"] == pixels)]


@pytest.mark.parametrize("which", ["trained", "all"])
def test_each_policy_has_the_gap_of_its_own_summaries(sweep: sweeps.Sweep, tmp_path: Path, which: str) -> None:
    rows, pixels = [("plain", "none"), ("bn", "batch:512"), ("bn", "batch:16"), ("bn", "recalibrate:512")], which
    table = contrast_of(sweep, tmp_path / "nowhere", pixels).set_index(["arm", "policy"])
    assert list(table.index) == rows
    own = sweep.summaries[(sweep.summaries["pixels"] == pixels) & (sweep.summaries["split"] == "test")]
    for policy in ("batch:512", "batch:16", "recalibrate:512"):
        expected = overall(paired(own[own["policy"].isin(["none", policy])]))
        found = tuple(table[name]["bn", policy] for name in ("gap", "low", "high"))
        assert found == (expected.mean, expected.low, expected.high)
    gaps = table["gap"]
    assert gaps["bn", "batch:512"] - gaps["bn", "batch:16"] == pytest.approx(0.02)
    assert math.isnan(gaps["plain", "none"])


def of_arm(sweep: sweeps.Sweep, arm: str) -> list[FitKey]:
    return [key for key in sweep.identities if key.arm == arm]


def test_an_evaluation_is_paired_on_its_own_images(sweep: sweeps.Sweep, tmp_path: Path) -> None:
    evaluate(sweep, tmp_path / "out", 0.25)
    evaluate(sweep, tmp_path / "out", 0.0, keys=of_arm(sweep, "bn"), images=500)
    table = contrast_of(sweep, tmp_path / "out").set_index(["arm", "on", "policy"])
    assert table["gap"]["bn", "test, 10,000 images", "batch:64"] == pytest.approx(0.25)
    assert math.isnan(table["gap"]["bn", "test, 500 images", "batch:64"])  # plain was not measured on those


def test_n_counts_fits_and_pairs_count_pairs(sweep: sweeps.Sweep, tmp_path: Path) -> None:
    evaluate(sweep, tmp_path / "out", 0.25, keys=[*of_arm(sweep, "bn"), *of_arm(sweep, "plain")[:2]])
    table = contrast_of(sweep, tmp_path / "out").set_index(["on", "policy"])
    (n, pairs) = (table[name]["test, 10,000 images", "batch:64"] for name in ("n", "pairs"))
    assert (n, pairs) == (2 * len(SEEDS), 2)
    (text,) = bn_statistics.gap_words(table_of(sweep, tmp_path / "out"), "plain")
    assert "+0.250 under batch:64 on test, 10,000 images (2 pairs, " in text


def test_a_gap_in_the_objective_is_set_beside_that_of_the_same_pairs(sweep: sweeps.Sweep, tmp_path: Path) -> None:
    own = fits_table(sweep).set_index(["arm", "p", "seed"])["objective_trained"]
    some = of_arm(sweep, "bn")[1:4]
    higher = {key: own[key.arm, key.p, key.seed] + 0.5 for key in some}
    images = sweep.protocol.measurement.test_images
    evaluate(sweep, tmp_path / "out", 0.0, keys=some, images=images, objective=higher)
    table = table_of(sweep, tmp_path / "out")
    of_policy = table["policy"] == "batch:64"
    (row,) = table[of_policy & (table["reading"] == "objective") & (table["pixels"] == "trained")].to_dict("records")
    per_p: dict[float, list[float]] = {}
    for key in some:
        per_p.setdefault(key.p, []).append(own["plain", key.p, key.seed] - own["bn", key.p, key.seed])
    usual = sum(sum(gaps) / len(gaps) for gaps in per_p.values()) / len(per_p)
    assert (row["pairs"], row["headline gap"], row["gap"]) == (3, pytest.approx(usual), pytest.approx(usual - 0.5))
    _, text = bn_statistics.gap_words(table, "plain")
    assert {signed(usual), signed(usual - 0.5)} <= {*numbers(text)}


def test_the_headline_of_the_same_masks_is_on_its_own_images(sweep: sweeps.Sweep, tmp_path: Path) -> None:
    some = [*of_arm(sweep, "bn")[:2], *of_arm(sweep, "plain")]
    evaluate(sweep, tmp_path / "out", 0.25, keys=some)
    table = contrast_of(sweep, tmp_path / "out").set_index(["on", "policy"])
    gap, headline = (table[name]["test, 10,000 images", "batch:64"] for name in ("gap", "headline gap"))
    own = fits_table(sweep).set_index(["arm", "p", "seed"])["difference_trained"]
    gaps = [own["plain", key.p, key.seed] - own["bn", key.p, key.seed] for key in some[:2]]
    assert some[0].p == some[1].p
    assert (gap, headline) == (pytest.approx(0.25), pytest.approx(sum(gaps) / 2))


def test_what_older_files_lack_comes_from_the_same_measurement_done_again(sweep: sweeps.Sweep, tmp_path: Path) -> None:
    some = of_arm(sweep, "bn")
    images = sweep.protocol.measurement.test_images
    given = dict.fromkeys(some, -1.0)
    evaluate(sweep, tmp_path / "out", 0.0, keys=some, images=images, policy="batch:16", objective=given)
    rows = table_of(sweep, tmp_path / "out").set_index(["reading", "pixels", "arm", "policy"])
    own = table_of(sweep, tmp_path / "nowhere").set_index(["reading", "pixels", "arm", "policy"])
    assert ("objective", "trained", "bn", "batch:16") not in own.index
    assert rows["mean"]["objective", "trained", "bn", "batch:16"] == -1.0
    assert rows["n"]["objective", "trained", "bn", "batch:16"] == len(some)
    same = ("difference", "trained", "bn", "batch:16")
    assert rows["mean"][same] == own["mean"][same], "what the file has is its own"


@pytest.mark.parametrize("narrow", [False, True])
def test_every_reading_has_a_panel_and_fewer_pairs_a_line_of_their_own(
    sweep: sweeps.Sweep, tmp_path: Path, *, narrow: bool
) -> None:
    own = fits_table(sweep).set_index(["arm", "p", "seed"])["objective_trained"]
    some = of_arm(sweep, "bn")[:4]
    images = sweep.protocol.measurement.test_images
    lower = {key: own[key.arm, key.p, key.seed] - 0.25 for key in some}
    evaluate(sweep, tmp_path / "out", 0.0, keys=some, images=images, objective=lower)
    table = policies_table(measured_of(sweep, tmp_path / "out"), "plain")
    figure = policies(table, "plain")
    assert figure is not None
    assert figure.narrow is not None
    drawing = figure.narrow(narrow=True) if narrow else figure.draw()
    contrast, of_j = drawing.axes
    assert len(contrast.containers) == 4
    assert len(of_j.containers) == 2
    rows = compared_rows(table.frame).set_index(["reading", "policy"])
    (line,) = (line for line in of_j.lines if line.get_gid() == "the same masks")
    assert np.asarray(line.get_xdata()).tolist() == [rows["headline gap"]["objective", "batch:64"]]
    assert [label.get_text() for label in contrast.get_yticklabels()][-1] == "batch:64"
    bars = [one for one in of_j.containers if isinstance(one, ErrorbarContainer)]
    drawn = {float(np.asarray(one.lines[0].get_xdata())[0]) for one in bars}
    assert drawn == {rows["gap"]["objective", policy] for policy in ("batch:512", "batch:64")}


def row(gap: float, low: float, high: float, policy: str) -> dict[str, object]:
    return {"arm": "bn", "policy": policy, "on": OWN_IMAGES, "pixels": "trained", "pairs": 9, "headline gap": gap} | {
        "gap": gap,
        "low": low,
        "high": high,
    }


@pytest.mark.parametrize(
    ("reading", "intervals", "ahead", "open_ones"),
    [
        ("right", [(0.1, 0.3), (-0.3, -0.1)], set(), set()),
        ("right", [(0.1, 0.3), (-0.3, 0.1)], {"plain"}, {"batch:2"}),
        ("right", [(-0.1, 0.3), (-0.3, 0.1)], set(), set()),
        ("right", [(-0.3, -0.1), (-0.3, -0.1)], {"bn"}, set()),
        ("objective", [(0.1, 0.3), (0.1, 0.3)], {"bn"}, set()),
        ("objective", [(-0.3, -0.1), (-0.3, 0.1)], {"plain"}, {"batch:2"}),
    ],
)
def test_an_order_is_what_intervals_say_not_signs(
    reading: str, intervals: list[tuple[float, float]], ahead: set[str], open_ones: set[str]
) -> None:
    rows = [
        row((low + high) / 2, low, high, f"batch:{number}") | {"reading": reading}
        for number, (low, high) in enumerate(intervals, 1)
    ]
    (text,) = bn_statistics.gap_words(pd.DataFrame(rows), "plain")
    said = text.split("). ")[-1]
    assert named(said, ("plain", "bn")) == ahead
    assert named(said, ("batch:1", "batch:2")) == open_ones


def test_another_policy_on_the_fits_own_images_is_set_beside_their_own(sweep: sweeps.Sweep, tmp_path: Path) -> None:
    own = sweep.protocol.measurement.test_images
    for policy in ("batch:1024", "batch:64", "recalibrate:512"):  # the last one the summaries hold already
        evaluate(sweep, tmp_path / "out", 0.0, keys=of_arm(sweep, "bn"), images=own, policy=policy)
    table = contrast_of(sweep, tmp_path / "out")
    mine = table[table["arm"] == "bn"]
    assert list(mine["policy"]) == ["batch:512", "batch:16", "recalibrate:512", "batch:64", "batch:1024"]
    assert set(mine["on"]) == {OWN_IMAGES}
    assert set(mine["pairs"]) == {2 * len(SEEDS)}


def test_all_images_are_the_fits_own_where_they_were_measured_on_all(tmp_path: Path) -> None:
    write_sweep(tmp_path / "results", probs=[0.5], seeds=SEEDS, protocol=SMALL.with_knobs(test_images=0))
    sweep = sweeps.read_sweep(tmp_path / "results")
    for policy in ("batch:512", "batch:1024"):
        evaluate(sweep, tmp_path / "out", 0.0, keys=of_arm(sweep, "bn"), images=10_000, policy=policy)
    table = contrast_of(sweep, tmp_path / "out")
    mine = table[table["arm"] == "bn"]
    assert list(mine["policy"]) == ["batch:512", "batch:16", "recalibrate:512", "batch:1024"]
    assert set(mine["on"]) == {OWN_IMAGES}


def test_without_plain_there_is_no_gap(tmp_path: Path) -> None:
    write_sweep(tmp_path / "results", arms=["bn"], probs=[0.5], seeds=SEEDS)
    build_report(tmp_path / "results", tmp_path / "report", formats=("json",))
    (section,) = json.loads((tmp_path / "report" / "report.json").read_text())["protocols"]
    assert "gap" not in section["tables"]["policies"]["rows"][0]
    assert "policies" not in section["captions"]


def test_evaluations_of_other_fits_are_left_out_and_counted(sweep: sweeps.Sweep, tmp_path: Path) -> None:
    computed_anew = dict.fromkeys(sweep.identities, "0000")
    evaluate(replace(sweep, identities=computed_anew), tmp_path / "out", 0.25)
    evaluated, _ = find_evaluations([tmp_path / "out"])
    current, stale = evaluations_of(sweep, evaluated)
    assert (len(current), stale) == (0, len(sweep.identities))
    assert numbers(bn_statistics.evaluated_words(current, stale)) == [str(stale)]
    other = replace(sweep, protocol=SMALL.with_knobs(steps=7))
    assert evaluations_of(other, evaluated)[1] == 0


def test_of_two_planes_the_one_that_is_there_counts(own_sweep: sweeps.Sweep, tmp_path: Path) -> None:
    sweep = own_sweep
    for plane, gap in (("one", 0.25), ("another", -0.25)):
        evaluate(sweep, tmp_path / "out", gap, plane=plane)
    evaluated, _ = find_evaluations([tmp_path / "out"])
    current, stale = evaluations_of(sweep, evaluated)
    assert (len(current), stale) == (0, len(evaluated) // 2)  # no plane is there to say which
    for key in sweep.identities:
        path = plane_path(sweep.folder, key)
        path.parent.mkdir(exist_ok=True)
        path.write_text(str(key))
        evaluate(sweep, tmp_path / "out", 0.5, keys=[key], plane=plane_hash(path))
    evaluated, _ = find_evaluations([tmp_path / "out"])
    current, stale = evaluations_of(sweep, evaluated)
    planes = current[current["pixels"] == "trained"]
    assert (len(planes), stale) == (len(sweep.identities), 2 * len(sweep.identities))
    assert current.set_index("arm")["black"].groupby(level=0).mean().to_dict() == pytest.approx(
        {"plain": 1.3, "bn": 0.8}
    )


@pytest.mark.parametrize(
    ("gap", "ahead"),
    [(0.25, {"plain"}), (-0.25, set())],
)
def test_the_last_sentence_names_who_is_ahead_where_the_order_holds(
    sweep: sweeps.Sweep, tmp_path: Path, gap: float, ahead: set[str]
) -> None:
    evaluate(sweep, tmp_path / "out", gap)
    (text,) = bn_statistics.gap_words(table_of(sweep, tmp_path / "out"), "plain")
    assert named(text.split(". ")[-1], ("plain", "bn")) == ahead
    assert re.search(r"batch:64 [^;]*10,000 [^;]*6 pairs", text)


@pytest.fixture
def undrawn(monkeypatch: pytest.MonkeyPatch) -> None:
    empty = b'<svg viewBox="0 0 10 10"></svg>'
    monkeypatch.setattr(writer, "draw_files", lambda draw, endings: dict.fromkeys(endings, empty))


@pytest.mark.usefixtures("undrawn")
def test_the_report_finds_evaluations_and_names_damaged_ones(own_sweep: sweeps.Sweep, tmp_path: Path) -> None:
    sweep = own_sweep
    evaluate(sweep, sweep.folder / "evaluations", 0.25)
    damaged = evaluation_paths(sweep.folder / "evaluations")[0]
    damaged.write_bytes(damaged.read_bytes()[:100])
    report = build_report(sweep.folder, tmp_path / "report", formats=("html", "json"))
    (sentence,) = report.broken
    assert str(damaged) in sentence
    page = (tmp_path / "report" / "index.html").read_text()
    assert str(damaged) in unescape(page)
    (section,) = json.loads((tmp_path / "report" / "report.json").read_text())["protocols"]
    assert any(numbers(text) == ["11"] for text in section["chapters"][bn_statistics.TITLE])
    assert "plain" in section["captions"]["policies"]


@pytest.mark.nightly
@pytest.mark.usefixtures("undrawn")
def test_a_sweep_without_batch_normalization_has_no_such_chapter(tmp_path: Path) -> None:
    write_sweep(tmp_path / "results", arms=["plain", "skip"], probs=[0.5], seeds=SEEDS)
    build_report(tmp_path / "results", tmp_path / "report", formats=("html",))
    assert bn_statistics.TITLE not in (tmp_path / "report" / "index.html").read_text()


def test_an_evaluation_found_twice_counts_once(sweep: sweeps.Sweep, tmp_path: Path) -> None:
    for name in ("a", "b"):
        evaluate(sweep, tmp_path / name, 0.25)
    found, _ = find_evaluations([tmp_path / "a", tmp_path / "b"])
    assert len(found) == 2 * len(sweep.identities)


@pytest.mark.usefixtures("own_sweep")
def test_a_folder_without_evaluations_is_refused(tmp_path: Path) -> None:
    for name in ("elsewhere", "results"):
        answer = command("report", "results", "--evaluations", name, cwd=tmp_path)
        assert answer.returncode == 2
        assert f"--evaluations {name}" in answer.stderr
        assert "bnbench evaluate" in answer.stderr
