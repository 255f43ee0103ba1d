"""What every backend offers: slots, timings, and a batch of fits computed."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import ClassVar, TypeVar

from bnbench.inputs.data import DataSet
from bnbench.protocol.protocol import FitKey
from bnbench.sweep.devices import DeviceRequest, Slot
from bnbench.sweep.execution import Execution, Job, Outcome
from bnbench.sweep.interrupts import RunnerStop
from bnbench.sweep.plan import Plan

T = TypeVar("T")
Timing = Callable[[Plan, Execution, DataSet], T]


class WorkersKilledError(Exception):
    """Worker processes were killed, and the fits that they held have no outcome."""


class Backend(ABC):
    """A place where fits are computed; by default on this machine.

    Attributes:
        name: what ``--backend`` calls it.
        is_remote: whether workers may be on other machines, with devices of their own and perhaps without the disk
            that holds the results.
        has_processes: whether fits are computed in processes that may end without the sweep.
        shares_devices: whether fits on one GPU share a process, so that several at once gain something.
    """

    name: ClassVar[str]
    is_remote: bool = False
    has_processes: bool = True
    shares_devices: bool = False

    @property
    def options(self) -> dict[str, str]:
        """Return the command's options that choose this backend, by name; a sweep stores them with its results."""
        return {"backend": self.name}

    @contextmanager
    def opened(self, say: Callable[[str], None], *, waits: bool = True) -> Iterator[None]:
        """Connect to what computes; everything below is called within.

        Args:
            say: takes a sentence for the user.
            waits: whether to wait for the first worker.

        Raises:
            RequestError: there is nothing to connect to.
        """
        yield

    def slots(self, request: DeviceRequest) -> tuple[Slot, ...]:
        """Return the places for one fit at a time.

        Raises:
            RequestError: a device that was asked for is not there.
        """
        return request.slots()

    def time_on_device(self, timing: Timing[T], plan: Plan, execution: Execution, data: DataSet) -> T:
        """Call a function that times steps on a device that fits will run on."""
        return timing(plan, execution, data)

    def seconds_to_start(self, loaded: float) -> float:
        """Return how long it takes until the first fits begin, in seconds: nothing where workers are there already.

        Args:
            loaded: how long the images took to load here.
        """
        return 0.0

    @abstractmethod
    def compute(self, batch: Sequence[FitKey], job: Job, stop: RunnerStop) -> Iterator[Outcome]:
        """Compute fits with :func:`bnbench.sweep.worker.run_fit`, as many at once as there are slots.

        Args:
            batch: which fits.
            job: what is asked, how, and where results go.
            stop: says when no other fit is to be begun; those under way notice by themselves.

        Yields:
            The outcome of each fit, in any order; ``killed`` where it is known whose worker was killed.

        Raises:
            WorkersKilledError: workers were killed, and it is not known over which fits.
        """
