"""The project's errands: ``nox -s demo``, ``nox -s tests`` and so on; ``nox -l`` lists them.

All sessions share the one environment that nox itself runs in, so a newcomer needs a single virtual
environment and torch is installed once. The first session installs the package into it, and again
whenever pyproject.toml or constraints.txt has changed.
"""

from __future__ import annotations

import hashlib
import os
import sys
import tempfile
import zipfile
from pathlib import Path

import nox
from nox.command import CommandFailed

ROOT = Path(__file__).parent.resolve()
DEMO = Path("demo")  # git-ignored
SITE = Path("docs/_build")  # the same
WORKERS = 4  # tests at once, at most; each works on one thread
BY_FILE = ("--dist", "loadfile", "--no-loadscope-reorder")  # in the order of tests/conftest.py, the longest first
ONE_THREAD = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
COMPILED_ONCE = {"PYTHONDONTWRITEBYTECODE": ""}  # else each worker rewrites every test's asserts anew, for five seconds

nox.needs_version = ">=2024.10.9"
nox.options.default_venv_backend = "none"  # one environment for all sessions: the one nox runs in


@nox.session(default=False)
def demo(session: nox.Session) -> None:
    """Bend a landscape to letters, fit both arms on small masks, draw figure 4; it goes on if stopped."""
    install(session)
    picture = ("--text", "BN", "--size", "20", "--steps", "2000")
    grid = ("--probs", "0.1:0.9:0.2", "--seeds", "3")
    session.log("a landscape bent to letters, a small sweep and its report follow; how long they take is timed first")
    session.run(sys.executable, "benchmarks/demo_time.py", "--folder", str(DEMO), *picture, *grid)
    python(session, "bnbench", "bend", *picture, "--out", str(DEMO / "bent"))
    pipeline(session, DEMO / "results", DEMO / "report", *grid)
    session.log(f"a landscape bent to letters: {DEMO / 'bent' / 'strip.png'}")
    session.log(f"the report: {DEMO / 'report' / 'index.html'}")
    session.log(f"the command for runs of your own: {command_path('bnbench')} --help")


@nox.session
def tests(session: nox.Session) -> None:
    """Run the test suite; arguments after -- go to pytest, such as: nox -s tests -- -k masks."""
    install(session)
    python(session, "pytest", "-n", str(test_workers()), *BY_FILE, *session.posargs, env=ONE_THREAD | COMPILED_ONCE)


@nox.session
def lint(session: nox.Session) -> None:
    """Check style and format (ruff)."""
    install(session)
    python(session, "ruff", "check")
    python(session, "ruff", "format", "--check")


@nox.session
def types(session: nox.Session) -> None:
    """Check types (mypy --strict)."""
    install(session)
    python(session, "mypy")


@nox.session
def smoke(session: nox.Session) -> None:
    """Run a small sweep and its report in a temporary folder, the whole pipeline as a user runs it."""
    install(session)
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report"
        pipeline(session, Path(folder) / "results", report, "--probs", "0.3,0.7", "--seeds", "2")
        if not (report / "index.html").stat().st_size:
            session.error(f"{report / 'index.html'} is empty")


@nox.session(default=False)
def reports(session: nox.Session) -> None:
    """Write the reports of what is committed anew, pages and print files (both git-ignored) included."""
    install(session)
    of_evidence = (Path("evidence/speed"), *Path("evidence").glob("smoothness-*"))
    for results in sorted((*Path("results").iterdir(), *of_evidence)):
        python(session, "bnbench", "report", str(results), "--out", str(Path("reports") / results.name))


@nox.session(default=False)
def numbers(session: nox.Session) -> None:
    """Write the numbers that README and docs hold anew, from the committed reports and results."""
    install(session)
    session.run(sys.executable, "benchmarks/page_numbers.py")


@nox.session
def check(session: nox.Session) -> None:
    """Hold this checkout to the committed baseline: exact checks in float64, and small fits."""
    install(session)
    python(session, "bnbench", "check", "benchmarks/baseline.json")


@nox.session
def docs(session: nox.Session) -> None:
    """Build the documentation as a site, without a network; a warning is an error."""
    install(session)
    python(session, "sphinx", "-q", "-W", "--keep-going", "-n", "-b", "html", "docs", str(SITE))
    session.log(f"the site: {SITE / 'index.html'}")


@nox.session(default=False)
def torture(session: nox.Session) -> None:
    """Turn over 1,000 random bits, then kill sweeps at 10 random moments, or as many as: nox -s torture -- 50 7."""
    install(session)
    python(session, "pytest", "tests/results/test_bits.py", "-m", "nightly or not nightly")
    python(session, "tests.torture", *session.posargs)


@nox.session
def nightly(session: nox.Session) -> None:
    """Run the long tests whose guarded files have changed since they passed; after --: all, or names of parts."""
    install(session)
    python(session, "tests.nightly", *session.posargs)


@nox.session(default=False)
def gpu(session: nox.Session) -> None:
    """Measure the engine on a GPU: right, fast, and where the time goes; after --: --device cuda:1 and the like."""
    install(session)
    session.run(sys.executable, "benchmarks/gpu.py", *session.posargs)


@nox.session
def build(session: nox.Session) -> None:
    """Build the wheel and check that it holds every file of the package."""
    install(session)
    with tempfile.TemporaryDirectory() as folder:
        python(session, "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", folder, ".")
        (wheel,) = Path(folder).glob("bnbench-*.whl")
        held = set(zipfile.ZipFile(wheel).namelist())
    here = (path.relative_to(ROOT) for path in (ROOT / "bnbench").rglob("*") if path.is_file())
    wanted = {path.as_posix() for path in here if "__pycache__" not in path.parts}
    if missing := sorted(wanted - held):
        session.error(f"{wheel.name} lacks {', '.join(missing)}")
    session.log(f"{wheel.name} holds all {len(wanted)} files of the package")


def pipeline(session: nox.Session, results: Path, report: Path, *grid: str) -> None:
    """Fits, then their report."""
    python(session, "bnbench", "run", "--profile", "smoke", "--out", str(results), *grid)
    python(session, "bnbench", "report", str(results), "--out", str(report))


def test_workers() -> int:
    """How many tests run at once."""
    return min(WORKERS, os.cpu_count() or 1)


def python(session: nox.Session, module: str, *arguments: str, env: dict[str, str] | None = None) -> None:
    """Run a module with the interpreter of the shared environment, from the project's folder."""
    session.run(sys.executable, "-m", module, *arguments, env=env)


def install(session: nox.Session) -> None:
    """Install the package and its tools into the shared environment, unless that is already so.

    The versions are those that were tested (constraints.txt). Where pip finds no such set, as for a
    newer Python, the ranges of pyproject.toml decide.
    """
    if sys.prefix == sys.base_prefix:
        session.error("nox needs a virtual environment; make one: python3 -m venv .venv && .venv/bin/pip install nox")
    stamp = Path(sys.prefix) / "bnbench-installed"
    inputs = b"".join((ROOT / name).read_bytes() for name in ("pyproject.toml", "constraints.txt"))
    state = hashlib.sha256(bytes(ROOT) + inputs).hexdigest()
    if stamp.exists() and stamp.read_text() == state:
        return
    stamp.unlink(missing_ok=True)
    tools = nox.project.dependency_groups(nox.project.load_toml(ROOT / "pyproject.toml"), "dev")
    packages = ("install", "--quiet", "--disable-pip-version-check", "--editable", ".[dask,tensorboard]", *tools)
    session.log("installing bnbench and torch; the first time takes some minutes")
    try:
        python(session, "pip", *packages, "--constraint", "constraints.txt")
    except CommandFailed:
        session.warn("the tested versions (constraints.txt) do not install here; trying any that pyproject.toml allows")
        python(session, "pip", *packages)
    stamp.write_text(state)


def command_path(name: str) -> str:
    """Return a command of the shared environment, relative to the project where it lies below it."""
    path = Path(sys.executable).parent / name
    return os.path.relpath(path) if path.is_relative_to(ROOT) else str(path)
