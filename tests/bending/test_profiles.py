"""The profiles for pictures, and the pictures that they are tried on."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from bnbench.bending.bend import BendListener, bend
from bnbench.bending.request import BendRequest, asked_protocol
from bnbench.inputs.data import load_data
from bnbench.inputs.lettering import draw_text
from bnbench.inputs.masks import is_trained
from bnbench.inputs.pictures import read_picture
from bnbench.protocol.profiles import PROFILES
from tests.benchmark_scripts import benchmark_script
from tests.idx import write_cifar


@pytest.fixture(scope="module")
def script() -> ModuleType:
    return benchmark_script("own_pictures")


@pytest.mark.parametrize("side", [16, 24, 30, 50])
def test_own_pictures_have_both_colours_to_train_on(script: ModuleType, side: int) -> None:
    assert [*script.PICTURES] == ["heart", "letter", "checkerboard", "spiral", "face"]
    for draw in script.PICTURES.values():
        mask = draw(side)
        trained = is_trained(mask)
        assert mask.shape == (side, side)
        assert (mask & trained).sum() > 8
        assert (~mask & trained).sum() > 8


def test_own_pictures_are_read_as_they_were_written(script: ModuleType, tmp_path: Path) -> None:
    with pytest.raises(SystemExit) as ended:
        script.main(["--side", "20", "--save", str(tmp_path)])
    assert ended.value.code == 0
    for name, draw in script.PICTURES.items():
        assert (read_picture(tmp_path / f"{name}.png") == draw(20)).all()


def test_an_own_picture_is_bent_to_on_held_out_images(script: ModuleType) -> None:
    tiny = PROFILES["picture"].with_knobs(steps=1, split="held-out", test_images=20)
    found = script.bend(script.heart(12), tiny)
    assert [*found] == ["black", "white", "J", "right", "seconds"]
    assert all(0 <= found[share] <= 1 for share in ("black", "white", "right"))
    assert found["J"] >= -tiny.training.threshold


@pytest.mark.parametrize(("profile", "channels", "side"), [("picture", 3, 8), ("paper-picture", 3, 32)])
def test_figure_6_is_drawn_from_files_of_cifar10(profile: str, channels: int, side: int, tmp_path: Path) -> None:
    folder, mask = write_cifar(tmp_path / "data"), draw_text("I", 8)
    asked = asked_protocol(PROFILES[profile], mask, "cifar10", 1, folder, download=False)
    before, protocol = PROFILES[profile], asked.with_knobs(held_out=0, images=4, test_images=5, train_images=5)
    assert (asked.network, asked.training.images) == (before.network, before.training.images)
    data = load_data(protocol.data, protocol.measurement, folder)
    assert data.image_shape == (channels, side, side)
    few = protocol.with_knobs(bn_statistics="batch:4")
    (bent,) = bend(BendRequest("I", mask, few, ("plain",), 1, tmp_path, animate=False), data, BendListener())
    assert bent.details["protocol"]["data"]["dataset"] == "cifar10"
    assert np.isfinite(bent.picture("train_loss")).all()
    assert bent.picture("test_loss").shape == mask.shape


def test_paper_picture_is_appendix_b() -> None:
    protocol = PROFILES["paper-picture"]
    network, training = protocol.network, protocol.training
    assert (network.widths, network.strides, network.map_size, network.hidden) == ((8, 32, 64), (1, 1, 1), 4, 128)
    assert (training.black_pixels, training.white_pixels, training.images) == (50, 50, 512)
    assert (training.minibatch, training.optimizer, training.learning_rate) == ("shared", "adam", 3e-4)
    assert (training.threshold, protocol.mask.mask_size, protocol.data.pool) == (2.5, (50, 50), 1)
