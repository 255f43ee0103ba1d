"""A grid of fits through joblib. Workers write the results; the parent only plans and watches."""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from joblib import Parallel, delayed
from joblib.externals.loky.process_executor import TerminatedWorkerError

from bnbench import store
from bnbench.data import DataSet, load_data
from bnbench.errors import RequestError
from bnbench.foreign import arm_source, load_arm
from bnbench.landscape import policies
from bnbench.protocol import FitKey, Grid, Protocol
from bnbench.wording import counted
from bnbench.worker import Execution, Outcome, headline, in_flight_path, record_failure, run_fit

_TRIES = 3


@dataclass(frozen=True)
class Plan:
    """What a sweep has done and has yet to do.

    Attributes:
        folder: the results folder.
        protocol: what its fits have in common.
        grid: which fits are asked for.
        done: finished fits of the grid, with their provenance.
        to_run: the others.
        broken: a sentence for each file that is in the way; its fit is not run.
    """

    folder: Path
    protocol: Protocol
    grid: Grid
    done: dict[FitKey, dict[str, Any]]
    to_run: list[FitKey]
    broken: list[str]

    def __str__(self) -> str:
        broken = f", {len(self.broken):,} unreadable" if self.broken else ""
        return f"{self.grid}; {len(self.done):,} done{broken}, {len(self.to_run):,} to run"


def check_request(grid: Grid, protocol: Protocol, execution: Execution) -> DataSet:
    """Load the data and every arm once, in the parent: a wrong request ends before any worker starts.

    Raises:
        RequestError: a data set or an arm cannot be used, or the protocol asks for what they cannot give.
    """
    data = load_data(protocol.data, protocol.measurement, execution.data_folder, execution.download)
    for arm in grid.arms:
        load_arm(arm, data.image_shape, data.classes, protocol.network)
    there = f"there are {len(data.train):,} training images"
    if protocol.training.images > len(data.train):
        raise RequestError(f"--images {protocol.training.images}: {there}; give fewer.")
    for policy in policies(protocol):
        kind, _, count = policy.partition(":")
        if kind == "recalibrate" and int(count) > len(data.train):
            asked = protocol.measurement.bn_statistics
            raise RequestError(f"--bn-statistics {asked} is also measured as {policy}, but {there}; give fewer.")
    if protocol.mask.mask_kind == "framed" and min(protocol.mask.mask_size) < 5:
        raise RequestError("--mask-kind framed needs --mask-size 5 or more.")
    return data


def plan_sweep(folder: Path, protocol: Protocol, grid: Grid) -> Plan:
    """Find out which fits of a grid are done; reads no more than each file's footer.

    Raises:
        StoreError: a fit in the folder was computed by another version of one of the grid's arms.
    """
    sources = {arm: arm_source(arm) for arm in grid.arms}
    found: dict[Path, dict[str, Any]] = {}
    broken: dict[Path, str] = {}
    for path in store.fit_paths(folder):
        try:
            found[path] = store.read_details(path)
        except store.StoreError as error:
            broken[path] = str(error)
            continue
        arm, source = found[path]["key"]["arm"], found[path].get("source", "")
        if sources.get(arm, source) != source:
            raise store.StoreError(
                f"--out {folder}: {path.name} was computed by another version of the arm {arm}; give another folder."
            )
        if found[path]["hash"] != protocol.hash:
            broken[path] = f"{path} belongs to another protocol; move it to its own folder."
    paths = {key: store.fit_path(folder, key) for key in grid.fits()}
    done = {key: found[path]["provenance"] for key, path in paths.items() if path in found and path not in broken}
    to_run = [key for key, path in paths.items() if path not in found and path not in broken]
    return Plan(folder, protocol, grid, done, to_run, [broken[path] for path in paths.values() if path in broken])


def run_sweep(plan: Plan, execution: Execution) -> Iterator[Outcome]:
    """Compute what a plan has left, as many fits at once as there are slots.

    A fit that fails leaves a record and an outcome, and the sweep goes on. When a worker is killed,
    joblib loses every fit in flight: each of them is suspected and later run alone, so that the one
    that kills its worker is found out and costs no other fit more than its time.

    Yields:
        The outcome of each fit, in the order in which joblib reports them.
    """
    kills: Counter[FitKey] = Counter()
    left = list(plan.to_run)
    with tempfile.TemporaryDirectory(prefix="bnbench-") as folder:
        locks = Path(folder)
        while left:
            batch = [key for key in left if not kills[key]] or left[:1]
            ended: set[FitKey] = set()
            try:
                for outcome in _in_parallel(batch, plan, execution, locks):
                    ended.add(outcome.key)
                    yield outcome
            except TerminatedWorkerError:
                for outcome in _after_a_kill([key for key in batch if key not in ended], plan, execution, locks, kills):
                    ended.add(outcome.key)
                    yield outcome
            left = [key for key in left if key not in ended]


def _in_parallel(batch: Sequence[FitKey], plan: Plan, execution: Execution, locks: Path) -> Iterator[Outcome]:
    """Outcomes as joblib reports them.

    With several slots even a single fit gets a worker of its own, so that what kills the worker
    leaves the sweep alive; with one slot joblib computes in this process.
    """
    folder = plan.folder.resolve()
    tasks = (delayed(run_fit)(key, plan.protocol, folder, execution, locks) for key in batch)
    parallel = Parallel(
        n_jobs=len(execution.slots), return_as="generator_unordered", batch_size=1, pre_dispatch="n_jobs"
    )
    yield from parallel(tasks)


def _after_a_kill(
    silent: Sequence[FitKey], plan: Plan, execution: Execution, locks: Path, kills: Counter[FitKey]
) -> Iterator[Outcome]:
    """Report what had finished, count a kill for what was in flight, and give up on what was killed too often."""
    finished = [key for key in silent if store.fit_path(plan.folder, key).exists()]
    in_flight = [key for key in silent if key not in finished and in_flight_path(key, locks).exists()]
    # Killed before the first line of its task: then it was one of those that joblib had handed out.
    kills.update(in_flight or [key for key in silent if key not in finished][: len(execution.slots)])
    for key in finished:
        result = store.read_fit(store.fit_path(plan.folder, key))
        seconds, gflops = (result.provenance[name] for name in ("wall_seconds", "gflops"))
        yield Outcome(key, seconds, gflops, *headline(result.summary))
    for key in silent:
        in_flight_path(key, locks).unlink(missing_ok=True)
        if kills[key] >= _TRIES:
            message = f"its worker was killed {counted(_TRIES, 'time')} (out of memory?)"
            yield record_failure(key, plan.folder, 0.0, "killed worker", message)
