"""Tests that are too long for every change, run when what they guard has changed.

    python -m tests.nightly                 the parts of which a guarded file has changed since they last passed
    python -m tests.nightly all             every part
    python -m tests.nightly defects pages   these parts

A part that has passed is noted in ``.ci/nightly`` with a digest of the files that it guards; commit that with the
change.
"""

from __future__ import annotations

import ast
import hashlib
import os
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from tests.browser import MISSING, find_chromium

ROOT = Path(__file__).parent.parent
STAMP = ROOT / ".ci" / "nightly"
EVERY = ("pyproject.toml", "constraints.txt", "tests/conftest.py", "tests/fits.py", "tests/warm.py", "tests/call.py")
WORKERS = 4  # tests at once, at most


@dataclass(frozen=True)
class Part:
    """Long tests about one thing.

    Attributes:
        guards: patterns of the files whose change calls for them, the tests' own files included; what those import
            of the package and of the tests is guarded as well.
        tests: files with tests that are marked ``nightly``.
        command: what runs before them: a module and its arguments.
        in_browser: whether they need one; on a machine without it the part is left due.
    """

    guards: tuple[str, ...]
    tests: tuple[str, ...] = ()
    command: tuple[str, ...] = ()
    in_browser: bool = False

    @property
    def guarded(self) -> set[Path]:
        """The files whose change calls for it."""
        named = {path for pattern in (*self.guards, *EVERY) for path in ROOT.glob(pattern) if _counts(path)}
        return named.union(*(_imported(ROOT / name) for name in self.tests))

    @property
    def digest(self) -> str:
        """Over the names and contents of all that it guards."""
        digest = hashlib.sha256()
        for path in sorted(self.guarded):
            digest.update(f"{path.relative_to(ROOT).as_posix()} {path.stat().st_size}\n".encode() + path.read_bytes())
        return digest.hexdigest()[:16]


def _counts(path: Path) -> bool:
    return path.is_file() and "__pycache__" not in path.parts


def _imported(test: Path) -> set[Path]:
    """The files of the package and of the tests that a test imports by name."""
    nodes = [node for node in ast.walk(ast.parse(test.read_text())) if isinstance(node, ast.ImportFrom) and node.module]
    names = {name for node in nodes for name in (node.module, *(f"{node.module}.{one.name}" for one in node.names))}
    paths = {ROOT / f"{str(name).replace('.', '/')}.py" for name in names}
    return {path for path in paths if path.is_file()}


_CORE = ("bnbench/*.py", *(f"bnbench/{room}/**/*.py" for room in ("protocol", "mpo", "inputs", "arms", "measures")))
_OF_REPORTS = tuple(
    f"tests/report/test_{name}.py"
    for name in ("report", "report_files", "unusual_sweeps", "figures", "capacity", "bn_statistics")
)
_IN_BROWSER = (
    *("tests/report/test_page.py", "tests/live/test_live.py", "tests/live/test_live_page.py"),
    "tests/bending/test_bend.py",
)
_OF_SMOOTHNESS = ("tests/smoothness/test_along_training.py", "tests/smoothness/test_fitted_planes.py")
_OF_CORE = tuple(
    f"tests/mpo/test_{name}.py"
    for name in ("directions", "fused", "fused_kernels", "one_batch", "one_network", "replayed", "strategy")
)
_OF_SWEEPS = (
    *(f"tests/sweep/test_{name}.py" for name in ("torture", "disk", "cluster", "failures", "watching", "runner")),
    *("tests/sweep/test_shared_process.py", "tests/sweep/test_batches.py", "tests/cli/test_environment.py"),
    *("tests/cli/test_cli.py", "tests/interactive/test_notebooks.py", "tests/evaluate/test_evaluate.py"),
)
PARTS = {
    "defects": Part(
        (
            *_CORE,
            "bnbench/check/*.py",
            "bnbench/sweep/start.py",
            "bnbench/sweep/measure.py",
            "tests/mutants.py",
            "tests/check/test_mutants.py",
            "tests/cases.py",
            "tests/slow.py",
            "tests/mpo/test_fit.py",
        ),
        tests=("tests/check/test_mutants.py", "tests/mpo/test_fit.py"),
    ),
    "damages": Part(
        (
            *(
                "bnbench/results/*.py",
                "bnbench/process/reading.py",
                "bnbench/sweep/plan.py",
                "bnbench/sweep/finished.py",
            ),
            *("bnbench/sweep/status.py", "bnbench/evaluate/plan.py"),
            *("tests/synthetic.py", *(f"tests/results/test_{name}.py" for name in ("damages", "bits", "checkpoints"))),
        ),
        tests=tuple(f"tests/results/test_{name}.py" for name in ("damages", "bits", "checkpoints")),
    ),
    "torture": Part(
        (
            *_CORE,
            *tuple(f"bnbench/{room}/**/*.py" for room in ("process", "results", "sweep", "interactive", "cli")),
            "tests/shell.py",
            "tests/warm.py",
            "tests/torture.py",
            *_OF_SWEEPS,
        ),
        tests=_OF_SWEEPS,
        command=("tests.torture",),
    ),
    "confinement": Part(
        (
            *("bnbench/process/*.py", "bnbench/sweep/**/*.py", "bnbench/arms/*.py"),
            *("tests/rough_arms.py", "tests/foreign_arms.py", "tests/worker_alone.py"),
            "tests/sweep/test_confinement.py",
        ),
        tests=("tests/sweep/test_confinement.py",),
    ),
    "arms": Part(
        (
            *("bnbench/arms/**/*.py", "bnbench/mpo/*.py", "bnbench/process/*.py", "bnbench/smoothness/*.py"),
            *("tests/arms_taken.py", "benchmarks/recordings.py", "tests/arms/test_arms.py", *_OF_SMOOTHNESS),
            *_OF_CORE,
        ),
        tests=("tests/arms/test_arms.py", *_OF_SMOOTHNESS, *_OF_CORE),
    ),
    "pages": Part(
        (
            *("README.md", "docs/*.md", "docs/api/*.md", "docs/**/*.py", "bnbench/**/*.py"),
            *("tests/pages.py", "tests/project/test_pages.py"),
        ),
        tests=("tests/project/test_pages.py",),
    ),
    "report": Part(
        (
            *("bnbench/report/**/*", "bnbench/stats/*.py", "bnbench/measures/*.py", "bnbench/results/*.py"),
            *("tests/synthetic.py", "tests/report/built.py", "tests/report/conftest.py"),
            *_OF_REPORTS,
        ),
        tests=_OF_REPORTS,
    ),
    "statistics": Part(
        (
            "bnbench/stats/*.py",
            *(f"tests/stats/test_{name}.py" for name in ("stats_simulated", "capacity", "speed", "rank_agreement")),
        ),
        tests=tuple(
            f"tests/stats/test_{name}.py" for name in ("stats_simulated", "capacity", "speed", "rank_agreement")
        ),
    ),
    "browser": Part(
        (
            *("bnbench/report/**/*", "bnbench/live/*", "bnbench/sweep/status*.py", "bnbench/results/claims.py"),
            *("bnbench/bending/*", "tests/browser.py", "tests/synthetic.py", "tests/bending/asked.py"),
            *_IN_BROWSER,
        ),
        tests=_IN_BROWSER,
        in_browser=True,
    ),
    "committed": Part(
        (
            *("bnbench/report/**/*", "bnbench/stats/*.py", "bnbench/measures/*.py", "bnbench/results/*.py"),
            *(f"bnbench/{room}/**/*.py" for room in ("protocol", "inputs", "arms")),
            *("results/**/*", "evidence/**/*", "reports/**/tables/*.csv", "reports/*/report.json"),
            *("README.md", "docs/*.md", "benchmarks/*.py", "tests/results/test_committed_results.py"),
            *("tests/results/test_folders.py", "tests/project/test_page_numbers.py"),
            *("tests/project/test_ladder.py", "tests/project/test_tuning.py", "tests/project/test_readings.py"),
        ),
        tests=(
            *("tests/results/test_committed_results.py", "tests/results/test_folders.py"),
            *("tests/project/test_page_numbers.py", "tests/project/test_ladder.py", "tests/project/test_tuning.py"),
            "tests/project/test_readings.py",
        ),
    ),
    "check": Part(
        (
            *_CORE,
            "bnbench/check/*.py",
            "bnbench/cli/check.py",
            "bnbench/sweep/*.py",
            "benchmarks/*.py",
            "benchmarks/baseline.json",
            "docs/ci/*",
            "tests/check/test_check.py",
            "tests/project/test_ci.py",
            "tests/project/test_benchmarks.py",
        ),
        tests=("tests/check/test_check.py", "tests/project/test_ci.py", "tests/project/test_benchmarks.py"),
    ),
}


def passed() -> dict[str, str]:
    """Part to the digest with which it last passed."""
    return dict(line.split() for line in STAMP.read_text().splitlines()) if STAMP.exists() else {}


def run(part: Part) -> int:
    """The exit code of a part; what it shows goes to the streams of this process."""
    commands = [[*part.command]] if part.command else []
    if part.tests:
        workers = str(min(WORKERS, os.cpu_count() or 1))
        commands.append(["pytest", "-n", workers, "-m", "nightly", *part.tests])
    for module, *arguments in commands:
        environment = os.environ | {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
        done = subprocess.run([sys.executable, "-m", module, *arguments], cwd=ROOT, env=environment, check=False)
        if done.returncode:
            return done.returncode
    return 0


def chosen(names: Iterable[str]) -> list[str]:
    """The parts that are named; without names, those whose files have changed."""
    known = passed()
    if names := list(names):
        return list(PARTS) if names == ["all"] else names
    return [name for name, part in PARTS.items() if known.get(name) != part.digest]


def main() -> None:
    names = chosen(sys.argv[1:])
    if unknown := set(names) - set(PARTS):
        sys.exit(f"no such part: {', '.join(sorted(unknown))}; there are {', '.join(PARTS)}")
    for name in names:
        if PARTS[name].in_browser and find_chromium() is None:
            print(f"nightly {name}: does not run; {MISSING}")
            continue
        print(f"nightly {name}: runs", flush=True)
        digest = PARTS[name].digest
        if code := run(PARTS[name]):
            sys.exit(code)
        STAMP.write_text("".join(f"{part} {found}\n" for part, found in sorted({**passed(), name: digest}.items())))
    due = chosen([])
    for name in PARTS.keys() - set(names):
        state = "due, not asked for" if name in due else "nothing that it guards has changed since it passed"
        print(f"nightly {name}: {state}")
    if names:
        print(f"nightly passed; commit {STAMP.relative_to(ROOT)} with the change: it need not run again then")


if __name__ == "__main__":
    main()
