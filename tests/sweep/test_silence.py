"""Nothing happens: why is said within five seconds, then every minute."""

from __future__ import annotations

import time
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console

from bnbench.protocol.protocol import FitKey, Grid
from bnbench.results.claims import Progress
from bnbench.results.folder_protocol import open_folder
from bnbench.sweep import silence, watching
from bnbench.sweep.backends import dask_backend
from bnbench.sweep.backends.inline import Inline
from bnbench.sweep.devices import make_slots
from bnbench.sweep.execution import Execution
from bnbench.sweep.plan import plan_sweep
from bnbench.sweep.runner import Runner
from tests.fits import TINY

HELD = FitKey("plain", 0.3, 2)
ONE = Execution(make_slots(("cpu",), 1, 1))
OTHERS = [Progress("plain", 0.3, 2, "cpu#0", "host", 7, "token", 0.0, 0, 1_234, 5_000)]


@pytest.mark.parametrize(
    ("held", "is_remote", "names"),
    [([HELD], False, ["plain p=0.3 seed=2", "1,234/5,000"]), ([], True, ["worker", "folder"])],
)
def test_a_word_comes_within_five_seconds_and_then_every_minute(
    held: list[FitKey], is_remote: bool, names: list[str]
) -> None:
    quiet = silence.Silence(100.0)
    words = {
        second: quiet.word(100.0 + second, held, OTHERS if held else [], is_remote=is_remote) for second in range(200)
    }
    said = [second for second, word in words.items() if word]
    assert said == [4, 64, 124, 184]
    assert all(name in words[64] for name in names)
    assert "64 s" in words[64]
    assert not quiet.word(250.0, [], [], is_remote=False), "workers of this machine are only starting"
    quiet.is_broken(300.0)
    assert not quiet.word(303.0, held, [], is_remote=is_remote)
    assert "5 s" in quiet.word(305.0, held, [], is_remote=is_remote)


def test_who_watches_a_sweep_hears_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    open_folder(tmp_path, TINY)
    grid = Grid(("plain",), (0.3,), (2,))
    runner = Runner(plan_sweep(tmp_path, TINY, grid), ONE, Inline())
    runner.elsewhere.append(HELD)
    said = StringIO()
    lines = watching._Lines(runner, Console(file=said))
    lines._break_silence(is_busy=False)
    assert said.getvalue() == ""
    now = time.monotonic()
    monkeypatch.setattr(time, "monotonic", lambda: now + 4.5)
    lines._break_silence(is_busy=True)
    assert said.getvalue() == ""
    monkeypatch.setattr(time, "monotonic", lambda: now + 10)
    lines._break_silence(is_busy=False)
    assert str(HELD) in said.getvalue()


def test_the_look_at_a_sweep_comes_often_enough_and_breaks_the_silence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert silence._FIRST + watching._LOOK_EVERY <= 5
    monkeypatch.setattr(silence, "_FIRST", 0.0)
    monkeypatch.setattr(watching, "_LOOK_EVERY", 0.01)
    open_folder(tmp_path, TINY)
    runner = Runner(plan_sweep(tmp_path, TINY, Grid(("plain",), (0.3,), (2,))), ONE, Inline())
    runner.elsewhere.append(HELD)
    said, end = StringIO(), time.monotonic() + 20
    with watching._Lines(runner, Console(file=said)):
        while str(HELD) not in said.getvalue():
            assert time.monotonic() < end, "nobody looks"
            time.sleep(0.01)


def test_a_cluster_without_workers_is_waited_for_aloud() -> None:
    class Task:
        looks = 0

        def result(self, timeout: float) -> float:
            self.looks += 1
            if self.looks < 4:
                raise TimeoutError
            return timeout

    said: list[str] = []
    dask_backend._wait_for(Task(), "tcp://10.0.0.1:8786", said.append)
    assert len(said) == 3
    assert all("tcp://10.0.0.1:8786" in word for word in said)
