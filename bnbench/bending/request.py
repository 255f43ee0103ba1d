"""What ``bnbench bend`` is asked for: a picture, a protocol, arms, and where the files go."""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from bnbench.arms.loading import arm_source
from bnbench.inputs.datasets import ImageArrays, read_dataset
from bnbench.inputs.masks import Mask
from bnbench.protocol.identity import identity_of
from bnbench.protocol.protocol import FitKey, Protocol

_LARGEST_SIDE = 8  # pixels of an image that the profile's network sees: more of them cost more than they show


@dataclass(frozen=True)
class BendRequest:
    """One picture, and how a landscape is bent to it.

    Attributes:
        name: what the picture is called in messages, titles and on the page.
        mask: True where black, shape (rows, columns).
        protocol: its mask has the size of the picture.
        arms: a fit for each.
        seed: of the initial weights and of the order of pixels and images.
        folder: where everything goes.
        animate: whether the landscape is measured on the way, too.
        device: where it is computed.
        threads: processor threads.
        checkpoint_every: seconds between two checkpoints.
        scaled_from: rows and columns of a picture's file that was scaled down; None of any other picture.
    """

    name: str
    mask: Mask
    protocol: Protocol
    arms: tuple[str, ...]
    seed: int
    folder: Path
    animate: bool = True
    device: str = "cpu"
    threads: int = 1
    checkpoint_every: float = 30.0
    scaled_from: tuple[int, int] | None = None

    def key(self, arm: str) -> FitKey:
        """Return the fit's key: its p is the picture's share of black, in thousandths."""
        permille = round(1000 * float(self.mask.mean()))
        return FitKey(arm, min(max(permille, 1), 999) / 1000, self.seed)

    def identity(self, arm: str) -> str:
        """Return the hash of all that a fit's numbers depend on: protocol, arm and its source, seed and picture."""
        digest = hashlib.sha256(identity_of(self.key(arm), self.protocol, arm_source(arm)).encode())
        digest.update(f"{self.mask.shape}".encode() + np.packbits(self.mask).tobytes())
        return digest.hexdigest()[:16]


def asked_protocol(
    profile: Protocol, mask: Mask, dataset: str | None, steps: int | None, folder: Path | None, *, download: bool
) -> Protocol:
    """Return the protocol for a picture: a profile with other images or steps, fitted as :func:`fitted_protocol` says.

    Args:
        profile: the one to follow.
        mask: the picture, shape (rows, columns).
        dataset: name of other images, or None; only the profile ``picture`` is fitted to them.
        steps: of training, or None for the profile's.
        folder: where the images lie, as in :func:`bnbench.inputs.data.load_data`.
        download: as there.

    Raises:
        RequestError: a value is not accepted.
        DataError: the images cannot be read.
    """
    changed = {name: value for name, value in (("dataset", dataset), ("steps", steps)) if value is not None}
    protocol = fitted_protocol(profile.with_knobs(**changed), mask)
    if profile.profile == "picture" and protocol.data.dataset != profile.data.dataset:
        return fitted_protocol(protocol, mask, read_dataset(protocol.data.dataset, folder, download))
    return protocol


def fitted_protocol(protocol: Protocol, mask: Mask, images: ImageArrays | None = None) -> Protocol:
    """Return a protocol for a picture: its mask has the picture's size.

    Args:
        protocol: a profile, with knobs changed or not.
        mask: the picture, shape (rows, columns).
        images: those of another data set than the profile's, to which it is fitted: they are pooled until no side has
            more than eight pixels, as the profile's digits have, and where they are few no more are measured on,
            held out or taken for BN statistics than there are. None where the protocol names the images that it was
            made for.
    """
    sized = protocol.with_knobs(mask_size=mask.shape)
    if images is None:
        return sized
    (pixels, labels), (_, test_labels), _ = images
    held_out = min(sized.data.held_out, len(labels) // 5)
    left, policy = len(labels) - held_out, sized.measurement.bn_policy
    return sized.with_knobs(
        pool=max(1, math.ceil(max(pixels.shape[-2:]) / _LARGEST_SIDE)),
        held_out=held_out,
        test_images=min(sized.measurement.test_images, len(test_labels)),
        train_images=min(sized.measurement.train_images, left),
        bn_statistics=str(replace(policy, images=min(policy.images, left))),
    )
