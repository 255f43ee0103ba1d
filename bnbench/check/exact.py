"""The exact half of ``bnbench check``: what is meant to come out alike on every machine, up to float64's rounding.

Nothing here is trained further than three steps, which is too short for training to amplify a rounding. Within them
everything that decides a number is passed once: masks, plane, both colours, clamping, clipping, Adam, measuring.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from statistics import fmean
from typing import Any

import numpy as np
import torch

from bnbench.check.baseline import DONE, FIRST_STEPS, Value
from bnbench.check.other_settings import other_quantities
from bnbench.check.precise import STEPS, digest, first_steps, measured, precise_data, precise_fit, precise_plane
from bnbench.errors import RequestError
from bnbench.inputs.data import DataSet
from bnbench.mpo.landscape import measure_landscape
from bnbench.mpo.plane import Plane
from bnbench.mpo.trace import DivergedError, TraceRow
from bnbench.protocol.protocol import FitKey, Grid, Protocol, is_own_arm
from bnbench.sweep.measure import measure_fit
from bnbench.sweep.start import draw_masks

_IMAGES = 32  # images that whole landscapes are measured on
_FEW_PIXELS = np.indices((3, 3)).sum(0) % 2 == 0  # a chequered mask, for landscapes over all images


def exact_quantities(protocol: Protocol, grid: Grid) -> dict[str, Value]:
    """Compute masks, geometry, first steps and landscapes of a grid's fits, and of the settings they lack, in float64.

    All arms share one process and one order, so that whatever one leaves behind shows in the next.

    Args:
        protocol: of the fits.
        grid: their arms, fill probabilities and seeds. Masks and first steps are those of all of them; what
            follows the first step, and landscapes, those of the first p and seed.

    Returns:
        Name, such as ``bn: gradient, step 1``, to value; of an arm that fails only how, as ``first steps``.
    """
    data = precise_data(protocol)
    found: dict[str, Value] = {}
    for arm in grid.arms:
        keys = [key for key in grid.fits() if key.arm == arm]
        masks, trained = zip(*(draw_masks(key, protocol) for key in keys), strict=True)
        own: dict[str, Value] = {"masks": digest(masks), "trained pixels": digest(trained)}
        try:
            own |= {FIRST_STEPS: DONE} | _first_fit(keys[0], protocol, data) | _every_fit(keys, protocol, data)
        except (RequestError, OSError):
            raise
        except Exception as error:
            if not is_own_arm(arm) and not isinstance(error, DivergedError):
                raise
            own[FIRST_STEPS] = f"failed, {type(error).__name__}: {error}"  # a user's own network may raise anything
        found |= {f"{arm}: {name}": value for name, value in own.items()}
    return found | other_quantities()


def _first_fit(key: FitKey, protocol: Protocol, data: DataSet) -> dict[str, Value]:
    """Follow one fit from its fresh plane through its first steps to its table."""
    plane = precise_plane(key, protocol, data)
    found = _geometry(plane) | _at_the_start(plane, protocol, data)
    short = replace(protocol, training=replace(protocol.training, steps=STEPS))
    under_way = precise_fit(key, short, plane, data)
    found |= first_steps(under_way)
    few = replace(data, measured=data.measured.first(_IMAGES), train_sample=data.train_sample.first(_IMAGES))
    found |= measured(plane, key, draw_masks(key, protocol), few, protocol) | _all_images(plane, key, protocol, data)
    return found | _clamped_and_clipped(key, short, data, clip=under_way.rows[0].gradient_norm / 10)


def _geometry(plane: Plane) -> dict[str, Value]:
    frame = plane.frame().detach()
    right, up = frame[1], frame[2]
    return {
        "parameters": frame.shape[1],
        "cosine of the directions": round(float(right @ up / (right.norm() * up.norm())), 12) + 0.0,
        "ratio of their lengths": float(right.norm() / up.norm()),
        "length of a direction": float(up.norm()),
    }


def _at_the_start(plane: Plane, protocol: Protocol, data: DataSet) -> dict[str, Value]:
    found = measure_landscape(
        plane,
        protocol.mask.mask_size,
        data.measured.first(_IMAGES),
        bn_statistics=protocol.measurement.bn_statistics,
        reference=data.train,
        origin=protocol.mask.origin,
    )
    return {
        "loss at the start": float(found.loss.mean()),
        "loss at the start, upper left": float(found.loss[0, 0]),
    }


def _all_images(plane: Plane, key: FitKey, protocol: Protocol, data: DataSet) -> dict[str, Value]:
    """Measure few pixels on every image that a fit is measured on: batches of 16 and of 512 are told apart."""
    small = replace(protocol, mask=replace(protocol.mask, mask_size=_FEW_PIXELS.shape))
    _, summary = measure_fit(plane, key, _FEW_PIXELS, _FEW_PIXELS | True, data, small)
    found: dict[str, Value] = {"images measured": len(data.measured), "training images": len(data.train)}
    found["training images measured"] = len(data.train_sample)
    rows: list[dict[Any, Any]] = summary[summary["pixels"] == "all"].to_dict("records")
    for row in rows:
        found[f"black loss on all {row['split']} images, policy {row['policy']}"] = row["black_loss"]
    return found


def _clamped_and_clipped(key: FitKey, protocol: Protocol, data: DataSet, clip: float) -> dict[str, Value]:
    """Take first steps with about half of the white pixels past the threshold and every gradient clipped."""
    plane = precise_plane(key, protocol, data)
    mask, trained = (torch.from_numpy(mask) for mask in draw_masks(key, protocol))
    seen = measure_landscape(
        plane,
        protocol.mask.mask_size,
        data.train.first(_IMAGES),
        bn_statistics=f"batch:{protocol.training.images}",
        origin=protocol.mask.origin,
    )
    middle = float(seen.loss[~mask & trained].median())
    hard = replace(protocol, training=replace(protocol.training, threshold=middle, clip=clip))
    under_way = precise_fit(key, hard, plane, data)
    while not under_way.is_done:
        under_way.clamped_share = 1.0  # as after many steps: clamped pixels are found before the others are computed
        under_way.advance()
    first, last = under_way.rows[0], under_way.rows[-1]
    return {
        "gradient, step 1, half of white clamped": first.gradient_norm,
        "share of white clamped": first.clamped,
        f"black loss, step {STEPS}, clipped": last.black_loss,
        f"gradient, step {STEPS}, clipped": last.gradient_norm,
        "steps clipped": sum(row.gradient_norm > clip for row in under_way.rows),
    }


def _every_fit(keys: Sequence[FitKey], protocol: Protocol, data: DataSet) -> dict[str, Value]:
    """Take the first step of all fits: each p and seed has its own weights, pixels and images."""
    one_step = replace(protocol, training=replace(protocol.training, steps=1))
    rows: list[TraceRow] = []
    for key in keys:
        under_way = precise_fit(key, one_step, precise_plane(key, protocol, data), data)
        under_way.advance()
        rows += under_way.rows
    return {
        "black loss, step 1, mean of all fits": fmean(row.black_loss for row in rows),
        "white loss, step 1, mean of all fits": fmean(row.white_loss for row in rows),
        "gradient, step 1, mean of all fits": fmean(row.gradient_norm for row in rows),
    }
