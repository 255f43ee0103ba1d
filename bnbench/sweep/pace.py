"""How fast a sweep goes and how long its rest takes, judged by finished fits and by how far the running ones are."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from statistics import median

from bnbench.protocol.protocol import FitKey
from bnbench.results.claims import Progress

_PAUSE = 60.0  # seconds without any fit under way that separate two stretches of work


def fits_per_hour(spans: Sequence[tuple[float, float]]) -> float | None:
    """Return the pace of the last stretch of work: its fits over the time from its first start to its last end.

    Args:
        spans: start and end of each finished fit in seconds, ordered by their ends.
    """
    begin, number = math.inf, 0
    for start, end in reversed(spans):
        if end < begin - _PAUSE and number:
            break
        begin, number = min(begin, start), number + 1
    seconds = spans[-1][1] - begin if spans else 0.0
    return 3600 * number / seconds if seconds > 0 else None


def seconds_left(
    to_do: Iterable[FitKey],
    under_way: Mapping[FitKey, Progress | None],
    times: Sequence[tuple[str, float]],
    slots: int,
    now: float,
) -> float | None:
    """Estimate the time that the rest of a sweep takes, in seconds.

    Args:
        to_do: fits that nobody has begun.
        under_way: fits that run, and how far they are; None for one that has not said so yet.
        times: arm and wall time in seconds of each finished fit.
        slots: fits at once.
        now: seconds since 1970.

    Returns:
        None while nothing has finished and nothing that runs has said how far it is.
    """
    paces = [(key.arm, pace) for key, progress in under_way.items() if (pace := _pace(progress, now))]

    def typical(arm: str) -> float:
        """Return the time of the arm's finished fits, else that of any arm's, else the pace of what runs."""
        own = [seconds for name, seconds in times if name == arm]
        return median(own or [seconds for _, seconds in times or paces] or [math.inf])

    rest = [typical(key.arm) for key in to_do]
    rest += [typical(key.arm) * (1 - _share(progress)) for key, progress in under_way.items()]
    seconds = max(*rest, sum(rest) / max(1, slots)) if rest else 0.0
    return seconds if math.isfinite(seconds) else None


def _share(progress: Progress | None) -> float:
    """Return how much of a fit is done, short of all: it is still to be measured and written."""
    return min(0.99, progress.step / progress.steps) if progress else 0.0


def _pace(progress: Progress | None, now: float) -> float | None:
    """Return the seconds that a whole fit takes at the pace of a running one."""
    if progress is None or progress.step <= progress.first_step:
        return None
    return max(0.0, now - progress.started) / (progress.step - progress.first_step) * progress.steps
