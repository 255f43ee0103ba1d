"""Ordinary networks trained and measured: planned, then one after another or side by side."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import pandas as pd

from bnbench.arms.foreign_errors import first_line
from bnbench.arms.loading import arm_source, foreign_code, use_module_path
from bnbench.arms.own_arm import load_arm
from bnbench.errors import RequestError
from bnbench.inputs.data import load_data
from bnbench.process.writers import writer_name
from bnbench.protocol.protocol import FitKey, Protocol
from bnbench.results import layout
from bnbench.results.claims import claim
from bnbench.results.folder_protocol import check_folder, open_folder
from bnbench.results.smoothness import MeasuredNetwork, SmoothnessSettings
from bnbench.results.store import StoreError
from bnbench.smoothness.measures import measure, measured_minibatches
from bnbench.smoothness.ordinary_training import initial_network, measured_steps, trained_weights
from bnbench.sweep.backends.each_in_processes import each_in_processes
from bnbench.sweep.devices import lease, prepare_process
from bnbench.sweep.disk import reason_and_hint, try_folder
from bnbench.sweep.execution import Execution
from bnbench.sweep.provenance import read_provenance
from bnbench.sweep.start import check_source

P = 0.5  # keys initial weights and the order of images: networks start where the fits at this p have their origin


@dataclass(frozen=True)
class SmoothnessRequest:
    """What is asked: networks, and where and how they are measured.

    Attributes:
        protocol: what networks, images and training follow.
        settings: how they are trained and measured.
        arms: which.
        seeds: replicates.
        out: results folder.
        execution: slots on processors, threads, and where the images lie.
    """

    protocol: Protocol
    settings: SmoothnessSettings
    arms: tuple[str, ...]
    seeds: tuple[int, ...]
    out: Path
    execution: Execution


@dataclass(frozen=True)
class Ended:
    """How one network ended.

    Attributes:
        key: which.
        loss: of the minibatches at the last step, nats.
        seconds: wall time.
        message: why it failed or was left to another, one sentence; empty if it is done.
        is_failed: whether it failed.
    """

    key: FitKey
    loss: float = float("nan")
    seconds: float = 0.0
    message: str = ""
    is_failed: bool = False

    def __str__(self) -> str:
        name = f"{self.key.arm} seed={self.key.seed}"
        if self.message:
            return f"{name}: {'FAILED, ' if self.is_failed else ''}{self.message}"
        return f"{name}: loss {self.loss:.3f} at the end, in {self.seconds:.0f} s"


def planned(request: SmoothnessRequest) -> tuple[list[MeasuredNetwork], list[MeasuredNetwork]]:
    """Return the networks that are asked for, seed outermost, and those of them that are left to do.

    Raises:
        RequestError: the images cannot be loaded, or are too few; an arm cannot be used; the folder belongs to another
            protocol, or holds networks that were measured in another way.
    """
    protocol, settings, execution = request.protocol, request.settings, request.execution
    data = load_data(protocol.data, protocol.measurement, execution.data_folder, execution.download)
    wanted = settings.batch * settings.minibatches
    if wanted > len(data.train):
        raise RequestError(
            f"--batch {settings.batch} and --minibatches {settings.minibatches} need {wanted:,} training images, and "
            f"there are {len(data.train):,}; give fewer."
        )
    protocol = replace(protocol, content=data.content)
    for arm in request.arms:
        load_arm(arm, data.image_shape, data.classes, protocol.network)  # refuses an arm that cannot be used
    sources = {arm: arm_source(arm) for arm in request.arms}
    asked = [
        MeasuredNetwork(protocol, settings, FitKey(arm, P, seed), sources[arm])
        for seed in request.seeds
        for arm in request.arms
    ]
    check_folder(request.out, protocol)
    for one in asked:
        one.check_free(request.out)
    return asked, [one for one in asked if not one.is_done(request.out)]


def estimated_seconds(left: list[MeasuredNetwork], request: SmoothnessRequest) -> float:
    """Estimate the wall time of what is left, from one measurement of each arm's initial weights; without training.

    An arm whose code fails counts nothing.
    """
    points, seconds = len(measured_steps(request.settings)), 0.0
    for arm in dict.fromkeys(one.key.arm for one in left):
        own = [one for one in left if one.key.arm == arm]
        start = time.perf_counter()
        try:
            _measured(replace(own[0], settings=replace(own[0].settings, steps=1, points=1)), request.execution, most=1)
        except Exception:
            continue  # its networks will say why
        seconds += len(own) * points * (time.perf_counter() - start)
    return seconds / min(len(request.execution.slots), len(left))


def measure_networks(left: list[MeasuredNetwork], request: SmoothnessRequest) -> Iterator[Ended]:
    """Train and measure networks, as many at once as there are slots.

    Raises:
        RequestError: the folder cannot be written, or a process was killed; what was finished is kept.
    """
    request = replace(request, out=request.out.resolve())
    open_folder(request.out, left[0].protocol)
    try_folder(request.out, "smoothness", "smoothness/running")
    with tempfile.TemporaryDirectory(prefix=f"bnbench-{writer_name()}-") as leases:
        work = partial(measure_network, request=request, leases=Path(leases))
        yield from each_in_processes(work, left, min(len(request.execution.slots), len(left)))


def measure_network(asked: MeasuredNetwork, request: SmoothnessRequest, leases: Path) -> Ended:
    """Train and measure one network and write its file; what is wrong with the network becomes a sentence.

    Raises:
        RequestError: the disk takes no file, which no later network would fare better with.
    """
    start, execution = time.perf_counter(), request.execution
    try:
        with claim(layout.smoothness_folder(request.out), asked.key) as is_ours:
            if not is_ours:
                return Ended(asked.key, message="another process measures it at this moment")
            asked.check_free(request.out)  # another process may have written it since the plan
            if asked.is_done(request.out):
                return Ended(asked.key, message="another process has measured it")
            with lease(execution.slots, leases) as slot:
                try:
                    table = _measured(asked, execution)
                except Exception as error:
                    return _failed(asked, error, start)
            seconds = time.perf_counter() - start
            provenance = read_provenance(slot, execution.threads, 0) | {"wall_seconds": round(seconds, 1)}
            asked.write(request.out, table, provenance)
    except StoreError as error:
        return _failed(asked, error, start)
    except OSError as error:
        raise StoreError(
            f"--out {request.out} cannot be written ({reason_and_hint(error)}); what was finished is kept."
        ) from error
    return Ended(asked.key, float(table["loss"].iloc[-1]), seconds)


def _failed(asked: MeasuredNetwork, error: Exception, start: float) -> Ended:
    message = str(error) if isinstance(error, RequestError) else first_line(error)
    return Ended(asked.key, seconds=time.perf_counter() - start, message=message, is_failed=True)


def _measured(asked: MeasuredNetwork, execution: Execution, most: int = 0) -> pd.DataFrame:
    """Return a row of measures per step, of the first ``most`` steps or of all; the arm's own code runs guarded.

    Raises:
        ArmError: the arm's file is not the one that was planned with, or its code has done what no arm may.
    """
    check_source(asked.key.arm, asked.source)
    data = load_data(asked.protocol.data, asked.protocol.measurement, execution.data_folder, execution.download)
    prepare_process(execution.threads)
    with foreign_code(asked.key.arm):
        network = initial_network(asked, data)
        use_module_path(asked.key.arm)
        batches, rows = measured_minibatches(data.train, asked.settings), []
        for step, weights in trained_weights(asked, network, data.train):
            rows.append({"step": step, **measure(asked, network, weights, batches)})
            if len(rows) == most:
                break
    return pd.DataFrame(rows)
