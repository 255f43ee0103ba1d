"""What --backend and --scheduler choose: where fits run."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from bnbench.cli.options import say
from bnbench.errors import RequestError
from bnbench.wording import counted

if TYPE_CHECKING:
    from bnbench.sweep.dask_cluster import Cluster
    from bnbench.sweep.execution import Execution
    from bnbench.sweep.plan import Plan
    from bnbench.sweep.runner import Backend


@contextmanager
def connected(options: dict[str, Any]) -> Iterator[Cluster | None]:
    """Connect to the cluster of --scheduler and wait for its first worker; None where fits stay on this machine.

    Raises:
        RequestError: Dask is not installed, or nothing answers at the address.
    """
    address: str | None = options["scheduler"]
    if address is None:
        if options["backend"] == "dask":
            import bnbench.sweep.dask_cluster  # noqa: F401  # says now what is missing
        yield None
        return
    if options["backend"] != "dask":
        raise RequestError(f"--scheduler {address} belongs to --backend dask; give both, or neither.")
    from bnbench.sweep.dask_cluster import existing_cluster

    with existing_cluster(address) as cluster:
        if not cluster.workers:
            if options["dry_run"]:
                raise RequestError(f"--scheduler {address} has no worker yet, and a plan needs to know their devices.")
            say(f"waiting for the first worker of {address}")
            cluster.wait_for_a_worker()
        say(f"{counted(len(cluster.workers), 'worker')} at {address}; fits go on as others join or leave")
        yield cluster


@contextmanager
def backend_for(name: str, plan: Plan, execution: Execution, cluster: Cluster | None) -> Iterator[Backend]:
    """What computes a plan's fits; a cluster of this machine's own lasts as long as the block."""
    from bnbench.sweep.runner import in_processes, in_this_process

    if name == "dask" and cluster is None and plan.to_run:
        from bnbench.sweep.dask_cluster import local_cluster

        with local_cluster(execution) as own:
            yield own.compute
    elif cluster is not None:
        yield cluster.compute
    else:
        yield in_this_process if name == "inline" else in_processes
