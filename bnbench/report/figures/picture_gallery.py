"""Pictures and the landscapes bent to them, as figures 1 and 5 of the paper: on training and on test images."""

from __future__ import annotations

from functools import partial

import pandas as pd
from matplotlib.colors import ListedColormap, Normalize
from matplotlib.figure import Figure as Drawing

from bnbench.report.arms import arm_labels, arm_order
from bnbench.report.figures.figure import Figure
from bnbench.report.figures.figure3 import picture_of, show_pixels
from bnbench.report.figures.scales import Colours, accuracy_scale, colour_bar, loss_bar, loss_scale
from bnbench.report.figures.style import DOUBLE, new_drawing
from bnbench.report.tables import Table
from bnbench.wording import counted

_COLUMNS = ("train_loss", "test_loss", "train_accuracy", "test_accuracy")
_SCALES = 0.55  # inches for the two scales below
_HEAD = 0.25


def picture_gallery(name: str, pixels: pd.DataFrame, threshold: float, split: str) -> Figure:
    """Show every picture and arm in a row: the picture, then its landscape's loss and accuracy, training before test.

    Args:
        name: of its files.
        pixels: a row per pixel of one fit for each picture and arm: ``picture, arm, seed, row, column, black`` and
            loss and accuracy on training and on test images.
        threshold: cross-entropy that white pixels are pushed to; marked on the scale.
        split: the images that were measured on, for the labels.
    """
    table = _accuracies(name, pixels, split)
    return Figure(name, partial(_draw, pixels, threshold, split), _caption(table.frame, threshold, split), table)


def _draw(pixels: pd.DataFrame, threshold: float, split: str) -> Drawing:
    fits = _fits(pixels)
    losses = loss_scale(pd.concat([pixels["train_loss"], pixels["test_loss"]]), threshold)
    accuracies = accuracy_scale(pd.concat([pixels["train_accuracy"], pixels["test_accuracy"]]))
    width = (DOUBLE - 0.6) / 5
    tall = [max(0.4, _shape(fit)[0] / _shape(fit)[1]) for _, _, fit in fits]
    drawing = new_drawing(DOUBLE, sum(tall) * width + _SCALES + _HEAD + 0.05 * len(fits))
    axes = drawing.subplots(len(fits), 5, squeeze=False, height_ratios=tall)
    ink = Colours(ListedColormap(["white", "black"]), Normalize(0, 1))
    titles = ("picture", "training loss", f"{split} loss", "training accuracy", f"{split} accuracy")
    for title, place in zip(titles, axes[0], strict=True):
        place.set_title(title)
    labels = arm_labels(arm_order(pixels["arm"]))
    for (picture, arm, fit), row in zip(fits, axes, strict=True):
        show_pixels(row[0], picture_of(fit, "black").astype(float), ink)
        row[0].set_ylabel(f"{picture}\n{labels[arm]}")
        for value, place in zip(_COLUMNS, row[1:], strict=True):
            show_pixels(place, picture_of(fit, value), losses if "loss" in value else accuracies)
    loss_bar(drawing, axes[:, 1:3].ravel(), losses, threshold, f"training and {split}", below=True)
    colour_bar(drawing, axes[:, 3:].ravel(), accuracies, below=True).set_label(f"training and {split} accuracy")
    return drawing


def _fits(pixels: pd.DataFrame) -> list[tuple[str, str, pd.DataFrame]]:
    """Return picture, arm and pixels of each fit, pictures in the order of their names."""
    there = dict(iter(pixels.groupby(["picture", "arm"], sort=False)))
    arms = arm_order(pixels["arm"])
    names = sorted(pixels["picture"].unique())
    return [(name, arm, there[name, arm]) for name in names for arm in arms if (name, arm) in there]


def _shape(fit: pd.DataFrame) -> tuple[int, int]:
    return int(fit["row"].max()) + 1, int(fit["column"].max()) + 1


def _accuracies(name: str, pixels: pd.DataFrame, split: str) -> Table:
    rows: list[dict[str, object]] = []
    for picture, arm, fit in _fits(pixels):
        row: dict[str, object] = {"picture": picture, "arm": arm, "seed": int(fit["seed"].iloc[0])}
        for images, said in (("train", "training"), ("test", split)):
            for colour, black in (("black", True), ("white", False)):
                chosen = fit.loc[fit["black"] == black, f"{images}_accuracy"]
                row[f"{said} accuracy, {colour}"] = float(chosen.mean())
        rows.append(row)
    note = "Mean accuracy over the black and over the white pixels of the fit that the figure shows"
    return Table(name, "Pictures bent to", note, pd.DataFrame(rows))


def _caption(frame: pd.DataFrame, threshold: float, split: str) -> str:
    texts = [
        f"{row['picture']}, {row['arm']}: {row[f'{split} accuracy, black']:.2f} on black and "
        f"{row[f'{split} accuracy, white']:.2f} on white pixels"
        for row in frame.to_dict("records")
    ]
    return (
        f"Pictures and the landscapes bent to them, {counted(len(frame), 'fit')}, one for each picture and arm. "
        f"Loss is on one logarithmic scale, with the threshold {threshold:g} marked; arrows: the 1 % of pixels beyond "
        f"either end. Dark is low loss and high accuracy. Accuracy on {split} images: {'; '.join(texts)}."
    )
