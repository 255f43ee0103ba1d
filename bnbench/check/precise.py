"""Fits in float64, for numbers that no training has amplified a rounding of: what exact checks are made of."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

from bnbench.check.baseline import Value
from bnbench.inputs.data import DataSet, Images, load_data
from bnbench.inputs.masks import Mask
from bnbench.mpo.fit import Fit
from bnbench.mpo.plane import Plane
from bnbench.protocol.protocol import FitKey, Protocol
from bnbench.sweep.measure import measure_fit
from bnbench.sweep.start import draw_masks, make_plane, start_fit

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
    return start_fit(key, protocol, plane, draw_masks(key, protocol), data.train)


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
    rows: list[dict[Any, Any]] = summary.to_dict("records")
    found: dict[str, Value] = {}
    for row in rows:
        is_headline = row["headline"] and row["split"] != "train"
        if is_headline and row["pixels"] == "all":
            found |= {"measured black accuracy": row["black"], "measured white accuracy": row["white"]}
            found |= {"measured black loss": row["black_loss"], "measured white loss": row["white_loss"]}
        elif is_headline:
            found["measured white loss, trained pixels"] = row["white_loss"]
        elif row["pixels"] == "all":
            what = "training images" if row["headline"] else row["policy"]
            found[f"measured black loss, {what}"] = row["black_loss"]
    return found


def digest(masks: Sequence[Mask]) -> str:
    """Return sixteen hexadecimal digits over masks."""
    return hashlib.sha256(b"".join(mask.tobytes() for mask in masks)).hexdigest()[:16]
