"""Five pictures of bnbench's own, and how far a profile for pictures bends to each.

    python benchmarks/own_pictures.py --side 20 --knob steps=1500
    python benchmarks/own_pictures.py --side 20 --table benchmarks/own_pictures.csv    # what benchmarks/README.md shows
    python benchmarks/own_pictures.py --save pictures    # writes them as PNGs, for bnbench bend

What is measured is measured on held-out training images, with the arm ``plain`` alone: nothing here looks at the
difference between arms, or at the test images.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import click
import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from PIL import Image

from bnbench.inputs.data import load_data_of
from bnbench.inputs.lettering import draw_text
from bnbench.inputs.masks import Mask, is_trained
from bnbench.protocol.profiles import PROFILES
from bnbench.protocol.protocol import FitKey, Protocol
from bnbench.sweep.measure import headline_policy, measured_landscape, summary_rows
from bnbench.sweep.start import make_fit, make_plane

Grid = NDArray[np.float64]


def _axes(side: int) -> tuple[Grid, Grid]:
    """Positions of the pixels, from −1 to 1 to the right and upwards, each of shape (side, side)."""
    line = (np.arange(side) + 0.5) / side * 2 - 1
    across, up = np.meshgrid(line, -line)
    return across, up


def heart(side: int) -> Mask:
    across, up = _axes(side)
    x, y = 1.25 * across, 1.25 * up + 0.1
    mask: Mask = (x**2 + y**2 - 1) ** 3 < x**2 * y**3
    return mask


def letter(side: int) -> Mask:
    """A B, whose two holes the landscape has to leave open."""
    drawn = draw_text("B", side)
    mask = np.zeros((side, side), np.bool_)
    top, left = (side - drawn.shape[0]) // 2, (side - drawn.shape[1]) // 2
    mask[top : top + drawn.shape[0], left : left + drawn.shape[1]] = drawn
    return mask


def checkerboard(side: int) -> Mask:
    """Five fields by five."""
    field = np.arange(side) * 5 // side
    mask: Mask = (field[:, None] + field) % 2 == 0
    return mask


def spiral(side: int) -> Mask:
    """A line two pixels wide or less, in two and a half turns."""
    across, up = _axes(side)
    radius, angle = np.hypot(across, up), np.arctan2(up, across)
    mask: Mask = ((radius * 2.5 - angle / (2 * np.pi)) % 1 < 0.42) & (radius < 0.95)
    return mask


def face(side: int) -> Mask:
    across, up = _axes(side)
    radius = np.hypot(across, up)
    eyes = np.hypot(np.abs(across) - 0.33, up - 0.25) < 0.15
    mouth = (np.abs(np.hypot(across, up + 0.02) - 0.5) < 0.12) & (up < -0.2)
    mask: Mask = (np.abs(radius - 0.85) < 0.12) | eyes | mouth
    return mask


PICTURES: dict[str, Callable[[int], Mask]] = {
    drawn.__name__: drawn for drawn in (heart, letter, checkerboard, spiral, face)
}


def bend(mask: Mask, protocol: Protocol, seed: int = 101) -> dict[str, float]:
    """Fit ``plain`` to a picture, and measure it on the protocol's images.

    Returns:
        Mean accuracy over all ``black`` and all ``white`` pixels; over the trained ones the objective ``J`` and the
        share of pixels that are ``right``; and the processor ``seconds`` of training.
    """
    protocol = protocol.with_knobs(mask_size=mask.shape)
    data = load_data_of(protocol)
    key = FitKey("plain", 0.5, seed)
    plane = make_plane(key, protocol, data, "cpu")
    trained = is_trained(mask)
    fit = make_fit(key, protocol, plane, (mask, trained), data.train)
    start = time.process_time()
    while not fit.is_done:
        fit.advance()
    seconds = time.process_time() - start
    policy = headline_policy(plane, protocol)
    found = measured_landscape(plane, data.measured, policy, data, protocol)
    split, threshold = protocol.measurement.split, protocol.training.threshold
    rows: dict[str, dict[str, Any]] = {
        str(row["pixels"]): row
        for row in summary_rows(found, mask, trained, policy=policy, split=split, threshold=threshold)
    }
    return {
        "black": float(rows["all"]["black"]),
        "white": float(rows["all"]["white"]),
        "J": float(rows["trained"]["objective"]),
        "right": float(rows["trained"]["right"]),
        "seconds": seconds,
    }


@click.command()
@click.option("--side", default=24, show_default=True, help="Rows and columns of each picture.")
@click.option("--profile", type=click.Choice(list(PROFILES)), default="picture", show_default=True)
@click.option("--pictures", default=",".join(PICTURES), show_default=True)
@click.option("--knob", "knobs", multiple=True, metavar="NAME=VALUE", help="A knob to change; as often as is wanted.")
@click.option("--table", type=click.Path(path_type=Path), help="Write what was measured into this file, as CSV, too.")
@click.option("--save", type=click.Path(path_type=Path), help="Only write the pictures, as PNGs, into this folder.")
def main(side: int, profile: str, pictures: str, knobs: Sequence[str], table: Path | None, save: Path | None) -> None:
    """Bend the landscape to each picture, and print how far it goes."""
    if save:
        save.mkdir(parents=True, exist_ok=True)
        for name, draw in PICTURES.items():
            Image.fromarray(np.where(draw(side), 0, 255).astype(np.uint8)).save(save / f"{name}.png")
        return
    torch.set_num_threads(1)
    changed = {name: _value(text) for name, text in (knob.split("=") for knob in knobs)}
    protocol = PROFILES[profile].with_knobs(**changed)
    protocol = replace(protocol, measurement=replace(protocol.measurement, split="held-out", test_images=0))
    rows: list[dict[str, object]] = []
    print("picture | black | white | J | right | seconds of training")
    for name in pictures.split(","):
        found = bend(PICTURES[name](side), protocol)
        print(" | ".join([name, *(f"{value:.3f}" for value in found.values())]), flush=True)
        rounded = {quantity: round(value, 4) for quantity, value in found.items() if quantity != "seconds"}
        rows.append({"picture": name, "side": side, "profile": profile, **rounded, "seconds": round(found["seconds"])})
        if table:
            pd.DataFrame(rows).to_csv(table, index=False)


def _value(text: str) -> int | float | str | tuple[int, ...]:
    if "," in text:
        return tuple(map(int, text.split(",")))
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text


if __name__ == "__main__":
    main()
