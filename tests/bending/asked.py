"""A tiny picture, how a landscape is asked for that is bent to it, and who stops it on its way."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import numpy as np

from bnbench.bending.bend import BendListener, bend
from bnbench.bending.files import Bent
from bnbench.bending.request import BendRequest, fitted_protocol
from bnbench.inputs.data import load_data_of
from bnbench.mpo.trace import TraceRow
from tests.fits import TINY

PICTURE = np.zeros((6, 8), bool)
PICTURE[1:5, 2:6] = True


def request(folder: Path, *, arms: tuple[str, ...] = ("plain",), animate: bool = True, steps: int = 8) -> BendRequest:
    protocol = fitted_protocol(TINY.with_knobs(steps=steps), PICTURE)
    return BendRequest("square.png", PICTURE, protocol, arms, 1, folder, animate)


def bent_to(asked: BendRequest, listener: BendListener | None = None) -> list[Bent]:
    return bend(asked, load_data_of(asked.protocol), listener or BendListener())


class Stops(BendListener):
    """Sends SIGINT after some steps."""

    def __init__(self, step: int) -> None:
        self.step = step
        self.seen: list[tuple[str, int]] = []

    def stepped(self, arm: str, step: int, row: TraceRow | None) -> None:
        self.seen.append((arm, step))
        if step == self.step:
            os.kill(os.getpid(), signal.SIGINT)
