"""How the program ends when a signal tells it to, from its first line on; it imports nothing that takes time.

An exception that a handler raises may come up anywhere: in the middle of an import, or while another exception is
being cleaned up after, and would then be a traceback. So one is raised only where a command can bear it, once; before
that nothing was begun, and after it the program has had its time: both ends are at once.
"""

from __future__ import annotations

import os
import signal
import sys
from contextlib import suppress
from types import FrameType
from typing import NoReturn

_IMPORTING = "<frozen importlib"
_NOTHING = "interrupted; nothing was begun."


class _State:
    """What this process knows of its end: whether a signal has told it to, and what it is to say then."""

    was_told = False
    sentence = _NOTHING


def heed_signals() -> None:
    """End at once at a signal, as long as nothing was begun. What is ignored, as SIGHUP below nohup, stays so."""
    _State.was_told, _State.sentence = False, _NOTHING
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is not signal.SIG_IGN or number == signal.SIGINT:
            signal.signal(number, _end)


def may_raise(number: int, frame: FrameType | None) -> bool:
    """Say whether a handler may raise an exception here: at the first signal alone, and in no import.

    Args:
        number: the signal.
        frame: where it has come.
    """
    was_told, _State.was_told = _State.was_told, True
    while frame is not None:
        if frame.f_code.co_filename.startswith(_IMPORTING):
            return False
        frame = frame.f_back
    return not was_told


def will_say(sentence: str) -> None:
    """Know what to say at the end; empty once it was said."""
    _State.sentence = sentence


def end_at_once(number: int) -> NoReturn:
    """End this process and the workers that it has started; what was written is kept.

    Args:
        number: the signal that told it to.
    """
    for child in _children():
        with suppress(OSError):
            os.kill(child, signal.SIGKILL)
    if _State.sentence:
        show_cursor = "\x1b[?25h" if os.isatty(2) else ""  # which a bar hides
        with suppress(OSError):
            os.write(2, f"{show_cursor}bnbench: {_State.sentence}\n".encode())
    os._exit(128 + number)


def _children() -> list[int]:
    """Return the workers that this process has started."""
    if "multiprocessing.process" not in sys.modules:
        return []
    processes = sys.modules["multiprocessing.process"].active_children()
    return [process.pid for process in processes if process.pid is not None]


def _end(number: int, frame: FrameType | None) -> NoReturn:
    end_at_once(number)
