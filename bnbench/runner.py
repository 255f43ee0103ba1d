"""A grid of fits through joblib. Workers write the results; the parent only plans and watches."""

from __future__ import annotations

import hashlib
import json
import tempfile
import time
import traceback
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import torch
from joblib import Parallel, delayed
from joblib.externals.loky.process_executor import TerminatedWorkerError

from bnbench import store
from bnbench.data import CACHE, DataSet, load_data
from bnbench.devices import Slot, keep_freed_memory, lease
from bnbench.foreign import arm_source, load_arm
from bnbench.landscape import measure_fit
from bnbench.masks import OneColourError, draw_mask, is_trained
from bnbench.mpo.fit import DivergedError, TraceRow, fit
from bnbench.mpo.gradient import CHUNK
from bnbench.mpo.plane import Plane
from bnbench.protocol import FitKey, Grid, Protocol
from bnbench.provenance import provenance
from bnbench.seeds import torch_generator

_TRIES = 3


@dataclass(frozen=True)
class Execution:
    """How fits are computed: nothing here belongs to the protocol."""

    slots: tuple[Slot, ...]
    threads: int = 1
    chunk: int = CHUNK
    data_folder: Path = CACHE
    download: bool = False


@dataclass(frozen=True)
class Plan:
    """What a sweep has done and has yet to do."""

    folder: Path
    protocol: Protocol
    grid: Grid
    done: list[FitKey]
    to_run: list[FitKey]
    broken: list[str]

    def __str__(self) -> str:
        broken = f", {len(self.broken)} unreadable" if self.broken else ""
        return f"{self.grid}; {len(self.done)} done{broken}, {len(self.to_run)} to run"


@dataclass(frozen=True)
class Outcome:
    """How one fit ended.

    Attributes:
        key: which fit it is.
        seconds: wall time.
        black: mean accuracy over black pixels, in [0, 1].
        white: mean accuracy over white pixels.
        failure: one sentence, if it failed.
    """

    key: FitKey
    seconds: float
    black: float = float("nan")
    white: float = float("nan")
    failure: str = ""

    def __str__(self) -> str:
        if self.failure:
            return f"{self.key}: FAILED, {self.failure}"
        difference = self.black - self.white
        accuracies = f"black {self.black:.3f}, white {self.white:.3f}"
        return f"{self.key}: difference {difference:.3f} ({accuracies}) in {self.seconds:.0f} s"


def check_request(grid: Grid, protocol: Protocol, execution: Execution) -> DataSet:
    """Load the data and every arm once, in the parent: a wrong request ends before any worker starts.

    Raises:
        ValueError: a data set or an arm cannot be used, or the mask kind does not fit its size.
    """
    data = load_data(protocol.data, protocol.measurement, execution.data_folder, execution.download)
    for arm in grid.arms:
        load_arm(arm, data.image_shape, data.classes, protocol.network)
    if protocol.mask.mask_kind == "framed" and min(protocol.mask.mask_size) < 5:
        raise ValueError("--mask-kind framed needs --mask-size 5 or more.")
    return data


def plan_sweep(folder: Path, protocol: Protocol, grid: Grid) -> Plan:
    """Find out which fits of a grid are done; reads no more than each file's footer."""
    done: list[FitKey] = []
    to_run: list[FitKey] = []
    broken: list[str] = []
    for key in grid.fits():
        try:
            (done if store.is_done(folder, key, fit_identity(key, protocol)) else to_run).append(key)
        except store.StoreError as error:
            broken.append(str(error))
    return Plan(folder, protocol, grid, done, to_run, broken)


def fit_identity(key: FitKey, protocol: Protocol) -> str:
    """Hash of all that a fit's numbers depend on: protocol, arm and its source, p and seed."""
    text = json.dumps([protocol.hash, key.arm, arm_source(key.arm), key.permille, key.seed])
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def run_sweep(plan: Plan, execution: Execution) -> Iterator[Outcome]:
    """Compute what a plan has left, as many fits at once as there are slots.

    A fit that fails leaves a record and an outcome, and the sweep goes on. When a worker is killed,
    joblib loses the fits in flight: what has neither result nor record is planned again, three times at most.

    Yields:
        The outcome of each fit, in the order in which joblib reports them.
    """
    left = plan.to_run
    with tempfile.TemporaryDirectory(prefix="bnbench-") as locks:
        for _ in range(_TRIES):
            tasks = (delayed(run_fit)(key, plan.protocol, plan.folder, execution, Path(locks)) for key in left)
            # As many workers as slots even for one fit: joblib would run a single job in this process,
            # and what killed a worker would kill the sweep.
            parallel = Parallel(
                n_jobs=len(execution.slots), return_as="generator_unordered", batch_size=1, pre_dispatch="n_jobs"
            )
            reported: set[FitKey] = set()
            try:
                for outcome in parallel(tasks):
                    reported.add(outcome.key)
                    yield outcome
                return
            except TerminatedWorkerError:
                silent = [key for key in left if key not in reported]
                yield from (_stored_outcome(plan, key) for key in silent if _is_finished(plan, key))
                left = [key for key in silent if not _is_finished(plan, key)]
        message = f"its worker was killed {_TRIES} times (out of memory?)"
        yield from (_failed(key, plan.folder, 0.0, "killed worker", message) for key in left)


def _is_finished(plan: Plan, key: FitKey) -> bool:
    return store.fit_path(plan.folder, key).exists()


def _stored_outcome(plan: Plan, key: FitKey) -> Outcome:
    result = store.read_fit(store.fit_path(plan.folder, key))
    return Outcome(key, result.provenance["wall_seconds"], *result.summary.loc[0, ["black", "white"]])


def run_fit(key: FitKey, protocol: Protocol, folder: Path, execution: Execution, locks: Path) -> Outcome:
    """Compute one fit in a worker and write its file; whatever goes wrong becomes a record."""
    start = time.perf_counter()
    try:
        with lease(execution.slots, locks) as slot:
            torch.set_num_threads(execution.threads)
            keep_freed_memory()
            return _computed(key, protocol, folder, execution, slot)
    except OneColourError as error:
        return _failed(key, folder, time.perf_counter() - start, "one-colour mask", str(error))
    except DivergedError as error:
        return _failed(key, folder, time.perf_counter() - start, "diverged", str(error))
    except Exception as error:
        message = f"{type(error).__name__}: {error}"
        return _failed(key, folder, time.perf_counter() - start, "error", message, traceback.format_exc())


def _failed(key: FitKey, folder: Path, seconds: float, kind: str, message: str, details: str = "") -> Outcome:
    store.write_failure(folder, key, kind, message, details)
    return Outcome(key, seconds, failure=f"{kind}: {message}")


def _computed(key: FitKey, protocol: Protocol, folder: Path, execution: Execution, slot: Slot) -> Outcome:
    start = time.perf_counter()
    mask = draw_mask(key.p, key.seed, protocol.mask.mask_size, protocol.mask.mask_kind)
    trained = is_trained(mask)
    data = load_data(protocol.data, protocol.measurement, execution.data_folder, execution.download).to(slot.device)
    plane = make_plane(key, protocol, data, slot.device)
    fit_start = time.perf_counter()
    trace = fit(
        plane,
        torch.from_numpy(mask),
        torch.from_numpy(trained),
        data.train,
        protocol.training,
        origin=protocol.mask.origin,
        pixels=torch_generator("pixels", key.permille, key.seed),
        images=torch_generator("images", key.permille, key.seed),
        chunk=execution.chunk,
    )
    fit_seconds = time.perf_counter() - fit_start
    table, summary = measure_fit(plane, key, mask, trained, data, protocol)
    seconds = time.perf_counter() - start
    origin = provenance(slot, execution.threads, execution.chunk, fit_seconds, seconds)
    result = store.FitResult(key, fit_identity(key, protocol), protocol, table, summary, trace_table(trace), origin)
    store.write_fit(folder, result)
    return Outcome(key, seconds, *summary.loc[0, ["black", "white"]])


def make_plane(key: FitKey, protocol: Protocol, data: DataSet, device: str) -> Plane:
    """The plane that a fit starts from; its random stream is shared by the arms."""
    factory = load_arm(key.arm, data.image_shape, data.classes, protocol.network)
    generator = torch_generator("weights", key.permille, key.seed)
    return Plane.from_factory(factory, generator, scale=protocol.training.initial_scale).to(device)


def trace_table(trace: Sequence[TraceRow]) -> pd.DataFrame:
    """A trace as a table, one row per interval of steps."""
    return pd.DataFrame(trace, columns=TraceRow._fields)
