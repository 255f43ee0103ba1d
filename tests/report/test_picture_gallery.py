"""The gallery of pictures: which sweeps it holds, what its panels show, and the accuracies in its table."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from bnbench.inputs.masks import Mask, black_share, with_picture
from bnbench.report.chapters.capacity import chapters as capacity_chapters
from bnbench.report.chapters.pictures import chapters
from bnbench.report.figures.style import print_style
from bnbench.results.sweeps import Sweep, read_sweeps
from tests.synthetic import SMALL, write_sweep

PICTURES: dict[str, Mask] = {
    "cross": np.eye(6, dtype=bool) | np.eye(6, dtype=bool)[::-1],
    "bar": np.pad(np.ones((2, 8), bool), 2),
    "dot": np.pad(np.ones((1, 1), bool), 3),
}


@pytest.fixture(scope="module")
def sweeps(tmp_path_factory: pytest.TempPathFactory) -> list[Sweep]:
    folder = tmp_path_factory.mktemp("pictures")
    for name, mask in PICTURES.items():
        protocol = with_picture(SMALL, name, mask)
        write_sweep(folder / name, probs=[black_share(mask)], protocol=protocol)
    write_sweep(folder / "random")
    return read_sweeps(folder)[0]


def test_the_gallery_has_the_first_seed_of_every_picture_and_arm(sweeps: list[Sweep]) -> None:
    (chapter,) = chapters(sweeps)
    (figure,), (table,) = chapter.figures, chapter.tables
    rows = table.frame.to_dict("records")
    assert [(row["picture"], row["arm"], row["seed"]) for row in rows] == [
        (name, arm, 1) for name in sorted(PICTURES) for arm in ("plain", "bn")
    ]
    for row in rows:
        (sweep,) = [one for one in sweeps if one.protocol.mask.picture.startswith(f"{row['picture']}:")]
        pixels = sweep.landscapes[(sweep.landscapes["arm"] == row["arm"]) & (sweep.landscapes["seed"] == 1)]
        for images, said in (("train", "training"), ("test", "test")):
            black = pixels.loc[pixels["black"], f"{images}_accuracy"].astype(float).mean()
            assert row[f"{said} accuracy, black"] == pytest.approx(black)
    assert all(name in figure.caption for name in PICTURES)


def test_every_row_shows_its_picture_then_training_before_test_on_shared_scales(sweeps: list[Sweep]) -> None:
    (chapter,) = chapters(sweeps)
    with print_style():
        drawing = chapter.figures[0].draw()
    panels = [axes for axes in drawing.axes if axes.images]
    assert len(panels) == 5 * 2 * len(PICTURES)
    for number, name in enumerate(sorted(PICTURES)):
        for arm in range(2):
            row = panels[5 * (2 * number + arm) :][:5]
            assert np.asarray(row[0].images[0].get_array(), bool).tolist() == PICTURES[name].tolist()
            limits = [axes.images[0].get_clim() for axes in row]
            assert limits[1] == limits[2]
            assert limits[3] == limits[4]
            assert limits[1] == panels[1].images[0].get_clim()


def test_random_masks_have_no_gallery_and_pictures_no_capacity(sweeps: list[Sweep]) -> None:
    assert chapters([one for one in sweeps if not one.protocol.mask.picture]) == []
    assert capacity_chapters(sweeps) == []


def test_pictures_of_one_name_stay_apart_by_size_and_by_what_they_show(tmp_path: Path) -> None:
    masks = {"small": np.eye(5, dtype=bool), "large": np.eye(7, dtype=bool), "other": np.eye(7, dtype=bool)[::-1]}
    for folder, mask in masks.items():
        probs = [black_share(mask)]
        write_sweep(tmp_path / folder, probs=probs, protocol=with_picture(SMALL, "heart", mask))
    (chapter,) = chapters(read_sweeps(tmp_path)[0])
    frame = chapter.tables[0].frame
    assert frame["picture"].nunique() == len(masks)
    assert len(frame) == 2 * len(masks)
    assert frame["picture"].str.startswith("heart ").all()
    with print_style():
        drawing = chapter.figures[0].draw()
    panels = [axes for axes in drawing.axes if axes.images][::5]
    shown = [np.asarray(axes.images[0].get_array(), bool).tolist() for axes in panels]
    assert all(shown.count(mask.tolist()) == 2 for mask in masks.values())
