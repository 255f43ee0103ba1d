"""The profiles for pictures, and the pictures that they are tried on."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType

import pytest

from bnbench.inputs.masks import is_trained
from bnbench.inputs.pictures import read_picture
from bnbench.protocol.profiles import PROFILES
from tests.benchmark_scripts import benchmark_script


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


def test_paper_picture_is_appendix_b() -> None:
    protocol = PROFILES["paper-picture"]
    network, training = protocol.network, protocol.training
    assert (network.widths, network.strides, network.map_size, network.hidden) == ((8, 32, 64), (1, 1, 1), 4, 128)
    assert (training.black_pixels, training.white_pixels, training.images) == (50, 50, 512)
    assert (training.minibatch, training.optimizer, training.learning_rate) == ("shared", "adam", 3e-4)
    assert (training.threshold, protocol.mask.mask_size, protocol.data.pool) == (2.5, (50, 50), 1)
