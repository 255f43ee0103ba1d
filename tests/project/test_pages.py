"""What README and documentation show has to work: every block is run, or held to what its program accepts."""

from __future__ import annotations

import re
import runpy
import sys
import tomllib
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import matplotlib as mpl
import pytest
from markdown_it import MarkdownIt

import bnbench
from bnbench.cli.group import cli
from tests.pages import NOTEBOOK, PAGES, ROOT, Block, Reader, blocks, is_said, markdown

# Options of other programs that a page names by themselves: dask worker's, and those of scripts in benchmarks/.
OTHERS = {"--nworkers", "--table", "--base", "--pictures"}


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[pytest.MonkeyPatch]:
    """A folder of a reader's own with the committed sweep in it; what it imports from there is forgotten."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "results").mkdir()
    (tmp_path / "results" / "quick").symlink_to(ROOT / "results" / "quick")
    mpl.use("agg")
    yield monkeypatch
    for name, module in list(sys.modules.items()):
        if str(getattr(module, "__file__", "")).startswith(str(tmp_path)):
            del sys.modules[name]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
@pytest.mark.parametrize("sweeps", [False, pytest.param(True, marks=pytest.mark.nightly)])
def test_a_page_can_be_followed(page: Path, sweeps: bool, desk: pytest.MonkeyPatch) -> None:
    reader = Reader(page, desk, sweeps=sweeps)
    for block in blocks(page):
        try:
            reader.read(block)
        except BaseException as error:
            error.add_note(f"in the block of {block.kind} at {page.relative_to(ROOT)}:{block.line}")
            raise
    if page == NOTEBOOK and sweeps:
        assert all(Path(name).read_bytes().startswith(b"\x89PNG") for name in ("letter.png", "ball.png"))
        assert reader.names["black"] > reader.names["white"] + 0.2


@pytest.mark.parametrize(
    ("kind", "text", "said"),
    [
        ("rust", "fn main() {}", "'rust'"),
        ("{unknown}", "", "'{unknown}'"),
        ("text", "$ bnbench run", "text"),
        ("sh", "bnbench run --no-such-option 3", "--no-such-option"),
        ("sh", "bnbench run --schedule square", "'square'"),
        ("sh", "bnbench run --shard 11/10", "--shard 11/10"),
        ("sh", "nox -s no-such-session", "no-such-session"),
        ("sh", "make it", "make it"),
        ("sh", "dask worker tcp://10.0.0.1:8786 --no-such-option 1", "--no-such-option"),
        ("sh", "python -m bnbench run --no-such-option 3", "--no-such-option"),
        ("sh", "pip install 'bnbench[dask]'", "index"),
        ("sh", "pip install '.[none]'", "extra"),
        ("json", "{", "property name"),
        ("", "bnbench check own.json --no-such-option", "--no-such-option"),
        ("sh", "bnbench run --profile quick --out results/quick", "results/quick"),
        ("sh", "bnbench run --profile quick --out mine/quick", "replace a committed one"),
        ("sh", "bnbench evaluate results/quick", "results/quick"),
        ("sh", "bnbench run --devices cpu", "where the committed results are"),
        ("sh", "bnbench report results/", "where the committed results are"),
        ("console", "$ bnbench nothing\n", "'nothing'"),
        ("console", "$ bnbench run --profile smoke\nbnbench: --profile smoke is wrong.\n", "90 to run"),
        ("bash", "bnbench run --shard $SLURM_ARRAY_TASK_ID/2\n", "--shard 3/2"),
        ("bash", "if true; then\n", "bash: "),
        ("toml", "stepz = 3\n", "stepz"),
        ("yaml", "jobs:\n  check:\n    steps:\n      - run: bnbench check own.json --junitt x\n", "--junitt"),
        ("python", "assert False, 'what the code says'", "what the code says"),
        ("bibtex", "@article{a,\n  title = {Another}, year = {2019}}\n@software{b,\n  version = {0.0}}\n", "Another"),
    ],
)
def test_a_block_that_does_not_hold_is_found(kind: str, text: str, said: str, desk: pytest.MonkeyPatch) -> None:
    reader = Reader(ROOT / "README.md", desk)
    with pytest.raises((Exception, SystemExit, pytest.fail.Exception), match=re.escape(said)):
        reader.read(Block(1, kind, False, text))


@pytest.mark.parametrize(
    ("shown", "instead", "holds"),
    [
        ("(74e6243b79e6)", "(000000000000)", True),  # the protocol is a smaller one here
        ("2 slots (cpu#0, cpu#1)", "1 slot (cpu#0)", True),
        ("12 fits = 2 arms × 3 probabilities × 2 seeds", "18 fits = 2 arms × 3 probabilities × 3 seeds", False),
        ("3 probabilities", "4 probabilities", False),
        ("results in mine/start", "results in mine/own", False),
        ("0 done, 12 to run", "1 done, 11 to run", False),
    ],
)
def test_the_plan_of_the_start_page_has_to_be_what_is_said(
    shown: str, instead: str, holds: bool, desk: pytest.MonkeyPatch
) -> None:
    plan = next(block for block in blocks(ROOT / "docs" / "start.md") if "--dry-run" in block.text)
    assert shown in plan.text
    reader = Reader(ROOT / "docs" / "start.md", desk)
    changed = plan._replace(text=plan.text.replace(shown, instead))
    if holds:
        reader.read(changed)
    else:
        with pytest.raises(AssertionError, match="12 fits = 2 arms × 3 probabilities × 2 seeds; 0 done, 12 to run"):
            reader.read(changed)


@pytest.mark.parametrize(
    "page", [page for page in PAGES if page.parent.name in ("docs", "notebooks")], ids=lambda page: page.name
)
def test_code_on_the_site_is_as_wide_as_its_column(page: Path) -> None:
    lines = [line for block in blocks(page) if block.kind == "python" for line in block.text.splitlines()]
    assert [line for line in lines if len(line) > 84] == []  # Python is not wrapped there: a line's end would be lost


SAID = """\
started plain p=0.3 seed=1 on cpu#0
[1/2] plain p=0.3 seed=1: contrast −0.021 (black 0.049, white 0.070), right 0.612, J 0.003 \
over trained pixels, in 0 s; 1 left, about 1 s
[2/2] bn p=0.3 seed=1: contrast 0.001 (black 0.103, white 0.104), right 0.702, J −0.013 \
over trained pixels, in 1 h 2 min
last fit finished 9 s ago, 400 fits an hour, nothing to do
"""


@pytest.mark.parametrize(
    ("shown", "instead", "holds"),
    [
        ("−0.021 (black 0.049, white 0.070), right 0.612", "0.321 (black 0.749, white 0.070), right 1.000", True),
        ("right 0.612, J 0.003", "right 0.612, J −1.234", True),
        ("in 0 s; 1 left, about 1 s", "in 14 s; 1 left, time unknown", True),
        ("started plain p=0.3 seed=1 on cpu#0\n", "", True),
        ("[2/2] bn p=0.3 seed=1", "[2/2] plain p=0.7 seed=2", True),
        (SAID.partition("[2/2]")[0], "…\n", True),
        ("[2/2]", "[3/3]", False),
        ("1 left", "2 left", False),
        ("nothing to do", "nothing runs", False),
        ("black", "white", False),
        (SAID.partition("[2/2]")[0], "…\n[2/3]", False),
        (SAID.partition("[2/2]")[0], "", False),
    ],
)
def test_what_is_shown_of_a_command_may_differ_in_time_and_numbers_alone(shown: str, instead: str, holds: bool) -> None:
    assert shown in SAID
    assert is_said(SAID.replace(shown, instead), SAID) == holds


@pytest.mark.parametrize(
    ("page", "output", "holds"),
    [
        ("README.md", "black 0.31 of 40\n", True),
        ("README.md", "black   0.31 of 40\n\n", True),
        ("README.md", "white 0.31 of 40\n", False),
        ("README.md", "black 0.310 of 40\n", False),
        ("README.md", "black 0.61 of 40\n", False),
        ("README.md", "black 0.31 of 41\n", False),
        ("docs/results.md", "black 0.26 of 40\n", False),
        ("docs/results.md", "black 0.25 of 40\n", True),
    ],
)
def test_output_has_to_be_what_the_code_before_it_printed(
    page: str, output: str, holds: bool, desk: pytest.MonkeyPatch
) -> None:
    reader = Reader(ROOT / page, desk)
    reader.read(Block(1, "python", False, "print('black 0.25 of 40')"))
    if holds:
        reader.read(Block(3, "text", False, output))
    else:
        with pytest.raises(AssertionError, match=r"black 0\.25 of 40"):
            reader.read(Block(3, "text", False, output))


def test_every_option_that_a_page_names_is_one_of_the_commands_that_it_names() -> None:
    options = {
        name: {"--help", *(option for one in command.params for option in (*one.opts, *one.secondary_opts))}
        for name, command in cli.commands.items()
    }
    for page in PAGES:
        about = [name for name in options if re.search(rf"\bbnbench\s{name}\b", markdown(page))] or [*options]
        for code in inline_code(page):
            if command := re.match(r"bnbench ([a-z]+)", code):
                known = options[command[1]]
            elif re.match("--[a-z]", code):
                known = OTHERS.union(*(options[name] for name in about))
            else:
                continue
            named = set(re.findall(r"(?<!\S)--[\w-]+", code))
            assert named <= known, (page.name, code, about)


def inline_code(page: Path) -> Iterator[str]:
    for token in MarkdownIt().enable("table").parse(markdown(page)):
        yield from (child.content for child in token.children or () if child.type == "code_inline")


def test_every_link_leads_somewhere() -> None:
    for page in PAGES:
        for token in MarkdownIt().enable("table").parse(markdown(page)):
            for child in token.children or ():
                target = str(child.attrs.get("href") or child.attrs.get("src") or "")
                if target and not re.match(r"https?:", target):
                    name, _, anchor = target.partition("#")
                    path = (page.parent / name).resolve() if name else page
                    assert path.exists(), (page.name, target)
                    assert not anchor or anchor in headings(path), (page.name, target)


def headings(page: Path) -> set[str]:
    """Anchors of a page, as GitHub and the site make them of its headings, those that it includes among them."""
    text = markdown(page)
    for included in re.findall(r"^```\{include\} (\S+)$", text, re.MULTILINE):
        text += "\n" + (page.parent / included).read_text()
    tokens = MarkdownIt().parse(text)
    found = [title.content for opening, title in pairwise(tokens) if opening.type == "heading_open"]
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in found}


def test_the_readme_says_what_it_is_about_in_500_words() -> None:
    first, *rest = markdown(ROOT / "README.md").split("\n## More\n")
    assert len(rest) == 1
    seen = re.sub(r"<!--.*?-->", "", first, flags=re.DOTALL)
    assert len(seen.split()) <= 500


def test_the_badges_are_true() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    badges = re.findall(r"img\.shields\.io/badge/([^-]+)-(.+?)-\w+\)", markdown(ROOT / "README.md"))
    paper = project["urls"]["Paper"].rpartition("/")[2]
    python = project["requires-python"].removeprefix(">=") + "%2B"
    assert sorted(badges) == sorted([("python", python), ("licence", project["license"]), ("arXiv", paper)])


def test_a_comment_in_a_block_is_no_heading(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("# One `two`\n\n```sh\n# three\n```\n\nFour\n----\n")
    assert headings(page) == {"one-two", "four"}


@pytest.mark.nightly
def test_the_pictures_are_drawn() -> None:
    drawn = runpy.run_path(str(ROOT / "docs" / "pictures.py"))
    mask = bnbench.draw_mask(0.5, seed=1, shape=(4, 4))
    fitted = {arm: drawn["bend"](arm, mask, (0, 20)) for arm in ("plain", "bn")}
    assert [one.steps for one in fitted["bn"]] == [0, 20]
    assert drawn["draw_plane"](mask, fitted["plain"]).axes
    assert drawn["draw_bending"](fitted["plain"]).axes
    assert drawn["draw_objective"](mask, fitted["plain"]).axes
    assert drawn["draw_difference"](fitted).axes
    assert drawn["draw_trained"]().axes


def test_what_scripts_in_cells_draw_is_kept_once(tmp_path: Path) -> None:
    keep = runpy.run_path(str(ROOT / "docs" / "cell_pictures.py"))["keep_pictures"]
    scripts, kept = [tmp_path / f"{name}.py" for name in ("first", "second")], tmp_path / "kept"
    kept.mkdir()
    for script in scripts:
        script.write_text("from pathlib import Path\nPath('one.svg').write_text(str(Path.cwd()))\n")
    with pytest.raises(FileExistsError, match=r"one\.svg"):
        keep(scripts, kept)
    assert [path.name for path in kept.iterdir()] == ["one.svg"]
    assert not Path((kept / "one.svg").read_text()).exists(), "each runs in a folder of its own, gone afterwards"
