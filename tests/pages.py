"""The pages of the documentation as a reader meets them: their blocks, and what each kind of block has to hold to."""

from __future__ import annotations

import ast
import importlib
import io
import json
import re
import runpy
import shlex
import subprocess
import tomllib
from collections.abc import Callable, Sequence
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any, NamedTuple

import click
import pytest
import yaml
from markdown_it import MarkdownIt

from bnbench.cli import main
from bnbench.cli.group import cli
from bnbench.protocol.profiles import PROFILES

ROOT = Path(__file__).parent.parent
NOTEBOOK = ROOT / "docs" / "example.py"
PAGES = [
    ROOT / name
    for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "benchmarks/README.md", "evidence/README.md")
]
PAGES += [
    *sorted(ROOT.glob("docs/*.md")),
    *sorted(ROOT.glob("docs/api/*.md")),
    NOTEBOOK,
    *sorted(ROOT.glob("docs/notebooks/*.py")),
]
DIRECTIVES = ("{toctree}", "{include}", "{gallery}", "{commands}", "{eval-rst}")  # nox -s docs runs these
_as_markdown: Callable[[str], str] = runpy.run_path(str(ROOT / "docs" / "cells.py"))["as_markdown"]
EXACT = ("results.md",)  # its code reads committed results and computes nothing that could differ
TOLERANCE = 0.2  # of accuracies and losses that a page's own fit gives on this machine
_OWN = re.compile(r"(?P<source>\.|bnbench)(\[(?P<extra>\w+)\])?(?P<url> @ .+)?")  # what pip is asked for
_DECIMAL = re.compile(r"-?\d+\.(\d+)")
# What a run says that depends on the time, the machine, or the numbers of a fit; in the order in which it is masked.
_MASKS = (
    (r"\b[0-9a-f]{12}\b", "HASH"),
    (r"\d+ days \d+ h|\d+ h \d+ min|\d+ (s|min|h)\b|\b\d\d:\d\d( on \d\d \w+)?", "TIME"),
    (r"how long it takes is measured when it runs|about TIME, until TIME", "about TIME"),
    (r"left, (about TIME|TIME|time unknown)", "left, TIME"),
    (r"\b\d+ slots?( \(cpu#[^)]*\))?|\bcpu#\d+", "SLOT"),
    (r"\d+ pixels? at once|as many pixels as prove fastest at once", "PIXELS at once"),
    (r"[\d,]+ fits? an hour", "FITS an hour"),
    (r"[\d,]+ parameters?, plain has [\d,]+", "SIZES"),
    (r"\b(\d+) of the \1 layers\b", "each of the LAYERS"),
    # A page's own small networks have other sizes, so that one with layers of other sizes may share none.
    (r"\d+ of the \d+ layers that both have start as plain's|no layer has the shape of one of plain's", "FEW LAYERS"),
    (r"\S+ p=[\d.]+ seed=\d+", "FIT"),
    (r"^loading torch; .*$", ""),  # a test has it already
    (r"^started FIT on SLOT$", ""),  # fits that end at once are not announced
    (r"contrast −?\d\.\d+ \(black \d\.\d+, white \d\.\d+\), right \d\.\d+, J −?\d\.\d+", "READINGS"),
    (r"[+−]\d\.\d+", "GAP"),
    (r"-?\d+\.\d+(?= in TIME| \(|,|\)| |$)", "NUMBER"),
)
_SMALL = {"mask_size": (4, 4), "black_pixels": 4, "white_pixels": 4, "images": 4, "steps": 3}  # a page's own sweep
_SMALL |= {"widths": (2,), "strides": (2,)}
_TASK = {"SLURM_ARRAY_TASK_ID": "3", "PBS_ARRAY_INDEX": "3"}  # what a cluster tells a task of an array
_PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
_SESSIONS = set(re.findall(r"^@nox\.session.*\ndef (\w+)", (ROOT / "noxfile.py").read_text(), re.MULTILINE))


class Block(NamedTuple):
    """A block of code or output: its language (empty where none is named), and whether ``run`` follows it."""

    line: int
    kind: str
    is_run: bool
    text: str


def markdown(page: Path) -> str:
    return _as_markdown(page.read_text()) if page.suffix == ".py" else page.read_text()


def blocks(page: Path) -> list[Block]:
    """Every block of a page, fenced or indented."""
    found = []
    for token in MarkdownIt().enable("table").parse(markdown(page)):
        if token.type in ("fence", "code_block") and token.map:
            kind, *more = token.info.split() or [""]
            found.append(Block(token.map[0] + 1, kind, more == ["run"], token.content))
    return found


class Reader:
    """Does what a page says, block after block, in the current folder, where ``results`` holds a sweep.

    What a page shows after ``$`` is run where that is possible in seconds and the output is compared: plans, refusals,
    and sweeps, at the size of ``_SMALL``, with whatever status, report and evaluate say of them.

    Args:
        page: the page.
        environment: sets variables of the environment, as :class:`pytest.MonkeyPatch` does.
        sweeps: run sweeps and Python too, and what a page asks of them; otherwise plans and refusals alone, and
            of Python what it imports.
    """

    def __init__(self, page: Path, environment: pytest.MonkeyPatch, *, sweeps: bool = True) -> None:
        self.page = page
        self.sweeps = sweeps
        self.environment = environment
        self.names: dict[str, Any] = {"__name__": "__page__"}
        self.printed: str | None = None  # by the block before
        self.made: set[Path] = set()  # folders of results that commands of this page have written to

    def read(self, block: Block) -> None:
        """Run a block, or hold it to what can be known without running it; a kind that nobody knows is an error."""
        printed, self.printed = self.printed, None
        if block.kind == "python":
            self.run_python(block)
        elif block.kind == "text":
            self.compare(block.text, printed)
        elif block.kind in ("sh", ""):
            self.follow_shell(block.text, runs=block.is_run)
        elif block.kind == "console":
            self.follow_console(block.text)
        elif block.kind == "bash":
            self.follow_script(block.text)
        elif block.kind == "toml":
            self.configure(block.text)
        elif block.kind == "yaml":
            self.follow_workflow(yaml.safe_load(block.text))
        elif block.kind == "json":
            json.loads(block.text)
        elif block.kind == "bibtex":
            self.cite(block.text)
        else:
            assert block.kind in DIRECTIVES, f"{self.page.name}:{block.line}: nobody runs a block of {block.kind!r}"

    def run_python(self, block: Block) -> None:
        """Run code in the page's own namespace; a first line ``# name.py`` makes a file of it, too."""
        if named := re.match(r"# (\w+\.py)\n", block.text):
            Path(named[1]).write_text(block.text)
            importlib.invalidate_caches()
        if not self.sweeps:
            self.import_what_it_names(block)
            return
        with redirect_stdout(io.StringIO()) as out:
            exec(compile("\n" * block.line + block.text, str(self.page), "exec"), self.names)
        self.printed = out.getvalue()

    def import_what_it_names(self, block: Block) -> None:
        """Compile code and run its imports alone; whatever it calls bnbench's has to be there."""
        tree = ast.parse(block.text)
        tree.body = [node for node in ast.walk(tree) if isinstance(node, ast.Import | ast.ImportFrom)]
        exec(compile(tree, str(self.page), "exec"), self.names)
        for name in set(re.findall(r"(?<![\w.])bnbench\.(\w+)", block.text)) if "bnbench" in self.names else ():
            getattr(self.names["bnbench"], name)

    def compare(self, text: str, printed: str | None) -> None:
        """Output after code is what the code printed; where a fit is computed, decimals may differ between machines."""
        if printed is not None:
            exact = self.page.name in EXACT
            assert _words(text, exact=exact) == _words(printed, exact=exact), printed
            assert _decimals(text) == pytest.approx(_decimals(printed), rel=0, abs=TOLERANCE), printed
        else:
            command = re.search(r"^(\$|>>>|bnbench \w|python|import|from \w+ import)", text, re.MULTILINE)
            assert not command, f"{self.page.name}: {command[0]} in a block of text: nobody runs it"

    def follow_shell(self, text: str, *, runs: bool = False) -> None:
        _check_syntax(text)
        commands = _commands(text)
        assert commands
        for words in commands:
            self.follow(words, runs=runs)

    def follow_console(self, text: str) -> None:
        """Commands after ``$``, each with its output; where that is an error, the command has to be refused."""
        _, *parts = re.split(r"^\$ ", text, flags=re.MULTILINE)
        assert parts
        for part in parts:
            line, _, output = part.partition("\n")
            words = shlex.split(line)
            if output.startswith("bnbench: "):
                self.follow(words, refused=True)
            else:
                said = self.follow(words)
                assert said is None or not output or is_said(output, said), said

    def can_be_run(self, arguments: Sequence[str]) -> bool:
        """Whether a command is a plan, a small sweep, or about a sweep that this page has made."""
        name, *options = arguments
        if "--help" in options:
            return True
        if not (self.sweeps or "--dry-run" in options):
            return False
        if name == "run":  # other profiles need a data set that may not be here, other backends and devices likewise
            elsewhere = {"--backend", "--devices", "--dataset", "--download"}
            return ("smoke" in options or "--config" in options) and elsewhere.isdisjoint(options)
        return name in ("status", "report", "evaluate") and Path(options[0]) in self.made

    def run_small(self, arguments: list[str]) -> str:
        """Run a command with a small ``smoke``; what it said, on stdout and stderr."""
        name, *options = arguments
        self.environment.setitem(PROFILES, "smoke", PROFILES["smoke"].with_knobs(**_SMALL))
        if name == "run" and "--dry-run" not in options:
            Path("results", "quick").unlink(missing_ok=True)  # from here on the page speaks of its own sweep
            folder = Path(options[options.index("--out") + 1])
            self.made |= {folder, folder.parent}
            arguments = [*arguments, "--chunk", "16", *(("--steps", "3") if "--config" in options else ())]
            arguments += ["--backend", "inline"]  # a process of an earlier page would not find this one's modules
        elif name == "evaluate":
            arguments = [*arguments, "--jobs", "1"]
        return self.say(arguments, wanted=0)

    def cite(self, text: str) -> None:
        """What is to be cited: suite and paper as CITATION.cff has them, and the version that this is."""
        suite = yaml.safe_load((ROOT / "CITATION.cff").read_text())
        paper = suite["references"][0]
        authors = " and ".join(f"{one['family-names']}, {one['given-names']}" for one in paper["authors"])
        wanted = {
            "article": {"title": paper["title"], "author": authors, "year": str(paper["year"])},
            "software": {"title": suite["title"], "version": suite["version"]},
        }
        found = {
            kind: dict(re.findall(r"(\w+) = \{+([^{}]*)\}+", entry))
            for kind, entry in re.findall(r"^@(\w+)(.*(?:\n  .*)*)", text, re.MULTILINE)
        }
        assert found.keys() == wanted.keys()
        assert all(found[kind].items() >= fields.items() for kind, fields in wanted.items()), found
        assert suite["version"] == _PROJECT["version"]

    def follow_script(self, text: str) -> None:
        """A script for a batch system or for CI, of which only the lines with bnbench can be known."""
        _check_syntax(text)
        for name, value in _TASK.items():
            text = text.replace(f"${name}", value)
        joined = text.replace("\\\n", " ")
        found = re.findall(r"^\s*(?:exec )?(?:\S+/bin/)?(bnbench .*?)(?:[&|>].*)?$", joined, re.MULTILINE)
        assert found, f"{self.page.name}: a script without bnbench"
        for line in found:
            self.follow(shlex.split(line))

    def follow_workflow(self, content: Any) -> None:
        """What the steps of a CI workflow run."""
        steps = [step["run"] for job in content["jobs"].values() for step in job["steps"] if "run" in step]
        self.follow_script("\n".join(steps))

    def configure(self, text: str) -> None:
        """A file of options, named in its first line or not, which bnbench run has to take."""
        named = re.match(r"# (\w+\.toml)", text)
        path = Path(named[1] if named else "page.toml")
        path.write_text(text)
        _parse(cli.commands["run"], "run", ["--config", str(path)])

    def follow(self, words: Sequence[str], *, runs: bool = False, refused: bool = False) -> str | None:
        """One command: run where it can be or the page says so, else held to what its program accepts.

        Returns:
            What it said, if it was run.
        """
        program, *arguments = words
        program = program.removeprefix(".venv/bin/")
        if program == "bnbench":
            small = not (runs or refused) and self.can_be_run(arguments)
            said = self.run_small(arguments) if small else self._follow_bnbench(arguments, runs=runs, refused=refused)
            if not refused:
                assert_leaves_committed_results_alone(arguments)
            return said
        if program == "nox":
            assert set(arguments) - {"-s", "-l", "--"} <= _SESSIONS, words
        elif program == "pip":
            own = [found for name in arguments if (found := _OWN.fullmatch(name))]
            assert all(one["source"] == "." or one["url"] for one in own), f"{words}: bnbench is on no package index"
            assert {one["extra"] for one in own} <= {None, *_PROJECT["optional-dependencies"]}, (
                f"{words}: no such extra"
            )
        elif program in ("python", "python3") and arguments[0] == "-m":
            if arguments[1] != "venv":
                return self.follow(arguments[1:], runs=runs, refused=refused)
        elif program in ("python", "python3"):
            assert (ROOT / arguments[0]).exists(), words
        elif program == "dask":
            module = importlib.import_module(f"distributed.cli.dask_{arguments[0]}")
            _parse(module.main, arguments[0], arguments[1:])
        else:
            raise AssertionError(f"{self.page.name}: nobody knows what to do with {shlex.join(words)}")
        return None

    def _follow_bnbench(self, arguments: list[str], *, runs: bool, refused: bool) -> str | None:
        name, *options = arguments
        if name != "run":
            for folder in (option for option in options if option.startswith(("results/", "mine"))):
                Path(folder).mkdir(parents=True, exist_ok=True)
        if runs or refused:
            if name == "run":
                arguments = [*arguments, "--backend", "inline"]  # worker processes would import torch anew
            elif name == "evaluate":
                arguments = [*arguments, "--jobs", "1"]
            if refused:
                arguments.append("--dry-run")  # should it be accepted after all
            return self.say(arguments, wanted=2 if refused else 0)
        _parse(cli.commands[name], name, options)
        return None

    def say(self, arguments: Sequence[str], *, wanted: int) -> str:
        """What bnbench says, and that it ends with the exit code that is wanted."""
        self.environment.setenv("COLUMNS", "200")
        said = io.StringIO()
        with redirect_stdout(said), redirect_stderr(said), pytest.raises(SystemExit) as ended:
            main(arguments)
        assert ended.value.code == wanted, said.getvalue()
        return said.getvalue()


def assert_leaves_committed_results_alone(arguments: Sequence[str]) -> None:
    """A reader in a clone writes nothing into committed folders, and joins no sweep of theirs by its default folder."""
    name, *options = arguments
    out = options[options.index("--out") + 1] if "--out" in options else ""
    assert Path(out).parts[:1] not in [("results",), ("reports",), ("evidence",)], arguments
    if name in ("run", "smoothness", "evaluate"):
        assert not any(option.startswith(("results/", "evidence/")) for option in options), arguments
        taken = {folder.name for folder in (ROOT / "reports").iterdir()}  # where a report of it would go by default
        assert Path(out).name not in taken, f"{arguments}: its report would replace a committed one"
    # A dry run writes nothing, a file may name the folder, and other images have folders of their own.
    needs_none = {"--dry-run", "--help", "--config", "--data", "--dataset", "--planes"}
    if name == "report" or (name in ("run", "smoothness") and needs_none.isdisjoint(options)):
        assert out, f"{arguments}: it would write where the committed results are"


def is_said(shown: str, said: str) -> bool:
    """Whether the lines that a page shows are those that were said, up to ``_MASKS``; ``…`` stands for any others."""
    wanted, found = (_masked(text) for text in (shown, said))
    if "…" not in wanted:
        return wanted == found
    rest = iter(found)
    return all(any(line == other for other in rest) for line in wanted if line != "…")


def _masked(text: str) -> list[str]:
    for pattern, instead in _MASKS:
        text = re.sub(pattern, instead, text, flags=re.MULTILINE)
    return [" ".join(line.split()) for line in text.splitlines() if line.strip()]


def _parse(command: click.Command, name: str, arguments: Sequence[str]) -> None:
    """Read arguments as the program itself would: every option and value has to be one of its own."""
    context = command.make_context(name, list(arguments))
    # dask takes whatever it does not know for a preload script's.
    unknown = [*context.args, *context.params.get("preload_argv", ())]
    assert not unknown, f"{name}: {unknown} are no options"


def _check_syntax(script: str) -> None:
    done = subprocess.run(["bash", "-n"], input=script, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def _commands(text: str) -> list[list[str]]:
    """The commands of a block, comments left out, lines with a backslash joined, ``&&`` taken apart."""
    lines = text.replace("\\\n", " ").splitlines()
    parts = (part for line in lines for part in re.split(r"&&|;", line))
    return [words for part in parts if (words := shlex.split(part, comments=True))]


def _words(text: str, *, exact: bool) -> list[str]:
    """Lines with their spaces alike; unless ``exact``, only the number of its decimals is left of a decimal number."""
    lines = text.strip().splitlines()
    if not exact:
        lines = [_DECIMAL.sub(lambda number: "#" * len(number[1]), line) for line in lines]
    return [" ".join(line.split()) for line in lines]


def _decimals(text: str) -> list[float]:
    return [float(number[0]) for number in _DECIMAL.finditer(text)]
