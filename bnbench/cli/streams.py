"""The streams and the terminal that a process was started with, whatever state they are in."""

from __future__ import annotations

import codecs
import io
import os
import re
import sys
from collections.abc import MutableMapping
from contextlib import suppress

_NARROWEST = 20  # columns: a variable that says less is a slip, or a program that does not know
_ALIKE = str.maketrans({"●": "#", "▶": ">", "✗": "x", "◐": "o", "·": ".", "×": "x", "−": "-", "–": "-", "…": "..."})


class _BestEffort(io.RawIOBase):
    """Messages for people: where they cannot be written, the work goes on without them."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def writable(self) -> bool:
        return True

    def fileno(self) -> int:
        return self._descriptor

    def isatty(self) -> bool:
        return os.isatty(self._descriptor)

    def write(self, content: object) -> int:
        written = memoryview(content)  # type: ignore[arg-type]  # a BufferedWriter hands over bytes
        with suppress(OSError):
            return os.write(self._descriptor, written)
        return len(written)


def prepare_streams() -> None:
    """Make this process's streams bear what it writes, before it opens any file.

    A closed stream becomes /dev/null: else the next file that is opened would take its number, and messages, or
    another program's, would go into it. A letter that a stream's encoding lacks is written as one that looks alike.
    """
    for descriptor in (0, 1, 2):
        try:
            os.fstat(descriptor)
        except OSError:
            null = os.open(os.devnull, os.O_RDWR)
            if null != descriptor:
                os.dup2(null, descriptor)
                os.close(null)
            os.set_inheritable(descriptor, True)
    if sys.stdout is None:
        sys.stdout = open(1, "w", encoding="utf-8", closefd=False)  # noqa: SIM115  # it lasts as long as the process
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="bnbench")
    sys.stderr = io.TextIOWrapper(
        io.BufferedWriter(_BestEffort(2)),
        encoding=getattr(sys.stderr, "encoding", "utf-8"),
        errors="bnbench",
        line_buffering=True,
    )
    forget_false_settings(os.environ)


def forget_false_settings(environment: MutableMapping[str, str]) -> None:
    """Take away what was meant for another program, and would end this one.

    A COLUMNS in which no table could be read: the terminal's own width, or 80, stands in for it. And matplotlib's
    backend: figures go to files, and a notebook's shell hands on one that is not installed here.
    """
    environment.pop("MPLBACKEND", None)
    columns = environment.get("COLUMNS", "")
    if not re.fullmatch(r"[0-9]{1,4}", columns) or int(columns) < _NARROWEST:
        environment.pop("COLUMNS", None)


def drop_output() -> None:
    """Let nothing more go to stdout, whose reader is gone or whose disk is full; what waits to be written goes, too."""
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, sys.stdout.fileno())
    os.close(null)


def _look_alike(error: UnicodeError) -> tuple[str | bytes, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    text = error.object[error.start : error.end].translate(_ALIKE)
    return "".join(letter if letter.isascii() else f"\\u{ord(letter):04x}" for letter in text), error.end


codecs.register_error("bnbench", _look_alike)
