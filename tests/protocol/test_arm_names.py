"""One rule says what arms are called, and a report, in all of its tables and keys, keeps to it."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bnbench.protocol.arm_names import names_words, short_names
from bnbench.protocol.protocol import BUILT_IN, FitKey, Grid
from bnbench.report.arms import arm_labels, named_in_short, with_names
from bnbench.report.chapters import reproduce
from bnbench.report.chapters.standing import standing
from bnbench.report.tables import fits_table
from bnbench.results.asked import effective_config, write_config
from bnbench.results.sweeps import read_sweep
from tests.synthetic import write_sweep


@pytest.mark.parametrize(
    ("arms", "called"),
    [
        (["plain", "my_arms:wide"], ["plain", "wide"]),
        (["a:make", "b:make", "b.c:other"], ["a:make", "b:make", "other"]),
        (["my_arms:bn"], ["my_arms:bn"]),  # bn is another arm, also where it was not fitted
        (["my_arms:", "my_arms:wide", "my_arms:wide"], ["my_arms:", "wide"]),
    ],
)
def test_an_arm_is_called_by_its_short_name_where_no_other_is(arms: list[str], called: list[str]) -> None:
    names = short_names(arms)
    assert [*names.values()] == called
    assert ([*names.keys()] == called) == (names_words(names) == "")


@given(st.lists(st.sampled_from([*BUILT_IN, "a:x", "b:x", "b:y", "b:plain", "c:", "d.e:z"])))
def test_no_two_arms_have_one_name_and_a_short_one_stays(arms: list[str]) -> None:
    names = short_names(arms)
    assert len({*names.values()}) == len({*arms}) == len(names)
    assert short_names(names.values()) == {name: name for name in names.values()}
    assert {*arm_labels(arms).values()} == {*names.values()}


def test_a_sweep_named_in_short_is_as_complete_as_before(tmp_path: Path) -> None:
    own, arms = "nets.mine:wide", ("plain", "nets.mine:wide")
    protocol = write_sweep(tmp_path, arms=arms, probs=(0.3, 0.5), seeds=(1,), skip=[(own, 0.5, 1)])
    write_config(tmp_path, effective_config(protocol, Grid(arms, (0.3, 0.5), (1,)), {}))
    before = read_sweep(tmp_path)
    (sweep,) = named_in_short([before])
    assert {*sweep.landscapes["arm"]} == {*sweep.traces["arm"]} == {*fits_table(sweep)["arm"]} == {"plain", "wide"}
    assert sweep.landscapes["arm"].dtype == before.landscapes["arm"].dtype
    assert standing(sweep).to_run == [FitKey("wide", 0.5, 1)]
    assert standing(sweep).share == standing(before).share
    assert reproduce.commands(sweep, fits_table(sweep)) == reproduce.commands(before, fits_table(before))
    assert reproduce.needs(sweep) == reproduce.needs(before)
    (fact,) = [said for word, said in reproduce.run_facts(sweep, standing(sweep)) if own in said]
    assert "wide" in fact
    assert with_names(before.traces, {own: "wide"}).equals(sweep.traces)
    assert named_in_short([read_sweep(tmp_path)])[0].full_names == {"wide": own}
