"""Errors that a user's own code raises: whose they are, and what they say."""

from __future__ import annotations

import signal
import threading

from bnbench.errors import Signalled

_LONGEST = 1_000  # characters of a message that foreign code has written


def is_from_outside(error: BaseException) -> bool:
    """Say whether a signal has ended foreign code; the code itself may raise ``KeyboardInterrupt``, too."""
    if isinstance(error, Signalled):
        return True
    if not isinstance(error, KeyboardInterrupt) or threading.current_thread() is not threading.main_thread():
        return False
    return signal.getsignal(signal.SIGINT) is signal.default_int_handler


def error_text(error: BaseException) -> str:
    """Return an error of foreign code in words, whatever it does when it is asked for them."""
    try:
        text = str(error)
    except BaseException as second:
        text = f"its message cannot be read ({type(second).__name__})"
    notes = [note for note in getattr(error, "__notes__", []) if isinstance(note, str)]
    return "; ".join([f"{type(error).__name__}: {text[:_LONGEST] or 'no message'}", *notes])[: 2 * _LONGEST]


def first_line(error: BaseException) -> str:
    """Return the first line of what an error of foreign code says."""
    return (error_text(error).splitlines() or [""])[0]


def first_three(names: list[str]) -> str:
    """Return some names as a list, the first three of them."""
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return ", ".join(names[:3]) + more
