"""Ordinary networks: which are asked for, and which of them are left to measure."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from bnbench.arms.loading import arm_source
from bnbench.arms.own_arm import load_arm
from bnbench.inputs.data import load_data
from bnbench.protocol.profile_values import naming_the_profile
from bnbench.protocol.protocol import FitKey, Protocol
from bnbench.results.folder_protocol import check_folder
from bnbench.results.smoothness import MeasuredNetwork
from bnbench.results.smoothness_settings import SmoothnessSettings
from bnbench.smoothness.measures import check_minibatches
from bnbench.sweep.execution import Execution

P = 0.5  # keys initial weights and the order of images: networks start where the fits at this p have their origin


@dataclass(frozen=True)
class SmoothnessRequest:
    """What is asked: networks, and where and how they are measured.

    Attributes:
        protocol: what networks, images and training follow.
        settings: how they are trained and measured.
        arms: which.
        seeds: replicates.
        out: results folder.
        execution: slots on processors, threads, and where the images lie.
    """

    protocol: Protocol
    settings: SmoothnessSettings
    arms: tuple[str, ...]
    seeds: tuple[int, ...]
    out: Path
    execution: Execution


def planned(request: SmoothnessRequest) -> tuple[list[MeasuredNetwork], list[MeasuredNetwork]]:
    """Return the networks that are asked for, seed outermost, and those of them that are left to do.

    Raises:
        RequestError: the images cannot be loaded, or are too few; an arm cannot be used; the folder belongs to another
            protocol, or holds networks that were measured in another way.
    """
    protocol, settings, execution = request.protocol, request.settings, request.execution
    with naming_the_profile(protocol):
        data = load_data(protocol.data, protocol.measurement, execution.data_folder, execution.download)
    check_minibatches(data.train, settings)
    protocol = replace(protocol, content=data.content)
    for arm in request.arms:
        load_arm(arm, data.image_shape, data.classes, protocol.network)  # refuses an arm that cannot be used
    sources = {arm: arm_source(arm) for arm in request.arms}
    asked = [
        MeasuredNetwork(protocol, settings, FitKey(arm, P, seed), sources[arm])
        for seed in request.seeds
        for arm in request.arms
    ]
    check_folder(request.out, protocol)
    for one in asked:
        one.check_free(request.out)
    return asked, [one for one in asked if not one.is_done(request.out)]
