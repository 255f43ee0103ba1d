"""Where fits are computed: the backends, the modules that one of them is made of, and the one table of their names.

``inline`` stands alone; ``processes`` has ``apart``, ``shared_devices``, ``shared_process`` and ``quiet_tracker``, and
``dask_backend`` has ``dask_cluster`` and ``dask_worker``. What is no fit, such as an evaluation, goes through
``each_in_processes``.

This module imports no torch, so that the command line can name them quickly.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from bnbench.errors import RequestError

if TYPE_CHECKING:
    from bnbench.sweep.backends.backend import Backend

# What --backend accepts, the default first: name to (module, class).
BACKENDS = {
    "process": ("processes", "Processes"),
    "dask": ("dask_backend", "Dask"),
    "inline": ("inline", "Inline"),
}


def make_backend(name: str, scheduler: str | None = None) -> Backend:
    """Make the backend of a name.

    Args:
        name: a key of :data:`BACKENDS`.
        scheduler: address of a Dask scheduler.

    Raises:
        RequestError: there is no such backend, its packages are not installed, or it has no scheduler.
    """
    if name not in BACKENDS:
        raise RequestError(f"--backend {name!r} is unknown; use {', '.join(BACKENDS)}.")
    if scheduler is not None and name != "dask":
        raise RequestError(f"--scheduler {scheduler} belongs to --backend dask; give both, or neither.")
    module, kind = BACKENDS[name]
    make = getattr(import_module(f"{__name__}.{module}"), kind)
    backend: Backend = make() if scheduler is None else make(scheduler)
    return backend
