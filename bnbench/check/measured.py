"""The quantities of a check as they are here and now: exact ones, and those of a small sweep."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from bnbench.check.baseline import FAILED, CheckSet, Kind, Value, statistical_quantities
from bnbench.check.comparison import compare
from bnbench.check.exact import exact_quantities
from bnbench.process.writers import scratch_prefix
from bnbench.protocol.protocol import Grid
from bnbench.results.sweeps import read_sweep
from bnbench.sweep.backends.processes import Processes
from bnbench.sweep.devices import prepare_process
from bnbench.sweep.execution import Execution
from bnbench.sweep.inputs import load_inputs
from bnbench.sweep.messages import Listener
from bnbench.sweep.request import SweepRequest
from bnbench.sweep.sweep import run_sweep


def measured_quantities(
    check_set: CheckSet,
    grid: Grid,
    execution: Execution,
    kinds: Sequence[Kind],
    stored: dict[str, Any] | None,
    listener: Listener,
) -> dict[Kind, dict[str, Value]]:
    """Compute the quantities of a check.

    Args:
        check_set: the protocol of the fits.
        grid: which fits.
        execution: how fits are computed.
        kinds: which quantities.
        stored: the baseline that they will be compared with; None if a new one is written.
        listener: hears of the fits.

    Returns:
        Kind to name to value; of fits that failed only their number.

    Raises:
        RequestError: an arm cannot be used, or the baseline holds other quantities, which is known before any fit.
        Interrupted: SIGINT or SIGTERM.
    """
    data = load_inputs(grid, check_set.protocol, execution)
    check_set = replace(check_set, protocol=replace(check_set.protocol, content=data.content))
    now: dict[Kind, dict[str, Value]] = {}
    if "exact" in kinds:
        prepare_process(execution.threads)
        now["exact"] = exact_quantities(check_set.protocol, grid)
        if stored is not None:
            compare(stored, now, check_set)  # a baseline of other quantities is refused before the fits
    if "statistical" in kinds:
        now["statistical"] = _fitted_quantities(check_set, grid, execution, listener)
    return now


def _fitted_quantities(check_set: CheckSet, grid: Grid, execution: Execution, listener: Listener) -> dict[str, Value]:
    """Return the means of all fits, computed in a temporary folder as bnbench run would."""
    with tempfile.TemporaryDirectory(prefix=scratch_prefix(), ignore_cleanup_errors=True) as name:
        folder = Path(name)
        request = SweepRequest(check_set.protocol, grid, folder, execution, chunk=execution.chunk)
        failed = len(run_sweep(request, Processes(), listener).failed)
        means = {} if failed else statistical_quantities(read_sweep(folder).summaries, grid.arms)
        return {FAILED: failed, **means}
