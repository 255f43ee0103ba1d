"""Draw the pictures of the page "MPO in pictures" with bnbench's own code: python docs/pictures.py [FOLDER].

Scikit-learn's digits and the `smoke` profile's network and rates: one mask, one fit of each arm. The pictures are kept
in docs/figures, so that the site builds without computing.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap, LogNorm
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, NullLocator, StrMethodFormatter

import bnbench
from bnbench.arms.networks import arm_factory
from bnbench.inputs.masks import Mask
from bnbench.mpo.fit import Fit
from bnbench.mpo.plane import grid_coordinates
from bnbench.report.figures.style import DOUBLE, INK, arm_colours, arm_markers, new_drawing, print_style, save

FIGURES = Path(__file__).parent / "figures"
SMOKE = bnbench.PROFILES["smoke"]
SIZE = (7, 7)
STEPS = (0, 10, 20, 40, 80, 160, 320, 600)  # at which the fits are looked at on their way
SHOWN = (0, 20, 80, 600)  # of these, as landscapes
LOSSES = LogNorm(0.5, 12.0)
TICKS = (0.5, 1, 2.5, 6, 12)  # of a loss; the third is the threshold
THRESHOLD = SMOKE.training.threshold
GREY = "#6b7078"


@dataclass(frozen=True)
class Bent:
    """A plane on its way: the landscape after some steps, and what black and white pixels are worth there."""

    steps: int
    loss: np.ndarray  # (rows, columns), nats, test images
    black: float
    white: float

    @property
    def difference(self) -> float:
        return self.black - self.white


def bend(arm: str, mask: Mask, steps: tuple[int, ...] = STEPS) -> list[Bent]:
    """Fit a plane to a mask and measure it after each of some numbers of steps, on the way of one fit."""
    data = bnbench.load_data(SMOKE.data, SMOKE.measurement)
    factory = arm_factory(arm, data.image_shape, data.classes, SMOKE.network)
    plane = bnbench.Plane.from_factory(factory, torch.Generator().manual_seed(1))
    training = SMOKE.with_knobs(steps=max(steps)).training
    under_way = Fit(plane, torch.from_numpy(mask), torch.from_numpy(bnbench.is_trained(mask)), data.train, training)
    found = []
    while True:
        if under_way.step in steps:
            landscape = bnbench.measure_landscape(plane, mask.shape, data.measured)
            accuracy = landscape.accuracy.numpy()
            found.append(Bent(under_way.step, landscape.loss.numpy(), accuracy[mask].mean(), accuracy[~mask].mean()))
        if under_way.is_done:
            return found
        under_way.advance()


def draw_plane(mask: Mask, fitted: list[Bent]) -> Figure:
    """The mask, the plane that its pixels lie on, and the landscape that the plane was bent to."""
    figure = new_drawing(DOUBLE, DOUBLE / 3 + 0.1)
    left, middle, right = figure.subplots(1, 3)
    left.imshow(mask, cmap=ListedColormap(["white", "black"]))
    left.set_title("the picture: a mask")
    alpha, beta = grid_coordinates(mask.shape).T.numpy()
    black = mask.ravel()
    middle.scatter(alpha[black], beta[black], s=22, color=INK, zorder=2)
    middle.scatter(alpha[~black], beta[~black], s=22, facecolor="white", edgecolor=INK, linewidth=0.7, zorder=2)
    for end, name, offset in (((1, 0), "right", (1.5, -0.45)), ((0, 1), "up", (-0.55, 1.5))):
        style = {"arrowstyle": "-|>", "color": arm_colours(["bn"])["bn"], "linewidth": 1.6, "shrinkA": 0, "shrinkB": 0}
        middle.annotate("", end, (0, 0), arrowprops=style, zorder=3)
        middle.annotate(name, offset, color=arm_colours(["bn"])["bn"], ha="center", va="center", weight="bold")
    middle.set_title("a point of the plane is a network")
    middle.set_xlabel("α")
    middle.set_ylabel("β")
    middle.set_aspect("equal")
    show_losses(right, fitted[-1])
    right.set_title("the landscape bent to it")
    add_bar(figure, [right])
    for axes in (left, right):
        frame_picture(axes)
    return figure


def draw_bending(fitted: list[Bent]) -> Figure:
    """The landscape after some numbers of steps, on one scale."""
    shown = [one for one in fitted if one.steps in SHOWN]
    figure = new_drawing(DOUBLE, DOUBLE / len(shown) + 0.25)
    panels = figure.subplots(1, len(shown))
    for axes, one in zip(panels, shown, strict=True):
        show_losses(axes, one)
        axes.set_title(f"{one.steps} steps" if one.steps else "before training")
        axes.set_xlabel(f"black {one.black:.2f}, white {one.white:.2f}\ndifference {one.difference:.2f}")
        frame_picture(axes)
    add_bar(figure, list(panels))
    return figure


def draw_objective(mask: Mask, fitted: list[Bent]) -> Figure:
    """What a pixel adds to eq. 3, and where the pixels' losses go in training."""
    figure = new_drawing(DOUBLE, DOUBLE / 3)
    left, right = figure.subplots(1, 2, width_ratios=(1, 1.35))
    losses = np.linspace(0, 5, 101)
    left.plot(losses, losses, color=INK, label="black pixel")
    left.plot(losses, -np.minimum(losses, THRESHOLD), color=INK, linestyle=":", label="white pixel")
    left.axvline(THRESHOLD, color=GREY, linewidth=0.6)
    left.text(THRESHOLD + 0.1, -1.2, f"threshold {THRESHOLD:g}", color=GREY, va="center")
    left.set_xlabel("a pixel's loss, nats")
    left.set_ylabel("what it adds to the objective")
    left.legend(loc="upper left")
    offsets = np.random.default_rng(1).uniform(-0.16, 0.16, mask.size).reshape(mask.shape)
    for place, one in enumerate(fitted):
        for colour, shift, face in ((mask, -0.19, INK), (~mask, 0.19, "white")):
            right.scatter(
                place + shift + 0.7 * offsets[colour],
                one.loss[colour],
                s=6,
                facecolor=face,
                edgecolor=INK,
                linewidth=0.4,
                label=("black pixels" if face == INK else "white pixels") if place == 0 else None,
            )
    right.axhline(THRESHOLD, color=GREY, linewidth=0.6)
    right.set_yscale("log")
    right.yaxis.set_major_locator(FixedLocator(TICKS))
    right.yaxis.set_minor_locator(NullLocator())
    right.yaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    right.set_xticks(range(len(fitted)), [str(one.steps) for one in fitted])
    right.set_xlabel("training steps")
    right.set_ylabel("test loss, nats")
    right.legend(loc="lower left")
    return figure


def draw_difference(fitted: dict[str, list[Bent]]) -> Figure:
    """The difference of both arms against steps, and the two accuracies that it is made of."""
    figure = new_drawing(DOUBLE, DOUBLE / 3)
    left, right = figure.subplots(1, 2)
    colours, markers = arm_colours(fitted), arm_markers(fitted)
    for arm, bents in fitted.items():
        steps = [one.steps for one in bents]
        look = {"color": colours[arm], "marker": markers[arm]}
        left.plot(steps, [one.difference for one in bents], label=arm, **look)
        right.plot(steps, [one.black for one in bents], label=f"{arm}, black pixels", **look)
        right.plot(steps, [one.white for one in bents], linestyle=":", label=f"{arm}, white pixels", **look)
    left.set_ylabel("difference: black − white accuracy")
    right.set_ylabel("mean test accuracy")
    for axes in (left, right):
        axes.set_xscale("symlog", base=2, linthresh=10)
        axes.set_xticks(STEPS, [str(step) for step in STEPS])
        axes.xaxis.set_minor_locator(NullLocator())
        axes.set_xlabel("training steps")
        axes.legend(loc="best")
    return figure


def draw_trained() -> Figure:
    """A picture as a mask, and which of its pixels a fit is trained on."""
    from sklearn.datasets import load_digits

    grey = 1 - load_digits().images[13] / 16  # a written three
    mask = bnbench.picture_to_mask(np.pad(np.kron(grey, np.ones((3, 3))), 2, constant_values=1.0))
    figure = new_drawing(DOUBLE * 0.6, DOUBLE * 0.3)
    left, right = figure.subplots(1, 2)
    colours = np.where(mask, 0.0, 1.0)
    left.imshow(colours, cmap="gray")
    left.set_title("a picture as a mask")
    trained = bnbench.is_trained(mask)
    right.imshow(np.where(trained, colours, 0.45 + 0.4 * colours), cmap="gray", vmin=0, vmax=1)
    right.set_title(f"trained: {trained.sum()} of {trained.size} pixels")
    for axes in (left, right):
        frame_picture(axes)
    return figure


def show_losses(axes: Axes, one: Bent) -> None:
    axes.imshow(one.loss, cmap="gray", norm=LOSSES)


def add_bar(figure: Figure, panels: list[Axes]) -> None:
    """The scale of the losses that some panels show."""
    bar = figure.colorbar(panels[-1].images[0], ax=panels, shrink=0.8, ticks=TICKS, format=StrMethodFormatter("{x:g}"))
    bar.ax.yaxis.set_minor_locator(NullLocator())
    bar.set_label("test loss, nats")


def frame_picture(axes: Axes) -> None:
    """A thin frame on every side, and no ticks."""
    axes.set_xticks([])
    axes.set_yticks([])
    axes.spines[:].set_visible(True)


def main(folder: Path) -> None:
    mask = bnbench.draw_mask(0.5, seed=1, shape=SIZE)
    fitted = {arm: bend(arm, mask) for arm in ("plain", "bn")}
    pictures: dict[str, Callable[[], Figure]] = {
        "plane": lambda: draw_plane(mask, fitted["plain"]),
        "bending": lambda: draw_bending(fitted["plain"]),
        "objective": lambda: draw_objective(mask, fitted["plain"]),
        "difference": lambda: draw_difference(fitted),
        "trained": draw_trained,
    }
    for name, draw in pictures.items():
        with print_style():
            save(draw(), folder, name, ("svg",))
    for arm, bents in fitted.items():
        for one in bents:
            print(f"{arm} {one.steps:>4} steps: difference {one.difference:.3f} ({one.black:.3f}/{one.white:.3f})")


if __name__ == "__main__":
    torch.set_num_threads(1)
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else FIGURES)
