"""``bnbench.run(mask=…)``: fits to pictures from Python, with the command's results and refusals."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import chdir
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import bnbench
from bnbench.errors import RequestError
from bnbench.inputs.masks import mask_of

RING = np.pad(np.pad(np.zeros((1, 3), bool), 1, constant_values=True), 1)  # 5×7, 12 black
CALL: dict[str, Any] = {"profile": "smoke", "seeds": 1, "arms": "plain", "steps": 2, "images": 4, "widths": [2]}
CALL |= {"strides": [2], "test_images": 20, "train_images": 20, "devices": "cpu", "bn_statistics": "batch:20"}
CALL |= {"backend": "inline", "chunk": 8, "progress": False}


@pytest.fixture(scope="module", autouse=True)
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder of two pictures, in the working directory."""
    folder = tmp_path_factory.mktemp("run")
    (folder / "two").mkdir()
    for name, mask in (("ring", RING), ("turned", RING.T)):
        Image.fromarray(np.where(mask, 0, 255).astype(np.uint8)).save(folder / "two" / f"{name}.png")
    with chdir(folder):
        yield folder


def test_a_picture_is_fitted_and_its_colours_can_be_swapped() -> None:
    for invert, name in ((False, "ring"), (True, "inverted")):
        result = bnbench.run(mask="two/ring.png", invert=invert, grey_level=0.5, folder=name, **CALL)
        mask = mask_of(0.5, 1, result.protocol.mask)
        assert np.array_equal(mask, invert != RING)
        assert result.fits["p"].tolist() == pytest.approx([mask.mean()], abs=1e-3)


@pytest.mark.parametrize("mask", [Path("two"), "~/two"])
def test_a_folder_of_pictures_is_a_result_with_a_column_picture(
    mask: str | Path, pictures: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(pictures))
    result = bnbench.run(mask=mask, folder="both", **CALL)
    assert isinstance(result, bnbench.PicturesResult)
    assert result.fits["picture"].tolist() == ["ring", "turned"]
    assert [*result.pictures] == ["ring", "turned"]
    assert "picture" in result.failed.columns
    assert "turned" in result._repr_html_()
    with pytest.raises(AttributeError, match=r"result\.pictures"):
        _ = result.protocol


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ({"mask": "nowhere.png"}, "nowhere.png"),
        ({"mask": 3}, "mask 3"),
        ({"mask": "two/ring.png", "probs": 0.5}, "probs"),
        ({"mask": "two/ring.png", "mask_size": "5,6"}, "mask_size"),
        ({"mask": "two/ring.png", "grey_level": 2}, "grey_level 2"),
        ({"mask": "two/ring.png", "invert": "no"}, "invert"),
        ({"invert": True}, "invert"),
        ({"grey_level": 0.5}, "grey_level 0.5"),
    ],
)
def test_a_refusal_names_arguments_and_no_option(given: dict[str, Any], named: str) -> None:
    with pytest.raises(RequestError) as refused:
        bnbench.run(**{**CALL, **given})
    assert named in str(refused.value)
    assert " --" not in f" {refused.value}"
