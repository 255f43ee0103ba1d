"""Where the lines of a page may end: in a list after a comma, in a command between words, never within a quantity."""

from __future__ import annotations

import html
import re

from hypothesis import given
from hypothesis import strategies as st
from markupsafe import Markup

from bnbench.report.page.page import in_words, listed

TEXT = st.text("ab,-\n '<&\u00e4", max_size=30)


def read(markup: Markup) -> str:
    """Return what a reader sees and copies."""
    return html.unescape(re.sub(r"<[^>]*>", "", markup))


@given(TEXT)
def test_nothing_is_lost_or_taken_for_markup(text: str) -> None:
    assert read(in_words(text)) == read(listed(text)) == text


def test_a_command_ends_a_line_after_words_and_commas_alone() -> None:
    words = re.findall(r"<span>(.*?)</span>", in_words("run --keep-planes --arms plain,bn-skip\nreport"))
    assert words == ["run", "--keep-planes", "--arms", "plain,", "bn-skip", "report"]
    assert listed("8,16") == "8,<wbr>16"
