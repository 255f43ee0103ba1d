"""Recordings on a GPU, before a stand-in for torch.cuda: what a failed one leaves behind, and how far launches run."""

from __future__ import annotations

import threading
from contextlib import AbstractContextManager, nullcontext
from types import TracebackType

import pytest
import torch
from torch import Tensor

from bnbench.mpo import cuda_graph
from bnbench.mpo.cuda_graph import record_graph

CPU = torch.device("cpu")


class Stream:
    """A stream on which everything is done at once."""

    def __init__(self, device: torch.device) -> None:
        self.device = device

    def wait_stream(self, other: Stream) -> None:
        pass


class Device:
    """What torch.cuda does while it records, in torch's own order; its calls are noted.

    Args:
        cleans_up: whether a recording that fails ends what it has begun, as torch 2.14 does.
    """

    def __init__(self, cleans_up: bool) -> None:
        self.cleans_up, self.calls = cleans_up, list[str]()
        self.is_recording = self.is_pool_open = False
        self.current = Stream(CPU)

    def install(self, monkeypatch: pytest.MonkeyPatch) -> None:
        known = ("CUDAGraph", "Event", "current_device", "current_stream", "device", "graph", "stream")
        for name in (*known, "graph_pool_handle"):
            monkeypatch.setattr(torch.cuda, name, getattr(self, name), raising=False)
        monkeypatch.setattr(torch.cuda, "Stream", Stream)
        monkeypatch.setattr(torch._C, "_cuda_endAllocateToPool", self.end_pool, raising=False)
        monkeypatch.setattr(torch._C, "_cuda_releasePool", lambda *pool: self.calls.append("release"), raising=False)
        monkeypatch.setattr(cuda_graph, "_own", threading.local())

    def CUDAGraph(self) -> Graph:  # noqa: N802 - torch's own name
        return Graph(self)

    def Event(self, blocking: bool) -> Event:  # noqa: N802 - torch's own name
        assert blocking
        return Event(self)

    def current_device(self) -> int:
        return 0

    def current_stream(self, device: torch.device | None = None) -> Stream:
        return self.current

    def device(self, device: torch.device) -> AbstractContextManager[None]:
        return nullcontext()

    def stream(self, stream: Stream) -> AbstractContextManager[None]:
        return nullcontext()

    def graph_pool_handle(self) -> tuple[int, int]:
        return (0, 1)

    def graph(self, graph: Graph, *, stream: Stream, capture_error_mode: str, pool: object = None) -> Recorder:
        assert capture_error_mode == "thread_local"
        return Recorder(self)

    def end_pool(self, device: int, pool: tuple[int, int]) -> None:
        if not self.is_pool_open:
            raise RuntimeError("endAllocatePool: not currently recording to mempool_id")
        self.is_pool_open = False
        self.calls.append("end")


class Recorder:
    def __init__(self, device: Device) -> None:
        self.device = device

    def __enter__(self) -> None:
        assert not self.device.is_recording
        self.device.is_recording = self.device.is_pool_open = True

    def __exit__(self, kind: type[BaseException] | None, error: object, trace: TracebackType | None) -> None:
        self.device.is_recording = False
        if kind:
            self.device.is_pool_open = not self.device.cleans_up
            raise RuntimeError("operation failed due to a previous error during capture")
        self.device.is_pool_open = False
        self.device.calls.append("recorded")


class Graph:
    def __init__(self, device: Device) -> None:
        self.device = device

    def replay(self) -> None:
        self.device.calls.append("launch")


class Event:
    def __init__(self, device: Device) -> None:
        self.device, self.after = device, 0

    def record(self, stream: Stream) -> None:
        self.after = self.device.calls.count("launch")

    def synchronize(self) -> None:
        self.device.calls.append(f"wait for {self.after}")


@pytest.mark.parametrize(("cleans_up", "calls"), [(False, ["end", "release", "recorded"]), (True, ["recorded"])])
def test_a_recording_that_fails_leaves_nothing_behind(
    cleans_up: bool, calls: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    device = Device(cleans_up)

    def waits() -> tuple[Tensor, ...]:
        if device.is_recording:
            raise RuntimeError("operation not permitted when stream is capturing")
        return ()

    with monkeypatch.context() as patched:
        device.install(patched)
        with pytest.raises(RuntimeError, match="previous error"):
            record_graph(waits, CPU)
        assert device.calls == calls
        assert not device.is_pool_open
        record_graph(lambda: (), CPU)  # the next one finds no trace of it
    assert device.calls == [*calls, "recorded"]


def test_launches_run_ahead_by_two(monkeypatch: pytest.MonkeyPatch) -> None:
    device = Device(cleans_up=True)
    with monkeypatch.context() as patched:
        device.install(patched)
        replay, _ = record_graph(lambda: (), CPU)
        for _ in range(4):
            replay()
    expected = ["wait for 0", "launch", "wait for 0", "launch", "wait for 1", "launch", "wait for 2", "launch"]
    assert device.calls == ["recorded", *expected]


def test_every_thread_records_on_a_stream_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    found: list[object] = []
    with monkeypatch.context() as patched:
        Device(cleans_up=True).install(patched)
        found += [cuda_graph._stream(CPU), cuda_graph._stream(CPU)]
        thread = threading.Thread(target=lambda: found.append(cuda_graph._stream(CPU)))
        thread.start()
        thread.join()
    assert found[0] is found[1]
    assert found[0] is not found[2]
