"""Text to values: what is read back, and that every refusal names the option and the way out."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from bnbench.protocol.mask_sizes import parse_size, parse_sizes
from bnbench.protocol.parsing import (
    FORMATS,
    parse_counts,
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


@given(start=thousandths, stop=thousandths, step=thousandths)
def test_a_range_that_misses_its_end_suggests_a_step_that_does_not(start: int, stop: int, step: int) -> None:
    assume(start < stop)
    assume((stop - start) % step)
    with pytest.raises(ValueError, match="does not land on") as refusal:
        parse_probs(f"{decimal(start)}:{decimal(stop)}:{decimal(step)}")
    suggestion = re.search(r"such as ([\d.]+)\.$", str(refusal.value))
    assert suggestion, refusal.value
    assert parse_probs(f"{decimal(start)}:{decimal(stop)}:{suggestion[1]}")[-1] == stop / 1000


@given(start=st.integers(1, 500), stop=st.integers(1, 500), step=st.integers(1, 500))
def test_a_range_of_seeds_that_misses_its_end_suggests_a_whole_step(start: int, stop: int, step: int) -> None:
    assume(start < stop)
    assume((stop - start) % step)
    with pytest.raises(ValueError, match="does not land on") as refusal:
        parse_seeds(f"{start}:{stop}:{step}")
    suggestion = re.search(r"such as (\d+)\.$", str(refusal.value))
    assert suggestion, refusal.value
    assert parse_seeds(f"{start}:{stop}:{suggestion[1]}")[-1] == stop


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


SEED_FORMS = "a count such as 5 (seeds 1 to 5), or seeds such as 101,103 or 101:103:1"
PROB_FORMS = "fill probabilities such as 0.5, 0.1,0.5 or 0.1:0.9:0.1"


@pytest.mark.parametrize(
    ("parse", "text", "message"),
    [
        (parse_probs, "", f"--probs : '' is not a number; give {PROB_FORMS}."),
        (parse_probs, "0.1,half", f"--probs 0.1,half: 'half' is not a number; give {PROB_FORMS}."),
        (
            parse_probs,
            "0.1:0.9",
            f"--probs 0.1:0.9: '0.1:0.9' is neither a number nor start:stop:step; give {PROB_FORMS}.",
        ),
        (parse_probs, "nan", f"--probs nan: 'nan' is not a number; give {PROB_FORMS}."),
        (parse_probs, "1e400000", f"--probs 1e400000: '1e400000' is too large; give {PROB_FORMS}."),
        (
            parse_probs,
            "1.2",
            "--probs 1.2: 1.2 is not a probability; give values between 0 and 1, such as 0.1:0.9:0.1.",
        ),
        (
            parse_probs,
            "-0.1",
            "--probs -0.1: -0.1 is not a probability; give values between 0 and 1, such as 0.1:0.9:0.1.",
        ),
        (
            parse_probs,
            "0:1:0.5",
            "--probs 0:1:0.5: at 0.0 every pixel has one colour and there is nothing to bend; "
            "give values strictly between 0 and 1, such as 0.1:0.9:0.1.",
        ),
        (parse_probs, "0.1234", "--probs 0.1234: 0.1234 is finer than 0.001; give at most three decimals."),
        (parse_probs, "0.1,0.10", "--probs 0.1,0.10 names 0.10 twice; give each value once."),
        (
            parse_probs,
            "0.1:0.9:0.15",
            "--probs 0.1:0.9:0.15 does not land on 0.9: the last value would be 0.85. "
            "Use a step that divides 0.8, such as 0.1.",
        ),
        (
            parse_probs,
            "0.9:0.1:0.1",
            "--probs 0.9:0.1:0.1: a range runs upwards; give start:stop:step with stop ≥ start and step > 0.",
        ),
        (
            parse_probs,
            "0.1:0.9:0",
            "--probs 0.1:0.9:0: a range runs upwards; give start:stop:step with stop ≥ start and step > 0.",
        ),
        (
            parse_probs,
            "0.1:0.9:1e-12",
            "--probs 0.1:0.9:1E-12 has over a million values; give a larger step.",
        ),
        (parse_seeds, "0", f"--seeds 0: 0 is not a seed; give {SEED_FORMS}, all of them whole and at least 1."),
        (parse_seeds, "-3", f"--seeds -3: -3 is not a seed; give {SEED_FORMS}, all of them whole and at least 1."),
        (parse_seeds, "1.5", f"--seeds 1.5: 1.5 is not a seed; give {SEED_FORMS}, all of them whole and at least 1."),
        (parse_seeds, "five", f"--seeds five: 'five' is not a number; give {SEED_FORMS}."),
        (parse_seeds, "7,7", "--seeds 7,7 names 7 twice; give each value once."),
        (parse_seeds, "1,2147483648", "--seeds 1,2147483648: 2147483648 is too large; seeds go up to 2147483647."),
        (
            parse_seeds,
            "20250101",
            "--seeds 20250101 means over a million seeds; to name a single one, give 20250101:20250101:1.",
        ),
        (
            parse_seeds,
            "1:10:7",
            "--seeds 1:10:7 does not land on 10: the last value would be 8. Use a step that divides 9, such as 3.",
        ),
        (
            parse_size,
            "2",
            "--mask-size 2 is not a mask size; give rows and columns of at least 3, such as 30 or 30x20.",
        ),
        (
            parse_size,
            "30x2",
            "--mask-size 30x2 is not a mask size; give rows and columns of at least 3, such as 30 or 30x20.",
        ),
        (
            parse_size,
            "30×20",
            "--mask-size 30×20 is not a mask size; give rows and columns of at least 3, such as 30 or 30x20.",
        ),
    ],
)
def test_refusals(parse: Callable[[str], object], text: str, message: str) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        parse(text)


@pytest.mark.parametrize("text", ["", "8,,8", "8,0", "8,-1", "8.5", "8 8", "eight"])
def test_counts_refuse_the_rest(text: str) -> None:
    message = f"--widths {text}: give whole numbers of at least 1 separated by commas, such as 8,8,16."
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
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
        assert str(refusal.value).endswith("give a fill probability between 0 and 1 and a seed, such as 0.5,1.")
