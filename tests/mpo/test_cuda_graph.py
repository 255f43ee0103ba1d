"""Recordings on a GPU, before a stand-in for torch.cuda: what a failed one leaves behind, and how far launches run."""

from __future__ import annotations

import gc
from contextlib import AbstractContextManager, nullcontext
from itertools import cycle
from types import TracebackType

import pytest
import torch
from torch import Tensor

from bnbench.mpo import cuda_graph
from bnbench.mpo.cuda_graph import is_out_of_memory, record_graph

CPU = torch.device("cpu")
STREAMS = 4  # that torch hands out in turn here


class Stream:
    """A stream on which everything is done at once."""

    def __init__(self, cuda_stream: int = -1) -> None:
        self.cuda_stream = cuda_stream

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
        self.current = Stream()
        self.in_turn = cycle(range(STREAMS))
        self.graphs: list[Graph] = []

    def install(self, monkeypatch: pytest.MonkeyPatch) -> None:
        known = ("CUDAGraph", "Event", "current_device", "current_stream", "device", "graph", "stream")
        for name in (*known, "graph_pool_handle"):
            monkeypatch.setattr(torch.cuda, name, getattr(self, name), raising=False)
        monkeypatch.setattr(torch.cuda, "Stream", self.next_stream)
        monkeypatch.setattr(torch._C, "_cuda_endAllocateToPool", self.end_pool, raising=False)
        monkeypatch.setattr(torch._C, "_cuda_releasePool", lambda *pool: self.calls.append("release"), raising=False)
        monkeypatch.setattr(cuda_graph, "_STREAMS", STREAMS)
        monkeypatch.setattr(cuda_graph, "_streams", {})

    def next_stream(self, device: torch.device, priority: int) -> Stream:
        assert priority < 0
        return Stream(next(self.in_turn))

    def lent(self) -> set[int]:
        return {graph.stream.cuda_stream for graph in self.graphs}

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
        graph.stream = stream
        self.graphs.append(graph)
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
        self.device, self.stream, self.calls = device, device.current, list[str]()

    def reset(self) -> None:
        self.calls.append("reset")

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


def test_living_recordings_share_no_stream(monkeypatch: pytest.MonkeyPatch) -> None:
    device = Device(cleans_up=True)
    with monkeypatch.context() as patched:
        device.install(patched)
        launches = [record_graph(lambda: (), CPU)[0] for _ in range(STREAMS)]
        assert len(device.lent()) == STREAMS
        with pytest.raises(RuntimeError, match=f"{STREAMS} recordings"):
            record_graph(lambda: (), CPU)
        freed = device.graphs[3].stream
        del launches[3]
        assert device.graphs[3].calls == ["reset"]
        record_graph(lambda: (), CPU)
    assert device.graphs[-1].stream is freed


def test_a_stream_of_a_recording_that_has_failed_is_free_again(monkeypatch: pytest.MonkeyPatch) -> None:
    device = Device(cleans_up=True)

    def fails() -> tuple[Tensor, ...]:
        if device.is_recording:
            raise RuntimeError("operation not permitted when stream is capturing")
        return ()

    with monkeypatch.context() as patched:
        device.install(patched)
        for _ in range(STREAMS + 1):
            with pytest.raises(RuntimeError, match="previous error"):
                record_graph(fails, CPU)
        record_graph(lambda: (), CPU)


def test_a_recording_that_refers_to_itself_gives_its_stream_back_when_there_is_no_other(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with monkeypatch.context() as patched:
        Device(cleans_up=True).install(patched)
        for _ in range(STREAMS + 1):
            around: list[object] = [record_graph(lambda: (), CPU)]
            around.append(around)
            del around


@pytest.mark.parametrize("is_enabled", [True, False])
def test_no_garbage_is_collected_while_it_records(is_enabled: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    device, seen = Device(cleans_up=True), list[tuple[bool, bool]]()

    def work() -> tuple[Tensor, ...]:
        seen.append((device.is_recording, gc.isenabled()))
        return ()

    was_enabled = gc.isenabled()
    try:
        (gc.enable if is_enabled else gc.disable)()
        with monkeypatch.context() as patched:
            device.install(patched)
            record_graph(work, CPU)
        assert gc.isenabled() == is_enabled
    finally:
        (gc.enable if was_enabled else gc.disable)()
    assert seen == [(False, is_enabled), (False, is_enabled), (True, False)]


@pytest.mark.parametrize(
    ("error", "is_for_want_of_memory"),
    [
        (MemoryError(), True),
        (torch.OutOfMemoryError("anything"), True),
        (RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"), True),
        (RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"), True),
        (RuntimeError("cuDNN error: CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED"), True),
        (
            RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to allocate 8 bytes"),
            True,
        ),
        (RuntimeError("cuDNN error: CUDNN_STATUS_EXECUTION_FAILED"), False),
        (ValueError("out of memory"), False),
    ],
)
def test_want_of_memory_is_known_by_whatever_library_says_it(error: Exception, is_for_want_of_memory: bool) -> None:
    assert is_out_of_memory(error, str(error)) == is_for_want_of_memory
