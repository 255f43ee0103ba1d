"""Stored planes measured again, without training: one after another, or side by side."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from operator import attrgetter
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from bnbench.arms.foreign_errors import first_line
from bnbench.arms.loading import foreign_code
from bnbench.bn_policy import NO_BN, BnPolicy
from bnbench.errors import RequestError
from bnbench.evaluate.plan import EvaluationRequest, PlaneTask
from bnbench.inputs.data import DataSet, load_data_of
from bnbench.inputs.masks import Mask
from bnbench.measures.registry import READINGS
from bnbench.mpo.ensemble import SIZES, measure_ensemble
from bnbench.mpo.landscape import Landscape, measure_landscape
from bnbench.mpo.plane import Plane
from bnbench.process.writers import remove_strays, scratch_prefix
from bnbench.protocol.protocol import FitKey, Protocol
from bnbench.results import layout
from bnbench.results.fits import read_fit
from bnbench.results.planes import load_plane
from bnbench.results.schemas import pixel_columns
from bnbench.sweep.backends.each_in_processes import each_in_processes
from bnbench.sweep.devices import lease, prepare_process
from bnbench.sweep.measure import summary_rows
from bnbench.wording import readings_words


@dataclass(frozen=True)
class Evaluated:
    """How one plane's evaluation ended.

    Attributes:
        key: which fit the plane is of.
        readings: policy to the measures over trained pixels, by name.
        seconds: wall time.
        message: why it failed, one sentence; empty if it did not.
    """

    key: FitKey
    readings: dict[str, dict[str, float]] = field(default_factory=dict)
    seconds: float = 0.0
    message: str = ""

    def __str__(self) -> str:
        if self.message:
            return f"{self.key}: FAILED, {self.message}"
        found = "; ".join(f"{policy} {readings_words(measures)}" for policy, measures in self.readings.items())
        return f"{self.key}, over trained pixels: {found}; in {self.seconds:.0f} s"


def evaluate_planes(tasks: Sequence[PlaneTask], request: EvaluationRequest) -> Iterator[Evaluated]:
    """Measure stored planes, as many at once as there are slots; each file is whole as soon as it is there.

    Raises:
        RequestError: a process was killed; what was finished is kept.
    """
    jobs = min(len(request.execution.slots), len(tasks))
    remove_strays([request.out, *request.out.glob("*/*")])
    if not tasks:
        return
    request = replace(request, out=request.out.resolve())  # a worker's own folder may be another
    tasks = [replace(task, folder=task.folder.resolve()) for task in tasks]
    with tempfile.TemporaryDirectory(prefix=scratch_prefix()) as leases:
        work = partial(evaluate_plane, request=request, leases=Path(leases))
        yield from each_in_processes(work, tasks, jobs, attrgetter("key"))


def evaluate_plane(task: PlaneTask, request: EvaluationRequest, leases: Path) -> Evaluated:
    """Measure one stored plane and write its files; whatever goes wrong becomes a sentence."""
    start = time.perf_counter()
    try:
        with lease(request.execution.slots, leases) as slot, foreign_code(task.key.arm):
            readings = _measure_and_write(task, request, slot.device)
        return Evaluated(task.key, readings, time.perf_counter() - start)
    except RequestError as error:
        message = str(error)
    except Exception as error:
        message = first_line(error)
    return Evaluated(task.key, seconds=time.perf_counter() - start, message=message)


def _measure_and_write(task: PlaneTask, request: EvaluationRequest, device: str) -> dict[str, dict[str, float]]:
    """Measure what is left to do, write the files and return the measures over trained pixels under each policy."""
    fit = read_fit(layout.fit_path(task.folder, task.key))
    protocol, execution, shape = fit.protocol, request.execution, fit.protocol.mask.mask_size
    prepare_process(execution.threads)  # measured in float32, whatever it was trained in
    asked = request.measurement(protocol)
    data = load_data_of(replace(protocol, measurement=asked), execution.data_folder, execution.download).to(device)
    plane = load_plane(layout.plane_path(task.folder, task.key), arm=task.key.arm, device=device)
    mask, trained = (fit.landscape[name].to_numpy(bool).reshape(shape) for name in ("black", "trained"))
    readings: dict[str, dict[str, float]] = {}
    for one in task.to_do:
        found = measure_landscape(
            plane, shape, data.measured, bn_statistics=one.policy, reference=data.train, origin=protocol.mask.origin
        )
        headline = one.policy in (NO_BN, asked.bn_policy) and asked == protocol.measurement
        rows = summary_rows(
            found,
            mask,
            trained,
            policy=one.policy,
            split=one.split,
            threshold=protocol.training.threshold,
            headline=headline,
        )
        if there := one.ensemble_there(request.out):  # takes hours on a large plane; never measured twice, nor lost
            rows[0] |= there
        elif request.with_ensembles:
            rows[0] |= _ensemble_values(plane, mask, data, one.policy, protocol)
        if request.with_landscapes:  # first: an evaluation is done once its summary is there
            one.write(request.out, _pixel_table(found, mask, trained), "landscapes")
        one.write(request.out, pd.DataFrame(rows).assign(device=device, threads=execution.threads))
        (trained_row,) = (row for row in rows if row["pixels"] == "trained")
        readings[str(one.policy)] = {name: float(str(trained_row[name])) for name in ("black", "white", *READINGS)}
    return readings


def _ensemble_values(plane: Plane, mask: Mask, data: DataSet, policy: BnPolicy, protocol: Protocol) -> dict[str, float]:
    """Return what ENSEMBLE_COLUMNS names; a size beyond the black pixels is no number."""
    found = measure_ensemble(
        plane,
        torch.tensor(mask),
        data.measured,
        bn_statistics=policy,
        reference=data.train,
        origin=protocol.mask.origin,
    )
    sizes = {f"ensemble_{count}": found.accuracies.get(count, float("nan")) for count in SIZES}
    return {**sizes, "ensemble": found.accuracy, "best_single": found.best, "disagreement": found.disagreement}


def _pixel_table(found: Landscape, mask: Mask, trained: Mask) -> pd.DataFrame:
    """Return a landscape as a table, a row per pixel in reading order."""
    return pd.DataFrame(
        {
            **pixel_columns(mask, trained),
            "loss": found.loss.flatten().numpy().astype(np.float32),
            "accuracy": found.accuracy.flatten().numpy().astype(np.float32),
        }
    )
