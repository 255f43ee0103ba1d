"""A grid on a Dask cluster: real schedulers and workers on the loopback interface, one of them killed."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
from distributed import Client, KilledWorker, LocalCluster
from distributed.security import Security

from bnbench.errors import RequestError
from bnbench.protocol.protocol import FitKey, Grid, Protocol
from bnbench.results import claims, layout, sweeps
from bnbench.results.folder_protocol import open_folder
from bnbench.sweep.backends import dask_cluster
from bnbench.sweep.backends.backend import Backend
from bnbench.sweep.backends.dask_backend import Dask
from bnbench.sweep.backends.inline import Inline
from bnbench.sweep.devices import DeviceRequest, make_slots
from bnbench.sweep.execution import Execution, Job, Outcome
from bnbench.sweep.interrupts import RunnerStop, discard_old_markers
from bnbench.sweep.plan import plan_sweep
from bnbench.sweep.runner import Runner
from bnbench.sweep.same_code import Code, code_here
from tests.cli.test_cli import TINY as COMMAND
from tests.cli.test_cli import assert_refused, bnbench
from tests.fits import TINY
from tests.warm import Process, call, start

ROOT = Path(__file__).parents[2]
GRID = Grid(("plain", "bn"), (0.5,), (1, 2, 3))
KEY = FitKey("plain", 0.5, 1)
LONG = TINY.with_knobs(steps=50)
ONE = Execution(make_slots(("cpu",), 1, 1), devices=DeviceRequest("cpu", jobs=2), checkpoint_every=0.2)
QUIET = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONWARNINGS": "ignore", "OMP_NUM_THREADS": "1"}


@contextmanager
def started(module: str, *arguments: str) -> Iterator[Process]:
    with Path(os.devnull).open("r+b", buffering=0) as nowhere:
        streams = (nowhere.fileno(),) * 3
        command = (f"distributed.cli.{module}", [*arguments, "--no-dashboard"])
        process = start(*command, cwd=Path.cwd(), environment=QUIET, streams=streams)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def worker(address: str) -> AbstractContextManager[Process]:
    return started("dask_worker", address, "--nthreads", "1", "--no-nanny", "--memory-limit", "0")


@contextmanager
def scheduler(folder: Path) -> Iterator[tuple[Process, str]]:
    file = folder / "scheduler.json"
    where = ("--host", "127.0.0.1", "--port", "0", "--scheduler-file", str(file))
    with started("dask_scheduler", *where) as process:
        until(lambda: file.exists() and file.read_text().endswith("}"))
        yield process, json.loads(file.read_text())["address"]


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with scheduler(tmp_path_factory.mktemp("scheduler")) as (_, where):
        yield where


def until(condition: Callable[[], object], seconds: float = 100.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it never came"
        time.sleep(0.05)


@contextmanager
def connected(address: str) -> Iterator[Dask]:
    there = Dask(address)
    with there.opened(lambda said: None, waits=False):
        yield there


def make_runner(folder: Path, backend: Backend, protocol: Protocol = TINY, grid: Grid = GRID) -> Runner:
    open_folder(folder, protocol)
    plan = plan_sweep(folder, protocol, grid, retry_failed=True)
    return Runner(plan, ONE, backend)


def assert_same_tables(one: Path, other: Path) -> None:
    pd.testing.assert_frame_equal(sweeps.load(one), sweeps.load(other), check_exact=True)
    first, second = (sweeps.read_sweep(folder).traces for folder in (one, other))
    pd.testing.assert_frame_equal(first, second, check_exact=True)


@pytest.mark.nightly
def test_a_killed_worker_loses_its_fit_alone_and_one_that_joins_late_gets_work(address: str, tmp_path: Path) -> None:
    pids: set[int] = set()
    is_over = threading.Event()

    def look() -> None:
        while not is_over.wait(0.02):
            pids.update(progress.pid for progress in claims.running(tmp_path / "dask"))

    with ExitStack() as stack:
        first, second = (stack.enter_context(worker(address)) for _ in range(2))
        there = stack.enter_context(connected(address))
        until(lambda: len(there.workers) == 2)
        threading.Thread(target=look, daemon=True).start()
        outcomes: list[Outcome] = []
        runner = make_runner(tmp_path / "dask", there, LONG).outcomes()
        thread = threading.Thread(target=lambda: outcomes.extend(runner))
        thread.start()
        until(lambda: any(fit.pid == first.pid for fit in claims.running(tmp_path / "dask")))
        first.kill()
        second.send_signal(signal.SIGSTOP)  # so that something is left for the late one
        late = stack.enter_context(worker(address))
        until(lambda: late.pid in pids)
        second.send_signal(signal.SIGCONT)
        thread.join(100)
        assert not thread.is_alive()
        is_over.set()
    assert [outcome.state for outcome in outcomes] == ["done"] * 6
    assert {outcome.key for outcome in outcomes} == set(GRID.fits())
    assert not list((tmp_path / "dask" / "running").iterdir())
    assert len(list(make_runner(tmp_path / "alone", Inline(), LONG).outcomes())) == 6
    assert_same_tables(tmp_path / "dask", tmp_path / "alone")


def test_results_come_home_from_workers_without_the_disk(address: str, tmp_path: Path) -> None:
    """The folder goes by a name that means nothing in another process: /proc/self/fd/N."""
    grid = Grid(("plain", "tests.foreign_arms:dropout"), (0.5,), (1,))

    def sweep_out_of_reach(code: Code) -> dict[str, Outcome]:
        run = make_runner(tmp_path / "dask", there, grid=grid)
        run.job = replace(run.job, folder=Path(f"/proc/self/fd/{folder}"), code=code)
        return {outcome.key.arm: outcome for outcome in run.outcomes()}

    (tmp_path / "dask").mkdir()
    folder = os.open(tmp_path / "dask", os.O_RDONLY)
    with worker(address), connected(address) as there:
        until(lambda: there.workers)
        refused = sweep_out_of_reach(replace(code_here(), revision=99))
        assert {outcome.is_fatal for outcome in refused.values()} == {True}
        assert not layout.fit_paths(tmp_path / "dask")
        outcomes = sweep_out_of_reach(code_here())
        assert (outcomes["plain"].state, outcomes["plain"].files) == ("done", {})
        assert "Dropout" in outcomes["tests.foreign_arms:dropout"].message
        sweep_out_of_reach(code_here())
    os.close(folder)
    (failure,) = sweeps.read_sweep(tmp_path / "dask").failures
    assert (failure.key.arm, failure.tries) == ("tests.foreign_arms:dropout", 2)
    list(make_runner(tmp_path / "alone", Inline(), grid=Grid(("plain",), (0.5,), (1,))).outcomes())
    assert_same_tables(tmp_path / "dask", tmp_path / "alone")


@pytest.mark.nightly
def test_a_lost_scheduler_is_one_sentence_and_a_missing_device_is_another(tmp_path: Path) -> None:
    with scheduler(tmp_path) as (own, where), worker(where), connected(where) as there:
        until(lambda: there.workers)
        assert [str(slot) for slot in there.slots(DeviceRequest("cpu,cpu,cpu"))] == ["cpu#0"], "it has one thread"
        with pytest.raises(RequestError, match="--devices cuda:7"):
            there.slots(DeviceRequest("cuda:7"))
        runner = make_runner(tmp_path / "dask", there, TINY.with_knobs(steps=100_000))
        threading.Timer(2.0, own.kill).start()
        with pytest.raises(RequestError, match="scheduler"):
            list(runner.outcomes())


@pytest.mark.nightly
def test_a_cluster_of_this_machine_is_stopped_within_seconds_and_goes_on(tmp_path: Path) -> None:
    pytest.importorskip("cryptography", reason="makes the keys; comes with the extra dask")
    command = [*COMMAND, "--checkpoint-every", "0.2", "--chunk", "8", "--steps", "400"]
    dask = [sys.executable, "-m", "bnbench", *command, "--backend", "dask"]
    folder = tmp_path / "results" / "smoke"
    with subprocess.Popen(dask, cwd=tmp_path, env=QUIET, stderr=subprocess.PIPE, text=True) as runner:
        try:
            until(lambda: any((folder / "running").glob("*.pt")), seconds=100)
            start = time.monotonic()
            runner.send_signal(signal.SIGTERM)
            _, said = runner.communicate(timeout=20)
            assert time.monotonic() - start < 8, "five, on a machine that has nothing else to do"
        finally:
            runner.kill()
    assert runner.returncode == 128 + signal.SIGTERM
    assert "same command" in said.splitlines()[-1]
    again = bnbench(*command, "--backend", "inline", cwd=tmp_path)
    assert again.returncode == 0, again.stderr
    assert sweeps.read_sweep(folder).provenance["parts"].max() == 2


def test_what_a_cluster_lost_for_good_is_run_alone_once_and_then_given_up(tmp_path: Path) -> None:
    class LosesOne(Inline):
        def compute(self, batch: Sequence[FitKey], job: Job, stop: RunnerStop) -> Iterator[Outcome]:
            batches.append([*batch])
            for key in batch:
                yield Outcome(key, "killed" if key == KEY else "done")

    batches: list[list[FitKey]] = []
    outcomes = {outcome.key: outcome for outcome in make_runner(tmp_path, LosesOne()).outcomes()}
    assert batches == [GRID.fits(), [KEY]]
    assert outcomes.pop(KEY).message.startswith("killed worker: ")
    assert {outcome.state for outcome in outcomes.values()} == {"done"}


@pytest.mark.parametrize("has_got_on", [False, True])
def test_three_deaths_over_a_fit_are_enough_unless_it_gets_on(tmp_path: Path, has_got_on: bool) -> None:
    run = make_runner(tmp_path, Inline(), grid=Grid(("plain",), (0.5,), (1,)))
    lock = layout.lock_path(tmp_path, KEY)
    lock.parent.mkdir(exist_ok=True)
    lock.write_bytes(b"...")
    if has_got_on:
        os.utime(lock, (1, 1))
        layout.checkpoint_path(tmp_path, KEY).touch()
    (outcome,) = Inline().compute([KEY], run.job, run.stop)
    assert outcome.state == ("done" if has_got_on else "failed"), outcome.message
    assert has_got_on or re.match(r"killed worker: .*\b3\b", outcome.message)
    assert not lock.exists()


def test_what_becomes_of_a_task_is_an_outcome() -> None:
    killed = dask_cluster._outcome_of(KEY, KilledWorker("task", None, 3))  # type: ignore[arg-type]  # none is looked at
    assert isinstance(killed, Outcome)
    assert killed.state == "killed"
    failed = dask_cluster._outcome_of(KEY, ModuleNotFoundError("No module named 'bnbench'"))
    assert isinstance(failed, Outcome)
    assert (failed.key, failed.state) == (KEY, "failed")
    assert "ModuleNotFoundError" in failed.message


def test_markers_of_runners_long_gone_are_swept(tmp_path: Path) -> None:
    for name in ("stop-old", "here-old", "stop-new", "plain.json"):
        (tmp_path / name).touch()
        if not name.endswith("new"):
            os.utime(tmp_path / name, (time.time() - 90_000,) * 2)
    discard_old_markers(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {"stop-new", "plain.json"}


def test_a_scheduler_out_of_place_or_out_of_reach(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dask_cluster, "_ANSWER", 0.5)
    for options, sentence in (
        (["--scheduler", "a:1"], "--scheduler a:1 belongs to --backend dask; give both, or neither."),
        (["--backend", "dask", "--scheduler", "nowhere"], "--scheduler nowhere: no Dask scheduler answers there"),
        (["--backend", "dask", "--scheduler", "foo://127.0.0.1:9"], "--scheduler foo://127.0.0.1:9: no Dask scheduler"),
        (["--backend", "dask", "--scheduler", "127.0.0.1:9"], "--scheduler 127.0.0.1:9: no Dask scheduler answers"),
    ):
        assert_refused(bnbench(*COMMAND, *options, cwd=tmp_path), f"bnbench: {sentence}")


def test_dask_is_an_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "distributed", None)
    monkeypatch.delitem(sys.modules, "bnbench.sweep.backends.dask_cluster")
    answer = bnbench(*COMMAND, "--backend", "dask", "--dry-run", cwd=tmp_path)
    assert answer.returncode == 2
    assert "pip install" in answer.stderr


def test_a_cluster_of_this_machine_is_open_to_nobody_else(monkeypatch: pytest.MonkeyPatch) -> None:
    class Asked(Exception):  # noqa: N818  # no error
        pass

    def asked(**options: object) -> None:
        raise Asked(*(options[name] for name in ("host", "protocol", "security", "dashboard_address")))

    monkeypatch.setattr(dask_cluster, "LocalCluster", asked)
    monkeypatch.setattr(Security, "temporary", lambda: "a key")
    with pytest.raises(Asked) as found, dask_cluster.own_cluster(ONE):
        pass
    assert found.value.args == ("127.0.0.1", "tls://", "a key", None)


def test_a_cluster_of_this_machine_without_a_key_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cryptography", None)
    with pytest.raises(RequestError, match=r"--backend dask .*cryptography"), dask_cluster.own_cluster(ONE):
        pass


def ports_of(processes: Sequence[int]) -> list[tuple[str, int]]:
    """Address and number of each TCP port that processes listen on, on Linux."""
    lines = [line.split() for name in ("tcp", "tcp6") for line in Path(f"/proc/net/{name}").read_text().splitlines()]
    listening = {line[9]: line[1].split(":") for line in lines if line[3] == "0A"}
    names: list[str] = []
    for link in [link for number in processes for link in Path(f"/proc/{number}/fd").iterdir()]:
        with suppress(FileNotFoundError):  # shut in the meantime
            names.append(str(link.readlink()))
    found = {name[8:-1] for name in names if name.startswith("socket:[")}
    return [(where, int(port, 16)) for inode, (where, port) in listening.items() if inode in found]


def refusals() -> list[str]:
    """Who knocks at a cluster of this machine's own, without its key, with another one, and as a browser."""
    with dask_cluster.own_cluster(ONE) as client:
        assert client.submit(os.getpid).result() != os.getpid()
        cluster: LocalCluster = client.cluster  # type: ignore[assignment]  # it is there
        address = str(cluster.scheduler_address)
        ports = ports_of([os.getpid(), *(nanny.pid for nanny in cluster.workers.values())])
        assert {where for where, _ in ports} == {"0100007F"}, "127.0.0.1"
        for _, port in ports:
            for page in ("", "info/main/workers.html", "health", "metrics", "status"):
                with suppress(OSError), urllib.request.urlopen(f"http://127.0.0.1:{port}/{page}", timeout=5) as opened:
                    raise AssertionError(f"{opened.url} shows something")
        found = []
        for where, security in ((address.replace("tls", "tcp"), None), (address, Security.temporary())):
            with pytest.raises(Exception) as refused:  # noqa: PT011  # Dask lets an AssertionError through
                Client(where, security=security, timeout=5, set_as_default=False)
            found.append(type(refused.value).__name__)
        return found


@pytest.mark.nightly
@pytest.mark.skipif(sys.platform != "linux", reason="ports are found in /proc")
def test_a_cluster_of_this_machine_answers_nobody_without_its_key() -> None:
    pytest.importorskip("cryptography", reason="makes the keys; comes with the extra dask")
    assert len(call(refusals)) == 2
