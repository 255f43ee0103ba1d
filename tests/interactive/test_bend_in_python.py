"""``bnbench.bend``: the command's landscapes, resume and refusals, from Python."""

from __future__ import annotations

import os
import re
import signal
from collections.abc import Iterator
from contextlib import chdir
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import bnbench
from bnbench.bending.bend import BendListener
from bnbench.errors import RequestError
from bnbench.mpo.trace import TraceRow

_PICTURE = np.zeros((6, 8), bool)
_PICTURE[1:5, 2:6] = True
_KNOBS: dict[str, Any] = {"widths": (4, 4), "strides": (2, 1), "hidden": 8, "images": 4, "train_images": 20}
_TINY = bnbench.PROFILES["smoke"].with_knobs(**_KNOBS, steps=3, test_images=60)
_CALL: dict[str, Any] = {"profile": _TINY, "device": "cpu", "animate": False, "progress": False}


@pytest.fixture(scope="module")
def picture(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A picture's file, in the working directory."""
    folder = tmp_path_factory.mktemp("bent")
    Image.fromarray(np.where(_PICTURE, 0, 255).astype(np.uint8)).save(folder / "square.png")
    with chdir(folder):
        yield Path("square.png")


@pytest.fixture(scope="module")
def bent(picture: Path) -> bnbench.BendResult:
    return bnbench.bend(picture, arms=["plain", "bn"], **_CALL)


def test_accuracies_are_means_over_the_landscape(bent: bnbench.BendResult) -> None:
    assert bent.folder == Path("bent/square").absolute()
    assert np.array_equal(bent.mask, _PICTURE)
    assert list(bent.accuracy["arm"]) == ["plain", "bn"]
    assert len(bent.landscape) == 2 * _PICTURE.size
    for row in bent.accuracy.itertuples():
        of_arm = bent.landscape[bent.landscape["arm"] == row.arm]
        values = of_arm["test_accuracy"].to_numpy().reshape(_PICTURE.shape)
        assert (row.black, row.white) == pytest.approx((values[_PICTURE].mean(), values[~_PICTURE].mean()))


def test_a_plane_that_is_kept_has_that_landscape(bent: bnbench.BendResult) -> None:
    (path,) = (bent.folder / "planes").glob("plain*")
    data = bnbench.load_data(bent.protocol.data, bent.protocol.measurement).measured
    found = bnbench.measure_landscape(bnbench.load_plane(path), _PICTURE.shape, data)
    of_plain = bent.landscape[bent.landscape["arm"] == "plain"]
    assert np.allclose(of_plain["test_accuracy"], found.accuracy.flatten())


def test_a_notebook_shows_its_strip_and_its_accuracies(bent: bnbench.BendResult) -> None:
    html = bent._repr_html_()
    assert "square.png" in html
    assert "data:image/png;base64," in html
    assert f"{bent.accuracy['black'][0]:.3f}" in html
    assert "square.png" in repr(bent)


def test_it_is_drawn_into_a_folder(bent: bnbench.BendResult, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Path] = []
    with monkeypatch.context() as patched:  # how it is drawn is tested beside the command
        patched.setattr(
            "bnbench.interactive.bent_result.write_pictures", lambda request, *_: seen.append(request.folder)
        )
        bent.save(tmp_path)
        bent.save()
    assert seen == [tmp_path, bent.folder]


def test_its_black_pixels_classify_together(bent: bnbench.BendResult) -> None:
    found = bent.ensembles()
    assert [*found] == ["plain", "bn"]
    for ensemble in found.values():
        assert [*ensemble.accuracies] == [1, 2, 5, 10, _PICTURE.sum()]


def test_the_same_call_only_reads_what_is_done(bent: bnbench.BendResult, picture: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in bent.folder.rglob("*.parquet")}
    again = bnbench.bend(str(picture), arms="bn", **_CALL)
    assert again.landscape.equals(bent.landscape[bent.landscape["arm"] == "bn"].reset_index(drop=True))
    assert {path: path.stat().st_mtime_ns for path in bent.folder.rglob("*.parquet")} == before


def test_a_picture_that_is_scaled_down_is_said_to_be(
    picture: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    call = {**_CALL, "progress": True, "size": 4, "folder": tmp_path, "profile": _TINY.with_knobs(steps=1)}
    bnbench.bend(picture, **call)
    bnbench.bend(picture, **{**call, "size": 30, "folder": tmp_path / "whole"})
    first, second = (line for line in capsys.readouterr().err.splitlines() if line.startswith("square.png: "))
    assert [re.findall(r"\d+×\d+", line) for line in (first, second)] == [["3×4", "6×8"], ["6×8"]]


class _Stops(BendListener):
    """Sends SIGINT after the first step."""

    def stepped(self, arm: str, step: int, row: TraceRow | None) -> None:
        if step == 1:
            os.kill(os.getpid(), signal.SIGINT)


def test_a_call_that_was_stopped_goes_on(
    bent: bnbench.BendResult, picture: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:
        patched.setattr("bnbench.interactive.bend.BendListener", _Stops)
        with pytest.raises(KeyboardInterrupt):
            bnbench.bend(picture, folder=tmp_path, **_CALL)
    assert [path.suffix for path in (tmp_path / "running").glob("plain*.pt")] == [".pt"]
    again = bnbench.bend(picture, folder=tmp_path, **_CALL)
    assert again.landscape.equals(bent.landscape[bent.landscape["arm"] == "plain"].reset_index(drop=True))


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ({}, "picture"),
        ({"picture": "square.png", "text": "B"}, "text"),
        ({"picture": "nowhere.png"}, "nowhere.png"),
        ({"picture": 3}, "picture 3"),
        ({"text": 3}, "text 3"),
        ({"text": "漢"}, "text"),
        ({"text": "B", "grey_level": 2}, "grey_level 2"),
        ({"text": "B", "size": 2}, "size 2"),
        ({"text": "B", "steps": 0}, "steps 0"),
        ({"text": "B", "seed": 0}, "seed 0"),
        ({"text": "B", "arms": "none"}, "arms"),
        ({"text": "B", "device": "cuda:99"}, "device"),
        ({"text": "B", "profile": "none"}, "profile"),
        ({"text": "B", "invert": "no"}, "invert"),
        ({"text": "B", "data": "nowhere/"}, "nowhere"),
        ({"picture": "square.png", "seed": 1, "steps": 4, "folder": "bent/square"}, "folder"),
    ],
)
def test_a_refusal_names_arguments_and_no_option(bent: bnbench.BendResult, given: dict[str, Any], named: str) -> None:
    with pytest.raises(RequestError) as refused:
        bnbench.bend(**{**_CALL, **given})
    said = str(refused.value)
    assert named in said
    assert " --" not in f" {said}".replace("bnbench bend --", "bnbench bend "), said
