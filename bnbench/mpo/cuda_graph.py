"""What a GPU is told to do, recorded once as a CUDA graph and launched again as one."""

from __future__ import annotations

import gc
import threading
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from itertools import cycle
from typing import Any

import torch
from torch import Tensor

Work = Callable[[], tuple[Tensor, ...]]
Recording = tuple[Callable[[], object], tuple[Tensor, ...]]

# One recording at a time in a process: its fits may run in threads, and nothing may give memory back meanwhile.
RECORDING = threading.RLock()
_WARM_UPS = 2  # libraries choose kernels and workspaces in the first calls, which a recording must not hold
_AHEAD = 2  # launches that may wait on the GPU: enough to keep it busy, few enough to stop within seconds
_STREAMS = 32  # of one priority that torch has for a GPU; it hands them out in turn, again and again
# Of recordings: fits and batches compute on streams of the usual priority, which are none of these. A recording keeps
# its priority wherever it is launched: it goes before a neighbour's landscape, which is not recorded.
_PRIORITY = -1
# Neither cuBLAS nor cuDNN says so by torch's own error: each has a status of its own.
_WANT_OF_MEMORY = ("out of memory", "can't allocate memory", "alloc_failed", "allocation_failed")


class DeviceLostError(RuntimeError):
    """A GPU answers no more in this process, as after an access to memory that is not there: the process is to end."""


def is_lost(device: torch.device) -> bool:
    """Say whether a GPU answers no more: asked whenever kernels have failed, since only some failures are for good."""
    if device.type != "cuda":
        return False
    try:
        torch.ones(1, device=device).item()
    except RuntimeError as error:
        return not is_out_of_memory(error, str(error))
    return False


def is_out_of_memory(error: BaseException, text: str) -> bool:
    """Say whether a failure, whose words are given, is for want of memory, of the processor or of a GPU."""
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    return isinstance(error, RuntimeError) and any(words in text.lower() for words in _WANT_OF_MEMORY)


def record_graph(work: Work, device: torch.device) -> Recording:
    """Record what ``work`` launches on a GPU; it may not wait for the device.

    A recording that fails leaves nothing behind, whatever the version of torch.

    Args:
        work: is called three times, and only the third call is recorded: that one computes nothing.
        device: the GPU.

    Returns:
        What launches all of it again on the current stream, and the tensors that hold its values afterwards.

    Raises:
        RuntimeError: it waits for the device, or copies from the processor's memory; or there is too little memory, or
            there are as many recordings as the GPU has streams for them.
    """
    # The current stream is entered as well, because a recording that fails does not leave its own.
    with RECORDING, torch.cuda.device(device), torch.cuda.stream(torch.cuda.current_stream(device)):
        recorded = _Recorded(_streams.setdefault(device, _Streams(device)))
        graph, beside, pool = recorded.graph, recorded.stream, torch.cuda.graph_pool_handle()
        current = torch.cuda.current_stream()
        beside.wait_stream(current)
        with torch.cuda.stream(beside):
            for _ in range(_WARM_UPS):
                work()
        current.wait_stream(beside)
        try:
            with (
                _nothing_collected(),
                torch.cuda.graph(graph, pool=pool, stream=beside, capture_error_mode="thread_local"),
            ):
                values = work()
        except BaseException:
            _clear_away(pool, beside, device)
            raise
    return _launcher(recorded, device), values


def _launcher(recorded: _Recorded, device: torch.device) -> Callable[[], None]:
    """Return what launches a graph; it waits, without using the processor, while too many launches are under way."""
    turns = cycle([torch.cuda.Event(blocking=True) for _ in range(_AHEAD)])

    def launch() -> None:
        earlier = next(turns)
        earlier.synchronize()  # at once where it was never recorded
        recorded.graph.replay()
        earlier.record(torch.cuda.current_stream(device))  # of this GPU, whichever is the current one

    return launch


def _clear_away(pool: Any, beside: torch.cuda.Stream, device: torch.device) -> None:
    """End what a failed recording has begun, where torch has not done so itself.

    An earlier torch than 2.14 would go on to hand out memory of the recording's pool, refuse to give any back while
    it believes that a recording is under way, and keep its random numbers for it. A recording of
    next to nothing that succeeds puts the random numbers right.
    """
    with suppress(RuntimeError):  # torch has ended it
        torch._C._cuda_endAllocateToPool(torch.cuda.current_device(), pool)
        torch._C._cuda_releasePool(torch.cuda.current_device(), pool)
    with suppress(RuntimeError):
        next_to_nothing = torch.zeros(1, device=device)
        with (
            _nothing_collected(),
            torch.cuda.graph(torch.cuda.CUDAGraph(), stream=beside, capture_error_mode="thread_local"),
        ):
            next_to_nothing += 1


class _Streams:
    """Streams of a GPU for recordings: each is lent to one at a time, for as long as that lives.

    Libraries keep memory for every stream that they have seen. A recording goes on using that of its own, and torch
    gives it back when the recording ends: two that shared a stream would write over each other, or lose it.
    """

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.free: list[torch.cuda.Stream] = []
        self._handles: set[int] = set()  # of all that were ever lent

    def lend(self) -> torch.cuda.Stream:
        """Return a stream on which no living recording was made.

        Raises:
            RuntimeError: there is none.
        """
        for _ in range(0 if self.free else _STREAMS):
            stream = torch.cuda.Stream(self.device, priority=_PRIORITY)
            if stream.cuda_stream not in self._handles:
                self._handles.add(stream.cuda_stream)
                return stream
        if not self.free:
            gc.collect()  # recordings that refer to themselves are waiting for it
        if not self.free:
            raise RuntimeError(f"{len(self._handles)} recordings live on this GPU, which has no stream for another one")
        return self.free.pop()


_streams: dict[torch.device, _Streams] = {}


class _Recorded:
    """A recording with its stream, which goes to another one only after this one has ended."""

    def __init__(self, streams: _Streams) -> None:
        self.graph, self.stream = torch.cuda.CUDAGraph(), streams.lend()
        weakref.finalize(self, _end, self.graph, self.stream, streams).atexit = False


def _end(graph: torch.cuda.CUDAGraph, stream: torch.cuda.Stream, streams: _Streams) -> None:
    """End a recording that nobody can launch any more."""
    with suppress(RuntimeError):
        graph.reset()
    streams.free.append(stream)


@contextmanager
def _nothing_collected() -> Iterator[None]:
    """Keep Python from collecting garbage within: what an old recording or kernel ends with is no work to record."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()
