"""A grid of fits on a Dask cluster, through joblib: an existing one, or one of this machine's own.

A fit is a task, and a worker's thread computes one fit at a time; what it does there is in dask_worker.py.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, nullcontext
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import urlsplit

from joblib import Parallel, delayed

from bnbench.errors import RequestError
from bnbench.inputs.data import DataSet
from bnbench.protocol.protocol import FitKey
from bnbench.sweep.backends.backend import Backend, Timing
from bnbench.sweep.backends.dask_worker import (
    bring_home,
    fit_on_any_machine,
    fit_on_this_machine,
    slots_here,
    timed_here,
    workers_told,
)
from bnbench.sweep.devices import DeviceRequest, Slot
from bnbench.sweep.execution import Execution, Job, Outcome
from bnbench.sweep.interrupts import RunnerStop
from bnbench.sweep.plan import Plan
from bnbench.sweep.same_code import code_here, refusal
from bnbench.wording import counted, duration

if TYPE_CHECKING:
    from distributed import Client

_AGAIN = 60.0  # seconds after which a wait is said again

T = TypeVar("T")


class Dask(Backend):
    """Fits on a Dask cluster: an existing one, or one of this machine's own.

    Args:
        scheduler: address of the scheduler, such as ``tcp://10.0.0.1:8786``; without one, a scheduler and a worker
            for each slot are started on this machine, and end with the sweep. Each worker then imports the script
            that started it, which has to call bnbench below ``if __name__ == "__main__":`` alone.

    Raises:
        RequestError: Dask is not installed, or the address is empty or no text.
    """

    name = "dask"

    def __init__(self, scheduler: str | None = None) -> None:
        import bnbench.sweep.backends.dask_cluster  # noqa: F401  # says now whether a package is missing

        given: object = scheduler  # whatever Python was told
        if scheduler is not None and not (isinstance(given, str) and given.strip()):
            raise RequestError(f"scheduler {scheduler!r} is no address; give one such as tcp://10.0.0.1:8786, or none.")
        self.scheduler, self.is_remote = scheduler, scheduler is not None
        self._connection: Client | None = None
        self._stack = ExitStack()

    @property
    def options(self) -> dict[str, str]:
        """Return the options for Dask and its scheduler."""
        return {"backend": self.name} | ({"scheduler": self.scheduler} if self.scheduler is not None else {})

    @contextmanager
    def opened(self, say: Callable[[str], None], *, waits: bool = True) -> Iterator[None]:
        """Connect to the scheduler, and wait for its first worker, however long a queue keeps it.

        A cluster of this machine's own is started when there is a fit to compute.

        Raises:
            RequestError: no scheduler answers at the address.
        """
        from bnbench.sweep.backends.dask_cluster import connected

        try:
            with ExitStack() as self._stack:
                if self.scheduler is not None:
                    self._connection = self._stack.enter_context(connected(self.scheduler))
                    if waits and not self.workers:
                        say(f"waiting for the first worker of {self.scheduler}")
                        _wait_for(self._connection.submit(time.time, pure=False), self.scheduler, say)
                    if self.workers:
                        there = counted(len(self.workers), "worker")
                        say(f"{there} at {self.scheduler}; fits go on as others join or leave")
                yield
        finally:
            self._connection = None

    @property
    def workers(self) -> list[str]:
        """Return the addresses of the workers that are there now."""
        return list(self._connection.nthreads()) if self._connection else []

    def slots(self, request: DeviceRequest) -> tuple[Slot, ...]:
        """Return what the workers that are there now offer: each machine's slots, as far as its workers have threads.

        Raises:
            RequestError: there is no worker, one computes with other code than this process, or none could use what
                was asked for; the message of one of them.
        """
        if self._connection is None:
            return super().slots(request)
        if not self.workers:
            raise RequestError(
                f"--scheduler {self.scheduler} has no worker yet, and a plan needs to know their devices; "
                f"start one with dask worker {self.scheduler}."
            )
        for address, there in self._connection.run(code_here, on_error="return").items():
            if said := refusal(there, code_here(), f"--scheduler {self.scheduler}: the worker {address}"):
                raise RequestError(said)
        answers = self._connection.run(slots_here, request, on_error="return")
        threads = self._connection.nthreads()
        machines: dict[str | None, list[str]] = defaultdict(list)
        for address, answer in answers.items():
            if isinstance(answer, tuple):
                machines[urlsplit(address).hostname].append(address)
        if answers and not machines:
            address, error = next(iter(answers.items()))
            raise RequestError(f"--scheduler: the worker {address} cannot compute fits: {error} Mend that there.")
        slots: list[Slot] = []
        for workers in machines.values():
            slots += answers[workers[0]][: sum(threads.get(worker, 0) for worker in workers)]
        return tuple(slots)

    def time_on_device(self, timing: Timing[T], plan: Plan, execution: Execution, data: DataSet) -> T:
        """Let a worker take the time: this machine may have none of the devices."""
        if self._connection is None:
            return super().time_on_device(timing, plan, execution, data)
        result: T = self._connection.submit(timed_here, timing, plan, execution, pure=False).result()
        return result

    def compute(self, batch: Sequence[FitKey], job: Job, stop: RunnerStop) -> Iterator[Outcome]:
        """Compute fits as tasks; all are handed to the scheduler at once, so that whoever joins late gets some.

        Raises:
            RequestError: the scheduler is gone.
            OSError: the results folder cannot be written.
        """
        from bnbench.sweep.backends.dask_cluster import JoblibBackend, own_cluster

        if self._connection is None:
            self._connection = self._stack.enter_context(own_cluster(job.execution))
        backend = JoblibBackend(client=self._connection, pure=False)
        parallel = Parallel(return_as="generator_unordered", batch_size=1, pre_dispatch="all", backend=backend)
        fit = fit_on_any_machine if self.is_remote else fit_on_this_machine
        with workers_told(self._connection, job, stop) if self.is_remote else nullcontext():
            for outcome in parallel(delayed(fit)(key, job) for key in batch):
                if isinstance(outcome, RequestError):
                    raise outcome
                yield bring_home(outcome, job)


def _wait_for(first: Any, scheduler: str, say: Callable[[str], None]) -> None:
    """Wait for the first task of a cluster without workers, however long, and say so every minute."""
    begun = time.monotonic()
    while True:
        try:
            first.result(timeout=_AGAIN)
        except TimeoutError:
            say(f"still waiting for the first worker of {scheduler}, for {duration(time.monotonic() - begun)}")
        else:
            return
