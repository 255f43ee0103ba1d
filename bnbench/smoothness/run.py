"""Networks and pixels measured: one after another or side by side, each whole in its file as soon as it is done."""

from __future__ import annotations

import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from operator import attrgetter
from pathlib import Path

import pandas as pd
from torch import Tensor, nn

from bnbench.arms.foreign_errors import first_line
from bnbench.arms.loading import foreign_code, use_module_path
from bnbench.errors import RequestError
from bnbench.inputs.data import DataSet, load_data_of
from bnbench.process.writers import scratch_prefix
from bnbench.protocol.protocol import FitKey
from bnbench.results.claims import claim
from bnbench.results.folder_protocol import open_folder
from bnbench.results.smoothness import Measured, MeasuredNetwork, MeasuredPlane
from bnbench.results.store import StoreError
from bnbench.smoothness.fitted_planes import pixel_networks
from bnbench.smoothness.measures import measure, measured_minibatches
from bnbench.smoothness.ordinary_training import initial_network, measured_steps, trained_weights
from bnbench.sweep.backends.each_in_processes import each_in_processes
from bnbench.sweep.cost import timed_fit
from bnbench.sweep.devices import lease, prepare_process
from bnbench.sweep.disk import reason_and_hint, try_folder
from bnbench.sweep.execution import Execution
from bnbench.sweep.provenance import read_provenance
from bnbench.sweep.start import check_source


@dataclass(frozen=True)
class Ended:
    """How one network or plane ended.

    Attributes:
        key: which.
        name: in words.
        loss: of the minibatches, at the last step or as the mean over pixels, nats.
        seconds: wall time.
        message: why it failed or was left to another, one sentence; empty if it is done.
        is_failed: whether it failed.
    """

    key: FitKey
    name: str
    loss: float = float("nan")
    seconds: float = 0.0
    message: str = ""
    is_failed: bool = False

    def __str__(self) -> str:
        if self.message:
            return f"{self.name}: {'FAILED, ' if self.is_failed else ''}{self.message}"
        return f"{self.name}: loss {self.loss:.3f}, in {self.seconds:.0f} s"


def estimated_seconds(left: Sequence[Measured], execution: Execution) -> float:
    """Estimate the wall time of what is left, from each arm's first weight vector alone; without training.

    An arm whose code fails counts nothing.
    """
    seconds = 0.0
    for arm in dict.fromkeys(one.key.arm for one in left):
        own = [one for one in left if one.key.arm == arm]
        start = time.perf_counter()
        try:
            _measured(own[0], execution, most=1)
        except Exception:
            continue  # it will say why when it is measured
        seconds += len(own) * _count(own[0]) * (time.perf_counter() - start)
    return seconds / min(len(execution.slots), len(left))


def seconds_of_fits(left: Sequence[Measured], execution: Execution) -> float:
    """Estimate what fits of the same protocol, arms and seeds take one after another, from a few pixels of a step.

    An arm whose code fails counts nothing.
    """
    seconds = 0.0
    for arm, count in Counter(one.key.arm for one in left).items():
        protocol = left[0].protocol
        try:
            data = load_data_of(protocol, execution.data_folder, execution.download)
            seconds += count * timed_fit(arm, protocol, execution, data)
        except Exception:
            continue  # as above
    return seconds


def measure_all(left: Sequence[Measured], out: Path, execution: Execution) -> Iterator[Ended]:
    """Measure networks or planes, as many at once as there are slots.

    Args:
        left: at least one.
        out: results folder.
        execution: slots on processors, threads, and where the images lie.

    Raises:
        RequestError: the folder cannot be written, or a process was killed; what was finished is kept.
    """
    out, claims = out.resolve(), _claims(left[0], out.resolve())
    open_folder(out, left[0].protocol)
    try_folder(out, str(claims.relative_to(out)), str((claims / "running").relative_to(out)))
    with tempfile.TemporaryDirectory(prefix=scratch_prefix()) as leases:
        work = partial(_measure_one, out=out, execution=execution, leases=Path(leases))
        yield from each_in_processes(work, left, min(len(execution.slots), len(left)), attrgetter("key"))


def _measure_one(asked: Measured, out: Path, execution: Execution, leases: Path) -> Ended:
    """Measure one network or plane and write its file; what is wrong with it becomes a sentence.

    Raises:
        RequestError: the disk takes no file, which no later one would fare better with.
    """
    start, ended = time.perf_counter(), partial(Ended, asked.key, _name(asked))
    try:
        with claim(_claims(asked, out), asked.key) as is_ours:
            if not is_ours:
                return ended(message="another process measures it at this moment")
            asked.check_free(out)  # another process may have written it since the plan
            if asked.is_done(out):
                return ended(message="another process has measured it")
            with lease(execution.slots, leases) as slot:
                try:
                    table = _measured(asked, execution)
                except Exception as error:
                    message = str(error) if isinstance(error, RequestError) else first_line(error)
                    return ended(seconds=time.perf_counter() - start, message=message, is_failed=True)
            seconds = time.perf_counter() - start
            provenance = read_provenance(slot, execution.threads, 0) | {"wall_seconds": round(seconds, 1)}
            asked.write(out, table, provenance)
    except StoreError as error:
        return ended(message=str(error), is_failed=True)
    except OSError as error:
        raise StoreError(
            f"--out {out} cannot be written ({reason_and_hint(error)}); what was finished is kept."
        ) from error
    loss = table["loss"].iloc[-1] if isinstance(asked, MeasuredNetwork) else table["loss"].mean()
    return ended(float(loss), seconds)


def _measured(asked: Measured, execution: Execution, most: int = 0) -> pd.DataFrame:
    """Return a row of measures per weight vector, of the first ``most`` or of all; the arm's own code runs guarded.

    Raises:
        ArmError: the arm's file is not the one that was planned with, or its code has done what no arm may.
    """
    check_source(asked.key.arm, asked.source)
    data = load_data_of(asked.protocol, execution.data_folder, execution.download)
    prepare_process(execution.threads)
    with foreign_code(asked.key.arm):
        network, places = _places(asked, data)
        use_module_path(asked.key.arm)
        batches, rows = measured_minibatches(data.train, asked.settings), []
        for where, weights in places:
            rows.append({**where, **measure(asked, network, weights, batches)})
            if len(rows) == most:
                break
    return pd.DataFrame(rows)


def _places(asked: Measured, data: DataSet) -> tuple[nn.Module, Iterator[tuple[dict[str, int], Tensor]]]:
    """Return a network, and the weight vectors at which it is measured, each with what says where it is."""
    if isinstance(asked, MeasuredPlane):
        return pixel_networks(asked)
    assert isinstance(asked, MeasuredNetwork)
    network = initial_network(asked, data)
    return network, (({"step": step}, weights) for step, weights in trained_weights(asked, network, data.train))


def _count(asked: Measured) -> int:
    """Return how many weight vectors are measured of it, at most."""
    if isinstance(asked, MeasuredPlane):
        return asked.settings.pixels
    assert isinstance(asked, MeasuredNetwork)
    return len(measured_steps(asked.settings))


def _name(asked: Measured) -> str:
    return str(asked.key) if isinstance(asked, MeasuredPlane) else f"{asked.key.arm} seed={asked.key.seed}"


def _claims(asked: Measured, out: Path) -> Path:
    """Return the folder in which its file is, and beside it who measures it."""
    return asked.path(out).parent
