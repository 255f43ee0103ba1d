"""Device slots, and leases on them that the kernel frees however a process dies."""

from __future__ import annotations

import ctypes
import fcntl
import gc
import os
import platform
import re
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch

from bnbench.errors import RequestError
from bnbench.mpo.cuda_graph import RECORDING
from bnbench.process.locks import held
from bnbench.process.surroundings import set_anew

_WAIT = 0.05
# glibc's malloc.h: M_MMAP_MAX, M_TRIM_THRESHOLD, M_TOP_PAD.
_MALLOC_OPTIONS = {-4: 0, -1: 2**31 - 1, -2: 2**26}


@dataclass(frozen=True)
class Slot:
    """A place for one fit at a time: a device, and which of the fits on that device."""

    device: str
    index: int

    def __str__(self) -> str:
        return f"{self.device}#{self.index}"


def parse_devices(text: str, option: str = "--devices") -> tuple[str, ...]:
    """Read device names: ``auto``, ``cpu``, ``cpu,cpu``, ``cuda:0,cuda:1`` or ``cuda:*``.

    ``auto`` is every CUDA device, or the CPU where there is none.

    Raises:
        RequestError: a name that is no device, or a device that this machine lacks.
    """
    cuda = tuple(f"cuda:{index}" for index in range(torch.cuda.device_count()))
    here = ", ".join(("cpu", *cuda))
    names: list[str] = []
    for name in text.split(","):
        if name == "auto":
            names += cuda or ("cpu",)
        elif name == "cuda:*" and cuda:
            names += cuda
        elif name == "cpu" or name in cuda:
            names.append(name)
        elif re.fullmatch(r"cuda(:[0-9]{1,4}|:\*)?", name):
            raise RequestError(f"{option} {text}: this machine has no device {name}; use one of {here}.")
        else:
            raise RequestError(f"{option} {text}: {name!r} is not a device; use auto, cuda:* or one of {here}.")
    return tuple(names)


def make_slots(
    devices: Sequence[str], jobs: int | None, threads: int, per_device: int | None = None
) -> tuple[Slot, ...]:
    """Spread jobs over devices in turn.

    Args:
        devices: names as :func:`parse_devices` gives them; a name may stand more than once.
        jobs: fits at once. By default ``per_device`` for each name.
        threads: processor threads of a fit.
        per_device: fits at once on each device. By default one, and on the CPU alone as many as have
            ``threads`` cores each.
    """
    if jobs is None:
        is_processor = tuple(devices) == ("cpu",)
        jobs = len(devices) * (per_device or (max(1, available_cores() // threads) if is_processor else 1))
    used: Counter[str] = Counter()
    slots: list[Slot] = []
    for job in range(jobs):
        device = devices[job % len(devices)]
        slots.append(Slot(device, used[device]))
        used[device] += 1
    return tuple(slots)


def spread(counts: Mapping[str, int]) -> tuple[Slot, ...]:
    """Spread fits over devices in turn, each of which takes so many at once."""
    rounds = range(max(counts.values(), default=0))
    return tuple(Slot(device, index) for index in rounds for device, count in counts.items() if index < count)


def available_cores() -> int:
    """Return the number of processor cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@dataclass(frozen=True)
class DeviceRequest:
    """Says which devices were asked for, whatever a machine has: each machine of a cluster makes slots of its own.

    Attributes:
        devices: as :func:`parse_devices` reads them.
        jobs: fits at once.
        per_device: fits at once on each device.
        threads: processor threads of a fit.
    """

    devices: str = "auto"
    jobs: int | None = None
    per_device: int | None = None
    threads: int = 1

    def slots(self) -> tuple[Slot, ...]:
        """Return the slots of the machine that asks.

        Raises:
            RequestError: it lacks one of the devices.
        """
        return make_slots(parse_devices(self.devices), self.jobs, self.threads, self.per_device)


class LeaseGivenUpError(Exception):
    """Whoever waited for a slot was told to stop."""


@contextmanager
def lease(slots: Sequence[Slot], folder: Path, gives_up: Callable[[], bool] = lambda: False) -> Iterator[Slot]:
    """Hold a free slot; wait while all are taken.

    Args:
        slots: the slots of a sweep.
        folder: where its lock files lie, on this machine's own disk; made if it is not there.
        gives_up: asked while waiting; whether to wait no longer.

    Raises:
        LeaseGivenUpError: it was.
    """
    folder.mkdir(mode=0o700, exist_ok=True)
    while not gives_up():
        for slot in slots:
            file = (folder / str(slot).replace(":", "-")).open("w")
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                file.close()
                continue
            with held(file):
                yield slot
            return
        time.sleep(_WAIT)
    raise LeaseGivenUpError


def prepare_process(threads: int, precision: str = "float32") -> None:
    """Set what a fit's numbers and speed depend on, inside the process that computes it.

    joblib passes none of it on, and whoever ran before may have changed it. Float32 means float32 on a GPU too
    (cuDNN would round to TF32) unless the protocol asks for ``tf32``, and its kernels are the deterministic ones.
    """
    set_anew(threads, precision)
    keep_freed_memory()


def keep_freed_memory() -> bool:
    """Make this process reuse the memory it frees instead of handing it back to the system.

    By default glibc maps every large tensor anew and unmaps it when it dies, so that each layer of
    each step waits for the kernel to clear its pages. Measured on one core at the paper's shapes
    (512 images): 3.7 s a pixel by default, 2.1 s with this; bn 4.3 s and 2.4 s.

    Returns:
        Whether the C library took the settings; others than glibc are left alone.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):
        return False
    return all(mallopt(option, value) for option, value in _MALLOC_OPTIONS.items())


def free_cached_memory(device: str) -> None:
    """Hand back what an attempt has left, so that the next one, or another process, finds room."""
    with RECORDING:  # of another fit in this process
        gc.collect()
        if device.startswith("cuda"):
            torch.cuda.empty_cache()


@contextmanager
def own_stream(device: str) -> Iterator[None]:
    """Give this thread a stream of its own, within, for all that it computes on a GPU; a processor has none."""
    if device == "cpu":
        yield
        return
    torch.cuda.init()
    with torch.cuda.device(device), torch.cuda.stream(torch.cuda.Stream(device)):
        yield


def device_name(device: str) -> str:
    """Return the model of a processor or GPU."""
    if device.startswith("cuda"):
        return torch.cuda.get_device_name(device)
    return _of_processor("model name") or platform.processor() or platform.machine()


def processor_kind(device: str) -> str | None:
    """Return what tells processors of one name apart, as virtual machines have it, and with them their rounding.

    Returns:
        Family, model and stepping, where Linux tells them, and the instructions that torch uses; None for a GPU.
    """
    if device.startswith("cuda"):
        return None
    numbers = (("family", "cpu family"), ("model", "model"), ("stepping", "stepping"))
    told = [f"{name} {value}" for name, field in numbers if (value := _of_processor(field))]
    return ", ".join([*told, torch.backends.cpu.get_cpu_capability()])


def _of_processor(field: str) -> str:
    """Return a field of what Linux says of its first processor; empty where it does not."""
    information = Path("/proc/cpuinfo")
    if not information.exists():
        return ""
    match = re.search(rf"^{field}\s*:\s*(.+)$", information.read_text(), re.MULTILINE)
    return match[1] if match else ""
