"""How long this process took to load what computes: each worker does that once more before its first fit."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

_USUAL = 5.0  # seconds that it takes where nobody has timed it, such as in a notebook that had torch already


class _Loaded:
    """What this process has timed: seconds of imports, the first time that they were made."""

    seconds = _USUAL


@contextmanager
def timed_loading() -> Iterator[None]:
    """Time the imports within, if torch is one of them; where it was there before, they tell nothing."""
    had_torch, start = "torch" in sys.modules, time.perf_counter()
    yield
    if not had_torch and "torch" in sys.modules:
        _Loaded.seconds = time.perf_counter() - start


def seconds_to_load() -> float:
    """Return how long the imports took in this process, in seconds; where nobody timed them, what is usual."""
    return _Loaded.seconds
