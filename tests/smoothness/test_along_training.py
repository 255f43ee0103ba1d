"""Ordinary networks along ordinary training: where they start, what the control keeps, and the command."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pandas as pd
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
    find_smoothness,
)
from bnbench.results.smoothness_settings import SmoothnessSettings
from bnbench.smoothness.measures import measure, measured_minibatches
from bnbench.smoothness.ordinary_training import initial_network, measured_steps, trained_weights
from bnbench.smoothness.run import measure_all
from bnbench.sweep.devices import DeviceRequest
from bnbench.sweep.execution import Execution
from bnbench.sweep.start import make_plane
from tests import fits

SETTINGS = SmoothnessSettings(steps=6, batch=12, minibatches=2, points=2)
TINY = fits.TINY.with_knobs(hidden=4)
DATA = load_data(TINY.data, TINY.measurement)
PROTOCOL = replace(TINY, content=DATA.content)


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


def test_the_command_measures_writes_and_skips_what_is_done(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(PROFILES, "smoke", TINY)
    request = ["smoothness", "--profile", "smoke", "--arms", "plain", "--steps", "3", "--points", "1"]
    request += ["--batch", "8", "--minibatches", "1", "--out", str(tmp_path)]
    assert bnbench(*request, "--seeds", "1") == 0
    assert "%" in capsys.readouterr().err, "the plan says the cost beside that of fits"
    (first,) = layout.smoothness_paths(tmp_path)
    times = first.stat().st_mtime_ns
    assert bnbench(*request, "--seeds", "2") == 0
    assert first.stat().st_mtime_ns == times
    table, broken = find_smoothness([tmp_path], PROTOCOL.id)
    assert broken == []
    assert table[["seed", "step"]].to_numpy().tolist() == [[1, 0], [1, 3], [2, 0], [2, 3]]
    assert set(COLUMNS) <= set(table.columns)
    assert table[[*MEASURES]].notna().all(axis=None)
    assert bnbench(*request, "--seeds", "1", "--steps", "4") == 2, "measured in another way"
    assert bnbench(*request, "--seeds", "1", "--data", "fashion-mnist", "--data-folder", str(tmp_path)) == 2
    assert first.stat().st_mtime_ns == times
    monkeypatch.setitem(PROFILES, "quick", TINY.with_knobs(steps=7))
    other = ["--profile", "quick", "--arms", "plain", "--seeds", "3", "--out", str(tmp_path)]
    assert bnbench("smoothness", *other) == 2, "a folder belongs to one protocol, also without a fit"
    assert bnbench("run", *other) == 2
    first.write_bytes(b"damaged")
    assert find_smoothness([tmp_path], "quick-0")[0].empty
    left, broken = find_smoothness([tmp_path], PROTOCOL.id)
    assert len(broken) == 1
    assert set(left["seed"]) == {2}


OWN = """
import os, sys
import torch
from torch import nn

class Network(nn.Module):
    def __init__(self, image_shape, classes):
        super().__init__()
        self.linear = nn.Linear(image_shape[1] * image_shape[2], classes)

    def forward(self, images):
        return self.linear(images.flatten(1))

class Late(Network):
    def forward(self, images):
        import late_module_of_an_arm
        return super().forward(images) * late_module_of_an_arm.ONE

class Broken(Network):
    def forward(self, images):
        if len(images) == 12:
            torch.set_default_dtype(torch.float64)
            raise KeyError("nothing here")
        return super().forward(images)

class Exits(Network):
    def forward(self, images):
        if len(images) == 12:
            raise SystemExit(0)
        return super().forward(images)
"""


@pytest.mark.nightly  # a process for each arm
def test_own_arms_are_measured_and_what_they_do_stays_theirs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """An arm that fails, exits or sets what others use costs itself alone, while it is timed and afterwards."""
    monkeypatch.setitem(PROFILES, "smoke", TINY)
    monkeypatch.chdir(tmp_path)
    Path("own_smooth_arms.py").write_text(OWN)
    Path("late_module_of_an_arm.py").write_text("ONE = 1.0")
    arms = ",".join([*(f"own_smooth_arms:{name}" for name in ("Broken", "Exits", "Late"))])
    request = ["smoothness", "--profile", "smoke", "--arms", arms, "--steps", "1", "--points", "1", "--seeds", "1"]
    assert bnbench(*request, "--batch", "12", "--minibatches", "1", "--out", "out") == 1
    said = capsys.readouterr().err
    assert "KeyError" in said
    assert "SystemExit" in said
    assert torch.get_default_dtype() == torch.float32
    table, broken = find_smoothness([Path("out")], PROTOCOL.id)
    assert (broken, set(table["arm"])) == ([], {"own_smooth_arms:Late"})


@pytest.mark.parametrize("is_same", [True, False])
def test_what_another_process_has_written_since_the_plan_stays(tmp_path: Path, is_same: bool) -> None:
    asked = replace(network("plain"), protocol=PROTOCOL)
    where = DeviceRequest("cpu", 1, None, 1)
    other = asked if is_same else replace(asked, settings=replace(SETTINGS, steps=7))
    other.write(tmp_path, pd.DataFrame([dict.fromkeys(COLUMNS[4:], 1.0)]), {})
    before = layout.smoothness_path(tmp_path, asked.key).read_bytes()
    (ended,) = measure_all([asked], tmp_path, Execution(where.slots(), devices=where))
    assert ended.message
    assert ended.is_failed is not is_same
    assert layout.smoothness_path(tmp_path, asked.key).read_bytes() == before


def test_a_folder_that_takes_no_file_is_refused_before_a_network_is_trained(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(PROFILES, "smoke", TINY)
    (tmp_path / "smoothness").write_text("a file where the folder should be")
    request = ["smoothness", "--profile", "smoke", "--arms", "plain", "--steps", "1", "--points", "1", "--seeds", "1"]
    with monkeypatch.context() as patch:
        patch.setattr("bnbench.smoothness.run._measure_one", lambda *_, **__: pytest.fail("it was trained"))
        assert bnbench(*request, "--batch", "8", "--minibatches", "1", "--out", str(tmp_path)) == 2
    assert str(tmp_path) in capsys.readouterr().err


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
