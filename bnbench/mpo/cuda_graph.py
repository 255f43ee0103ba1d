"""What a GPU is told to do, recorded once as a CUDA graph and launched again as one."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import suppress
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
_own = threading.local()


class DeviceLostError(RuntimeError):
    """A GPU answers no more in this process, as after an access to memory that is not there: the process is to end."""


def is_lost(device: torch.device) -> bool:
    """Say whether a GPU answers no more: asked whenever kernels have failed, since only some failures are for good."""
    if device.type != "cuda":
        return False
    try:
        torch.ones(1, device=device).item()
    except torch.OutOfMemoryError:
        return False
    except RuntimeError:
        return True
    return False


def record_graph(work: Work, device: torch.device) -> Recording:
    """Record what ``work`` launches on a GPU; it may not wait for the device.

    A recording that fails leaves nothing behind, whatever the version of torch.

    Args:
        work: is called three times, and only the third call is recorded: that one computes nothing.
        device: the GPU.

    Returns:
        What launches all of it again on the current stream, and the tensors that hold its values afterwards.

    Raises:
        RuntimeError: it waits for the device, or copies from the processor's memory; or there is too little memory.
    """
    # The current stream is entered as well, because a recording that fails does not leave its own.
    with RECORDING, torch.cuda.device(device), torch.cuda.stream(torch.cuda.current_stream(device)):
        graph, pool = torch.cuda.CUDAGraph(), torch.cuda.graph_pool_handle()
        beside, current = _stream(device), torch.cuda.current_stream()
        beside.wait_stream(current)
        with torch.cuda.stream(beside):
            for _ in range(_WARM_UPS):
                work()
        current.wait_stream(beside)
        try:
            with torch.cuda.graph(graph, pool=pool, stream=beside, capture_error_mode="thread_local"):
                values = work()
        except BaseException:
            _clear_away(pool, beside, device)
            raise
    return _launcher(graph, device), values


def _launcher(graph: torch.cuda.CUDAGraph, device: torch.device) -> Callable[[], None]:
    """Return what launches a graph; it waits, without using the processor, while too many launches are under way."""
    turns = cycle([torch.cuda.Event(blocking=True) for _ in range(_AHEAD)])

    def launch() -> None:
        earlier = next(turns)
        earlier.synchronize()  # at once where it was never recorded
        graph.replay()
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
        with torch.cuda.graph(torch.cuda.CUDAGraph(), stream=beside, capture_error_mode="thread_local"):
            next_to_nothing += 1


def _stream(device: torch.device) -> torch.cuda.Stream:
    """Return this thread's stream for recordings on a GPU.

    Libraries keep memory for every stream that they have seen, and a recording holds on to it: recordings of two
    threads, which may run at the same moment, must not share it.
    """
    streams: dict[torch.device, torch.cuda.Stream] = _own.__dict__.setdefault("streams", {})
    if device not in streams:
        streams[device] = torch.cuda.Stream(device)
    return streams[device]
