"""A terminal for tests: runs a program in it and shows what a person would see."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import struct
import tempfile
import termios
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from tests.warm import Process, start

_CONTROL = re.compile(r"\x1b\[(\??)(\d*(?:;\d+)*)([A-Za-z])|(\r)|(\n)|([^\x1b\r\n]+)")


class Shown(NamedTuple):
    """What a program left behind: its exit code, the screen with all that has scrolled off, every byte."""

    returncode: int
    screen: str
    raw: str
    stdout: str


def run_in_terminal(
    *arguments: str,
    columns: int = 80,
    when: Callable[[str], bool] = lambda screen: False,
    then: Callable[[Process], object] = lambda process: None,
    stdout_to_file: bool = False,
    timeout: float = 120,
) -> Shown:
    """Run ``bnbench`` in a terminal; once the screen fulfils ``when``, do ``then``."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 40, columns, 0, 0))
    environment = {**os.environ, "TERM": "xterm-256color"}
    for name in ("COLUMNS", "LINES", "NO_COLOR"):
        environment.pop(name, None)
    kept = tempfile.TemporaryFile(buffering=0)  # noqa: SIM115  # closed below
    out = os.dup(kept.fileno()) if stdout_to_file else theirs
    process = start("bnbench", arguments, cwd=Path.cwd(), environment=environment, streams=(theirs, out, theirs))
    os.close(theirs)
    raw, is_waiting, deadline = b"", True, time.monotonic() + timeout
    while time.monotonic() < deadline:
        if select.select([ours], [], [], 0.1)[0]:
            try:
                part = os.read(ours, 65536)
            except OSError:  # nobody has the terminal open any more
                break
            raw += part
            if is_waiting and when(screen_of(raw.decode(errors="replace"), columns)):
                is_waiting = False
                then(process)
        elif process.poll() is not None:
            break
    process.wait(timeout=max(1.0, deadline - time.monotonic()))
    os.close(ours)
    stdout = ""
    if stdout_to_file:
        stdout = os.pread(out, os.fstat(out).st_size, 0).decode()
        os.close(out)
    kept.close()
    text = raw.decode()
    return Shown(process.wait(), screen_of(text, columns), text, stdout)


def screen_of(raw: str, columns: int) -> str:
    """What the bytes that rich sends leave on an endless screen: text, line ends, cursor up, erased lines."""
    lines, row, column = [""], 0, 0
    for private, numbers, command, carriage_return, newline, text in _CONTROL.findall(raw):
        if carriage_return:
            column = 0
        elif newline:
            row, column = row + 1, 0
        elif command == "A":
            row = max(0, row - int(numbers or 1))
        elif command == "K":
            lines[row] = "" if numbers == "2" else lines[row][:column]
        elif command and not (command == "m" or private):
            raise AssertionError(f"this terminal does not know {command}")
        while row >= len(lines):
            lines.append("")
        for letter in text:
            if column == columns:  # a line that is too long goes on in the next
                row, column = row + 1, 0
                lines += [""] * (row + 1 - len(lines))
            line = lines[row].ljust(column)
            lines[row] = line[:column] + letter + line[column + 1 :]
            column += 1
    return "\n".join(line.rstrip() for line in lines).rstrip()
