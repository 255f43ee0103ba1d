"""What is wrong with a user's own images: one sentence that says which file it is, and nothing is computed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from bnbench.inputs.data import DataError
from bnbench.inputs.npz_files import read_npz
from bnbench.inputs.own_images import read_own_images
from tests.cli.test_cli import assert_refused, bnbench
from tests.idx import write_idx
from tests.inputs.test_own_images import LABELS, PIXELS, RUN, npz, write_images

Write = Callable[[Path], object]


def folders(**counts: int) -> Write:
    return lambda folder: [write_images(folder, (name,), count) for name, count in counts.items()]


def then(change: Callable[[Path], object]) -> Write:
    return lambda folder: change(write_images(folder))


def arrays(**given: Any) -> Write:
    return lambda folder: npz(folder / "set.npz", **given)


def content(text: bytes) -> Write:
    return lambda folder: (folder / "set.npz").write_bytes(text)


def cut_idx(folder: Path) -> None:
    path = folder / "train-images-idx3-ubyte.gz"
    path.write_bytes(path.read_bytes()[:-20])


def flat(grey: int) -> Image.Image:
    return Image.new("L", (6, 8), grey)


def two_sets(train: tuple[str, ...], test: tuple[str, ...]) -> Write:
    return lambda folder: (write_images(folder / "train", train), write_images(folder / "test", test))


REFUSED: list[tuple[str, Write, str]] = [
    ("empty", lambda folder: None, "holds nothing, and no images"),
    ("other", lambda folder: (folder / "table.csv").touch(), "holds table.csv, and no images"),
    ("one class", folders(cat=3), "has one class, cat"),
    ("a class without images", then(lambda folder: (folder / "emu").mkdir()), "emu holds no image"),
    ("one image of a class", folders(cat=3, dog=1), "class 1 has one image"),
    ("test class", two_sets(("a", "b"), ("a", "c")), "test has the class c, which"),
    ("no test class", two_sets(("a", "b"), ()), "no folder of"),
    (
        "mixed sizes",
        then(lambda folder: Image.new("L", (9, 9)).save(folder / "dog" / "big.png")),
        "big.png has 9×9",
    ),
    ("broken", then(lambda folder: (folder / "dog" / "bad.png").write_bytes(b"no")), "dog/bad.png cannot be read"),
    ("empty image", then(lambda folder: (folder / "dog" / "bad.png").touch()), "dog/bad.png cannot be read"),
    (
        "cut",
        then(lambda folder: (folder / "cat" / "001.png").write_bytes((folder / "cat" / "000.png").read_bytes()[:60])),
        "cat/001.png cannot be read",
    ),
    (
        "drawing",
        then(lambda folder: Image.new("L", (6, 8)).save(folder / "dog" / "x.png", "EPS")),
        "x.png cannot be read",
    ),
    (
        "animated",
        then(lambda folder: flat(0).save(folder / "dog" / "x.gif", save_all=True, append_images=[flat(200)])),
        "x.gif cannot be read",
    ),
    (
        "pages",
        then(lambda folder: flat(0).save(folder / "dog" / "x.tif", save_all=True, append_images=[flat(200)])),
        "x.tif cannot be read",
    ),
    (
        "fractions",
        then(lambda folder: flat(1).convert("F").save(folder / "dog" / "x.tif")),
        "x.tif cannot be read",
    ),
    ("dead link", then(lambda folder: (folder / "dog" / "x.png").symlink_to("/no")), "x.png cannot be read (a link"),
    ("no file", lambda folder: folder.rmdir(), "no such folder or file"),
    ("idx part", lambda folder: (write_idx(folder) / "train-images-idx3-ubyte").unlink(), "has no train-images"),
    ("idx cut", lambda folder: cut_idx(write_idx(folder, packed=True)), "train-images-idx3-ubyte.gz is damaged"),
    ("no zip", content(b"garbage"), "set.npz is no .npz file of plain arrays"),
    ("empty npz", content(b""), "set.npz is no .npz file of plain arrays"),
    ("no arrays", arrays(), "has no arrays images and labels"),
    ("odd names", arrays(pictures=PIXELS, classes=LABELS), "but pictures, classes"),
    ("no labels", arrays(images=PIXELS), "has no arrays images and labels"),
    ("only test", arrays(x_test=PIXELS, y_test=LABELS), "has no arrays images and labels"),
    ("pickled", arrays(images=PIXELS, labels=np.array([{}] * 20, object)), "it holds pickled objects"),
    ("pickled images", arrays(images=np.array([PIXELS[0], None], object), labels=LABELS[:2]), "holds pickled objects"),
    ("text", arrays(images=PIXELS, labels=np.array(["cat"] * 20)), "labels is <U3"),
    ("one-hot", arrays(images=PIXELS, labels=np.eye(20)), "give a whole number for each image"),
    ("fewer labels", arrays(images=PIXELS, labels=LABELS[1:]), "has 20 images and labels 19 labels"),
    ("none", arrays(images=PIXELS[:0], labels=LABELS[:0]), "images has shape (0, 3, 8, 6)"),
    ("flat", arrays(images=PIXELS.reshape(20, -1), labels=LABELS), "images has shape (20, 144)"),
    ("five channels", arrays(images=np.zeros((20, 5, 8, 6)), labels=LABELS), "has shape (20, 5, 8, 6)"),
    ("too light", arrays(images=PIXELS.astype(int) + 1, labels=LABELS), "images is int64 from 1 to 256"),
    ("standardized", arrays(images=PIXELS / 100 - 1, labels=LABELS), "images is float64 from -1"),
    ("infinite", arrays(images=np.where(PIXELS > 9, np.inf, 0.0), labels=LABELS), "images is float64 from"),
    ("complex", arrays(images=PIXELS * 1j, labels=LABELS), "images is complex128"),
    ("negative label", arrays(images=PIXELS, labels=LABELS - 1), "the label -1 is none"),
    ("huge label", arrays(images=PIXELS, labels=LABELS * 10**9), "the label 1000000000 is none"),
    ("from one", arrays(images=PIXELS, labels=LABELS + 1), "no training image has the label 0"),
    ("all alike", arrays(images=PIXELS, labels=LABELS * 0), "every training image has the label 0"),
    (
        "unknown label",
        arrays(x_train=PIXELS, y_train=LABELS, x_test=PIXELS, y_test=LABELS * 2),
        "a test image has the label 2",
    ),
    (
        "other colours",
        arrays(x_train=PIXELS, y_train=LABELS, x_test=PIXELS[:, 0], y_test=LABELS),
        "test images are 8×6, and its training images 8×6 in colour",
    ),
]


@pytest.mark.parametrize(("write", "words"), [row[1:] for row in REFUSED], ids=[row[0] for row in REFUSED])
def test_what_is_wrong_with_own_images_is_one_sentence(write: Write, words: str, tmp_path: Path) -> None:
    folder = tmp_path / "mine"
    folder.mkdir()
    write(folder)
    given = str(path if (path := folder / "set.npz").exists() else folder)
    for command in (RUN, ("bend", "--text", "I", "--size", "8")):
        refused = bnbench(*command, "--data", given, cwd=tmp_path)
        (sentence,) = [line for line in refused.stderr.splitlines() if not line.startswith("loading torch")]
        assert refused.returncode == 2
        assert words in sentence
        assert sentence.endswith(".")
    assert [*tmp_path.iterdir()] == [folder] * folder.exists()


def test_images_that_would_not_fit_into_memory_are_refused_by_their_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = write_images(tmp_path / "folder")
    monkeypatch.setattr("bnbench.inputs.image_folders.MOST", 20 * 3 * 8 * 6)  # as if all were in colour
    read_own_images(folder)
    monkeypatch.setattr("bnbench.inputs.image_folders.MOST", 20 * 3 * 8 * 6 - 1)
    with pytest.raises(DataError, match="20 images of 8×6 pixels"):
        read_own_images(folder)
    with monkeypatch.context() as patched:
        patched.setattr("bnbench.inputs.own_images.MOST", 40 * 8 * 8 - 1)
        with pytest.raises(DataError, match="2,560 numbers"):
            read_own_images(write_idx(tmp_path / "idx"))
    path = npz(tmp_path / "set.npz", images=PIXELS, labels=LABELS)
    with monkeypatch.context() as patched:
        patched.setattr("bnbench.inputs.npz_files.MOST", PIXELS.size - 1)
        with pytest.raises(DataError, match=f"images has {len(PIXELS)} images"):
            read_npz(path)
    monkeypatch.setattr("bnbench.inputs.npz_files._LARGEST", PIXELS.nbytes)
    with pytest.raises(DataError, match="unpacked"):
        read_npz(path)


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (("--data", "nowhere"), ("--data nowhere", "fashion-mnist")),
        (("--data", ""), ("--data",)),
        (("--data", "digits", "--dataset", "mnist"), ("--data digits", "--dataset")),
        (("--data", "a", "--data-folder", "b"), ("--data a", "--data-folder")),
        (("--dataset", "own"), ("--data-folder",)),
        (("--data", "a"), ("a holds nothing",)),
        (("--data", "digits", "--grey"), ("--grey", "digits")),
    ],
)
def test_a_data_option_that_cannot_be_met_exits_2(
    arguments: tuple[str, ...], named: tuple[str, ...], tmp_path: Path
) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    assert_refused(bnbench(*RUN, *arguments, cwd=tmp_path), *named)
