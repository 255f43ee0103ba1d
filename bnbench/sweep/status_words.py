"""How a sweep stands, in words: the same on a terminal and in a browser."""

from __future__ import annotations

from bnbench.results.claims import Progress
from bnbench.sweep.status import SweepStatus
from bnbench.wording import counted, duration, plan_time

_STILL = 60.0  # seconds without a step that are worth a word


def counts(sweep: SweepStatus) -> str:
    """Say how many fits of a sweep are in each state, and what its folders hold beside them."""
    numbers = [(sweep.counts[state], state) for state in ("done", "running", "failed", "unreadable", "to do")]
    words = ", ".join(f"{number:,} {state}" for number, state in numbers if number or state in ("done", "to do"))
    fits = f"{counted(len(sweep.fits), 'fit')}: {words}" if sweep.fits else "no fit"
    return "; ".join([fits, *sweep.beside])


def progress_words(progress: Progress | None, now: float) -> str:
    """Say how far a running fit is, in words that follow its name.

    Args:
        progress: what it says of itself; None before it has.
        now: seconds since 1970.
    """
    if progress is None:
        return ", about to start"
    accuracies = ""
    if progress.black is not None and progress.white is not None:
        accuracies = f", black {progress.black:.2f}, white {progress.white:.2f}"
    resumed = f" from step {progress.first_step:,}" if progress.first_step else ""
    since = duration(max(0.0, now - progress.started))
    stalled = now - progress.time if progress.time is not None and progress.step < progress.steps else 0.0
    still = f", no step for {duration(stalled)}" if stalled > _STILL else ""
    return f", step {progress.step:,}/{progress.steps:,}{accuracies}{still}, for {since}{resumed} on {progress.slot}"


def pace(sweep: SweepStatus) -> str:
    """Say when the last fit ended, how fast they come, and how long the rest takes."""
    parts: list[str] = []
    if sweep.seconds_since_last is not None:
        parts.append(f"last fit finished {duration(sweep.seconds_since_last)} ago")
    if sweep.fits_per_hour is not None:
        parts.append(f"{counted(round(sweep.fits_per_hour), 'fit')} an hour")
    if sweep.of("running"):
        left = sweep.seconds_left
        parts.append("time left not known yet" if left is None else f"{plan_time(left)}")
    elif sweep.of("to do"):
        parts.append("nothing runs; the same bnbench run goes on")
    elif sweep.of("failed"):
        parts.append("nothing to do; the same bnbench run with --retry-failed tries what failed again")
    elif not sweep.fits and sweep.beside:
        parts.append("no fit was asked for; bnbench report shows what is there")
    else:
        parts.append("nothing to do")
    return ", ".join(parts)
