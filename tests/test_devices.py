"""Device slots and the leases that hold them."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import time
from multiprocessing.connection import Connection
from pathlib import Path

import pytest
import torch

from bnbench.devices import Slot, available_cores, lease, make_slots, parse_devices


@pytest.fixture
def two_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)


@pytest.mark.usefixtures("two_gpus")
@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("auto", ("cuda:0", "cuda:1")),
        ("cuda:*", ("cuda:0", "cuda:1")),
        ("cuda:1", ("cuda:1",)),
        ("cpu,cpu", ("cpu", "cpu")),
        ("cuda:0,cpu", ("cuda:0", "cpu")),
    ],
)
def test_devices_of_a_machine_with_two_gpus(text: str, expected: tuple[str, ...]) -> None:
    assert parse_devices(text) == expected


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("cuda:0", r"--devices cuda:0: this machine has no device cuda:0; use one of cpu\."),
        ("cuda:*", r"no device cuda:\*"),
        ("cpu,gpu", r"--devices cpu,gpu: 'gpu' is not a device; use auto, cuda:\* or one of cpu\."),
        ("", "'' is not a device"),
    ],
)
def test_devices_that_do_not_exist(text: str, message: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    with pytest.raises(ValueError, match=message):
        parse_devices(text)


def test_jobs_are_spread_over_devices_in_turn() -> None:
    names = [str(slot) for slot in make_slots(("cuda:0", "cuda:1"), 5, 1)]
    assert names == ["cuda:0#0", "cuda:1#0", "cuda:0#1", "cuda:1#1", "cuda:0#2"]
    assert [str(slot) for slot in make_slots(("cpu", "cpu"), None, 8)] == ["cpu#0", "cpu#1"]
    assert len(make_slots(("cpu",), None, 1)) == available_cores()
    assert len(make_slots(("cpu",), None, 10_000)) == 1


def test_a_leased_slot_is_nobody_elses(tmp_path: Path) -> None:
    slots = make_slots(("cpu",), 2, 1)
    with lease(slots, tmp_path) as first, lease(slots, tmp_path) as second:
        assert {first, second} == set(slots)
        third: list[Slot] = []

        def wait_for_one() -> None:
            with lease(slots, tmp_path) as slot:
                third.append(slot)

        waiting = threading.Thread(target=wait_for_one)
        waiting.start()
        time.sleep(0.2)
        assert not third
    waiting.join(timeout=10)
    assert third[0] in slots


def hold(folder: Path, pipe: Connection) -> None:
    with lease(make_slots(("cpu",), 1, 1), folder):
        pipe.send("held")
        time.sleep(60)


def test_a_killed_process_frees_its_slot(tmp_path: Path) -> None:
    here, there = multiprocessing.Pipe()
    context = multiprocessing.get_context("spawn")
    holder = context.Process(target=hold, args=(tmp_path, there))
    holder.start()
    assert here.recv() == "held"
    assert holder.pid is not None
    os.kill(holder.pid, signal.SIGKILL)
    with lease(make_slots(("cpu",), 1, 1), tmp_path) as slot:
        assert str(slot) == "cpu#0"
    holder.join()
