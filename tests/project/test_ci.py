"""The files that users copy into their own CI, run step by step.

Of their commands only ``pip install`` and ``python -m venv`` are replaced, by a word on what they were asked for:
they would load torch from a network. ``bnbench`` is this checkout.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple
from xml.etree import ElementTree

import pytest
import yaml

from bnbench.inputs.datasets import DATASETS_FOLDER
from tests.browser import VARIABLE, find_chromium

ROOT = Path(__file__).parents[2]
CI = ROOT / "docs" / "ci"
WORKFLOW: dict[str, Any] = yaml.safe_load((CI / "bnbench-check.yml").read_text())
STEPS: list[dict[str, Any]] = WORKFLOW["jobs"]["check"]["steps"]
SCRIPT = ("sh", str(CI / "bnbench-check.sh"))
QUANTITIES = len(json.loads((ROOT / "benchmarks" / "baseline.json").read_text())["exact"])
OUTSIDE = f"1 of {QUANTITIES} quantities are outside their tolerance: bn: parameters"
WITHIN = f"all {QUANTITIES} quantities are within their tolerance"
PYTHON = f"""#!/bin/sh
if [ "$2" = venv ]; then
    mkdir -p "$3/bin" && cp "$0" "$3/bin/python" && cp "$(dirname "$0")/bnbench" "$3/bin/bnbench"
elif [ "$2" = pip ]; then
    echo "$@" >> "$ASKED"
else
    exec {sys.executable} "$@"
fi
"""
BNBENCH = f"""#!/bin/sh
exec {sys.executable} -m bnbench "$@"
"""


class Project:
    """A user's project with a baseline, and what its CI sees of a machine."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.commands = folder / "project", folder / "commands"
        self.asked, self.summary = folder / "asked", folder / "summary.md"
        self.folder.mkdir()
        self.commands.mkdir()
        for name, content in (("python", PYTHON), ("python3", PYTHON), ("bnbench", BNBENCH)):
            (self.commands / name).write_text(content)
            (self.commands / name).chmod(0o755)
        self.baseline = self.folder / "baseline.json"
        shutil.copy(ROOT / "benchmarks" / "baseline.json", self.baseline)
        self.summary.touch()

    def change_the_baseline(self) -> None:
        content = json.loads(self.baseline.read_text())
        content["exact"]["bn: parameters"] += 1
        self.baseline.write_text(json.dumps(content))

    def run(self, *command: str, **variables: str) -> Answer:
        own = {"PATH": f"{self.commands}:{os.environ['PATH']}", "ASKED": str(self.asked), "PYTHONPATH": str(ROOT)}
        environment = {**os.environ, "OMP_NUM_THREADS": "1", **own, **variables}
        environment["GITHUB_STEP_SUMMARY"] = str(self.summary)
        done = subprocess.run(
            command, cwd=self.folder, env=environment, capture_output=True, text=True, check=False, timeout=200
        )
        return Answer(done.returncode, done.stdout + done.stderr)

    def failures(self) -> str | None:
        return ElementTree.parse(self.folder / "bnbench-check.xml").getroot().get("failures")


class Answer(NamedTuple):
    returncode: int
    said: str


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project(tmp_path)


def run_workflow(project: Project, **variables: str) -> Answer:
    """As GitHub does: each step's command by ``bash -e``; what follows a failed one runs only where it says so."""
    answer = Answer(0, "")
    given = {**WORKFLOW["env"], **variables}
    for step in STEPS:
        if "run" in step and (answer.returncode == 0 or step.get("if") == "always()"):
            answer = project.run("bash", "-e", "-c", step["run"], **given)
    return answer


@pytest.mark.nightly
def test_the_workflow_fails_outside_and_still_leaves_a_summary(project: Project) -> None:
    project.change_the_baseline()
    answer = run_workflow(project, OPTIONS="--only exact --devices cpu")
    assert answer.returncode == 1, answer.said
    assert OUTSIDE in project.summary.read_text()
    assert project.failures() == "1"
    assert project.asked.read_text() == f"-m pip install {WORKFLOW['env']['BNBENCH']}\n"
    kept = STEPS[-1]
    assert kept["if"] == "always()"
    assert (project.folder / kept["with"]["path"]).exists()


def test_the_workflow_caches_nothing_but_pip() -> None:
    uses = [step["uses"].partition("@")[0] for step in STEPS if "uses" in step]
    assert uses == ["actions/checkout", "actions/setup-python", "actions/upload-artifact"]
    caches = [step["with"]["cache"] for step in STEPS if "cache" in step.get("with", {})]
    assert caches == ["pip"]


def test_the_script_installs_when_its_source_changes_and_passes_the_exit_code_on(project: Project) -> None:
    unsaid = project.run(*SCRIPT, BNBENCH="")
    assert unsaid.returncode == 2
    assert "BNBENCH" in unsaid.said
    wrong = project.run(*SCRIPT, "--no-such-option", BNBENCH=str(ROOT))
    assert wrong.returncode == 2
    assert "--no-such-option" in wrong.said
    assert project.asked.read_text() == installed(str(ROOT))
    other = "git+https://example.org/bnbench@other"
    for _ in range(2):
        assert project.run(*SCRIPT, "--no-such-option", BNBENCH=other).returncode == 2
    assert project.asked.read_text() == installed(str(ROOT)) + installed(other)


def test_an_installation_that_was_cut_off_is_done_again(project: Project) -> None:
    without_network = 'elif [ "$3" = install ]; then\n    exit 1\nelif [ "$2" = pip ]'
    (project.commands / "python3").write_text(PYTHON.replace('elif [ "$2" = pip ]', without_network))
    for _ in range(2):
        assert project.run(*SCRIPT, BNBENCH=str(ROOT)).returncode == 1
    shutil.copy(project.commands / "python", project.commands / "python3")
    assert project.run(*SCRIPT, "--no-such-option", BNBENCH=str(ROOT)).returncode == 2
    assert project.asked.read_text() == "-m pip uninstall --quiet --quiet --yes bnbench\n" * 2 + installed(str(ROOT))


def installed(source: str) -> str:
    """What the script asks pip for."""
    return f"-m pip uninstall --quiet --quiet --yes bnbench\n-m pip install --quiet {source}\n"


@pytest.mark.nightly
def test_the_script_passes_within_and_refuses_a_wrong_request(project: Project) -> None:
    within = project.run(*SCRIPT, "--only", "exact", "--devices", "cpu", BNBENCH=str(ROOT))
    assert within.returncode == 0, within.said
    assert WITHIN in (project.folder / "bnbench-check.md").read_text()
    assert project.failures() == "0"
    wrong = project.run(*SCRIPT, "--arms", "plain", BASELINE="baseline.json")
    assert wrong.returncode == 2
    assert "--arms plain: " in wrong.said


@pytest.mark.nightly
def test_the_workflow_passes_within_and_leaves_a_summary(project: Project) -> None:
    answer = run_workflow(project, OPTIONS="--arms plain,bn --only exact --devices cpu")
    assert answer.returncode == 0, answer.said
    assert WITHIN in project.summary.read_text()
    assert project.failures() == "0"
    assert project.asked.read_text() == f"-m pip install {WORKFLOW['env']['BNBENCH']}\n"


@pytest.mark.nightly
def test_the_script_fails_outside_and_still_leaves_a_summary(project: Project) -> None:
    project.change_the_baseline()
    outside = project.run(*SCRIPT, "--only", "exact", "--devices", "cpu", BNBENCH=str(ROOT))
    assert outside.returncode == 1, outside.said
    assert OUTSIDE in (project.folder / "bnbench-check.md").read_text()
    assert project.failures() == "1"


def test_nox_alone_runs_what_a_fresh_clone_has_to_pass() -> None:
    by_default = re.findall(r"^@nox\.session\ndef (\w+)\(", (ROOT / "noxfile.py").read_text(), re.MULTILINE)
    sessions = re.findall(r"\.venv/bin/nox -s ([\w ]+)", (ROOT / ".ci" / "run").read_text().partition("set -e")[2])
    assert by_default
    assert sorted(by_default) == sorted(set(" ".join(sessions).split()))


def test_the_suite_has_to_pass_without_what_happens_to_be_installed() -> None:
    """The README's line runs with this machine's data sets and browser hidden, as on a fresh machine."""
    script = (ROOT / ".ci" / "run").read_text()
    hidden = re.search(rf"^{DATASETS_FOLDER}=\$(\w+) {VARIABLE}='' bash -c \"\$tests\"$", script, re.MULTILINE)
    assert hidden
    assert re.search(rf"^{hidden[1]}=\$\(mktemp -d\)$", script, re.MULTILINE)
    variables = (ROOT / "CONTRIBUTING.md").read_text()
    assert f"`{DATASETS_FOLDER}`" in variables
    assert f"`{VARIABLE}`" in variables


@pytest.mark.parametrize("chosen", ["", "no-such-browser"])
def test_a_browser_that_is_hidden_is_not_found(chosen: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, chosen)
    assert find_chromium() is None
    monkeypatch.setenv(VARIABLE, sys.executable)
    assert find_chromium() == sys.executable


def test_the_page_names_the_files_and_their_variables() -> None:
    page = (ROOT / "docs" / "check.md").read_text()
    for name in ("ci/bnbench-check.yml", "ci/bnbench-check.sh"):
        assert f"]({name})" in page
    assert set(WORKFLOW["env"]) <= set(re.findall(r"`([A-Z]+)`", page))
