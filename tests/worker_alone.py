"""An arm whose file is imported without fault where a sweep is planned, and raises in a worker."""

from __future__ import annotations

from multiprocessing import current_process

from tests.foreign_arms import layer_norm

if current_process().name.startswith("Loky"):
    raise ImportError("not in here")

make = layer_norm
