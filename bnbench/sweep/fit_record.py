"""What a fit under way tells of itself: its provenance and its progress."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Mapping
from typing import Any

from bnbench.mpo.candidates import OF_TRITON
from bnbench.mpo.fit import Fit
from bnbench.mpo.strategy import Strategy
from bnbench.process.writers import host_hash
from bnbench.protocol.protocol import FitKey
from bnbench.results.claims import Progress
from bnbench.sweep.devices import Slot
from bnbench.sweep.execution import Job
from bnbench.sweep.provenance import CONDITIONS, read_provenance


def _steps_by(fit: Fit) -> dict[str, str]:
    """Return what the rounding of a GPU's steps hangs on beside its model: nothing for a processor.

    ``kernels`` computes networks, with Triton's version where they are its; ``recorded`` is what of a step is a
    recording; ``batch`` is of how many fits its networks were one batch, one number after another where that changed.
    """
    kernels = fit.engine.strategy.name if fit.engine.strategy else ""
    triton = str(getattr(sys.modules.get("triton"), "__version__", "")) if kernels in OF_TRITON else ""
    batch = ", ".join(map(str, fit.batched)) or ("1" if fit.recorded else "")
    found = {"kernels": kernels, "triton": triton, "recorded": fit.recorded, "batch": batch}
    return {name: value for name, value in found.items() if value}


def moved_from(earlier: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """Return what changes rounding and was another in an earlier part of a fit: its name and what it was."""
    told = {name: earlier[name] for name in CONDITIONS if earlier.get(name) is not None}
    return [f"{name} {value}" for name, value in told.items() if value != now.get(name)]


def part_provenance(job: Job, slot: Slot, chunk: int, fit: Fit, earlier: Mapping[str, Any]) -> dict[str, Any]:
    """Return what computes a part of a fit, with the most memory that any part has taken.

    Args:
        job: what is asked.
        slot: where it runs.
        chunk: pixels computed at once.
        fit: its training, after a step of its own.
        earlier: provenance of the part before; empty for the first.
    """
    mine = read_provenance(slot, job.execution.threads, chunk)
    memory = max(mine.pop("peak_memory_mib"), earlier.get("peak_memory_mib", 0.0))
    together = job.fits_at_once(slot)
    is_own = not job.shares_process or together == 1  # else it is that of all fits of the process
    return {
        **mine,
        **({"peak_memory_mib": memory} if is_own else {}),
        **({"fits_at_once": together} if together else {}),
        **_steps_by(fit),
    }


def computed_how(
    seconds: tuple[float, float, float | None], gflops: float, strategy: Strategy | None, settings: Mapping[str, str]
) -> dict[str, Any]:
    """Return what is told of a fit once it is trained and measured.

    Args:
        seconds: of training, of everything, and of landscapes measured on the way, if any were.
        gflops: 10⁹ operations a second of its training.
        strategy: of a GPU's networks.
        settings: of torch and the like, that it was trained under.
    """
    trained, wall, course = seconds
    return {
        "fit_seconds": round(trained, 3),
        "wall_seconds": round(wall, 3),
        "gflops": float(f"{gflops:.3g}"),  # a tiny fit on a busy machine may have less than 0.01
        **({"course_seconds": round(course, 3)} if course is not None else {}),
        **({"convolutions": str(strategy)} if strategy else {}),
        "settings": ", ".join(f"{name} {value}" for name, value in settings.items()),
    }


def progress_of(key: FitKey, token: str, slot: Slot, fit: Fit, begun: tuple[float, int]) -> Progress:
    """Return how far a fit has come, for its claim.

    Args:
        key: which fit.
        token: of the sweep.
        slot: where it runs.
        fit: its training.
        begun: when this part of it was begun, in seconds since the epoch, and at which step.
    """
    started, first_step = begun
    last = fit.rows[-1] if fit.rows else None
    return Progress(
        arm=key.arm,
        p=key.p,
        seed=key.seed,
        slot=str(slot),
        host=host_hash(),
        pid=os.getpid(),
        token=token,
        started=started,
        first_step=first_step,
        step=fit.step,
        steps=fit.training.steps,
        black=last.black_accuracy if last else None,
        white=last.white_accuracy if last else None,
        time=time.time(),
        trace=[[row.step, row.black_loss, row.white_loss] for row in fit.rows],
    )
