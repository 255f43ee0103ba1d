"""Text to values: what is read back, and that every refusal names the option and the way out."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from bnbench.errors import RequestError
from bnbench.protocol.mask_sizes import parse_size, parse_sizes
from bnbench.protocol.parsing import (
    FORMATS,
    parse_counts,
    parse_folder,
    parse_formats,
    parse_pair,
    parse_probs,
    parse_seeds,
)

thousandths = st.integers(min_value=1, max_value=999)


def decimal(permille: int) -> str:
    return f"{permille // 1000}.{permille % 1000:03d}"


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("0.5", (0.5,)),
        ("0.1,0.5", (0.1, 0.5)),
        ("0.1:0.9:0.1", (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)),
        ("0.3:0.3:0.1", (0.3,)),
        (" 0.1 , 0.2:0.4:0.2 ", (0.1, 0.2, 0.4)),
        (".25", (0.25,)),
        ("5e-1", (0.5,)),
    ],
)
def test_probs(text: str, values: tuple[float, ...]) -> None:
    assert parse_probs(text) == values


@given(st.lists(thousandths, min_size=1, max_size=20, unique=True))
def test_probs_read_back_a_list_in_its_order(values: list[int]) -> None:
    assert parse_probs(",".join(map(decimal, values))) == tuple(value / 1000 for value in values)


@given(start=thousandths, step=thousandths, count=st.integers(min_value=0, max_value=50))
def test_a_range_is_inclusive_and_exact(start: int, step: int, count: int) -> None:
    stop = start + step * count
    assume(stop < 1000)
    values = parse_probs(f"{decimal(start)}:{decimal(stop)}:{decimal(step)}")
    assert values == tuple((start + index * step) / 1000 for index in range(count + 1))


def step_suggested(parse: Callable[[str], object], text: str, kind: str) -> str:
    """The step that the refusal of a range names in the end, a number of a kind."""
    with pytest.raises(ValueError, match="such as") as refusal:
        parse(text)
    found = re.search(rf"such as ({kind})\.$", str(refusal.value))
    assert found, refusal.value
    return found[1]


@given(start=thousandths, stop=thousandths, step=thousandths)
def test_a_range_that_misses_its_end_suggests_a_step_that_does_not(start: int, stop: int, step: int) -> None:
    assume(start < stop)
    assume((stop - start) % step)
    suggested = step_suggested(parse_probs, f"{decimal(start)}:{decimal(stop)}:{decimal(step)}", r"[\d.]+")
    assert parse_probs(f"{decimal(start)}:{decimal(stop)}:{suggested}")[-1] == stop / 1000


@given(start=st.integers(1, 500), stop=st.integers(1, 500), step=st.integers(1, 500))
def test_a_range_of_seeds_that_misses_its_end_suggests_a_whole_step(start: int, stop: int, step: int) -> None:
    assume(start < stop)
    assume((stop - start) % step)
    suggested = step_suggested(parse_seeds, f"{start}:{stop}:{step}", r"\d+")
    assert parse_seeds(f"{start}:{stop}:{suggested}")[-1] == stop


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("1", (1,)),
        ("5", (1, 2, 3, 4, 5)),
        ("101,103", (101, 103)),
        ("101:103:1", (101, 102, 103)),
        ("7:7:1", (7,)),
        ("3,1", (3, 1)),
        ("2147483647,1", (2147483647, 1)),
    ],
)
def test_seeds(text: str, values: tuple[int, ...]) -> None:
    assert parse_seeds(text) == values


@pytest.mark.parametrize(
    ("text", "size"), [("30", (30, 30)), ("30x20", (30, 20)), (" 3 ", (3, 3)), ("3x100", (3, 100))]
)
def test_size(text: str, size: tuple[int, int]) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize(
    ("text", "sizes"),
    [("30", ((30, 30),)), ("30x20", ((30, 20),)), ("14,20, 30x20", ((14, 14), (20, 20), (30, 20)))],
)
def test_a_comma_separates_sizes(text: str, sizes: tuple[tuple[int, int], ...]) -> None:
    assert parse_sizes(text) == sizes


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("14,,20", "empty"),
        ("14,", "empty"),
        (",", "empty"),
        ("", "no|not"),
        ("14,2", "--mask-size 2 "),
        ("14,20,14x14", "14x14 twice"),
        ("14x20x28", "14x20x28"),
        ("14 20", "14 20"),
        (",".join(map(str, range(3, 104))), "101 sizes"),
    ],
)
def test_sizes_refuse_the_rest(text: str, named: str) -> None:
    with pytest.raises(ValueError, match=r"^--mask-size .*\.$") as refusal:
        parse_sizes(text)
    assert re.search(named, str(refusal.value))


@given(st.lists(st.integers(1, 10_000), min_size=1, max_size=10))
def test_counts_read_back_a_list(values: list[int]) -> None:
    assert parse_counts(", ".join(map(str, values)), "--widths") == tuple(values)


SEED_FORMS = ("5", "101,103", "101:103:1")
PROB_FORMS = ("0.5", "0.1,0.5", "0.1:0.9:0.1")
SIZE_FORMS = ("3", "30", "30x20")


@pytest.mark.parametrize(
    ("parse", "text", "names"),
    [
        (parse_probs, "", PROB_FORMS),
        (parse_probs, "0.1,half", ("'half'", *PROB_FORMS)),
        (parse_probs, "0.1:0.9", ("'0.1:0.9'", "start:stop:step", *PROB_FORMS)),
        (parse_probs, "nan", ("'nan'", *PROB_FORMS)),
        (parse_probs, "1e400000", PROB_FORMS),
        (parse_probs, "1.2", ("0 and 1", "0.1:0.9:0.1")),
        (parse_probs, "-0.1", ("0 and 1", "0.1:0.9:0.1")),
        (parse_probs, "0:1:0.5", ("at 0.0", "0 and 1", "0.1:0.9:0.1")),
        (parse_probs, "0.1234", ("0.001", "three")),
        (parse_probs, "0.1,0.10", ("0.10",)),
        (parse_probs, "0.1:0.9:0.15", ("0.85", "0.8", "such as 0.1")),
        (parse_probs, "0.9:0.1:0.1", ("start:stop:step", "stop ≥ start", "step > 0")),
        (parse_probs, "0.1:0.9:0", ("start:stop:step", "stop ≥ start", "step > 0")),
        (parse_probs, "0.1:0.9:1E-12", ("million", "step")),
        (parse_seeds, "0", (*SEED_FORMS, "at least 1")),
        (parse_seeds, "-3", (*SEED_FORMS, "at least 1")),
        (parse_seeds, "1.5", (*SEED_FORMS, "at least 1")),
        (parse_seeds, "five", ("'five'", *SEED_FORMS)),
        (parse_seeds, "7,7", ("7", "once")),
        (parse_seeds, "1,2147483648", ("2147483648", "2147483647")),
        (parse_seeds, "20250101", ("million", "20250101:20250101:1")),
        (parse_seeds, "1:10:7", ("8", "9", "such as 3")),
        (parse_size, "2", SIZE_FORMS),
        (parse_size, "30x2", SIZE_FORMS),
        (parse_size, "30×20", SIZE_FORMS),
    ],
)
def test_a_refusal_names_option_value_and_what_would_do(
    parse: Callable[..., tuple[float, ...]], text: str, names: tuple[str, ...]
) -> None:
    option = {parse_probs: "--probs", parse_seeds: "--seeds", parse_size: "--mask-size"}[parse]
    with pytest.raises(ValueError, match=f"^{option} {re.escape(text)}") as refusal:
        parse(text)
    rest = str(refusal.value).removeprefix(f"{option} {text}")
    assert [name for name in names if name not in rest] == []


@pytest.mark.parametrize("text", ["", "8,,8", "8,0", "8,-1", "8.5", "8 8", "eight"])
def test_counts_refuse_the_rest(text: str) -> None:
    with pytest.raises(ValueError, match=rf"^--widths {text}: .*\b1\b.*8,8,16"):
        parse_counts(text, "--widths")


@given(st.lists(st.sampled_from(FORMATS), min_size=1))
def test_formats_come_once_and_in_order(names: list[str]) -> None:
    read = parse_formats(" , ".join(names).upper())
    assert set(read) == set(names)
    assert list(read) == sorted(set(names), key=FORMATS.index)


@pytest.mark.parametrize("text", ["htm", "html,docx", "", "html,"])
def test_an_unknown_format_names_those_there_are(text: str) -> None:
    with pytest.raises(ValueError, match=f"^--format .*{','.join(FORMATS)}"):
        parse_formats(text)


@pytest.mark.parametrize("parse", [parse_probs, parse_seeds, parse_size, parse_counts])
@given(text=st.text(alphabet="0123456789.,:-+eE xninfNa_", max_size=14))
def test_any_text_is_read_or_refused_by_the_name_of_the_option(
    parse: Callable[[str, str], tuple[float, ...]], text: str
) -> None:
    try:
        values = parse(text, "--option")
    except ValueError:
        with pytest.raises(ValueError, match=r"^--option "):
            parse(text, "--option")
    else:
        assert min(values) > 0
        assert parse is not parse_probs or max(values) < 1


def test_a_pair_is_a_probability_and_a_seed() -> None:
    assert parse_pair(" 0.25, 3", "--figure3") == (0.25, 3)
    for wrong in ("0.5", "0.5,", "0.5,1,2", "0.5,-1", "1.5,1", "x,1", "nan,1", "inf,1", "0.3:0.5:0.1,2", ""):
        with pytest.raises(ValueError, match="--figure3") as refusal:
            parse_pair(wrong, "--figure3")
        assert "0.5,1" in str(refusal.value), "what would do"


def test_a_folder_whose_name_is_no_text_is_refused() -> None:
    with pytest.raises(RequestError, match="--out"):
        parse_folder("results/\udcff", "--out")
    assert parse_folder("results/new\nline ä", "--out") == Path("results/new\nline ä")
