"""Regression checks: what they compare, what they catch, and what they leave in peace."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import pandas as pd
import pytest
import torch

from bnbench.check import verdict
from bnbench.check.baseline import (
    SETS,
    Value,
    baseline_content,
    read_baseline,
    statistical_quantities,
    tolerance,
)
from bnbench.check.comparison import Finding, compare
from bnbench.check.exact import exact_quantities
from bnbench.check.other_settings import SETTINGS
from bnbench.errors import RequestError
from bnbench.protocol.protocol import Grid
from tests.cli.test_cli import bnbench
from tests.sentences import numbers

STANDARD = SETS["standard"]
ARMS = ("plain", "bn")
GRID = Grid(ARMS, STANDARD.probs, STANDARD.seeds)
KINDS = ("exact", "statistical")
EXACT = ("--only", "exact", "--devices", "cpu")
COMMITTED = Path(__file__).parents[2] / "benchmarks" / "baseline.json"
QUANTITIES = len(json.loads(COMMITTED.read_text())["exact"])


@pytest.fixture
def clean() -> dict[str, Value]:
    """The committed quantities, which are those of here: ``nox -s check`` computes them in every round."""
    return dict(json.loads(COMMITTED.read_text())["exact"])


def outside(before: dict[str, Value], now: dict[str, Value]) -> list[str]:
    findings = compare({"exact": before}, {"exact": now}, STANDARD)
    return [finding.name for finding in findings if not finding.is_within]


@pytest.mark.nightly
def test_exact_quantities_are_those_of_the_committed_baseline(clean: dict[str, Value]) -> None:
    assert outside(clean, exact_quantities(STANDARD.protocol, GRID)) == []


def test_the_committed_baseline_is_of_the_standard_protocol() -> None:
    stored = json.loads(COMMITTED.read_text())
    assert stored["hash"] == STANDARD.protocol.hash


def test_every_knob_has_another_value_somewhere_in_the_exact_checks() -> None:
    # Digits need no download; a clipped gradient has quantities of its own; precision rounds; digits have no colour;
    # a picture is a mask like another once it is drawn.
    left = {"dataset", "clip", "precision", "grey", "picture"}
    standard, *others = (dict(one.knobs()) for one in (STANDARD.protocol, *SETTINGS))
    assert {name for name, value in standard.items() if all(other[name] == value for other in others)} == left


@pytest.mark.nightly
def test_exact_quantities_do_not_depend_on_threads() -> None:
    small, threads = Grid(("bn",), (0.3,), (1,)), torch.get_num_threads()
    alone = exact_quantities(STANDARD.protocol, small)
    torch.set_num_threads(2)
    try:
        assert outside(alone, exact_quantities(STANDARD.protocol, small)) == []
    finally:
        torch.set_num_threads(threads)


def test_what_is_outside_is_named(clean: dict[str, Value]) -> None:
    loss = clean["bn: black loss, step 1"]
    assert isinstance(loss, float)
    assert outside(clean, {**clean, "bn: black loss, step 1": loss * (1 + 5e-10)}) == []
    assert outside(clean, {**clean, "bn: black loss, step 1": loss * (1 + 2e-9)}) == ["bn: black loss, step 1"]
    assert outside(clean, {**clean, "bn: black loss, step 1": float("nan")}) == ["bn: black loss, step 1"]
    assert outside(clean, {**clean, "plain: parameters": 1}) == ["plain: parameters"]
    assert outside(clean, {**clean, "plain: cosine of the directions": 5e-13}) == []
    lost = {name: value for name, value in clean.items() if name != "bn: masks"}
    with pytest.raises(RequestError, match=r"bn: masks.*--update"):
        outside(clean, lost)
    with pytest.raises(RequestError, match=r"bn: masks.*--update"):
        outside(lost, clean)


def summaries(**differences: float) -> pd.DataFrame:
    rows = [
        {"arm": arm, "headline": True, "split": split, "pixels": pixels, "black": 0.5 + value, "white": 0.5}
        for arm, value in differences.items()
        for split, pixels in (("test", "all"), ("train", "all"), ("test", "trained"))
        for value in ((value if (split, pixels) == ("test", "all") else 9.0),)
    ]
    table = pd.DataFrame(rows)
    return table.assign(difference=table["black"] - table["white"])


def test_statistical_quantities_are_means_of_the_headline() -> None:
    found = statistical_quantities(summaries(plain=0.3, bn=0.1), ARMS)
    assert found["plain − bn: difference"] == pytest.approx(0.2)
    assert found["bn: black accuracy"] == pytest.approx(0.6)
    assert found["bn: white accuracy"] == pytest.approx(0.5)
    assert len(found) == 5


def test_a_tolerance_is_five_standard_errors() -> None:
    check_set = replace(
        STANDARD, probs=(0.5,), seeds=(1, 2, 3, 4), spread={"difference": 0.02, "black": 0.03, "white": 1}
    )
    assert tolerance("plain: black accuracy", check_set) == pytest.approx(5 * 0.03 / 2)
    assert tolerance("plain − bn: difference", check_set) == pytest.approx(5 * 0.02 / 2**0.5)


@pytest.mark.parametrize(
    ("content", "arms", "message"),
    [
        (None, ARMS, r"baseline\.json .*bnbench check .*--update"),
        ("{", ARMS, r"baseline\.json .*--update"),
        ("[]", ARMS, r"baseline\.json .*--update"),
        ({"exact": []}, ARMS, r"baseline\.json .*--update"),
        ({"exact": {"plain: masks": None}}, ARMS, r"baseline\.json .*--update"),
        ({"exact": {"plain: gradient, step 1": float("nan")}}, ARMS, r"baseline\.json .*--update"),
        ({"statistical": {"fits that failed": float("inf")}}, ARMS, r"baseline\.json .*--update"),
        ({"exact": {"plain: parameters": 10**400}}, ARMS, r"baseline\.json .*--update"),
        ("[" * 100_000, ARMS, r"baseline\.json .*--update"),
        ({"format": 1}, ARMS, "other quantities"),
        ({"set": "other"}, ARMS, "another set"),
        ({"hash": "0"}, ARMS, "another set"),
        ({}, ("plain", "skip"), "--arms plain,skip: .*plain,bn.*--update"),
    ],
)
def test_a_wrong_baseline_is_one_sentence(tmp_path: Path, content: object, arms: tuple[str, ...], message: str) -> None:
    path = tmp_path / "baseline.json"
    if isinstance(content, dict):
        whole = baseline_content("standard", ARMS, {"exact": {}, "statistical": {}}, {})
        path.write_text(json.dumps({**whole, **content}))
    elif content is not None:
        path.write_text(str(content))
    with pytest.raises(RequestError, match=message):
        read_baseline(path, "standard", arms, ("exact", "statistical"))


def test_a_baseline_of_one_kind_serves_that_kind(tmp_path: Path) -> None:
    path = tmp_path / "baseline.json"
    path.write_text(json.dumps(baseline_content("standard", ARMS, {"exact": {}}, {})))
    assert read_baseline(path, "standard", ARMS, ("exact",))["exact"] == {}
    with pytest.raises(RequestError, match=r"statistical.*--only exact"):
        read_baseline(path, "standard", ARMS, ("exact", "statistical"))


FINDINGS = [
    Finding("exact", "plain: masks", "ab", "ab", 0.0),
    Finding("statistical", "plain | bn: difference", 0.1, 0.3, 0.05),
]


def test_findings_are_written_for_people_and_machines() -> None:
    heading = verdict.markdown(FINDINGS, "new | old").splitlines()[0]
    assert "plain | bn: difference" in heading
    assert "plain: masks" not in heading
    assert r"| plain \| bn: difference | 0.1 | 0.3 | 0.05 | OUTSIDE |" in verdict.markdown(FINDINGS, "new | old")
    assert r"new \| old" in verdict.markdown(FINDINGS, "new | old")
    suite = ElementTree.fromstring(verdict.junit(FINDINGS))
    assert (suite.get("tests"), suite.get("failures")) == ("2", "1")
    assert [case.find("failure") is not None for case in suite] == [False, True]
    assert verdict.as_dict(FINDINGS)["within"] is False
    assert numbers(verdict.sentence(FINDINGS[:1])) == ["1"]


ODD = "own:\x1b[31mred\x07:bug:\n[bold]x[/] \ud800<b>"


def test_a_name_can_say_nothing_but_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Names come from baselines and modules: they are no markup, no emoji, no control characters."""
    findings = [Finding("exact", f"{ODD}: masks", ODD, "ab|c", 0.0)]
    shown = "own:�[31mred�:bug: [bold]x[/] �<b>"
    (case,) = ElementTree.fromstring(verdict.junit(findings))
    assert case.get("name") == f"{shown}: masks"
    assert shown in verdict.sentence(findings)
    table = verdict.markdown(findings, verdict.since({"torch": ODD}, {"torch": "2"}))
    assert len(table.splitlines()) == 9
    plain = r"own:�\[31mred�:bug: \[bold]x\[/] �\<b>"
    assert table.splitlines()[-1] == rf"| {plain}: masks | {plain} | ab\|c | equal | OUTSIDE |"
    changed = json.loads(COMMITTED.read_text())
    changed["exact"]["bn: masks"] = odd = ODD.replace("\ud800", "")  # of which no file is read
    (tmp_path / "own.json").write_text(json.dumps(changed))
    monkeypatch.setattr(
        "bnbench.check.measured.exact_quantities", lambda *_: json.loads(COMMITTED.read_text())["exact"]
    )
    answer = bnbench("check", "own.json", *EXACT, "--json", "found.json", cwd=tmp_path)
    assert answer.returncode == 1
    assert shown.replace("�<", "<") in answer.stdout
    assert odd in [finding["baseline"] for finding in json.loads((tmp_path / "found.json").read_bytes())["findings"]]


def test_a_baselines_provenance_is_set_beside_that_of_here() -> None:
    before = {"torch": "2.9", "threads": 1, "git_revision": "a" * 40, "host": "x", "finished": "2026-11-24T00:43:24"}
    here = {**before, "host": "y", "finished": "2026-12-01T00:00:00"}
    same = verdict.since(before, here)
    assert "2026-11-24" in same
    assert "→" not in same
    moved = {**here, "torch": "2.10", "git_revision": "b" * 40}
    assert re.findall(r"(\S+) → (\w[\w.]*\w)", verdict.since(before, moved)) == [("a" * 7, "b" * 7), ("2.9", "2.10")]
    dirty = {**here, "git_dirty": True}
    assert "uncommitted" in verdict.since(before, dirty)
    assert "→" not in verdict.since(before, dirty)
    assert len({verdict.since({}, here), same, verdict.since(before, dirty)}) == 3, "nothing known is not the same"


def test_no_repetition_of_the_spread_has_the_checks_seeds_or_raised_an_alarm() -> None:
    values = ["black", "white", "difference"]
    table = pd.read_csv(COMMITTED.with_name("check_spread.csv")).assign(headline=True, split="test", pixels="all")
    assert len(table[values]) > 1_000
    for _, mine in table.groupby("repetition"):
        assert set(mine["seed"]).isdisjoint(STANDARD.seeds)
        moved = statistical_quantities(mine, ("plain", "bn"))  # means are linear: these are the means' changes
        assert all(abs(change) < tolerance(name, STANDARD) for name, change in moved.items())
