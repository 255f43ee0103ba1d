"""``bnbench run --mask``: fits to pictures, kept and read as fits to random masks are, and known by their content."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image

from bnbench.errors import RequestError
from bnbench.inputs.masks import Mask, black_share, draw_mask, mask_of, with_picture
from bnbench.protocol.picture_text import picture_bits, picture_name, picture_text
from bnbench.protocol.profiles import PROFILES, title
from bnbench.protocol.protocol import FitKey, Protocol
from bnbench.results import layout
from bnbench.results.checks import check_fit
from bnbench.results.fits import read_fit
from bnbench.results.folder_protocol import read_protocol
from bnbench.results.sweeps import read_sweep
from tests.cli.test_cli import Answer, bnbench

SMOKE = PROFILES["smoke"]
RUN: tuple[str, ...] = ("run", "--profile", "smoke", "--seeds", "1", "--steps", "3", "--images", "4", "--jobs", "1")
RUN += ("--widths", "2", "--strides", "2", "--test-images", "20", "--train-images", "20")
RUN += ("--devices", "cpu", "--bn-statistics", "batch:20", "--backend", "inline", "--chunk", "8", "--out", "out")
RING = np.pad(np.pad(np.zeros((1, 3), bool), 1, constant_values=True), 1)  # 5×7, 12 black
CROSS = np.eye(6, dtype=bool) | np.eye(6, dtype=bool)[::-1]


def of_two_colours(mask: Mask) -> Mask:
    mask = mask.copy()
    mask[0, 0], mask[-1, -1] = True, False
    return mask


masks = arrays(np.bool_, st.tuples(st.integers(3, 9), st.integers(3, 9))).map(of_two_colours)


def save(mask: Mask, path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.where(mask, 0, 255).astype(np.uint8)).save(path)
    return path


def run(folder: Path, *arguments: str) -> Answer:
    return bnbench(*RUN, *arguments, cwd=folder)


@given(masks, st.text(max_size=80))
def test_a_picture_is_read_back_from_its_protocol_and_its_name_is_that_of_a_folder(mask: Mask, name: str) -> None:
    protocol = with_picture(SMOKE, name, mask)
    stored = Protocol.from_dict(json.loads(json.dumps(protocol.as_dict())))
    assert stored == protocol
    assert mask_of(0.5, 1, stored.mask).tolist() == mask_of(0.1, 7, stored.mask).tolist() == mask.tolist()
    plain = picture_name(stored.mask.picture)
    assert Path("a", plain).resolve().parent == Path("a").resolve()
    assert plain in title(protocol)
    assert protocol.mask.picture not in title(protocol)


@given(masks, masks)
def test_the_hash_is_of_the_pixels_and_not_of_the_name(one: Mask, other: Mask) -> None:
    hashes = {with_picture(SMOKE, name, one).hash for name in ("a", "b")}
    assert len(hashes) == 1
    assert ({with_picture(SMOKE, "a", other).hash} == hashes) == (one.shape == other.shape and (one == other).all())


def test_protocols_without_a_picture_are_as_they_were() -> None:
    stored = SMOKE.as_dict()
    del stored["mask"]["picture"]
    assert Protocol.from_dict(stored) == SMOKE
    assert mask_of(0.3, 2, SMOKE.mask).tolist() == draw_mask(0.3, 2, (7, 7)).tolist()


@given(masks)
def test_a_share_is_a_fill_probability(mask: Mask) -> None:
    share = black_share(mask)
    assert 0 < share < 1
    assert share == pytest.approx(float(mask.mean()), abs=0.0011)
    assert FitKey("plain", share, 1).permille / 1000 == share


@pytest.mark.parametrize("text", ["heart", ":AAAA", "a/b:AAAA", "..:AAAA", "a:!!!!", "a:AAA"])
def test_text_that_is_no_picture_is_refused(text: str) -> None:
    with pytest.raises(RequestError, match="--picture"):
        picture_bits(text)


def test_a_picture_of_another_size_or_of_framed_masks_is_refused() -> None:
    text = picture_text("ring", np.packbits(RING).tobytes())
    with pytest.raises(RequestError, match=r"ring.*7x7"):
        SMOKE.with_knobs(picture=text)
    with pytest.raises(RequestError, match="framed"):
        with_picture(SMOKE.with_knobs(mask_kind="framed"), "ring", RING)


@pytest.mark.parametrize("bits", [bytes(5), b"\xff\xff\xff\xff\xe0", np.packbits(RING).tobytes()[:-1] + b"\x01"])
def test_a_picture_of_one_colour_or_with_bits_behind_its_last_pixel_is_refused(bits: bytes) -> None:
    with pytest.raises(RequestError, match="--picture ring"):
        SMOKE.with_knobs(mask_size=RING.shape, picture=picture_text("ring", bits))


def test_a_folder_of_one_picture_takes_more(tmp_path: Path) -> None:
    asked = ("--mask", "pictures", "--arms", "plain", "--mask-size", "6")
    for name, mask in (("ring", RING), ("cross", CROSS)):
        save(mask, tmp_path / "pictures" / f"{name}.png")
        done = run(tmp_path, *asked)
        assert done.returncode == 0, done.stderr
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"cross", "ring"}


def test_a_picture_is_fitted_kept_resumed_and_read(tmp_path: Path) -> None:
    save(RING, tmp_path / "my ring.png")
    done = run(tmp_path, "--mask", "my ring.png", "--keep-planes")
    assert done.returncode == 0, done.stderr
    key = FitKey("plain", black_share(RING), 1)
    fit = read_fit(layout.fit_path(tmp_path / "out", key))
    assert fit.landscape["black"].to_numpy(bool).reshape(5, 7).tolist() == RING.tolist()
    assert {one.key.arm for one in (fit, read_fit(layout.fit_path(tmp_path / "out", replace(key, arm="bn"))))} == {
        "plain",
        "bn",
    }
    stored = read_protocol(tmp_path / "out")
    assert (picture_name(stored.mask.picture), stored.mask.mask_size) == ("my-ring", (5, 7))
    save(RING, tmp_path / "renamed.png")
    for again in (run(tmp_path, "--mask", "renamed.png"), bnbench("run", "--config", "out/config.toml", cwd=tmp_path)):
        assert (again.returncode, "2 done, 0 to run" in again.stderr) == (0, True), again.stderr
    save(~RING, tmp_path / "other.png")
    other = run(tmp_path, "--mask", "other.png")
    assert other.returncode == 2
    assert "renamed there, other here" in other.stderr
    assert bnbench("evaluate", "out", "--devices", "cpu", "--jobs", "1", cwd=tmp_path).returncode == 0
    assert len(read_sweep(tmp_path / "out").landscapes) == 2 * RING.size


def test_pixels_that_are_not_the_pictures_are_refused(tmp_path: Path) -> None:
    save(RING, tmp_path / "ring.png")
    assert run(tmp_path, "--mask", "ring.png", "--arms", "plain").returncode == 0
    fit = read_fit(layout.fit_path(tmp_path / "out", FitKey("plain", black_share(RING), 1)))
    black = fit.landscape["black"].to_numpy(bool).copy()
    black[0] = ~black[0]
    with pytest.raises(ValueError, match="black"):
        check_fit(replace(fit, landscape=fit.landscape.assign(black=black)))


def test_a_folder_of_pictures_is_a_sweep_for_each_and_a_gallery(tmp_path: Path) -> None:
    save(RING, tmp_path / "pictures" / "ring.png")
    save(CROSS, tmp_path / "pictures" / "cross.gif")
    (tmp_path / "pictures" / "notes.txt").write_text("no picture")
    asked = ("--mask", "pictures", "--arms", "plain", "--mask-size", "6")
    planned = run(tmp_path, *asked, "--dry-run")
    assert (planned.returncode, (tmp_path / "out").exists()) == (0, False)
    done = run(tmp_path, *asked)
    assert done.returncode == 0, done.stderr
    shapes = {path.name: read_protocol(path).mask.mask_size for path in (tmp_path / "out").iterdir()}
    assert shapes == {"cross": (6, 6), "ring": (4, 6)}
    shown = bnbench("report", "out", "--format", "json", "--out", "shown", cwd=tmp_path)
    assert shown.returncode == 0, shown.stderr
    chapters = json.loads((tmp_path / "shown" / "report.json").read_text())["across"]
    assert "pictures" in json.dumps(chapters)


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (("--mask", "ring.png", "--probs", "0.5"), ("ring.png", "--probs")),
        (("--mask", "ring.png", "--mask-size", "5,6"), ("ring.png", "--mask-size")),
        (("--mask", "nowhere.png"), ("nowhere.png",)),
        (("--mask", "white.png"), ("white.png",)),
        (("--mask", "empty"), ("empty",)),
        (("--mask", "twice"), ("twice", "ring")),
        (("--mask", ""), ("--mask",)),
        (("--invert",), ("--invert", "--mask")),
        (("--grey-level", "0.5"), ("--grey-level 0.5", "--mask")),
        (("--mask", "ring.png", "--grey-level", "2"), ("--grey-level 2",)),
        (("--mask", "ring.png", "--mask-kind", "framed"), ("framed",)),
        (("--picture", "ring", "--probs", "0.5"), ("--picture",)),
        (("--picture", picture_text("a", np.packbits(RING).tobytes()), "--mask-size", "5x7"), ("--probs", "0.343")),
    ],
)
def test_what_cannot_be_met_is_one_sentence_and_exit_2(
    arguments: tuple[str, ...], named: tuple[str, ...], tmp_path: Path
) -> None:
    save(RING, tmp_path / "ring.png")
    save(np.zeros((5, 5), bool), tmp_path / "white.png")
    save(RING, tmp_path / "twice" / "ring.png")
    save(RING, tmp_path / "twice" / "Ring.gif")
    (tmp_path / "empty").mkdir()
    refused = run(tmp_path, *arguments)
    assert refused.returncode == 2
    assert len(refused.stderr.strip().splitlines()) == 1
    assert all(name in refused.stderr for name in named)
