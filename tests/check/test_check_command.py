"""``bnbench check``: what it says, what it writes, and what it refuses before anything is computed."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from xml.etree import ElementTree

import pytest
import torch

from bnbench.check import measured
from bnbench.check.baseline import (
    SETS,
    CheckSet,
    Value,
    baseline_content,
)
from bnbench.check.exact import exact_quantities
from bnbench.check.other_settings import LATER
from bnbench.protocol.protocol import Grid
from bnbench.sweep.backends.inline import Inline
from tests.check.test_check import COMMITTED, EXACT, KINDS, QUANTITIES
from tests.cli.test_cli import bnbench
from tests.fits import TINY
from tests.foreign_arms import TRAINED_ON
from tests.sentences import numbers


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


@pytest.fixture
def known(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the exact quantities computed once for all tests that look at what is made of them."""
    monkeypatch.setattr(
        "bnbench.check.measured.exact_quantities", lambda *_: json.loads(COMMITTED.read_text())["exact"]
    )


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
    monkeypatch.setattr("bnbench.check.exact.other_quantities", dict)
    monkeypatch.setitem(SETS, "tiny", CheckSet(TINY.with_knobs(learning_rate=1e300), (0.5,), (1,), SPREAD))
    answer = bnbench("check", "own.json", "--set", "tiny", *EXACT, "--update", cwd=tmp_path)
    assert answer.returncode == 1
    assert "plain" in answer.stderr
    assert "DivergedError" in answer.stderr
    assert list(tmp_path.iterdir()) == []


def test_an_arm_that_fails_in_its_first_steps_is_a_finding(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bnbench.check.exact.other_quantities", dict)
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
