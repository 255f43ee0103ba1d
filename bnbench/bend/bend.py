"""The one function that bends a landscape to a picture, and leaves its strip, animation, page, tables and planes."""

from __future__ import annotations

import signal
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

from bnbench.arms.own_arm import load_arm
from bnbench.bend.animation import write_animations
from bnbench.bend.arm_bending import ArmBending
from bnbench.bend.cost import estimated_seconds
from bnbench.bend.files import Bent, read_bent
from bnbench.bend.page import page
from bnbench.bend.request import BendRequest
from bnbench.bend.strip import draw_strip
from bnbench.errors import RequestError
from bnbench.inputs.data import DataSet
from bnbench.mpo.trace import DivergedError, TraceRow
from bnbench.report.figures.style import print_style, save
from bnbench.results.claims import claim
from bnbench.results.layout import is_there, write_atomically
from bnbench.sweep.execution import FitStoppedError
from bnbench.sweep.interrupts import Interrupted, RunnerStop, runner_signals


class BendListener:
    """Takes what bending has to say, and prints nothing."""

    def planned(self, request: BendRequest, left: list[str], seconds: float) -> None:
        """Take which arms are left to fit, and about how many seconds that takes."""

    def note(self, sentence: str) -> None:
        """Take a sentence that somebody should know."""

    def stepped(self, arm: str, step: int, row: TraceRow | None) -> None:
        """Take how far a fit is, after each step, and the last row of its trace."""

    def ended(self, bents: list[Bent], files: list[Path]) -> None:
        """Take what there is in the end."""


def bend(request: BendRequest, data: DataSet, listener: BendListener) -> list[Bent]:
    """Bend a landscape to a picture with each arm, and write everything that shows it.

    An arm that is done is not fitted again, and one that was cut off goes on from its checkpoint.

    Args:
        request: what is asked.
        data: images of its protocol.
        listener: hears the plan, each step, and the end.

    Returns:
        What each arm came to, in the order asked for.

    Raises:
        RequestError: the request cannot be met, the folder holds the results of ``run``, another process bends this
            very picture in it, or a fit diverged.
        Interrupted: SIGINT or SIGTERM; a checkpoint is kept.
        OSError: a file cannot be written.
    """
    if is_there(request.folder / "protocol.json"):
        raise RequestError(f"--out {request.folder} holds the results of bnbench run; give another folder.")
    request = replace(request, protocol=replace(request.protocol, content=data.content))
    for arm in request.arms:
        load_arm(arm, data.image_shape, data.classes, request.protocol.network)
    found = {arm: read_bent(request, arm) for arm in request.arms}
    left = [arm for arm, bent in found.items() if bent is None]
    listener.planned(request, left, estimated_seconds(request, left, data))
    stop = RunnerStop([])
    with runner_signals(stop):
        for arm in left:
            found[arm] = _fitted(request, arm, data, stop, listener)
    bents = [bent for bent in found.values() if bent is not None]
    listener.ended(bents, write_pictures(request, bents, listener.note))
    return bents


def write_pictures(request: BendRequest, bents: list[Bent], note: Callable[[str], None] | None = None) -> list[Path]:
    """Write strip, animation and page; a film that cannot be written is left out, and ``note`` hears it.

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


def _fitted(request: BendRequest, arm: str, data: DataSet, stop: RunnerStop, listener: BendListener) -> Bent:
    try:
        with claim(request.folder, request.key(arm)) as is_ours:
            if not is_ours:
                raise RequestError(f"--out {request.folder}: another process bends this picture there; wait for it.")
            bending = ArmBending(request, arm, data)
            if bending.note:
                listener.note(f"{arm}: {bending.note}")
            return bending.run(lambda: stop.is_requested, partial(listener.stepped, arm))
    except FitStoppedError as error:
        raise Interrupted(stop.number or signal.SIGINT) from error
    except DivergedError as error:
        raise RequestError(f"{arm}: {error}") from error
