"""What a signal does to a call from Python: it ends as any other interrupt, once everything is cleaned up."""

from __future__ import annotations

import signal
from collections.abc import Callable
from typing import TypeVar

from bnbench.sweep.interrupts import Interrupted

T = TypeVar("T")


def interruptible(call: Callable[[], T], note: Callable[[str], object]) -> T:
    """Call what may be long; where a signal stops it, clean up, say so, then raise that signal again.

    Args:
        call: what to do.
        note: takes one sentence about what was kept.

    Raises:
        KeyboardInterrupt: it was stopped.
    """
    try:
        return call()
    except Interrupted as interrupted:
        note("interrupted; all that was written is kept, and the same command goes on from there.")
        signal.raise_signal(interrupted.number)  # the handlers of before are in place again
        raise KeyboardInterrupt from None
