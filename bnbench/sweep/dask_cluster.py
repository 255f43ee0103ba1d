"""A grid of fits on a Dask cluster, through joblib: an existing one, or one of this machine's own.

A fit is a task, and a worker's thread computes one fit at a time; what it does there is in remote.py.
"""

from __future__ import annotations

import asyncio
import logging
import os
import re
import signal
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import CancelledError, Future
from contextlib import contextmanager, suppress
from typing import Any, TypeVar
from urllib.parse import urlsplit

from joblib import Parallel, delayed

from bnbench.errors import RequestError
from bnbench.inputs.data import DataSet
from bnbench.protocol.protocol import FitKey
from bnbench.sweep.dask_worker import bring_home, fit_on_worker, forget_here, measured_here, slots_here, stop_here
from bnbench.sweep.devices import DeviceRequest, Slot
from bnbench.sweep.execution import Execution, Job, Outcome
from bnbench.sweep.interrupts import Stop, without_interrupts
from bnbench.sweep.plan import Plan

try:
    import dask
    from distributed import Client, KilledWorker, LocalCluster
    from joblib._dask import DaskDistributedBackend  # joblib has no public name for it; constraints.txt pins it
except ImportError as missing:
    raise RequestError(
        f"--backend dask needs packages that are not installed ({missing.name}): pip install dask distributed."
    ) from missing

_SCHEMES = "(tcp|tls|ws|wss|ucx)"
_ANSWER = 10.0  # seconds within which a scheduler has to answer
_LOOK_EVERY = 0.2
_TOUCH_EVERY = 3_600.0
_CLOSE = 0.5
_SETTINGS = {
    "distributed.scheduler.worker-saturation": 1.0,  # a fit takes minutes: none should wait behind another one
    "distributed.worker.memory.terminate": False,
}

T = TypeVar("T")


class Cluster:
    """A Dask cluster that computes fits.

    Args:
        client: connected to its scheduler.
        is_remote: whether workers may be on other machines.
    """

    def __init__(self, client: Client, *, is_remote: bool) -> None:
        self.client, self.is_remote = client, is_remote

    @property
    def workers(self) -> list[str]:
        """Addresses of the workers that are there now."""
        return list(self.client.nthreads())

    def slots(self, request: DeviceRequest) -> tuple[Slot, ...]:
        """What the workers that are there now offer: on each machine its slots, as far as its workers have threads.

        Raises:
            RequestError: no worker could use what was asked for; the message of one of them.
        """
        answers = self.client.run(slots_here, request, on_error="return")
        threads = self.client.nthreads()
        machines: dict[str | None, list[str]] = defaultdict(list)
        for address, answer in answers.items():
            if isinstance(answer, tuple):
                machines[urlsplit(address).hostname].append(address)
        if answers and not machines:
            address, error = next(iter(answers.items()))
            raise RequestError(f"--scheduler: the worker {address} cannot compute fits: {error}")
        slots: list[Slot] = []
        for workers in machines.values():
            slots += answers[workers[0]][: sum(threads.get(worker, 0) for worker in workers)]
        return tuple(slots)

    def wait_for_a_worker(self) -> None:
        """Wait until the scheduler has a worker, however long a queue keeps it."""
        self.client.submit(time.time, pure=False).result()

    def measure(self, measurement: Callable[[Plan, Execution, DataSet], T], plan: Plan, execution: Execution) -> T:
        """Let a worker do a measurement of :mod:`bnbench.sweep.cost`: this machine may have none of the devices."""
        result: T = self.client.submit(measured_here, measurement, plan, execution, pure=False).result()
        return result

    def compute(self, batch: Sequence[FitKey], job: Job, stop: Stop) -> Iterator[Outcome]:
        """Fits as tasks of the cluster; all of them are handed to the scheduler, so that whoever joins late gets some.

        Raises:
            RequestError: the scheduler is gone.
            OSError: the results folder cannot be written.
        """
        if job.is_remote:
            job.here_marker.parent.mkdir(parents=True, exist_ok=True)
            job.here_marker.touch()
        is_over = threading.Event()
        relay = threading.Thread(target=self._relay, args=(job, stop, is_over), daemon=True)
        relay.start()
        backend = _Backend(client=self.client, pure=False)
        parallel = Parallel(return_as="generator_unordered", batch_size=1, pre_dispatch="all", backend=backend)
        try:
            for outcome in parallel(delayed(fit_on_worker)(key, job) for key in batch):
                if isinstance(outcome, RequestError):
                    raise outcome
                yield bring_home(outcome, job)
        finally:
            is_over.set()
            job.here_marker.unlink(missing_ok=True)
        if job.is_remote and not stop.is_requested:
            self.client.run(forget_here, job, on_error="ignore")

    def _relay(self, job: Job, stop: Stop, is_over: threading.Event) -> None:
        """Tell workers out of reach to stop, and keep the marker young."""
        touched = time.monotonic()
        while not is_over.wait(_LOOK_EVERY):
            if stop.is_requested and job.is_remote:
                with suppress(Exception):
                    self.client.run(stop_here, job, on_error="ignore", wait=False)
                return
            if job.is_remote and time.monotonic() - touched > _TOUCH_EVERY:
                touched = time.monotonic()
                with suppress(OSError):
                    job.here_marker.touch()


@contextmanager
def existing_cluster(address: str) -> Iterator[Cluster]:
    """Connect to a scheduler.

    Raises:
        RequestError: none answers at this address.
    """
    for logger in ("distributed", "distributed.client"):  # what concerns the user becomes a sentence
        logging.getLogger(logger).setLevel(logging.CRITICAL)
    try:
        if not re.fullmatch(rf"({_SCHEMES}://)?([^/:]+|\[[^/]+\]):\d+", address):
            raise ValueError(address)
        with without_interrupts():
            client = Client(address, timeout=_ANSWER, name="bnbench", set_as_default=False)
    except (OSError, ValueError, TypeError) as error:
        raise RequestError(
            f"--scheduler {address}: no Dask scheduler answers there ({type(error).__name__}); give its address, such "
            "as tcp://10.0.0.1:8786, or leave --scheduler out for workers on this machine."
        ) from error
    try:
        yield Cluster(client, is_remote=True)
    finally:
        with suppress(TimeoutError):
            client.close(timeout=_CLOSE)


@contextmanager
def local_cluster(execution: Execution) -> Iterator[Cluster]:
    """Start a scheduler and a worker process for each slot on this machine; they end with the block."""
    with dask.config.set(_SETTINGS), without_interrupts(signal.SIGTERM):  # both are this process's business
        cluster = LocalCluster(
            n_workers=len(execution.slots),
            threads_per_worker=1,
            memory_limit=0,
            dashboard_address=None,
            silence_logs=logging.CRITICAL,
        )
        client = Client(cluster, set_as_default=False)
    try:
        yield Cluster(client, is_remote=False)
    except BaseException:
        _kill(cluster)  # whoever is not done by now has had its time
        raise
    finally:
        with suppress(TimeoutError):
            client.close(timeout=_CLOSE)
        with suppress(TimeoutError):
            cluster.close(timeout=_CLOSE)


def _kill(cluster: LocalCluster) -> None:
    for nanny in cluster.workers.values():
        nanny.auto_restart = False
        with suppress(ProcessLookupError, TypeError):  # ended, or not begun
            os.kill(nanny.pid, signal.SIGKILL)


class _Backend(DaskDistributedBackend):  # type: ignore[misc]  # joblib ships no types
    """joblib's Dask backend, less three traps.

    It never tells joblib of a task whose workers have died, and the sweep would wait for it forever; an
    exception in one task ends all; and on a cluster of one thread joblib would compute in this process.
    """

    def effective_n_jobs(self, n_jobs: int) -> int:
        """Threads of the cluster, and two where there are fewer: workers may join later."""
        return max(2, int(sum(self.client.nthreads().values())))

    def submit(self, func: Any, callback: Callable[[Any], None]) -> Future[Any]:
        """Hand a task to the scheduler; whatever becomes of it, joblib gets an outcome."""
        ((_, (key, *_), _),) = func.items

        def receive(answer: Any) -> None:
            callback(answer if isinstance(answer, list) else [_outcome_of(key, getattr(answer, "exc", answer))])

        def fail(future: Future[Any]) -> None:
            if not future.cancelled() and (error := future.exception()):
                receive(error)

        future: Future[Any] = super().submit(func, receive)
        future.add_done_callback(fail)
        return future


def _outcome_of(key: FitKey, error: Exception) -> Outcome | RequestError:
    """What it means that a task raised, or came to nothing."""
    if isinstance(error, KilledWorker):
        return Outcome(key, "killed")
    if isinstance(error, CancelledError | asyncio.CancelledError):
        return RequestError(
            "the Dask scheduler is gone; all that was written is kept: once it is back, the same command goes on."
        )
    return Outcome(key, "failed", message=f"{type(error).__name__}: {error}")
