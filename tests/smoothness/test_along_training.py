"""Ordinary networks along ordinary training: where they start, what the control keeps, and the command."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from bnbench.cli import main
from bnbench.inputs.data import load_data
from bnbench.mpo.plane import flatten
from bnbench.protocol.profiles import PROFILES
from bnbench.protocol.protocol import FitKey
from bnbench.results import layout
from bnbench.results.smoothness import (
    COLUMNS,
    INVARIANT,
    MEASURES,
    MeasuredNetwork,
    SmoothnessSettings,
    find_smoothness,
)
from bnbench.smoothness.measures import measure, measured_minibatches
from bnbench.smoothness.ordinary_training import initial_network, measured_steps, trained_weights
from bnbench.sweep.start import make_plane
from tests.fits import TINY

SETTINGS = SmoothnessSettings(steps=6, batch=12, minibatches=2, points=2)
DATA = load_data(TINY.data, TINY.measurement)


def network(arm: str, seed: int = 1) -> MeasuredNetwork:
    return MeasuredNetwork(TINY, SETTINGS, FitKey(arm, 0.5, seed))


@pytest.mark.parametrize("arm", ["plain", "bn", "groupnorm"])
def test_networks_start_where_the_origins_of_fits_do(arm: str) -> None:
    asked = network(arm, 3)
    step, weights = next(trained_weights(asked, initial_network(asked, DATA), DATA.train))
    origin = make_plane(asked.key, TINY, DATA, "cpu").vectors[0].detach()
    assert step == 0
    assert torch.equal(weights, origin.double())


def test_training_is_adam_on_minibatches() -> None:
    """The same steps, written down: the rule, its cosine, one minibatch after another."""
    asked = network("plain")
    module = initial_network(asked, DATA)
    start = flatten(module).double()
    *_, (last, found) = trained_weights(asked, module, DATA.train)
    assert last == SETTINGS.steps
    assert float((found - start).norm()) > 0
    biggest = sum(TINY.training.learning_rate for _ in range(SETTINGS.steps))
    assert float((found - start).abs().max()) <= biggest * 1.5  # a step of Adam is about its rate


def test_the_negative_control_changes_raw_measures_alone() -> None:
    found = {}
    for arm in ("plain", "rescaled"):
        asked = network(arm)
        module = initial_network(asked, DATA)
        batches = measured_minibatches(DATA.train, SETTINGS)
        *_, (_, weights) = trained_weights(asked, module, DATA.train)
        found[arm] = measure(asked, module, weights, batches)
    for name in ("loss", *INVARIANT):
        assert found["rescaled"][name] == pytest.approx(found["plain"][name], rel=1e-3), name
    for name in ("eigenvalue", "trace", "effective_beta"):
        assert abs(found["rescaled"][name] / found["plain"][name] - 1) > 0.2, name


def test_steps_are_spaced_by_the_logarithm_and_begin_with_the_initial_weights() -> None:
    steps = measured_steps(SmoothnessSettings(steps=1000, points=3))
    assert steps == (0, 10, 100, 1000)


def test_identity_is_that_of_what_is_asked() -> None:
    one = network("plain")
    others = [network("bn"), network("plain", 2), replace(one, settings=replace(SETTINGS, batch=13))]
    assert len({other.identity for other in (one, *others)}) == 4


def bnbench(*arguments: str) -> int:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    return int(ended.value.code or 0)


def test_the_command_measures_writes_and_skips_what_is_done(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(PROFILES, "smoke", TINY)
    request = ["smoothness", "--profile", "smoke", "--arms", "plain", "--steps", "3", "--points", "1"]
    request += ["--batch", "8", "--minibatches", "1", "--out", str(tmp_path)]
    assert bnbench(*request, "--seeds", "1") == 0
    (first,) = layout.smoothness_paths(tmp_path)
    times = first.stat().st_mtime_ns
    assert bnbench(*request, "--seeds", "2") == 0
    assert first.stat().st_mtime_ns == times
    table, broken = find_smoothness([tmp_path])
    assert broken == []
    assert table[["seed", "step"]].to_numpy().tolist() == [[1, 0], [1, 3], [2, 0], [2, 3]]
    assert set(COLUMNS) <= set(table.columns)
    assert table[[*MEASURES]].notna().all(axis=None)
    assert bnbench(*request, "--seeds", "1", "--steps", "4") == 2, "measured in another way"
    assert bnbench(*request, "--seeds", "1", "--data", "fashion-mnist", "--data-folder", str(tmp_path)) == 2
    assert first.stat().st_mtime_ns == times
    first.write_bytes(b"damaged")
    left, broken = find_smoothness([tmp_path])
    assert len(broken) == 1
    assert set(left["seed"]) == {2}


@pytest.mark.parametrize(
    ("options", "named"),
    [
        (["--batch", "5000"], "5000"),
        (["--arms", "blan"], "blan"),
        (["--probes", "3"], "probes"),
        (["--steps", "0"], "0"),
    ],
)
def test_bad_input_is_refused(
    options: list[str], named: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert bnbench("smoothness", "--profile", "smoke", "--out", str(tmp_path / "out"), *options) == 2
    assert named in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
