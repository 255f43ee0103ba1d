"""Numbers in README and docs are those that the script writes, which keeps a sentence apart from its numbers."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType

import pytest
from jinja2 import UndefinedError

from tests.benchmark_scripts import benchmark_script

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def script() -> ModuleType:
    return benchmark_script("page_numbers")


LONG = ("docs/experiment.md", "docs/gallery.md", "evidence/README.md")
PAGES = [
    pytest.param(page, marks=pytest.mark.nightly if page in LONG else ())
    for page in sorted(path.relative_to(ROOT).as_posix() for path in benchmark_script("page_numbers").PAGES)
    if "<!-- numbers\n" in (ROOT / page).read_text(encoding="utf-8")
]


@pytest.mark.parametrize("page", PAGES)
def test_the_script_was_run(script: ModuleType, page: str) -> None:
    text = (ROOT / page).read_text(encoding="utf-8")
    git = benchmark_script("commits").git
    if "unpublished_commits" in text and git("rev-parse", "--is-shallow-repository") != "false":
        pytest.skip("a shallow clone does not know which commits are published")
    assert script.rendered(text) == text


def test_what_stands_between_the_comments_is_written_anew_and_all_else_kept(script: ModuleType) -> None:
    block = "  <!-- numbers\n  of {{ quick.pairs }} pairs\n  -->\n{}  <!-- end of numbers -->\n"
    page = f"before\n\n- item\n\n{block}after {{{{ quick.pairs }}}}\n"
    rows = (ROOT / "reports/quick/tables/quantities.csv").read_text().splitlines()
    wanted = page.replace("{}", f"  of {rows[1].split(',')[-9]} pairs\n")
    for old in ("", "  of no pairs\n", "  of many\n  more\n"):
        assert script.rendered(page.replace("{}", old)) == wanted


def test_a_number_that_nobody_computes_is_an_error(script: ModuleType) -> None:
    with pytest.raises(UndefinedError):
        script.rendered("<!-- numbers\n{{ quick.guess }}\n-->\n<!-- end of numbers -->")


@pytest.mark.parametrize("page", ["{0}text\n\n{0}{1}", "{0}{1}{1}", "text\n{1}", "{0}text"])
def test_a_block_without_an_end_takes_no_text_along(script: ModuleType, page: str) -> None:
    with pytest.raises(ValueError, match="blocks"):
        script.rendered(page.format("<!-- numbers\nno\n-->\nold\n", "<!-- end of numbers -->\n"))
