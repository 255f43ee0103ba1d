"""The table of defects: each is caught by the quantity and by the unit test that it names, and the page says so."""

from __future__ import annotations

import os
from dataclasses import replace
from functools import cache
from importlib import import_module
from pathlib import Path

import pytest

from bnbench.check.baseline import SETS, Value
from bnbench.check.comparison import compare
from bnbench.check.exact import exact_quantities
from bnbench.protocol.protocol import Grid
from tests.mutants import MUTANTS, RAN, Mutant, mutated, table
from tests.warm import start

ROOT = Path(__file__).parents[2]
STANDARD = SETS["standard"]
# Two p and two seeds rather than three and four: what differs first is the same, in half the time.
GRID = Grid(("plain", "bn"), STANDARD.probs[:2], STANDARD.seeds[:2])
BY_NAME = pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
DAILY = (  # one of the plane, which everything follows, and one of what is measured; both of plain, which is quick
    "Gram–Schmidt without projection",
    "black and white counted for each other",
)
SOME_BY_DAY = pytest.mark.parametrize(
    "mutant",
    [pytest.param(one, marks=[] if one.name in DAILY else [pytest.mark.nightly], id=one.name) for one in MUTANTS],
)


# What follows the first arm that shows a defect need not be computed; without an arm it shows in other settings.
UP_TO = {"plain": ("plain",), "bn": GRID.arms}


def quantities(arms: tuple[str, ...] | None) -> dict[str, Value]:
    """What is exact of some arms alone, or of all of them and the other settings that follow."""
    with pytest.MonkeyPatch.context() as patch:
        if arms:
            patch.setattr("bnbench.check.exact.other_quantities", dict)
        return exact_quantities(STANDARD.protocol, replace(GRID, arms=arms or GRID.arms))


clean = cache(quantities)  # outside of every defect


def outside(before: dict[str, Value], now: dict[str, Value]) -> list[str]:
    findings = compare({"exact": before}, {"exact": now}, STANDARD)
    return [finding.name for finding in findings if not finding.is_within]


@SOME_BY_DAY
def test_a_mutant_is_caught_by_the_quantity_that_it_names(mutant: Mutant) -> None:
    arms = UP_TO.get(mutant.quantity.partition(": ")[0])
    before = clean(arms)
    with mutated(mutant):
        now = quantities(arms)
    assert outside(before, now)[:1] == [mutant.quantity]


def test_the_defects_of_every_day_are_among_them() -> None:
    assert set(DAILY) <= {mutant.name for mutant in MUTANTS}


@pytest.mark.nightly
def test_nothing_is_left_of_a_mutant() -> None:
    before = clean(None)
    for mutant in MUTANTS:
        with mutated(mutant):
            pass
    assert outside(before, quantities(None)) == []


def test_a_mutant_that_is_out_of_date_says_so() -> None:
    stale = Mutant("stale", outside, "no such text", "", "", "")
    with pytest.raises(ValueError, match="outside has no 'no such text': mend the mutant 'stale'"), mutated(stale):
        pass


def test_the_page_has_the_table() -> None:
    page = (ROOT / "tests" / "check" / "defects.md").read_text()
    assert table() in page, "python -m tests.mutants prints the table for tests/check/defects.md"


@BY_NAME
def test_a_mutant_names_a_unit_test_that_there_is(mutant: Mutant) -> None:
    module, name = mutant.test.split("::")
    assert callable(getattr(import_module(f"tests.{module.replace('/', '.')}"), name))


@pytest.mark.nightly
@pytest.mark.parametrize("number", range(len(MUTANTS)), ids=[mutant.name for mutant in MUTANTS])
def test_a_mutant_is_caught_by_the_unit_test_that_it_names(number: int) -> None:
    """In a process of its own."""
    module, name = MUTANTS[number].test.split("::")
    arguments = [str(number), "-q", "-x", "-p", "no:cacheprovider", f"tests/{module}.py::{name}"]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    process = start("tests.mutants", arguments, cwd=ROOT, environment=environment, streams=(0, 1, 2))
    assert process.wait(120) == RAN + pytest.ExitCode.TESTS_FAILED
