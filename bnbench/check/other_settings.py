"""Exact checks of the settings that no set of fits has: the other value of each knob, and the arms of the paper."""

from __future__ import annotations

from dataclasses import replace

from bnbench.check.baseline import Value
from bnbench.check.precise import STEPS, digest, first_steps, measured, precise_data, precise_fit, precise_plane
from bnbench.protocol.protocol import OF_THE_PAPER, FitKey, Protocol
from bnbench.protocol.sections import DataProtocol, MaskProtocol, MeasurementProtocol, NetworkProtocol, TrainingProtocol
from bnbench.sweep.start import draw_masks

# Each knob away from where smoke, quick and compact have it, as paper does in part. Rows and columns differ, so that
# one taken for the other shows. Precision is not among them: it rounds, and exact checks do not.
OTHER = Protocol(
    "other settings",
    data=DataProtocol(dataset="digits", pool=2, held_out=300),
    network=NetworkProtocol((4, 4, 6, 6), (1, 1, 1, 1), map_size=2, hidden=16, gain=1.0, bn_scale="zero+1"),
    mask=MaskProtocol(mask_size=(6, 7), mask_kind="framed", origin="corner"),
    training=TrainingProtocol(
        threshold=2.4,
        black_pixels=8,
        white_pixels=12,
        images=10,
        minibatch="shared",
        steps=STEPS,
        scale_rate=3.0,
        schedule="constant",
        initial_scale=0.05,
    ),
    measurement=MeasurementProtocol(split="held-out", test_images=50, train_images=40, bn_statistics="recalibrate:30"),
)


# The knobs that came later, in settings of their own: a baseline's quantities under ``OTHER`` stay what they are, and
# one that lacks those of later settings is compared in all others.
LATER = replace(
    OTHER.with_knobs(
        optimizer="sgd",
        initial_weights="torch",
        inputs="unit",
        directions="from-origin",
        origin="middle-pixel",
        mask_kind="random",
    ),
    profile="later settings",
)


SETTINGS = (OTHER, LATER)


def other_quantities() -> dict[str, Value]:
    """Compute masks, first steps and landscape of one fit of each arm of the paper under each of them, in float64.

    Returns:
        Name, such as ``skip, other settings: gradient, step 1``, to value.
    """
    return {name: value for settings in SETTINGS for name, value in _quantities(settings).items()}


def _quantities(protocol: Protocol) -> dict[str, Value]:
    data = precise_data(protocol)
    found: dict[str, Value] = {}
    for arm in OF_THE_PAPER:
        key = FitKey(arm, 0.5, 1)
        masks = draw_masks(key, protocol)
        plane = precise_plane(key, protocol, data)
        own: dict[str, Value] = {"masks": digest(masks[:1]), "images measured": len(data.measured)}
        own |= first_steps(precise_fit(key, protocol, plane, data)) | measured(plane, key, masks, data, protocol)
        found |= {f"{arm}, {protocol.profile}: {name}": value for name, value in own.items()}
    return found
