"""Fits in float64, for numbers that no training has amplified a rounding of: what exact checks are made of."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

import pandas as pd

from bnbench.check.baseline import Value
from bnbench.inputs.data import DataSet, Images, load_data
from bnbench.inputs.masks import Mask
from bnbench.mpo.fit import Fit
from bnbench.mpo.plane import Plane
from bnbench.protocol.protocol import FitKey, Protocol
from bnbench.results.summary import TRAIN, headline_rows
from bnbench.sweep.measure import measure_fit
from bnbench.sweep.start import draw_masks, make_fit, make_plane

STEPS = 3  # from the second on, Adam's state counts


def precise_data(protocol: Protocol) -> DataSet:
    """Load a protocol's images in float64."""
    data = load_data(protocol.data, protocol.measurement)
    train, sample, measured = (
        Images(part.pixels.double(), part.labels) for part in (data.train, data.train_sample, data.measured)
    )
    return DataSet(train, sample, measured, data.classes)


def precise_plane(key: FitKey, protocol: Protocol, data: DataSet) -> Plane:
    """Make the plane that a fit starts from, in float64 on the CPU."""
    return make_plane(key, protocol, data, "cpu").double()


def precise_fit(key: FitKey, protocol: Protocol, plane: Plane, data: DataSet) -> Fit:
    """Make a fit of that plane before its first step."""
    return make_fit(key, protocol, plane, draw_masks(key, protocol), data.train)


def first_steps(under_way: Fit) -> dict[str, Value]:
    """Take ``STEPS`` steps: both colours' losses and the gradient of each."""
    found: dict[str, Value] = {}
    for step in range(1, STEPS + 1):
        under_way.advance()
        row = under_way.rows[-1]
        found |= {
            f"black loss, step {step}": row.black_loss,
            f"white loss, step {step}": row.white_loss,
            f"gradient, step {step}": row.gradient_norm,
        }
    return found


def measured(
    plane: Plane, key: FitKey, masks: tuple[Mask, Mask], data: DataSet, protocol: Protocol
) -> dict[str, Value]:
    """Measure what a fit's file would say: both colours, which pixels, which images, which BN statistics.

    Args:
        plane: in float64.
        key: which fit it is.
        masks: which pixels are black and which are trained, both of shape (rows, columns).
        data: the images, in float64.
        protocol: BN statistics and origin.
    """
    _, summary = measure_fit(plane, key, *masks, data, protocol)
    (headline,), (trained,) = (_records(headline_rows(summary, pixels)) for pixels in ("all", "trained"))
    found: dict[str, Value] = {
        **{f"measured {colour} accuracy": headline[colour] for colour in ("black", "white")},
        **{f"measured {colour} loss": headline[f"{colour}_loss"] for colour in ("black", "white")},
        "measured white loss, trained pixels": trained["white_loss"],
    }
    for row in _records(summary[summary["pixels"] == "all"]):
        if row["split"] == TRAIN or not row["headline"]:
            what = "training images" if row["split"] == TRAIN else row["policy"]
            found[f"measured black loss, {what}"] = row["black_loss"]
    return found


def _records(table: pd.DataFrame) -> list[dict[Any, Any]]:
    return table.to_dict("records")


def digest(masks: Sequence[Mask]) -> str:
    """Return sixteen hexadecimal digits over masks."""
    return hashlib.sha256(b"".join(mask.tobytes() for mask in masks)).hexdigest()[:16]
