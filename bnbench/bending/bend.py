"""A landscape bent to a picture: its tables and planes, then its strip, animation and page, and its ensembles."""

from __future__ import annotations

import signal
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path

import torch

from bnbench.arms.own_arm import load_arm
from bnbench.arms.sizes import own_arm_lines
from bnbench.bending.animation import write_animations
from bnbench.bending.arm_bending import ArmBending
from bnbench.bending.cost import estimated_seconds
from bnbench.bending.files import FOLDERS, Bent, check_folder_of_bend, landscape_path, read_bent
from bnbench.bending.page import page
from bnbench.bending.request import BendRequest
from bnbench.bending.strip import draw_strip
from bnbench.errors import RequestError
from bnbench.inputs.data import DataSet
from bnbench.mpo.ensemble import Ensemble, measure_ensemble
from bnbench.mpo.trace import DivergedError, TraceRow
from bnbench.process.writers import remove_strays
from bnbench.protocol.profile_values import naming_the_profile
from bnbench.protocol.protocol import BUILT_IN
from bnbench.report.figures.style import print_style, save
from bnbench.results import layout
from bnbench.results.claims import claim
from bnbench.results.layout import is_there, write_atomically
from bnbench.results.planes import load_plane
from bnbench.sweep.execution import FitStoppedError
from bnbench.sweep.inputs import check_number_of_images
from bnbench.sweep.interrupts import Interrupted, RunnerStop, runner_signals
from bnbench.sweep.measure import headline_policy


class BendListener:
    """Takes what bending has to say, and prints nothing."""

    def asked(self, request: BendRequest, left: list[str]) -> None:
        """Take what is asked, and which arms are left to fit, before their cost is found by timing some of it."""

    def planned(self, request: BendRequest, left: list[str], seconds: float) -> None:
        """Take which arms are left to fit, and about how many seconds their steps and landscapes take."""

    def note(self, sentence: str) -> None:
        """Take a sentence that somebody should know."""

    def stepped(self, arm: str, step: int, row: TraceRow | None) -> None:
        """Take how far a fit is, after each step, and the last row of its trace."""


def bend(request: BendRequest, data: DataSet, listener: BendListener) -> list[Bent]:
    """Bend a landscape to a picture with each arm, and write its table and its plane; :func:`write_pictures` draws it.

    An arm that is done is not fitted again, and one that was cut off goes on from its checkpoint.

    Args:
        request: what is asked.
        data: images of its protocol.
        listener: hears the plan, and each step.

    Returns:
        What each arm came to, in the order asked for.

    Raises:
        RequestError: the request cannot be met, the folder holds other results, another process bends this
            very picture in it, or a fit diverged.
        Interrupted: SIGINT or SIGTERM; a checkpoint is kept.
        OSError: a file cannot be written.
    """
    check_folder_of_bend(request)
    request = replace(request, protocol=replace(request.protocol, content=data.content))
    for arm in request.arms:
        load_arm(arm, data.image_shape, data.classes, request.protocol.network)
    with naming_the_profile(request.protocol):
        check_number_of_images(request.protocol, len(data.train))  # not after hours, when the landscape is measured
    found = {arm: read_bent(request, arm) for arm in request.arms}
    names = [arm for arm, bent in found.items() if bent is None]
    listener.asked(request, names)
    for line in own_arm_lines(request.arms, data.image_shape, data.classes, request.protocol):
        listener.note(line)
    remove_strays(request.folder / part for part in ("", "running", *FOLDERS))
    left = [ArmBending(request, arm, data) for arm in names]
    listener.planned(request, names, sum(map(estimated_seconds, left)))
    stop = RunnerStop([])
    with runner_signals(stop):
        for bending in left:
            found[bending.arm] = _fitted(bending, stop, listener)
    _clear_away(request)
    return [bent for bent in found.values() if bent is not None]


def measure_ensembles(request: BendRequest, data: DataSet) -> dict[str, Ensemble]:
    """Return, for each arm that is done, how well its black pixels classify the test images together.

    Args:
        request: what was asked.
        data: images of its protocol.

    Raises:
        StoreError: a plane is missing or damaged.
    """
    found, data = {}, data.to(request.device)
    for arm in request.arms:
        path = layout.plane_path(request.folder, request.key(arm))
        plane = load_plane(path, arm=None if arm in BUILT_IN else arm, device=request.device)
        policy = headline_policy(plane, request.protocol)
        black, origin = torch.from_numpy(request.mask), request.protocol.mask.origin
        found[arm] = measure_ensemble(
            plane, black, data.measured, bn_statistics=policy, reference=data.train, origin=origin
        )
    return found


def write_pictures(request: BendRequest, bents: list[Bent], note: Callable[[str], None] | None = None) -> list[Path]:
    """Write strip, animation and page into the request's folder, and return their paths.

    Args:
        request: what was asked.
        bents: what each arm came to.
        note: hears it where an MP4 cannot be written, and is left out.

    Raises:
        OSError: a file cannot be written.
    """
    measurement, threshold = request.protocol.measurement, request.protocol.training.threshold
    with print_style():
        files = save(draw_strip(request.mask, bents, threshold, measurement.split), request.folder, "strip")
        animations = write_animations(request.folder, request.mask, bents, note) if request.animate else []
    place = request.folder / "index.html"
    animation = animations[0].read_bytes() if animations else None
    write_atomically(place, page(request, bents, animation).encode())
    return [*files, *animations, place]


def _clear_away(request: BendRequest) -> None:
    """Remove the checkpoints and locks of fits that are done, which a killed process leaves, and their empty folder."""
    with suppress(OSError):  # nothing is there, or another arm is under way: nobody else minds what is left
        for key in map(request.key, request.arms):
            if any(map(is_there, (layout.checkpoint_path(request.folder, key), layout.lock_path(request.folder, key)))):
                with claim(request.folder, key) as is_ours:
                    if is_ours:
                        layout.checkpoint_path(request.folder, key).unlink(missing_ok=True)
        (request.folder / "running").rmdir()


def _fitted(bending: ArmBending, stop: RunnerStop, listener: BendListener) -> Bent:
    request = bending.request
    try:
        with claim(request.folder, bending.key) as is_ours:
            if not is_ours:
                raise RequestError(f"{request.folder}: another process bends this picture there; wait for it.")
            landscape_path(request, bending.arm).parent.mkdir(parents=True, exist_ok=True)  # run refuses it from now on
            if bending.note:
                listener.note(f"{bending.arm}: {bending.note}")
            bent = bending.run(lambda: stop.is_requested, partial(listener.stepped, bending.arm))
            if bending.unkept:
                listener.note(f"{bending.arm}: {bending.unkept}")
            return bent
    except (FitStoppedError, OSError) as error:
        if bending.unkept:
            listener.note(f"{bending.arm}: its steps up to {bending.fit.step:,} are lost, for {bending.unkept}")
        if isinstance(error, OSError):
            raise
        raise Interrupted(stop.number or signal.SIGINT) from error
    except DivergedError as error:
        raise RequestError(f"{bending.arm}: {error}") from error
