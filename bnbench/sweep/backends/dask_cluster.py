"""Dask itself: connections to its schedulers, and joblib's way to them with its faults mended.

Only this module imports Dask, and only once it is asked for: it is an extra.
"""

from __future__ import annotations

import asyncio
import logging
import os
import re
import signal
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError, Future
from contextlib import contextmanager, suppress
from typing import Any, TypeVar

from bnbench.arms.foreign_errors import first_line
from bnbench.errors import RequestError
from bnbench.protocol.protocol import FitKey
from bnbench.sweep.execution import Execution, Outcome
from bnbench.sweep.interrupts import without_interrupts

try:
    import dask
    from distributed import Client, KilledWorker, LocalCluster
    from distributed.security import Security
    from joblib._dask import DaskDistributedBackend  # joblib has no public name for it; constraints.txt pins it
except ImportError as missing:
    raise RequestError(
        f"--backend dask needs packages that are not installed ({missing.name}): pip install dask distributed."
    ) from missing

_SCHEMES = "(tcp|tls|ws|wss|ucx)"
_ANSWER = 10.0  # seconds within which a scheduler has to answer
_CLOSE = 0.5
_SETTINGS: dict[str, Any] = {
    "distributed.scheduler.worker-saturation": 1.0,  # a fit takes minutes: none should wait behind another one
    "distributed.worker.memory.terminate": False,
}
# Each process of a cluster also listens for browsers, whatever it is told: nothing is there to be seen.
_NOTHING_TO_SEE: dict[str, Any] = {"distributed.scheduler.http.routes": [], "distributed.worker.http.routes": []}
_NO_DASHBOARD = {"dashboard": False, "dashboard_address": "127.0.0.1:0"}

T = TypeVar("T")


@contextmanager
def connected(address: str) -> Iterator[Client]:
    """Connect to a scheduler.

    Raises:
        RequestError: none answers at this address.
    """
    with _silenced():
        client = _connection_to(address)
        try:
            yield client
        finally:
            with suppress(TimeoutError):
                client.close(timeout=_CLOSE)


def _connection_to(address: str) -> Client:
    try:
        if not re.fullmatch(rf"({_SCHEMES}://)?([^/:]+|\[[^/]+\]):[0-9]{{1,5}}", address):
            raise ValueError(address)
        with without_interrupts():
            return Client(address, timeout=_ANSWER, name="bnbench", set_as_default=False)
    except (OSError, ValueError, TypeError) as error:
        raise RequestError(
            f"--scheduler {address}: no Dask scheduler answers there ({type(error).__name__}); give its address, such "
            "as tcp://10.0.0.1:8786, or leave --scheduler out for workers on this machine."
        ) from error


@contextmanager
def _silenced() -> Iterator[None]:
    """Let Dask log nothing in the block: what concerns the user becomes a sentence."""
    loggers = [logging.getLogger(name) for name in ("distributed", "distributed.client")]
    before = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        for logger, level in zip(loggers, before, strict=True):
            logger.setLevel(level)


@contextmanager
def own_cluster(execution: Execution) -> Iterator[Client]:
    """Start a scheduler and a worker process for each slot on this machine; they end with the block.

    They listen on the loopback interface alone and talk TLS, with a key that is made for this sweep and is never
    written: other users of the machine can reach the ports, and nobody behind them listens.

    Raises:
        RequestError: a worker cannot start, or the package that makes the key is missing.
    """
    try:
        security = Security.temporary()
    except ImportError as missing:
        raise RequestError(
            "--backend dask without --scheduler needs cryptography, whose keys keep other users of this machine out of "
            "its workers: pip install cryptography, or leave --backend out."
        ) from missing
    # All that starts is this process's business.
    with dask.config.set({**_SETTINGS, **_NOTHING_TO_SEE}), without_interrupts(signal.SIGTERM):
        try:
            cluster = LocalCluster(
                n_workers=len(execution.slots),
                threads_per_worker=1,
                memory_limit=0,
                dashboard_address=None,
                scheduler_kwargs=_NO_DASHBOARD,
                host="127.0.0.1",
                protocol="tls://",
                security=security,
                silence_logs=logging.CRITICAL,
            )
        except RuntimeError as error:
            raise RequestError(
                f"--backend dask: its workers cannot start ({error}); each imports the script that started it, which "
                'has to call bnbench below if __name__ == "__main__": alone.'
            ) from error
        client = Client(cluster, set_as_default=False)
    try:
        yield client
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


class JoblibBackend(DaskDistributedBackend):  # type: ignore[misc]  # joblib ships no types
    """joblib's Dask backend with three faults mended.

    It never tells joblib of a task whose workers have died, so that the sweep would wait for it forever. An
    exception in one task ends all of them. On a cluster of one thread joblib would compute in this process.
    """

    def effective_n_jobs(self, n_jobs: int) -> int:
        """Return the threads of the cluster, and two where there are fewer: workers may join later."""
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
    """Return what it means that a task raised, or came to nothing."""
    if isinstance(error, KilledWorker):
        return Outcome(key, "killed")
    if isinstance(error, CancelledError | asyncio.CancelledError):
        return RequestError(
            "the Dask scheduler is gone; all that was written is kept: once it is back, the same command goes on."
        )
    message = first_line(error)
    if isinstance(error, ImportError | AttributeError):  # it could not even unpickle the task, and no other one either
        return Outcome(
            key, "failed", message=f"a worker lacks this bnbench ({message}); install it there.", is_fatal=True
        )
    return Outcome(key, "failed", message=message)
