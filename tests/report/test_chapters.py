"""What chapters say of tables that are made up: the answer, what the fits do not tell, commands and provenance."""

from __future__ import annotations

import io
import re
import shlex
from contextlib import redirect_stderr
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from bnbench.cli.group import cli
from bnbench.inputs.masks import with_picture
from bnbench.protocol.protocol import Grid
from bnbench.report.arms import compared_arms, of_arms
from bnbench.report.chapters import evidence, fitted, headline, protocols, reproduce
from bnbench.report.figures.captions import figure4_caption
from bnbench.report.tables import fits_table, provenance_table
from bnbench.results import sweeps
from bnbench.results.asked import effective_config, write_config
from bnbench.stats.differences import overall, paired
from bnbench.wording import probability
from tests.fits import SMOKE
from tests.sentences import named, numbers
from tests.synthetic import SMALL, write_sweep


def test_every_reading_is_tested_over_all_pairs_whole_seeds_and_single_p(tmp_path: Path) -> None:
    write_sweep(tmp_path, probs=(0.3, 0.5, 0.7), seeds=(1, 2, 3, 4))
    fits = fits_table(sweeps.read_sweep(tmp_path))
    some = fits.assign(right_trained=fits["right_trained"].mask(fits["seed"] == 4))  # older files lack it
    compared = compared_arms(fits)
    assert compared is not None
    by_reading = evidence.pairs_by_reading(some, compared)
    names = {"accuracy contrast": "difference", "right": "right", "J": "objective"}
    text = evidence.seeds_words(by_reading)
    for name, column in names.items():
        value = f"{column}_trained"
        whole = overall(paired(some.dropna(subset=[value]), value=value))
        less = rf" \({whole.pairs} pairs\)" if column == "right" else ""
        said = re.findall(rf"\b{name}{less} p ([=<] [\d.e-]*\d)", text)
        assert said[0] == probability(whole.sign_flip)
        assert re.findall(rf"\b{name}(?: \(3 seeds\))? p ([=<] [\d.e-]*\d)", text)[-1] == probability(whole.seed_flip)


@pytest.mark.parametrize(
    ("gaps", "counts"),
    [
        ([[0.1, 0.101, 0.102], [0.3, -0.2, 0.1]], ["1", "1", "2"]),
        ([[0.1, 0.101, 0.102], [0.2, 0.2, 0.2]], ["1", "1", "1"]),  # one gap: no t tells how sure it is
        ([[0.1, 0.1, 0.1], [0.0, 0.0, 0.0]], []),
    ],
)
def test_single_p_are_counted_where_a_test_can_be(gaps: list[list[float]], counts: list[str]) -> None:
    pairs = pd.DataFrame([{"p": 0.3 + 0.2 * row, "seed": seed, "gap": gap}
                          for row, some in enumerate(gaps) for seed, gap in enumerate(some)])  # fmt: skip
    assert [n for n in numbers(evidence.exploratory_words({"right": pairs})) if n not in ("3", "0.05")] == counts


def test_an_unfinished_sweep_is_reproduced_as_it_was_asked_for(tmp_path: Path) -> None:
    protocol = write_sweep(tmp_path, probs=(0.3,), seeds=(1,))
    asked = Grid(("plain", "bn"), (0.3, 0.5, 0.7), (1, 2))
    write_config(tmp_path, effective_config(protocol, asked, {}))
    sweep = sweeps.read_sweep(tmp_path)
    run, _ = reproduce.commands(sweep, fits_table(sweep))
    assert "--probs 0.3:0.7:0.2 --seeds 2 --arms plain,bn" in run


def test_fits_that_the_last_run_was_not_asked_for_are_reproduced_too(tmp_path: Path) -> None:
    protocol = write_sweep(tmp_path, arms=("plain", "bn", "skip"), probs=(0.3, 0.5), seeds=(1,))
    write_config(tmp_path, effective_config(protocol, Grid(("skip", "plain"), (0.3,), (2,)), {}))
    sweep = sweeps.read_sweep(tmp_path)
    run, _ = reproduce.commands(sweep, fits_table(sweep))
    assert "--probs 0.3,0.5 --seeds 2 --arms skip,plain,bn" in run


def test_the_commands_name_the_folder_that_was_asked_for_and_what_they_need(tmp_path: Path) -> None:
    own, grid = "nets.mine:wide", Grid(("plain", "nets.mine:wide"), (0.3,), (1,))
    options = {"out": Path("mine/own fits"), "keep_planes": True, "jobs": 2, "data_folder": Path("~/pets")}
    protocol = with_picture(SMALL.with_knobs(dataset="own"), "heart", np.eye(5, dtype=bool))
    write_sweep(tmp_path, arms=grid.arms, probs=(0.3,), seeds=(1,), protocol=protocol)
    write_config(tmp_path, effective_config(protocol, grid, options))
    sweep = replace(sweeps.read_sweep(tmp_path), sources={own: "0123456789ab-started-so"})
    run, report = (shlex.split(text) for text in reproduce.commands(sweep, fits_table(sweep)))
    said = {name: value for name, value in pairwise(run) if name.startswith("--")}
    assert (said["--out"], said["--data"]) == ("mine/own fits", "~/pets")
    assert "--keep-planes" in run
    assert not {"--jobs", "--dataset", "--data-folder"} & {*run}
    assert report == ["bnbench", "report", "mine/own fits"]
    with redirect_stderr(io.StringIO()):
        cli.commands["run"].make_context("run", run[2:])
    file, picture, images = reproduce.needs(sweep)
    assert all(part in file for part in (own, "nets/mine.py", "0123456789ab", "PYTHONPATH"))
    assert "started-so" not in file, "that is no digit of the file's hash"
    assert "heart" in picture
    assert "--data" in images


def test_many_values_of_a_provenance_are_summed_up(tmp_path: Path) -> None:
    for seed in range(1, 9):
        for p, provenance in ((0.3, {"git_revision": f"commit{max(seed, 4)}"}), (0.5, {"host": f"host{seed}"})):
            write_sweep(tmp_path, arms=("plain",), probs=(p,), seeds=(seed,), provenance=provenance)
    said = provenance_table(sweeps.read_sweep(tmp_path)).set_index("what")["value"]
    assert "commit4 (4 fits)" in said["git_revision"]
    assert "other" not in said["git_revision"], "six values are all listed"
    assert re.search(r"\b6 other values \(6 fits\)", said["host"])


def test_fits_that_a_gpu_computed_in_different_ways_are_told_apart(tmp_path: Path) -> None:
    """Whatever changes rounding there: each way has its own value, also beside fits of a processor, which have none."""
    ways: list[dict[str, str]] = [
        {"kernels": "windows", "recorded": "whole", "batch": "4"},
        {"kernels": "compiled", "recorded": "gradient", "batch": "1", "triton": "3.6.0"},
        {"settings": "cudnn.allow_tf32 True"},
        {"settings": "cudnn.allow_tf32 False"},
    ]
    for seed, way in enumerate(ways, start=1):
        write_sweep(tmp_path, probs=(0.3,), seeds=(seed,), provenance=way)
    said = provenance_table(sweeps.read_sweep(tmp_path)).set_index("what")["value"]
    for name in {name for way in ways for name in way}:
        assert all(str(way[name]) in said[name] for way in ways if name in way), name


def test_every_protocol_has_a_name_of_its_own() -> None:
    longer, later = SMOKE.with_knobs(steps=400), replace(SMOKE, revision=SMOKE.revision + 1)
    mask = np.eye(7, dtype=bool)
    pictures = [with_picture(SMOKE, "heart", one) for one in (mask, ~mask)]
    names = protocols.distinct_names([SMOKE, longer, later, *pictures])
    assert len(set(names)) == 5
    assert ("steps 400" in names[1], f"revision {later.revision}" in names[2]) == (True, True)
    assert all("heart" in name and one.hash in name for name, one in zip(names[3:], pictures, strict=True))


def test_nearly_satisfied_objectives_are_called_so() -> None:
    end = pd.DataFrame({"arm": ["plain", "bn"], "clamped": [0.97, 0.95], "beyond_threshold": [1.0, 0.99]})
    less = end.assign(clamped=[0.97, 0.6])
    assert (fitted.is_nearly_satisfied(end), fitted.is_nearly_satisfied(less)) == (True, False)
    words, fewer = fitted.clamped_words(end, 2.5), fitted.clamped_words(less, 2.5)
    assert numbers(words) == ["2.5", "97.0", "100.0", "95.0", "99.0"]
    assert len(words) > len(fewer), "what follows from it is said where it holds"


def test_each_curve_against_the_authors_has_its_own_number_of_p() -> None:
    row = {"value": "difference", "ours": 0.4, "theirs": 0.3, "level": 0.1, "lowest": 0, "highest": 0.2, "rho": 0.9}
    table = pd.DataFrame([{"arm": "plain", "probabilities": 9, **row}, {"arm": "bn", "probabilities": 4, **row}])
    words = evidence.agreement_words(table)
    assert [number for number in numbers(words) if number in ("9", "4")] == ["4", "9", "4"]  # figure 4, then p
    same = evidence.agreement_words(table.assign(probabilities=9))
    assert [number for number in numbers(same) if number in ("9", "4")] == ["4", "9"]


def test_arms_without_a_common_mask_are_not_compared() -> None:
    fits = pd.DataFrame(
        [("plain", p, seed, 0.4) for p in (0.1, 0.3) for seed in (1, 2)] + [("bn", 0.5, 1, 0.3)],
        columns=["arm", "p", "seed", "difference_trained"],
    )
    none = pd.DataFrame(columns=["arm", "p", "seed"])
    found = headline.answer(fits, none)
    assert numbers(found.sentence) == ["0.400", "4", "0.1", "0.3", "0.300", "1", "0.5"]
    assert named(found.headline, ("plain", "bn")) == set()
    caption = figure4_caption(fits.assign(difference=0.4), "test", "a", pixels="all")
    assert re.search(r"n = 2 at 2 .*\(plain\).*n = 1 .* at 1 .*\(bn\)", caption)


def test_p_with_more_pairs_are_said_to_weigh_more_and_one_degree_is_singular() -> None:
    rows = [(arm, p, seed, 0.4 - (arm == "bn") * 0.01 * seed) for arm in ("plain", "bn") for p, seed in
            ((0.3, 1), (0.3, 2), (0.5, 1), (0.5, 2), (0.5, 3))]  # fmt: skip
    fits = pd.DataFrame(rows, columns=["arm", "p", "seed", "difference_trained"])
    none = pd.DataFrame(columns=["arm", "p", "seed"])
    assert any("2 to 3 pairs" in note and "same" in note for note in headline.answer(fits, none).notes)
    one = headline.answer(fits[fits["p"] == 0.3], none)
    assert numbers(one.sentence)[-1] == "1", "degrees of freedom"
    assert "degrees" not in one.sentence
    assert not any("same" in note for note in one.notes)


@pytest.mark.parametrize("count", [1, 3, 4, 9])
def test_of_more_than_three_arms_a_sentence_names_the_ends_alone(count: int) -> None:
    values = {f"arm{place}": float((place + 2) % count) for place in range(count)}
    said = of_arms(values, lambda arm: f"{arm} {values[arm]:g}")
    ends = {min(values, key=values.__getitem__), max(values, key=values.__getitem__)}
    assert named(said, values) == (set(values) if count < 4 else ends)
    listed = values.values() if count < 4 else (0, count - 1, count)
    assert numbers(said) == [f"{value:g}" for value in listed]
    assert named(of_arms(dict.fromkeys(values, 1.0), str), values) == (set(values) if count < 4 else {"arm0"})
