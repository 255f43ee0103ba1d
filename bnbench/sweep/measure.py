"""A fitted plane measured as its protocol asks: the table of its pixels, and their means."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
import pandas as pd

from bnbench.bn_policy import NO_BN, BnPolicy
from bnbench.inputs.data import DataSet
from bnbench.inputs.masks import Mask
from bnbench.measures import registry
from bnbench.measures.measure import FittedPlane, Pixels
from bnbench.measures.registry import pixel_values
from bnbench.mpo.batch_norm import uses_bn
from bnbench.mpo.images import Images
from bnbench.mpo.landscape import Landscape, measure_landscape
from bnbench.mpo.plane import Plane
from bnbench.protocol.protocol import FitKey, Protocol
from bnbench.results.schemas import pixel_columns
from bnbench.results.summary import TRAIN


def measure_fit(
    plane: Plane,
    key: FitKey,
    mask: Mask,
    trained: Mask,
    data: DataSet,
    protocol: Protocol,
    *,
    keeps_plane: bool = False,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Measure a fitted plane as its protocol asks.

    Args:
        plane: the fitted plane.
        key: which fit it is.
        mask: True where black, shape (rows, columns).
        trained: True where trained, same shape.
        data: on the plane's device.
        protocol: images, BN statistics, origin.
        keeps_plane: whether the fit keeps its plane; some measures are computed only then.

    Returns:
        The table of pixels and the summary, both as :class:`bnbench.results.store.FitResult` describes them.
    """
    under = protocol.measurement.bn_policy
    found = measured_landscape(plane, data.measured, under, data, protocol)
    train = measured_landscape(plane, data.train_sample, under, data, protocol)
    split, headline = protocol.measurement.split, headline_policy(plane, protocol)
    rows_of = partial(summary_rows, mask=mask, trained=trained, threshold=protocol.training.threshold)
    rows = rows_of(found, policy=headline, split=split)
    pixels = pixels_of(found, mask, np.ones_like(mask), protocol.training.threshold)
    fitted = FittedPlane(plane, pixels, trained, data.measured, data.train, headline, protocol.mask.origin)
    rows[0] |= _plane_values(fitted, keeps_plane=keeps_plane)
    rows += rows_of(train, policy=headline, split=TRAIN)
    for policy in policies(protocol)[1:] if uses_bn(plane.module) else ():
        measured = measured_landscape(plane, data.measured, policy, data, protocol)
        rows += rows_of(measured, policy=policy, split=split, headline=False)
    return _pixel_table(key, mask, trained, found, train), pd.DataFrame(rows)


def _pixel_table(key: FitKey, mask: Mask, trained: Mask, found: Landscape, train: Landscape) -> pd.DataFrame:
    """Return a row per pixel: what it was asked for, and what was measured on either images."""
    columns = {
        "arm": key.arm,
        "p": key.p,
        "seed": key.seed,
        **pixel_columns(mask, trained),
        "test_loss": found.loss.flatten(),  # so called whichever split the protocol measures on
        "test_accuracy": found.accuracy.flatten(),
        "train_loss": train.loss.flatten(),
        "train_accuracy": train.accuracy.flatten(),
    }
    return pd.DataFrame(columns)


def _plane_values(fitted: FittedPlane, *, keeps_plane: bool) -> dict[str, float]:
    """Compute the measures that need the plane itself; those of kept planes only where it is kept."""
    return {
        measure.name: float(measure.of_plane(fitted))
        for measure in registry.REGISTERED
        if measure.of_plane and (keeps_plane or not measure.of_kept_planes)
    }


def measured_landscape(
    plane: Plane,
    images: Images,
    policy: BnPolicy,
    data: DataSet,
    protocol: Protocol,
    *,
    before_part: Callable[[], None] | None = None,
) -> Landscape:
    """Measure a plane on the grid of its protocol's mask.

    Args:
        plane: as its fit has left it.
        images: on the plane's device.
        policy: BN statistics; networks without BN ignore it.
        data: holds the training images that BN statistics may be estimated on.
        protocol: mask size and origin.
        before_part: as in :func:`bnbench.mpo.landscape.measure_landscape`.
    """
    return measure_landscape(
        plane,
        protocol.mask.mask_size,
        images,
        bn_statistics=policy,
        reference=data.train,
        origin=protocol.mask.origin,
        before_part=before_part,
    )


def headline_policy(plane: Plane, protocol: Protocol) -> BnPolicy:
    """Return the BN policy of the headline: the protocol's own, or none for networks without BN."""
    return protocol.measurement.bn_policy if uses_bn(plane.module) else NO_BN


def policies(protocol: Protocol) -> list[BnPolicy]:
    """Return the policies that a bn fit's summary is kept under, the headline's first.

    The others show whether the answer depends on the policy.
    """
    headline = protocol.measurement.bn_policy
    others = (
        BnPolicy("batch", headline.images),
        BnPolicy("batch", protocol.training.images),
        BnPolicy("recalibrate", headline.images),
    )
    return list(dict.fromkeys((headline, *others)))


def summary_rows(
    found: Landscape,
    mask: Mask,
    trained: Mask,
    *,
    policy: BnPolicy,
    split: str,
    threshold: float,
    headline: bool = True,
) -> list[dict[str, object]]:
    """Compute every measure of a landscape's pixels: one row for all pixels, one for those that were trained.

    Args:
        found: what was measured, shape (rows, columns).
        mask: True where black, same shape.
        trained: True where trained, same shape.
        policy: BN statistics that it was measured under; ``NO_BN`` for networks without BN.
        split: which images it was measured on.
        threshold: the protocol's loss from which a white pixel is left alone, nats.
        headline: whether this is what the protocol asks for.

    Returns:
        Rows of the summary that :class:`bnbench.results.store.FitResult` describes.
    """
    rows: list[dict[str, object]] = []
    for pixels, counted in (("all", np.ones_like(mask)), ("trained", trained)):
        named = {"policy": str(policy), "headline": headline, "split": split, "pixels": pixels}
        rows.append({**named, **pixel_values(pixels_of(found, mask, counted, threshold))})
    return rows


def pixels_of(found: Landscape, mask: Mask, counted: Mask, threshold: float) -> Pixels:
    """Return a landscape as measures see it; arguments as in :func:`summary_rows`, counted as in :class:`Pixels`."""
    return Pixels(mask, counted, found.loss.numpy(), found.accuracy.numpy(), threshold)
