"""A fit before its first step: its masks, its plane, and the order of its pixels and images."""

from __future__ import annotations

import torch

from bnbench.arms.loading import arm_source
from bnbench.arms.own_arm import load_arm
from bnbench.errors import ArmError
from bnbench.inputs.data import DataSet, Images
from bnbench.inputs.masks import Mask, is_trained, mask_of
from bnbench.inputs.seeds import torch_generator
from bnbench.mpo.fit import Fit
from bnbench.mpo.gradient import CHUNK
from bnbench.mpo.plane import Plane
from bnbench.protocol.protocol import FitKey, Protocol


def check_source(arm: str, planned: str) -> None:
    """Refuse to compute with other code than was planned with: the result would bear a wrong name.

    Args:
        arm: any.
        planned: what :func:`bnbench.arms.loading.arm_source` said then.

    Raises:
        ArmError: the arm cannot be imported here, or its file is another one by now.
    """
    if arm_source(arm) != planned:
        raise ArmError(
            f"--arms {arm}: its file was changed since the plan (or is another one on this machine); run the same "
            "command again, with another folder if fits of the earlier file are in this one."
        )


def make_plane(key: FitKey, protocol: Protocol, data: DataSet, device: str) -> Plane:
    """Make the plane that a fit starts from; its random stream is shared by the arms."""
    factory = load_arm(key.arm, data.image_shape, data.classes, protocol.network)
    generator = torch_generator("weights", key.permille, key.seed)
    training = protocol.training
    plane = Plane.from_factory(
        factory, generator, scale=training.initial_scale, from_origin=training.directions == "from-origin"
    )
    return plane.to(device)


def draw_masks(key: FitKey, protocol: Protocol) -> tuple[Mask, Mask]:
    """Draw which pixels are black, and which are trained on; the same for all arms of a pair."""
    mask = mask_of(key.p, key.seed, protocol.mask)
    return mask, is_trained(mask)


def make_fit(
    key: FitKey, protocol: Protocol, plane: Plane, masks: tuple[Mask, Mask], data: Images, chunk: int = CHUNK
) -> Fit:
    """Make a fit before its first step, its pixels and images in the order that all arms of a pair share."""
    black, trained = (torch.from_numpy(mask) for mask in masks)
    return Fit(
        plane,
        black,
        trained,
        data,
        protocol.training,
        origin=protocol.mask.origin,
        pixels=torch_generator("pixels", key.permille, key.seed),
        images=torch_generator("images", key.permille, key.seed),
        chunk=chunk,
    )
