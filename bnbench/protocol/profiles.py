"""The named protocols: complete, frozen, and the same on any hardware."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from bnbench.protocol.knob_text import knob_text, shown_text
from bnbench.protocol.protocol import Protocol
from bnbench.protocol.sections import DataProtocol, MaskProtocol, MeasurementProtocol, NetworkProtocol, TrainingProtocol

_COMPACT = Protocol("compact")
_QUICK = _COMPACT.with_knobs(mask_size=(10, 10), black_pixels=32, white_pixels=32, images=32, steps=1_200)

_PAPER = Protocol(
    "paper",
    data=DataProtocol(pool=1, held_out=0),
    network=NetworkProtocol(widths=(8, 8, 32, 32, 64, 64), strides=(1,) * 6, map_size=4, hidden=128, gain=1.0),
    training=TrainingProtocol(
        black_pixels=50,
        white_pixels=50,
        images=512,
        minibatch="shared",
        steps=11_800,
        learning_rate=3e-4,
        schedule="constant",
    ),
    measurement=MeasurementProtocol(test_images=0),
)

# Knobs in which the authors' code, in its configuration of random masks, is not what the paper says or what bnbench
# does; docs/experiment.md has the table. One after the other they are the rungs of benchmarks/ladder.py.
AUTHORS_CODE: dict[str, Any] = {
    "threshold": 5.0,
    "mask_kind": "framed",
    "initial_weights": "torch",
    "inputs": "unit",
    "bn_scale": "zero+1",
    "directions": "from-origin",
    "origin": "middle-pixel",
    "minibatch": "shared",
    "test_images": 100,
}

# What longer fits under a profile showed, which no fit under it can: evidence/README.md has the tables.
LONGER_FITS: dict[str, str] = {
    "quick": "They have not: on three other masks (p = 0.5) 1,800 steps lowered the J of plain and bn in every fit.",
    "compact": "They have not: on three other masks (p = 0.5) 24,000 steps lowered the J of plain and bn and raised "
    "their contrast, and on one of them 48,000 steps did once more.",
}

PROFILES: dict[str, Protocol] = {
    "smoke": Protocol(
        "smoke",
        data=DataProtocol(dataset="digits", pool=1, held_out=200),
        network=NetworkProtocol(widths=(4, 4, 8, 8, 8, 8), strides=(2, 1, 2, 1, 1, 1), hidden=32),
        mask=MaskProtocol(mask_size=(7, 7)),
        training=TrainingProtocol(black_pixels=24, white_pixels=24, images=16, steps=300, learning_rate=5e-3),
        measurement=MeasurementProtocol(test_images=0, train_images=400),
    ),
    "quick": replace(_QUICK, profile="quick"),
    "compact": _COMPACT,
    "paper": _PAPER,
    "authors": replace(_PAPER.with_knobs(**AUTHORS_CODE), profile="authors"),
    "compact-authors": replace(_COMPACT.with_knobs(**AUTHORS_CODE), profile="compact-authors"),
    "picture": Protocol(
        "picture",
        data=DataProtocol(dataset="digits", pool=1, held_out=200),
        network=NetworkProtocol(widths=(8, 16, 16), strides=(2, 1, 1), hidden=64),
        training=TrainingProtocol(black_pixels=24, white_pixels=24, images=8, steps=2_500, learning_rate=3e-3),
        measurement=MeasurementProtocol(test_images=500, train_images=400),
    ),
    "paper-picture": replace(  # appendix B: figures 1, 2, 5 and 6; no number of steps is told for them
        _PAPER.with_knobs(widths=(8, 32, 64), strides=(1, 1, 1), mask_size=(50, 50)), profile="paper-picture"
    ),
}


def changes(protocol: Protocol) -> dict[str, str]:
    """Return the knobs in which a protocol differs from the profile of its name, as the command line takes them."""
    profile = PROFILES.get(protocol.profile, _COMPACT)
    return {name: knob_text(name, here) for name, (here, _) in protocol.differences(profile).items()}


def title(protocol: Protocol) -> str:
    """Return a profile's name, and what was changed in it: ``quick, changed: steps 10``."""
    profile = PROFILES.get(protocol.profile, _COMPACT)
    changed = ", ".join(
        f"{name.replace('_', ' ')} {shown_text(name, here)}"
        for name, (here, _) in protocol.differences(profile).items()
    )
    named = f"{protocol.profile}, changed: {changed}" if changed else protocol.profile
    return f"{named}, images {protocol.content}" if protocol.content else named


def folder_name(protocol: Protocol) -> str:
    """Return where results go by default: the profile's name, with the hash where a knob or the images are others."""
    return protocol.id if changes(protocol) or protocol.content else protocol.profile
