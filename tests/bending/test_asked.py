"""``bnbench bend``: what is asked, what it will cost, checkpoints that are used or not, and the command."""

from __future__ import annotations

import errno
import math
import os
import signal
from contextlib import chdir
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image

import bnbench
from bnbench.bending import cost
from bnbench.bending.arm_bending import ArmBending, frame_steps
from bnbench.bending.bend import BendListener
from bnbench.bending.request import BendRequest, fitted_protocol
from bnbench.cli import main
from bnbench.errors import RequestError
from bnbench.inputs.data import load_data_of
from bnbench.inputs.datasets import ImageArrays
from bnbench.inputs.masks import is_trained
from bnbench.mpo.trace import TraceRow
from bnbench.protocol.profiles import PROFILES
from bnbench.protocol.protocol import Protocol
from bnbench.results import layout
from bnbench.results.checkpoints import load_checkpoint, save_checkpoint
from bnbench.sweep import timed_landscape
from bnbench.sweep.interrupts import Interrupted
from tests.bending.asked import PICTURE, Stops, bent_to, request


def test_the_request_is_said_before_its_cost_is_timed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    order: list[str] = []

    class Listener(BendListener):
        def asked(self, request: BendRequest, left: list[str]) -> None:
            order.append(f"asked {', '.join(left)}")

        def planned(self, request: BendRequest, left: list[str], seconds: float) -> None:
            order.append(f"planned {seconds}")
            raise Interrupted(signal.SIGINT)

    def timed(bending: ArmBending) -> float:
        order.append(f"timed {bending.arm}")
        return 20.0

    monkeypatch.setattr("bnbench.bending.bend.estimated_seconds", timed)
    with pytest.raises(Interrupted):
        bent_to(request(tmp_path, arms=("plain", "bn")), Listener())
    assert order == ["asked plain, bn", "timed plain", "timed bn", "planned 40.0"]


@pytest.mark.parametrize(
    ("arm", "a_visit", "timed", "landscapes"),
    [("plain", 1.0, [32], 1), ("bn", 1.0, [32], 3), ("plain", 1e-4, [32, 128], 1), ("plain", 0.0, [32, 128, 500], 1)],
)
def test_an_estimate_times_few_images_and_counts_all_landscapes(
    arm: str, a_visit: float, timed: list[int], landscapes: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock, images = [0.0], list[int]()

    def measured(plane: bnbench.Plane, shape: tuple[int, int], data: bnbench.Images, **_: Any) -> None:
        images.append(len(data))
        clock[0] += a_visit * math.prod(shape) * len(data)

    def timed_fit(arm: str, protocol: Protocol, *_: Any) -> float:
        training = protocol.training
        assert training.black_pixels + training.white_pixels == is_trained(PICTURE).sum()  # fewer than it asks for
        return 7.0

    asked = request(tmp_path, animate=False)
    measured_on = {"test_images": 500, "train_images": 20}
    asked = replace(asked, protocol=asked.protocol.with_knobs(black_pixels=100, white_pixels=100, **measured_on))
    bending = ArmBending(asked, arm, load_data_of(asked.protocol))
    monkeypatch.setattr(cost, "timed_fit", timed_fit)
    monkeypatch.setattr(timed_landscape, "measure_landscape", measured)
    monkeypatch.setattr(timed_landscape, "_ENOUGH", 0.2)  # warm.QUICKER has the first images do
    monkeypatch.setattr(timed_landscape, "time", SimpleNamespace(perf_counter=lambda: clock[0]))
    expected = 7 + PICTURE.size * a_visit * (landscapes * 500 + 20)
    assert cost.estimated_seconds(bending) == pytest.approx(expected)
    assert images == timed


class _Hears(BendListener):
    """Keeps the notes, and the first step of the fit."""

    def __init__(self) -> None:
        self.notes: list[str] = []
        self.steps: list[int] = []

    def note(self, sentence: str) -> None:
        self.notes.append(sentence)

    def stepped(self, arm: str, step: int, row: TraceRow | None) -> None:
        self.steps.append(step)


@pytest.mark.parametrize(
    ("before", "now", "is_damaged", "first", "notes"),
    [
        (True, True, False, 4, 0),
        (True, False, False, 4, 0),  # no frame is wanted: nothing is lost
        (False, True, False, 1, 1),  # frames are missing
        (True, True, True, 1, 1),
    ],
)
def test_a_checkpoint_is_used_where_it_can_be_and_said_where_not(
    before: bool, now: bool, is_damaged: bool, first: int, notes: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bnbench.bending.bend.write_pictures", lambda *_: [])
    with pytest.raises(Interrupted):
        bent_to(request(tmp_path, animate=before), Stops(3))
    asked = request(tmp_path, animate=now)
    path = layout.checkpoint_path(tmp_path, asked.key("plain"))
    if is_damaged:
        path.write_bytes(path.read_bytes()[:-100])
    heard = _Hears()
    (bent,) = bent_to(asked, heard)
    assert (heard.steps[0], len(heard.notes)) == (first, notes)
    assert len(bent.steps) == (len(frame_steps(8)) if now else 0)


def test_a_checkpoint_that_does_not_fit_starts_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bnbench.bending.bend.write_pictures", lambda *_: [])
    with pytest.raises(Interrupted):
        bent_to(request(tmp_path), Stops(3))
    asked = request(tmp_path)
    key, identity = asked.key("plain"), asked.identity("plain")
    stored = load_checkpoint(tmp_path, key, identity)
    assert stored is not None
    save_checkpoint(tmp_path, key, replace(stored, state=stored.state | {"step": 10**9}))
    heard = _Hears()
    bent_to(asked, heard)
    assert (heard.steps[0], len(heard.notes)) == (1, 1)


def test_a_checkpoint_that_cannot_be_written_costs_nothing_unless_the_fit_ends_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class StopsAndHears(Stops, _Hears):
        def __init__(self, step: int) -> None:
            Stops.__init__(self, step)
            _Hears.__init__(self)

    def refused(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("bnbench.bending.bend.write_pictures", lambda *_: [])
    monkeypatch.setattr("bnbench.bending.arm_bending.save_checkpoint", refused)
    stopped, whole = StopsAndHears(3), StopsAndHears(0)
    with pytest.raises(Interrupted):
        bent_to(request(tmp_path), stopped)
    assert len(bent_to(request(tmp_path), whole)) == 1
    for heard, is_lost in ((stopped, True), (whole, False)):
        (note,) = heard.notes
        assert os.strerror(errno.ENOSPC) in note
        assert ("steps up to 3 are lost" in note) == is_lost


def test_the_identity_depends_on_the_picture_and_not_on_its_name(tmp_path: Path) -> None:
    asked = request(tmp_path)
    other = PICTURE.copy()
    other[0, 0] = True
    identities = {
        BendRequest(name, mask, asked.protocol, ("plain",), seed, tmp_path).identity(arm)
        for name in ("one", "other")
        for mask, seed, arm in (
            (PICTURE, 1, "plain"),
            (other, 1, "plain"),
            (PICTURE, 2, "plain"),
            (PICTURE, 1, "bn"),
        )
    }
    assert len(identities) == 4


@pytest.mark.parametrize(
    ("side", "train", "test", "expected"),
    [
        (8, 1_000, 600, (1, 200, 500, 400, "batch:512")),
        (28, 1_000, 600, (4, 200, 500, 400, "batch:512")),
        (33, 100, 30, (5, 20, 30, 80, "batch:80")),
    ],
)
def test_the_profile_is_fitted_to_other_images(
    side: int, train: int, test: int, expected: tuple[int, int, int, int, str]
) -> None:
    parts = [(np.zeros((count, 1, side, side), np.uint8), np.zeros(count, np.int64)) for count in (train, test)]
    fitted = fitted_protocol(PROFILES["picture"], PICTURE, ImageArrays(parts[0], parts[1], ""))
    data, measurement = fitted.data, fitted.measurement
    few = measurement.test_images, measurement.train_images, measurement.bn_statistics
    assert (data.pool, data.held_out, *few) == expected


def test_too_few_images_are_refused_before_the_fit(tmp_path: Path) -> None:
    asked = request(tmp_path, arms=("bn",))
    few = replace(asked, protocol=asked.protocol.with_knobs(bn_statistics="recalibrate:9999"))
    with pytest.raises(RequestError, match="--bn-statistics recalibrate:9999"):
        bent_to(few)
    assert not [*tmp_path.iterdir()]


def test_the_command_bends_to_a_file_and_prints_the_accuracies(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Image.fromarray(np.where(PICTURE, 0, 255).astype(np.uint8)).save(tmp_path / "square.png")
    options = ["--profile", "smoke", "--steps", "2", "--no-animate", "--out", str(tmp_path / "out"), "--arm", "bn"]
    options += ["--ensemble"]
    with pytest.raises(SystemExit) as ended:
        main(["bend", str(tmp_path / "square.png"), *options])
    assert ended.value.code == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.partition(":")[0] for line in lines] == ["bn", "bn"]
    assert [f" {count}: " in lines[1] for count in (1, 2, 5, 10, PICTURE.sum())] == [True] * 5
    fit, drawn = "bn_p0.333_seed1", {"strip.pdf", "strip.svg", "strip.png", "index.html"}
    tables = {"landscapes", f"landscapes/{fit}.parquet", "planes", f"planes/{fit}.safetensors"}
    assert {str(path.relative_to(tmp_path / "out")) for path in (tmp_path / "out").rglob("*")} == drawn | tables


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ((), "PICTURE"),
        (("a.png", "--text", "B"), "--text"),
        (("nowhere.png",), "nowhere.png"),
        (("--text", "漢"), "漢"),
        (("--text", "B", "--grey-level", "2"), "--grey-level 2"),
        (("--text", "B", "--threshold", "2"), "--threshold 2"),
        (("--text", "B", "--size", "2"), "--size"),
        (("--text", "B", "--arm", "none"), "--arm"),
        (("--text", "B", "--device", "cuda:99"), "--device"),
    ],
)
def test_what_cannot_be_bent_to_is_one_sentence(
    arguments: tuple[str, ...], named: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with chdir(tmp_path), pytest.raises(SystemExit) as ended:
        main(["bend", *arguments])
    said = capsys.readouterr().err
    assert ended.value.code == 2
    assert named in said
    assert "Traceback" not in said
    assert not [*tmp_path.iterdir()]
