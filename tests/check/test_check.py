"""Regression checks: what they compare, what they catch, and what they leave in peace."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from functools import cache
from pathlib import Path
from xml.etree import ElementTree

import pandas as pd
import pytest
import torch

from bnbench.check import measured, verdict
from bnbench.check.baseline import (
    SETS,
    CheckSet,
    Value,
    baseline_content,
    read_baseline,
    statistical_quantities,
    tolerance,
)
from bnbench.check.comparison import Finding, compare
from bnbench.check.exact import exact_quantities
from bnbench.check.other_settings import LATER, SETTINGS
from bnbench.errors import RequestError
from bnbench.protocol.protocol import Grid
from bnbench.sweep.backends.inline import Inline
from tests.cli.test_cli import bnbench
from tests.fits import TINY
from tests.foreign_arms import TRAINED_ON
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
    changed["exact"]["bn: masks"] = ODD
    (tmp_path / "own.json").write_text(json.dumps(changed))
    monkeypatch.setattr(
        "bnbench.check.measured.exact_quantities", lambda *_: json.loads(COMMITTED.read_text())["exact"]
    )
    answer = bnbench("check", "own.json", *EXACT, "--json", "found.json", cwd=tmp_path)
    assert answer.returncode == 1
    assert shown in answer.stdout
    assert ODD in [finding["baseline"] for finding in json.loads((tmp_path / "found.json").read_bytes())["findings"]]


def test_exact_checks_have_as_many_threads_as_fits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[int] = []

    def quantities(*_: object) -> dict[str, Value]:
        seen.append(torch.get_num_threads())
        stored: dict[str, Value] = json.loads(COMMITTED.read_text())["exact"]
        return stored

    monkeypatch.setattr("bnbench.check.measured.exact_quantities", quantities)
    before = torch.get_num_threads()
    try:
        for options in (("--threads", "2"), ()):
            assert bnbench("check", str(COMMITTED), *EXACT, *options, cwd=tmp_path).returncode == 0
    finally:
        torch.set_num_threads(before)
    assert seen == [2, 1]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("is_lost", [False, True])
def test_a_baseline_of_other_quantities_is_refused_before_any_fit(
    kind: str, is_lost: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stored = json.loads(COMMITTED.read_text())
    monkeypatch.setattr(
        "bnbench.check.measured.exact_quantities", lambda *_: json.loads(COMMITTED.read_text())["exact"]
    )
    monkeypatch.setattr("bnbench.check.measured.run_sweep", lambda *_: pytest.fail("fitted"))
    if is_lost:
        del stored[kind][list(stored[kind])[2]]
    else:
        stored[kind]["bn: hue"] = 0.5
    (tmp_path / "own.json").write_text(json.dumps(stored))
    answer = bnbench("check", "own.json", "--devices", "cpu", cwd=tmp_path)
    assert answer.returncode == 2
    assert ("lacks" if is_lost else "holds 'bn: hue'") in answer.stderr
    assert len(answer.stderr.strip().splitlines()) == 1


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


@pytest.fixture
def known(clean: dict[str, Value], monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the exact quantities computed once for all tests that look at what is made of them."""
    monkeypatch.setattr("bnbench.check.measured.exact_quantities", lambda *_: dict(clean))


@pytest.mark.usefixtures("known")
def test_the_command_says_within_outside_or_wrong(tmp_path: Path) -> None:
    arguments = ("check", "own.json", "--only", "exact", "--devices", "cpu")
    missing = bnbench(*arguments, cwd=tmp_path)
    assert missing.returncode == 2
    assert "own.json" in missing.stderr
    (tmp_path / "own.json").write_text(COMMITTED.read_text())
    within = bnbench(*arguments, "--markdown", "own.md", "--junit", "own.xml", "--json", "found.json", cwd=tmp_path)
    assert within.returncode == 0, within.stderr
    assert json.loads((tmp_path / "found.json").read_text())["within"] is True
    changed = json.loads(COMMITTED.read_text())
    changed["exact"]["bn: parameters"] += 1
    (tmp_path / "own.json").write_text(json.dumps(changed))
    answer = bnbench(*arguments, cwd=tmp_path)
    assert answer.returncode == 1
    assert answer.stderr.rstrip().endswith("bn: parameters")
    unknown = bnbench(*arguments, "--set", "huge", cwd=tmp_path)
    assert unknown.returncode == 2
    assert "--set huge" in unknown.stderr
    assert all(name in unknown.stderr for name in SETS)


@pytest.mark.usefixtures("known")
def test_a_baseline_from_before_some_settings_is_compared_in_all_others(tmp_path: Path) -> None:
    content = json.loads(COMMITTED.read_text())
    quantities = content["exact"]
    of_later = {name for name in quantities if f", {LATER.profile}: " in name}
    earlier = {name: value for name, value in quantities.items() if name not in of_later}
    gone = {"plain, settings of old: masks": "0a"}
    (tmp_path / "own.json").write_text(json.dumps(content | {"exact": earlier | gone}))
    asked = ("check", "own.json", *EXACT, "--json", "found.json", "--junit", "own.xml")
    answer = bnbench(*asked, cwd=tmp_path)
    assert answer.returncode == 0, answer.stderr
    assert numbers(answer.stderr)[-2:] == [str(len(earlier)), str(len(of_later) + 1)]
    found = json.loads((tmp_path / "found.json").read_text())["findings"]
    assert {one["name"] for one in found if not one["is_compared"]} == of_later | gone.keys()
    assert len(ElementTree.parse(tmp_path / "own.xml").getroot().findall("testcase/skipped")) == len(of_later) + 1
    (tmp_path / "own.json").write_text(json.dumps(content | {"exact": earlier | {"bn: parameters": 0}}))
    assert bnbench(*asked, "--add", cwd=tmp_path).returncode == 1
    assert not of_later & json.loads((tmp_path / "own.json").read_text())["exact"].keys()
    (tmp_path / "own.json").write_text(json.dumps(content | {"exact": earlier}))
    assert bnbench(*asked, "--add", cwd=tmp_path).returncode == 0
    assert json.loads((tmp_path / "own.json").read_text()) == content


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--junit", "/dev/null/own.xml"), "--junit /dev/null/own.xml: "),
        (("--update", "--add"), "--add"),
        (("--update", "--json", "own.json"), "--json "),
        (("--arms", "plain,skip"), "--arms plain,skip: "),
        (("--json", "../{here}/own.json"), "BASELINE"),
        (("--junit", "new", "--markdown", "./new"), "--markdown new "),
        (("--arms", "plain,no.such:arm", "--update"), "--arms no.such:arm "),
    ],
)
def test_a_wrong_request_ends_before_anything_is_computed(
    arguments: tuple[str, ...], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bnbench.check.measured.exact_quantities", lambda *_: pytest.fail("computed"))
    (tmp_path / "own.json").write_text(COMMITTED.read_text())
    arguments = tuple(argument.format(here=tmp_path.name) for argument in arguments)
    answer = bnbench("check", "own.json", *EXACT, *arguments, cwd=tmp_path)
    assert answer.returncode == 2
    assert message in answer.stderr
    assert len(answer.stderr.strip().splitlines()) == 1
    assert (tmp_path / "own.json").read_text() == COMMITTED.read_text()


@pytest.mark.usefixtures("known")
def test_files_go_to_new_folders_and_are_written_in_place(tmp_path: Path) -> None:
    summary = tmp_path / "summary.md"
    summary.touch()
    before = summary.stat().st_ino
    answer = bnbench(
        "check", str(COMMITTED), *EXACT, "--junit", "new/own.xml", "--markdown", "summary.md", cwd=tmp_path
    )
    assert answer.returncode == 0, answer.stderr
    assert (tmp_path / "new" / "own.xml").read_bytes().startswith(b"<?xml")
    assert summary.stat().st_ino == before
    assert summary.read_text().count("| within |") == QUANTITIES
    _, *lines = answer.stdout.splitlines()  # in a log, one line for each quantity
    assert len(lines) == QUANTITIES
    assert all(line.split()[-1] == "within" for line in lines)


def test_an_interrupted_check_claims_to_keep_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("bnbench.check.measured.exact_quantities", interrupt)
    answer = bnbench("check", "own.json", *EXACT, "--update", cwd=tmp_path)
    assert answer.returncode == 130
    assert "kept" not in answer.stderr
    assert len(answer.stderr.strip().splitlines()) == 1
    assert list(tmp_path.iterdir()) == []


SPREAD = {"difference": 0.01, "black": 0.01, "white": 0.01}
FITS = ("--set", "tiny", "--only", "statistical", "--devices", "cpu", "--jobs", "1")


@pytest.fixture
def inline(monkeypatch: pytest.MonkeyPatch) -> None:
    """Compute fits in this process."""
    monkeypatch.setattr("bnbench.check.measured.Processes", Inline)


@pytest.mark.usefixtures("inline")
def test_small_fits_are_compared_with_their_baseline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(SETS, "tiny", CheckSet(TINY, (0.5,), (1, 2), SPREAD))
    written = bnbench("check", "own.json", *FITS, "--update", cwd=tmp_path)
    assert written.returncode == 0, written.stderr
    again = bnbench("check", "own.json", *FITS, cwd=tmp_path)
    assert again.returncode == 0, again.stderr
    assert again.stdout.count("within") == 6
    assert [path.name for path in tmp_path.iterdir()] == ["own.json"]


@pytest.mark.usefixtures("inline")
def test_fits_that_fail_are_a_finding_and_no_baseline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    diverging = TINY.with_knobs(learning_rate=1e30)
    monkeypatch.setitem(SETS, "tiny", CheckSet(diverging, (0.5,), (1,), SPREAD))
    refused = bnbench("check", "own.json", *FITS, "--arms", "plain", "--update", cwd=tmp_path)
    assert refused.returncode == 1
    assert list(tmp_path.iterdir()) == []
    means = {"fits that failed": 0, "plain: black accuracy": 0.5, "plain: white accuracy": 0.5}
    content = baseline_content("tiny", ("plain",), {"statistical": means}, {})
    (tmp_path / "own.json").write_text(json.dumps(content))
    outcome = bnbench("check", "own.json", *FITS, "--arms", "plain", "--markdown", "own.md", cwd=tmp_path)
    assert outcome.returncode == 1
    assert "| fits that failed | 0 | 1 | equal | OUTSIDE |" in (tmp_path / "own.md").read_text()
    assert "| plain: black accuracy | 0.5 | none | equal | OUTSIDE |" in (tmp_path / "own.md").read_text()


def test_first_steps_that_diverge_are_no_baseline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(SETS, "tiny", CheckSet(TINY.with_knobs(learning_rate=1e300), (0.5,), (1,), SPREAD))
    answer = bnbench("check", "own.json", "--set", "tiny", *EXACT, "--update", cwd=tmp_path)
    assert answer.returncode == 1
    assert "plain" in answer.stderr
    assert "DivergedError" in answer.stderr
    assert list(tmp_path.iterdir()) == []


def test_an_arm_that_fails_in_its_first_steps_is_a_finding(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(SETS, "tiny", CheckSet(TINY.with_knobs(images=TRAINED_ON), (0.5,), (1,), SPREAD))
    arm = "tests.foreign_arms:raises_in_training"
    asked = ("check", "own.json", "--set", "tiny", *EXACT, "--arms", f"plain,{arm}")
    monkeypatch.setattr(measured, "exact_quantities", computed := cache(exact_quantities))  # the same each time
    refused = bnbench(*asked, "--update", cwd=tmp_path)
    assert refused.returncode == 1
    assert arm in refused.stderr
    assert "ValueError: " in refused.stderr, "the arm's own words"
    assert list(tmp_path.iterdir()) == []
    found = computed(SETS["tiny"].protocol, Grid(("plain", arm), (0.5,), (1,)))
    before = found | {f"{arm}: first steps": "done", f"{arm}: parameters": 10}
    (tmp_path / "own.json").write_text(json.dumps(baseline_content("tiny", ("plain", arm), {"exact": before}, {})))
    answer = bnbench(*asked, "--junit", "own.xml", cwd=tmp_path)
    assert answer.returncode == 1
    suite = ElementTree.parse(tmp_path / "own.xml").getroot()
    outside = {case.get("name") for case in suite if case.find("failure") is not None}
    assert outside == {f"{arm}: first steps", f"{arm}: parameters"}


@pytest.mark.parametrize(
    "change",
    [{"seeds": [1]}, {"probs": [0.5]}, {"arms": [1]}, {"arms": 3}, {"exact": 1}, {"provenance": None}, {"hash": "0"}],
)
def test_a_baseline_of_something_else_is_refused(change: dict[str, object], tmp_path: Path) -> None:
    (tmp_path / "own.json").write_text(json.dumps({**json.loads(COMMITTED.read_text()), **change}))
    answer = bnbench("check", "own.json", *EXACT, cwd=tmp_path)
    assert answer.returncode == 2
    assert len(answer.stderr.strip().splitlines()) == 1


def test_a_baseline_without_quantities_says_so(tmp_path: Path) -> None:
    bare = {name: value for name, value in json.loads(COMMITTED.read_text()).items() if name not in KINDS}
    (tmp_path / "own.json").write_text(json.dumps(bare))
    answer = bnbench("check", "own.json", *EXACT, cwd=tmp_path)
    assert answer.returncode == 2
    assert all(word in answer.stderr for word in ("own.json", "exact", "--update"))


def test_no_repetition_of_the_spread_has_the_checks_seeds_or_raised_an_alarm() -> None:
    values = ["black", "white", "difference"]
    table = pd.read_csv(COMMITTED.with_name("check_spread.csv")).assign(headline=True, split="test", pixels="all")
    assert len(table[values]) > 1_000
    for _, mine in table.groupby("repetition"):
        assert set(mine["seed"]).isdisjoint(STANDARD.seeds)
        moved = statistical_quantities(mine, ("plain", "bn"))  # means are linear: these are the means' changes
        assert all(abs(change) < tolerance(name, STANDARD) for name, change in moved.items())
