"""Numbers as text: whatever stands there, every option that takes one reads it or refuses it by its own name."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from fractions import Fraction
from functools import partial
from typing import Any

import click
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bnbench.bn_policy import BnPolicy
from bnbench.cli.group import cli
from bnbench.errors import RequestError
from bnbench.interactive import knobs, values
from bnbench.protocol.mask_sizes import LARGEST_SIDE, parse_size, parse_sizes
from bnbench.protocol.measured_steps import MeasuredSteps
from bnbench.protocol.parsing import (
    parse_count,
    parse_counts,
    parse_pair,
    parse_probs,
    parse_seeds,
    parse_shard,
)
from bnbench.protocol.profiles import PROFILES
from bnbench.protocol.written_numbers import (
    LARGEST,
    decimal_text,
    parse_number,
    parse_seconds,
    parse_whole,
    whole_number,
)
from bnbench.wording import interval_words, plain_number, shown, signed

PARSERS: tuple[Callable[[str, str], object], ...] = (
    parse_probs,
    parse_seeds,
    parse_size,
    parse_sizes,
    parse_counts,
    parse_count,
    parse_seconds,
    parse_shard,
    parse_pair,
    MeasuredSteps.parse,
    BnPolicy.parse,
    parse_whole,
    parse_number,
)
LONG = "3" * 4_400  # Python reads no whole number of so many digits, and writes none
ODD = (
    *(
        "1e999999999",
        "-1e999999999",
        "1e-999999999",
        "1e9999999999999999999",
        "0.1:0.9:1e-999999999",
        "1e-999999999:1:1",
    ),
    *(LONG, f"0.{LONG}", f"{LONG}x{LONG}", f"3x{LONG}", f"{LONG}/{LONG}", f"5,{LONG}", f"0.5,{LONG}", f"batch:{LONG}"),
    *(
        f"1:{LONG}:1",
        f"1e{LONG}",
        "３０",
        "３０x２０",
        "0.５",
        "1,２",
        "３/４",
        "0.5,１",
        "batch:５",
        "٣",
        "1_000",
        "1_0.5",
    ),
    *("nan", "inf", "-inf", "infinity", "0x10", "²", "½", "1\u00a00", "1\n2", "\x00", "--5", "+-5", "1e", "."),
    *("99999999999", "20000x3", "1e400000", "1e400", "5e-324", "1" + "0" * 30),
)
letters = "0123456789.,:/x-+eE _ naif３٣½²\n\u00a0"
texts = st.text(alphabet=letters, max_size=16) | st.sampled_from(ODD)


def is_plain(text: str) -> bool:
    """Whether a text holds nothing but what numbers are written in, each of fewer than 41 letters."""
    return text.isascii() and "_" not in text and max(map(len, re.split(r"[,:/x\s]", text))) <= 40


@pytest.mark.parametrize("parse", PARSERS)
@given(text=texts)
def test_a_number_is_read_or_refused_by_the_name_of_its_option(parse: Callable[[str, str], object], text: str) -> None:
    if refused := refusal(lambda: parse(text, "--option")):
        assert refused.startswith("--option ")
        assert len(refused) < 600
    else:
        assert is_plain(text.strip()) or text.strip() == "auto", "only plain ASCII digits are numbers"


def refusal(read: Callable[[], object]) -> str:
    """What a refusal says; empty where nothing is refused, and any other error goes on."""
    try:
        read()
    except RequestError as error:
        return str(error)
    except click.ClickException as error:
        return error.format_message()
    return ""


def number_options() -> list[Any]:
    """Every option of every command that takes text of bnbench's own, except names and folders."""
    found = []
    for name in sorted(cli.commands):
        for option in cli.commands[name].params:
            kind = getattr(option.type, "name", "")
            assert kind not in ("integer", "float", "integer range", "float range"), "click reads digits of any script"
            if kind in ("LIST", "SIZES", "COUNT", "SECONDS", "N/M", "INTEGER", "FLOAT", "P,SEED"):
                found.append(pytest.param(option, id=f"{name} {option.opts[0]}"))
    return found


@pytest.mark.parametrize("option", number_options())
def test_every_option_of_the_command_line_refuses_odd_numbers_in_a_sentence(option: click.Option) -> None:
    for text in ODD:
        refused = refusal(partial(option.type.convert, text, option, None))
        assert not refused or option.opts[0] in refused


@given(number=st.integers(0, LARGEST))
def test_whole_numbers_come_back(number: int) -> None:
    assert whole_number(f" {number} ") == parse_whole(str(number), "--steps") == number
    assert whole_number(str(number + LARGEST + 1)) is None


@given(number=st.floats(allow_nan=False, allow_infinity=False))
def test_numbers_come_back(number: float) -> None:
    assert parse_number(repr(number), "--threshold") == number
    assert decimal_text(f" {number!r}\t") == repr(number)


@pytest.mark.parametrize("size", ["3", "10000", f"3x{LARGEST_SIDE}"])
def test_the_largest_mask_is_read_and_a_larger_one_refused_everywhere(size: str) -> None:
    rows, columns = parse_size(size)
    assert max(rows, columns) <= LARGEST_SIDE
    PROFILES["smoke"].with_knobs(mask_size=(rows, columns))
    with pytest.raises(RequestError, match="10,000"):
        parse_size(f"{LARGEST_SIDE + 1}")
    with pytest.raises(RequestError, match=r"mask.size"):
        PROFILES["smoke"].with_knobs(mask_size=(3, LARGEST_SIDE + 1))


@pytest.mark.parametrize(
    "name", ["steps", "hidden", "images", "threshold", "learning_rate", "mask_size", "widths", "pool"]
)
@pytest.mark.parametrize(
    "value", [10**5_000, 10**400, Fraction(10**400), math.inf, math.nan, -(10**400), 10**10], ids=range(7)
)
def test_a_knob_refuses_what_is_beyond_all_measure_in_a_sentence(name: str, value: Any) -> None:
    many = (value,) * 6 if name == "widths" else value
    refused = refusal(lambda: knobs.protocol_of("smoke", {name: many}, ()).hash)
    assert bool(refused) != ((name, value) in (("threshold", 10**10), ("learning_rate", 10**10)))
    assert not refused or name in refused.replace("-", "_")
    assert len(refused) < 400


@pytest.mark.parametrize(
    "value", [10**5_000, -(10**5_000), 10**400, Fraction(10**400), [10**5_000, 3], math.nan, "３"], ids=range(7)
)
def test_what_python_gives_is_refused_in_a_sentence_too(value: Any) -> None:
    for read in (values.probs_of, values.seeds_of, values.steps_of, values.shard_of, values.pair_of):
        with pytest.raises(RequestError):
            read(value)
    for named in (values.count_of, values.seconds_of):
        with pytest.raises(RequestError, match=r"^chunk "):
            named(value, "chunk")


def test_a_long_text_is_repeated_in_part() -> None:
    assert shown("short") == "short"
    assert len(shown(LONG)) < 70
    assert "digits" in shown(10**5_000)


def test_a_time_that_is_too_long_is_told_how_long_it_may_be() -> None:
    assert parse_seconds("1e9", "--fit-timeout") == 1e9
    with pytest.raises(RequestError, match=r"--fit-timeout 1e10: .* at most 1,000,000,000"):
        parse_seconds("1e10", "--fit-timeout")


@pytest.mark.parametrize(
    ("value", "plain", "with_sign"),
    [(0.0, "0.000", "+0.000"), (-0.0, "0.000", "+0.000"), (-0.0004, "0.000", "+0.000"), (-0.0006, "−0.001", "−0.001"),
     (0.0006, "0.001", "+0.001"), (-1.5, "−1.500", "−1.500"), (math.nan, "nan", "+nan")],
)  # fmt: skip
def test_what_rounds_to_zero_is_not_negative(value: float, plain: str, with_sign: str) -> None:
    assert (plain_number(value), signed(value)) == (plain, with_sign)


@given(low=st.floats(-2, 2), width=st.floats(0, 2))
def test_an_interval_shows_on_which_side_of_zero_its_ends_are(low: float, width: float) -> None:
    for sign in (False, True):
        texts = interval_words(low, low + width, sign=sign).split(" to ")
        for end, text in zip((low, low + width), texts, strict=True):
            written = float(text.replace("−", "-"))
            assert written == pytest.approx(end, abs=0.00051)
            if abs(end) > 1e-6:
                assert written * end > 0
            assert not sign or text[0] in "+−"


def test_an_end_that_is_zero_or_its_rounding_has_no_side() -> None:
    assert interval_words(0.0, 0.0) == interval_words(-1e-17, 1e-7) == "0.000 to 0.000"
    assert interval_words(-0.00023, 0.175) == "−0.0002 to 0.175"
