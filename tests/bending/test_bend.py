"""``bnbench bend``: what it leaves, how it goes on, what it refuses to write over."""

from __future__ import annotations

import json
import re
import shutil
import sys
import time
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from PIL import Image

import bnbench
from bnbench.bending import animation, arm_bending
from bnbench.bending.animation import shown_frames, write_animations
from bnbench.bending.arm_bending import frame_steps
from bnbench.bending.bend import write_pictures
from bnbench.bending.files import Bent, read_bent
from bnbench.bending.request import BendRequest, fitted_protocol
from bnbench.bending.strip import draw_strip, loss_ticks, quantities, scale_of
from bnbench.errors import RequestError
from bnbench.inputs.data import load_data_of
from bnbench.mpo.fit import Fit
from bnbench.process.writers import host_hash
from bnbench.report.figures.style import print_style
from bnbench.results import layout
from bnbench.results.folder_protocol import check_folder
from bnbench.sweep.interrupts import Interrupted
from tests.bending.asked import PICTURE, Stops, bent_to, request
from tests.browser import Browser


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> BendRequest:
    asked = request(tmp_path_factory.mktemp("bent"), arms=("plain", "bn"))
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(animation, "_RESOLUTION", 48)  # drawing takes longer than all else here
        patched.setattr(animation, "_RATE", 2)
        write_pictures(asked, bent_to(asked))
    return asked


def test_everything_that_shows_the_landscape_is_left(finished: BendRequest) -> None:
    there = {str(path.relative_to(finished.folder)) for path in finished.folder.rglob("*") if path.is_file()}
    fits = [layout.fit_name(finished.key(arm)) for arm in finished.arms]
    pictures = {"strip.pdf", "strip.svg", "strip.png", "animation.gif", "index.html"}
    tables = {f"{folder}/{fit}.parquet" for folder in ("landscapes", "frames") for fit in fits}
    assert there - {"animation.mp4"} == pictures | tables | {f"planes/{fit}.safetensors" for fit in fits}
    page = (Path(__file__).parents[2] / "docs" / "bend.md").read_text().partition("## What it leaves")[2]
    said = {name for row in re.findall(r"^\| (`.*?) \| ", page, re.MULTILINE) for name in re.findall("`(.*?)`", row)}
    assert {re.sub("(plain|bn)_p.*_seed1", "plain_p0.430_seed1", name) for name in there} | {"animation.mp4"} == said


def test_the_landscape_is_what_the_plane_has(finished: BendRequest) -> None:
    data = load_data_of(finished.protocol)
    for arm in finished.arms:
        name = layout.fit_name(finished.key(arm))
        table = pd.read_parquet(finished.folder / "landscapes" / f"{name}.parquet")
        plane = bnbench.load_plane(finished.folder / "planes" / f"{name}.safetensors")
        found = bnbench.measure_landscape(plane, PICTURE.shape, data.measured)
        assert np.array_equal(table["black"], PICTURE.ravel())
        assert np.allclose(table["test_accuracy"], found.accuracy.flatten())
        assert np.allclose(table["test_loss"], found.loss.flatten(), rtol=1e-5)


def test_frames_are_measured_from_the_first_step_to_the_last(finished: BendRequest) -> None:
    bent = read_bent(finished, "plain")
    assert bent is not None
    assert bent.steps.tolist() == frame_steps(8).tolist()
    assert (bent.steps[0], bent.steps[-1]) == (0, 8)
    data = load_data_of(finished.protocol).measured
    few = bnbench.Images(data.pixels[: arm_bending.FRAME_IMAGES], data.labels[: arm_bending.FRAME_IMAGES])
    path = finished.folder / "planes" / f"{layout.fit_name(finished.key('plain'))}.safetensors"
    last = bnbench.measure_landscape(bnbench.load_plane(path), PICTURE.shape, few)
    assert np.allclose(bent.frames[-1], last.accuracy)


@pytest.mark.parametrize("steps", [1, 2, 39, 1_000])
def test_steps_of_frames_are_distinct_and_in_order(steps: int) -> None:
    found = frame_steps(steps)
    assert (found[0], found[-1]) == (0, steps)
    assert (np.diff(found) > 0).all()


@pytest.mark.parametrize("frames", [1, 2, 40])
def test_an_animation_lasts_five_seconds_and_stands_still_at_its_end(frames: int) -> None:
    shown = shown_frames(frames)
    assert len(shown) == 50
    assert shown == sorted(shown)
    assert set(shown) == set(range(frames))
    assert shown[-10:] == [frames - 1] * 10


def test_the_gif_lasts_five_seconds_and_is_small(finished: BendRequest) -> None:
    path = finished.folder / "animation.gif"
    with Image.open(path) as pictures:
        lasts = 0
        for frame in range(getattr(pictures, "n_frames", 1)):
            pictures.seek(frame)
            lasts += pictures.info["duration"]
    assert lasts == 5_000
    assert path.stat().st_size < 3_000_000


@pytest.mark.skipif(animation._ffmpeg() is None, reason="an MP4 is written where ffmpeg is")
def test_an_mp4_is_written_where_ffmpeg_is(finished: BendRequest) -> None:
    assert (finished.folder / "animation.mp4").read_bytes()[4:8] == b"ftyp"


@pytest.mark.parametrize("is_whole", [True, False])
def test_ffmpeg_of_a_package_is_taken_where_none_is_on_the_path(
    is_whole: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    def get_ffmpeg_exe() -> str:
        if not is_whole:
            raise RuntimeError("No ffmpeg exe could be found.")
        return "/its/own/ffmpeg"

    monkeypatch.setattr(shutil, "which", lambda _: None)
    monkeypatch.setitem(sys.modules, "imageio_ffmpeg", SimpleNamespace(get_ffmpeg_exe=get_ffmpeg_exe))
    assert animation._ffmpeg() == ("/its/own/ffmpeg" if is_whole else None)


def test_no_mp4_is_promised_without_ffmpeg(
    finished: BendRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bents = [bent for arm in finished.arms if (bent := read_bent(finished, arm))]
    with monkeypatch.context() as patched, print_style():
        patched.setattr("bnbench.bending.animation._ffmpeg", lambda: None)
        patched.setattr("bnbench.bending.animation._write", lambda _, path, *__: path.write_bytes(b""))
        assert write_animations(tmp_path, PICTURE, bents) == [tmp_path / "animation.gif"]


def test_an_ffmpeg_that_fails_costs_the_mp4_alone(
    finished: BendRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "ffmpeg"
    program.write_text("#!/bin/sh\nexit 1\n")
    program.chmod(0o755)
    bents = [bent for bent in [read_bent(finished, "plain")] if bent]
    notes: list[str] = []
    with monkeypatch.context() as patched, print_style():
        patched.setattr("bnbench.bending.animation._ffmpeg", lambda: str(program))
        patched.setattr("bnbench.bending.animation._RATE", 2)
        assert write_animations(tmp_path, PICTURE, bents, notes.append) == [tmp_path / "animation.gif"]
    assert [str(program) in note for note in notes] == [True]


def test_all_pictures_of_a_strip_have_one_size_and_a_quantity_one_scale(finished: BendRequest) -> None:
    bents = [bent for arm in finished.arms if (bent := read_bent(finished, arm))]
    with print_style():
        drawing = draw_strip(PICTURE, bents, 2.5)
    shown = [axes for axes in drawing.axes if axes.images]
    assert len(shown) == 1 + 3 * len(bents)
    width, height = drawing.get_size_inches()
    for axes in shown:
        place = axes.get_position()
        assert (place.width * width) / (place.height * height) == pytest.approx(8 / 6)
        assert place.width == pytest.approx(shown[0].get_position().width)
    scales = [(axes.images[0].norm.vmin, axes.images[0].norm.vmax) for axes in shown[1:]]
    assert [scales[0::2][part] == scales[1::2][part] for part in range(3)] == [True] * 3


@pytest.mark.parametrize(("low", "high"), [(1e-6, 1e6), (0.01, 1_000), (0.5, 60), (2.4, 2.6)])
def test_a_scale_of_losses_is_about_the_threshold_and_its_numbers_have_room(low: float, high: float) -> None:
    losses = pd.DataFrame({"test_loss": np.geomspace(low, high, 500)})
    bents = [Bent("plain", losses, np.zeros((0, 1, 1), np.float32), np.zeros(0, np.int64), {})]
    (quantity,) = [one for one in quantities("test") if one.name == "test_loss"]
    scale = scale_of(quantity, bents, 2.5)
    assert 2.5 / 300 <= float(scale.norm.vmin or 0) < 2.5 < float(scale.norm.vmax or 0) <= 2.5 * 300
    ticks = sorted(loss_ticks(scale, 2.5, width := 1.32))
    places = [float(scale.norm(tick)) * width for tick in ticks]
    for (one, other), (left, right) in zip(pairwise(ticks), pairwise(places), strict=True):
        assert right - left >= 0.06 * (len(f"{one:g}{other:g}") / 2 + 1) - 1e-9
    assert 2.5 in ticks
    assert len(ticks) >= (3 if high / low > 1.5 else 1)


def test_what_killed_processes_left_of_fits_that_are_done_is_cleared_away(
    finished: BendRequest, tmp_path: Path
) -> None:
    shutil.copytree(finished.folder, tmp_path, dirs_exist_ok=True)
    asked = replace(finished, folder=tmp_path)
    there = sorted(tmp_path.rglob("*"))
    (tmp_path / "running").mkdir()
    layout.lock_path(tmp_path, asked.key("plain")).write_text(".")
    layout.checkpoint_path(tmp_path, asked.key("bn")).touch()
    for folder in ("", "landscapes", "frames", "planes", "running"):
        (tmp_path / folder / f".strip.svg.{host_hash()}-{2**30}-0a").touch()  # no process has such a number
    bent_to(asked)
    assert sorted(tmp_path.rglob("*")) == there


def test_a_checkpoint_of_an_arm_that_is_not_asked_for_is_left_alone(finished: BendRequest, tmp_path: Path) -> None:
    shutil.copytree(finished.folder, tmp_path, dirs_exist_ok=True)
    checkpoint = layout.checkpoint_path(tmp_path, finished.key("skip"))
    checkpoint.parent.mkdir()
    checkpoint.touch()
    bent_to(replace(finished, folder=tmp_path))
    assert checkpoint.exists()


def test_a_fit_that_was_stopped_goes_on_and_ends_alike(
    finished: BendRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    forgotten: list[int] = []
    monkeypatch.setattr(Fit, "forget_recordings", lambda fit: forgotten.append(fit.step))
    asked = request(tmp_path, arms=("plain", "bn"))
    with pytest.raises(Interrupted):
        bent_to(asked, Stops(3))
    assert not [*(tmp_path / "landscapes").iterdir()]
    with pytest.raises(RequestError, match=re.escape(str(tmp_path))):  # run leaves what is begun alone, too
        check_folder(tmp_path, asked.protocol)
    assert layout.checkpoint_path(tmp_path, asked.key("plain")).exists()
    listener = Stops(0)
    bent_to(asked, listener)
    assert listener.seen[0] == ("plain", 4)
    steps = asked.protocol.training.steps
    of_bends = [step for step in forgotten if step > 2]  # others have timed two steps
    assert of_bends == [3, steps, steps], "recordings are forgotten before what follows needs their memory"
    for arm in asked.arms:
        resumed, whole = read_bent(asked, arm), read_bent(finished, arm)
        assert resumed is not None
        assert whole is not None
        assert resumed.landscape.equals(whole.landscape)
        assert np.array_equal(resumed.frames, whole.frames)
    assert not (tmp_path / "running").exists()


def test_a_results_folder_of_run_is_refused_and_that_of_bend_by_run(finished: BendRequest, tmp_path: Path) -> None:
    (tmp_path / "protocol.json").touch()
    for there in (tmp_path, tmp_path / "protocol.json", tmp_path / "protocol.json" / "below"):
        with pytest.raises(RequestError, match=f"(?=.*--out).*{re.escape(str(there))} "):
            bent_to(request(there))
    with pytest.raises(RequestError, match=re.escape(str(finished.folder))):
        check_folder(finished.folder, finished.protocol)


def test_what_is_done_is_not_fitted_anew(finished: BendRequest) -> None:
    listener = Stops(0)
    bents = bent_to(finished, listener)
    assert listener.seen == []
    assert [bent.arm for bent in bents] == ["plain", "bn"]


def test_a_folder_of_another_picture_or_protocol_is_refused_and_left_alone(finished: BendRequest) -> None:
    before = {path: path.read_bytes() for path in finished.folder.rglob("*") if path.is_file()}
    asked = request(finished.folder)
    smaller = replace(asked, mask=PICTURE[:5], protocol=fitted_protocol(asked.protocol, PICTURE[:5]))
    differing = {
        "steps 8 there, 9 here": request(finished.folder, steps=9),
        "seed 1 there, 2 here": replace(asked, seed=2),
        "6x8": smaller,
        "picture": replace(asked, mask=~PICTURE),
    }
    for said, other in differing.items():
        with pytest.raises(RequestError, match=re.escape(str(finished.folder))) as refused:
            bent_to(other)
        assert said in str(refused.value)
    assert {path: path.read_bytes() for path in finished.folder.rglob("*") if path.is_file()} == before


def test_a_damaged_landscape_is_named(finished: BendRequest, tmp_path: Path) -> None:
    shutil.copytree(finished.folder, tmp_path, dirs_exist_ok=True)
    (path,) = (tmp_path / "landscapes").glob("plain*")
    path.write_bytes(path.read_bytes()[:-50])
    with pytest.raises(RequestError, match=re.escape(str(path))):
        bent_to(request(tmp_path))


def test_the_page_holds_every_number_and_needs_no_network(finished: BendRequest) -> None:
    text = (finished.folder / "index.html").read_text()
    assert not re.findall(r"(?:src|href)=\"(?!data:)", text)
    found = re.search(r'<script type="application/json" id="data">(.*?)</script>', text, re.DOTALL)
    assert found
    data = json.loads(found[1])
    table = pd.read_parquet(finished.folder / "landscapes" / f"{layout.fit_name(finished.key('bn'))}.parquet")
    assert data["arms"][1]["name"] == "bn"
    assert np.allclose(data["arms"][1]["values"]["test_loss"], table["test_loss"], rtol=1e-3)
    assert data["mask"] == table["black"].astype(int).tolist()


@pytest.mark.nightly
def test_the_page_tells_the_numbers_of_a_pixel_under_the_pointer(
    chromium: Browser, finished: BendRequest, tmp_path: Path
) -> None:
    chromium.open(finished.folder / "index.html")
    chromium.point("#arms figure:nth-child(4) canvas", 0.99, 0.01)
    accuracy = [bent.picture("test_accuracy")[0, -1] for arm in finished.arms if (bent := read_bent(finished, arm))]
    said = chromium.text("#said")
    assert [f"{value:.3f}" in said for value in accuracy] == [True, True]
    assert chromium.run("[...document.images].every(image => image.complete && image.naturalWidth > 100)")
    chromium.run("document.querySelector('img[src^=\"data:image/gif\"]').scrollIntoView()")
    chromium.point("img[src^='data:image/gif']", 0.01, 0.01)
    seen: set[bytes] = set()
    until = time.monotonic() + 30
    while len(seen) < 3 and time.monotonic() < until:  # nothing else moves on the page
        chromium.screenshot(tmp_path / "now.png")
        seen.add((tmp_path / "now.png").read_bytes())
        time.sleep(0.1)
    assert len(seen) >= 3, "the animation stands still"
    assert chromium.complaints == []
