"""Fits in processes of this machine, through joblib: the default."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from joblib import Parallel, delayed
from joblib.externals.loky import get_reusable_executor
from joblib.externals.loky.process_executor import BrokenProcessPool

from bnbench.process.loading import seconds_to_load
from bnbench.protocol.protocol import FitKey
from bnbench.sweep.backends.apart import compute_apart, needs_own_process
from bnbench.sweep.backends.backend import Backend, WorkersKilledError
from bnbench.sweep.backends.quiet_tracker import start_quiet_tracker
from bnbench.sweep.backends.shared_devices import compute_on_groups, groups_of, may_share
from bnbench.sweep.execution import Job, Outcome
from bnbench.sweep.interrupts import RunnerStop, end_with_runner, without_interrupts
from bnbench.sweep.worker import run_fit

_PATIENCE = 5.0  # seconds that idle workers get to end


class Processes(Backend):
    """Fits in processes of this machine: one for each slot, or one for each GPU where its fits may share it."""

    name = "process"
    shares_devices = True

    def __init__(self) -> None:
        self._has_workers = False

    @property
    def options(self) -> dict[str, str]:
        """Return no option: this is the command's default."""
        return {}

    @contextmanager
    def opened(self, say: Callable[[str], None], *, waits: bool = True) -> Iterator[None]:
        """End the workers with the sweep: idle ones would hold memory, and an arm's code as it was."""
        try:
            yield
        finally:
            if self._has_workers:
                self._has_workers = False
                # A thread, for a worker in which an arm has left one of its own never ends.
                ending = threading.Thread(target=get_reusable_executor(reuse=True).shutdown, daemon=True)
                ending.start()
                ending.join(_PATIENCE)

    def seconds_to_start(self, loaded: float) -> float:
        """Return how long new workers take to load torch and the images, by what that took in this process."""
        return seconds_to_load() + loaded

    def compute(self, batch: Sequence[FitKey], job: Job, stop: RunnerStop) -> Iterator[Outcome]:
        """Compute fits, one in each process at a time; those of one GPU share a process where they may.

        Fits of a user's own arm share none with those of another arm. One that goes beyond a limit ends its process,
        and costs no other fit.

        With ``n_jobs=1`` joblib would compute in this process, and whatever kills a fit would end the
        sweep: a single slot gets two workers, of which one waits.
        """
        start_quiet_tracker()
        groups, arms = groups_of(job.execution.slots), {key.arm for key in batch}
        if any(len(group) > 1 for group in groups) and may_share(job.protocol, job.execution, arms):
            yield from compute_on_groups(groups, batch, job, stop)
            return
        if needs_own_process(job.execution, arms):
            yield from compute_apart(batch, job, stop)
            return
        slots = len(job.execution.slots)
        parallel = Parallel(
            n_jobs=max(2, slots),
            return_as="generator_unordered",
            batch_size=1,
            pre_dispatch=slots,
            backend="loky",
            initializer=end_with_runner,
            initargs=(job.runner,),
        )
        self._has_workers = True
        try:
            with without_interrupts():  # workers start with Ctrl-C blocked: it is this process's business
                outcomes = parallel(delayed(run_fit)(key, job) for key in batch if not stop.is_requested)
            yield from outcomes
        except BrokenProcessPool as error:
            raise WorkersKilledError from error
