"""What bending to a picture says on its way: the plan, then ten lines of each fit."""

from __future__ import annotations

import sys

from bnbench.bending.bend import BendListener
from bnbench.bending.request import BendRequest
from bnbench.mpo.trace import TraceRow
from bnbench.protocol.arm_names import short_names
from bnbench.protocol.profiles import title
from bnbench.wording import counted, on_one_line, percent, plan_time

_LINES = 10  # of each fit


class BendMessages(BendListener):
    """Tells people on stderr."""

    def __init__(self) -> None:
        self.steps = 1
        self.names: dict[str, str] = {}

    def asked(self, request: BendRequest, left: list[str]) -> None:
        """Print the picture and the protocol, and that their cost is being found."""
        self.names = short_names(request.arms)
        rows, columns = request.mask.shape
        black, arms = percent(float(request.mask.mean())), ", ".join(request.arms)
        before = request.scaled_from
        scaled = f" (scaled down from {before[0]:,}×{before[1]:,})" if before else ""
        size = f"{rows}×{columns} pixels{scaled}"
        say(f"{request.name}: {size}, {black} of them black; {arms}; {title(request.protocol)}")
        say(f"{counted(len(left), 'fit')} to run; timing a few pixels" if left else "all is fitted, and drawn anew")

    def planned(self, request: BendRequest, left: list[str], seconds: float) -> None:
        """Print what it will cost, and what of it is counted."""
        if left:
            say(f"steps and landscapes: {plan_time(seconds)}; drawing, which follows, is not counted")
            say("accuracy on the way is that of minibatches, at trained pixels: those beside the other colour")
        self.steps = request.protocol.training.steps

    def note(self, sentence: str) -> None:
        """Print a sentence that somebody should know."""
        say(sentence)

    def stepped(self, arm: str, step: int, row: TraceRow | None) -> None:
        """Print a line ten times a fit."""
        if step % max(1, self.steps // _LINES) == 0:
            say(f"{self.names.get(arm, arm)}: step {step:,} of {self.steps:,}; {accuracies(row)}")


def accuracies(row: TraceRow | None) -> str:
    """Return what a row of the trace says of both colours; nothing before there is one."""
    return f"accuracy {row.black_accuracy:.2f} on black, {row.white_accuracy:.2f} on white" if row else ""


def say(sentence: str) -> None:
    """Print a line on stderr at once."""
    print(on_one_line(sentence), file=sys.stderr, flush=True)
