"""Sweeps as a user runs them, from a shell; what is watched about them from outside."""

from __future__ import annotations

import os
import signal
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO

import pandas as pd

from bnbench.protocol.profiles import changes
from bnbench.protocol.protocol import Grid, Protocol
from bnbench.results import layout
from bnbench.results.sweeps import read_sweep
from tests.fits import TINY
from tests.warm import PACKAGE, start


def options_of(protocol: Protocol) -> list[str]:
    """A protocol as a shell is given it: its profile, and the knobs in which it differs."""
    knobs = [part for name, text in changes(protocol).items() for part in (f"--{name.replace('_', '-')}", text)]
    return ["--profile", protocol.profile, *knobs]


# Four fits of less than a second, with some checkpoints in each; as a protocol, and as a shell is given it.
PROTOCOL = TINY.with_knobs(steps=100)
GRID = Grid(("plain", "bn"), (0.5,), (1, 2))
FITS = len(GRID.fits())
CHUNK = 8
SWEEP = [*options_of(PROTOCOL), "--probs", "0.5", "--seeds", "2", "--chunk", str(CHUNK)]
SWEEP += ["--devices", "cpu,cpu", "--checkpoint-every", "0.1"]


class Running:
    """``bnbench run`` in a process and a session of its own.

    Args:
        options: what follows ``run``.
        folder: where the command runs; results go to its ``results`` unless the options say otherwise.
        before: a command that runs the command line, such as ``unshare``; this is a cold start, too.
        cold: with a new interpreter for it and for each of its workers.
    """

    def __init__(self, options: Sequence[str], folder: Path, *, before: Sequence[str] = (), cold: bool = False) -> None:
        paths = os.pathsep.join(map(str, (folder, PACKAGE)))
        environment = os.environ | {"PYTHONPATH": paths, "OMP_NUM_THREADS": "1", "COLUMNS": "200"}
        self.err, self.out = (tempfile.TemporaryFile("w+b", buffering=0) for _ in range(2))  # noqa: SIM115  # end() closes both
        self.process = start(
            "bnbench",
            ["run", "--out", "results", *options],
            cwd=folder,
            environment=environment,
            streams=(0, self.out.fileno(), self.err.fileno()),
            before=before,
            cold=cold,
        )
        self.folder = folder / "results"
        self._last_words = ""

    @property
    def said(self) -> str:
        """All that it and its workers have written to stderr so far."""
        return self._last_words if self.err.closed else _content(self.err)

    @property
    def printed(self) -> str:
        """All that it has written to stdout so far."""
        return _content(self.out)

    @property
    def is_over(self) -> bool:
        return self.process.poll() is not None

    def workers(self) -> list[int]:
        """Its workers, once they have been started."""
        return [pid for pid, name in _session(self.process.pid).items() if "popen_loky" in name]

    def wait_until(self, is_so: Callable[[], object], seconds: float = 120) -> None:
        """Wait until something is so, or the command has ended."""
        end = time.monotonic() + seconds
        while not self.is_over and not is_so():
            assert time.monotonic() < end, f"it did not come to it in {seconds} s; it said:\n{self.said}"
            time.sleep(0.02)

    def wait_until_under_way(self) -> None:
        """Wait until a fit has a checkpoint."""
        self.wait_until(lambda: list((self.folder / "running").glob("*.pt")))

    def wait(self, seconds: float = 240) -> int:
        """Wait for its end; returns the exit code, 128 and the number where a signal killed it."""
        code = self.process.wait(seconds)
        return code if code >= 0 else 128 - code

    def wait_for_everyone(self, seconds: float = 20) -> None:
        """Wait until no process of it is left, the workers included."""
        end = time.monotonic() + seconds
        while left := _session(self.process.pid):
            if time.monotonic() >= end:
                for pid in left:
                    os.kill(pid, signal.SIGKILL)
                raise AssertionError(f"after {seconds} s these still ran: {left}")
            time.sleep(0.02)

    def end(self) -> None:
        """Kill what is left of it, and keep what it said."""
        for pid in _session(self.process.pid):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.process.wait()
        self._last_words = self.said
        self.out.close()
        self.err.close()


def bnbench(options: Sequence[str], folder: Path, *, before: Sequence[str] = (), cold: bool = False) -> tuple[int, str]:
    """Run a sweep to its end: its exit code, and what it said."""
    running = Running(options, folder, before=before, cold=cold)
    try:
        code = running.wait()
        running.wait_for_everyone()
    finally:
        running.end()
    assert "Traceback" not in running.said, running.said
    return code, running.said


class Stamps:
    """Watches a results folder: a finished fit's file is never written again, nor lost."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.seen: dict[str, tuple[int, int]] = {}

    def look(self) -> None:
        found = {path.name: path.stat() for path in layout.fit_paths(self.folder)}
        now = {name: (status.st_ino, status.st_mtime_ns) for name, status in found.items()}
        assert self.seen.items() <= now.items(), f"was {self.seen}, is {now}"
        self.seen = now


def assert_same(folder: Path, undisturbed: Path) -> None:
    """Two sweeps hold the same tables, traces and summaries, bit for bit."""
    ours, theirs = read_sweep(folder), read_sweep(undisturbed)
    assert not ours.broken
    for name in ("landscapes", "traces", "summaries"):
        pd.testing.assert_frame_equal(getattr(ours, name), getattr(theirs, name), check_exact=True, obj=name)


def assert_tidy(folder: Path) -> None:
    """Nothing is left of a finished sweep but its results: no lock, checkpoint, progress or temporary file."""
    assert list((folder / "running").iterdir()) == []
    assert list(folder.rglob(".*")) == []
    assert not (folder / "failures").exists() or list((folder / "failures").iterdir()) == []


def _content(file: IO[bytes]) -> str:
    return os.pread(file.fileno(), os.fstat(file.fileno()).st_size, 0).decode()


def _session(leader: int) -> dict[int, str]:
    """The living processes of a session, with their names and command lines."""
    found: dict[int, str] = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            state, _, _, session = (folder / "stat").read_text().rpartition(")")[2].split()[:4]
            if int(session) == leader and state != "Z":
                found[int(folder.name)] = (folder / "comm").read_text() + (folder / "cmdline").read_text()
        except (OSError, ValueError):
            continue  # it ended while we looked
    return found
