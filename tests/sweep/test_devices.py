"""Device slots and the leases that hold them."""

from __future__ import annotations

import re
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from bnbench.evaluate.measure import evaluate_planes
from bnbench.evaluate.plan import EvaluationRequest, plan_evaluation
from bnbench.inputs.data import DataSet
from bnbench.mpo.plane import Plane
from bnbench.protocol.protocol import FitKey, Grid
from bnbench.results import layout
from bnbench.results.fits import read_fit
from bnbench.results.folder_protocol import open_folder
from bnbench.sweep.backends.inline import Inline
from bnbench.sweep.cost import choose_chunk, estimate_seconds
from bnbench.sweep.devices import Slot, available_cores, free_cached_memory, lease, make_slots, parse_devices
from bnbench.sweep.execution import Execution
from bnbench.sweep.inputs import load_inputs
from bnbench.sweep.plan import plan_sweep
from bnbench.sweep.provenance import read_provenance
from bnbench.sweep.runner import Runner
from tests.fits import TINY, status_of
from tests.warm import begin

PACKAGE = Path(__file__).parents[2] / "bnbench"


@pytest.fixture
def two_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)


@pytest.mark.usefixtures("two_gpus")
@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("auto", ("cuda:0", "cuda:1")),
        ("cuda:*", ("cuda:0", "cuda:1")),
        ("cuda:1", ("cuda:1",)),
        ("cpu,cpu", ("cpu", "cpu")),
        ("cuda:0,cpu", ("cuda:0", "cpu")),
    ],
)
def test_devices_of_a_machine_with_two_gpus(text: str, expected: tuple[str, ...]) -> None:
    assert parse_devices(text) == expected


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("cuda:0", r"--devices cuda:0: .*\bcpu\b"),
        ("cuda:*", r"cuda:\*"),
        ("cpu,gpu", r"--devices cpu,gpu: .*'gpu' .*auto, cuda:\* .*cpu"),
        ("", "''"),
    ],
)
def test_devices_that_do_not_exist(text: str, message: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    with pytest.raises(ValueError, match=message):
        parse_devices(text)


def test_jobs_are_spread_over_devices_in_turn() -> None:
    names = [str(slot) for slot in make_slots(("cuda:0", "cuda:1"), 5, 1)]
    assert names == ["cuda:0#0", "cuda:1#0", "cuda:0#1", "cuda:1#1", "cuda:0#2"]
    assert [str(slot) for slot in make_slots(("cpu", "cpu"), None, 8)] == ["cpu#0", "cpu#1"]
    assert len(make_slots(("cpu",), None, 1)) == available_cores()
    assert len(make_slots(("cpu",), None, 10_000)) == 1


def test_a_leased_slot_is_nobody_elses(tmp_path: Path) -> None:
    slots = make_slots(("cpu",), 2, 1)
    with lease(slots, tmp_path) as first, lease(slots, tmp_path) as second:
        assert {first, second} == set(slots)
        third: list[Slot] = []

        def wait_for_one() -> None:
            with lease(slots, tmp_path) as slot:
                third.append(slot)

        waiting = threading.Thread(target=wait_for_one)
        waiting.start()
        time.sleep(0.2)
        assert not third
    waiting.join(timeout=10)
    assert third[0] in slots


def hold(folder: Path) -> None:
    with lease(make_slots(("cpu",), 1, 1), folder):
        (folder / "held").touch()
        time.sleep(60)


def test_a_killed_process_frees_its_slot(tmp_path: Path) -> None:
    holder = begin(tmp_path / "call", hold, tmp_path)
    while not (tmp_path / "held").exists():
        assert holder.poll() is None
        time.sleep(0.02)
    holder.kill()
    with lease(make_slots(("cpu",), 1, 1), tmp_path) as slot:
        assert str(slot) == "cpu#0"
    assert holder.wait(10) == -signal.SIGKILL


class FreshCuda:
    """What torch.cuda does in a process that has not used its GPU yet, in torch's own order and words.

    Its functions stand for those of torch; whatever is put on the GPU stays on the processor.
    """

    def __init__(self) -> None:
        self.is_initialized = False
        self.called: set[str] = set()

    def device_count(self) -> int:
        self.called.add("device_count")
        return 1

    def init(self) -> None:
        self.called.add("init")
        self.is_initialized = True

    def get_device_name(self, device: str) -> str:
        self.called.add("get_device_name")
        assert device == "cuda:0"
        self.is_initialized = True  # torch does so by itself here, and in the next one
        return "a GPU"

    def reset_peak_memory_stats(self, device: str) -> None:
        self.called.add("reset_peak_memory_stats")
        if not self.is_initialized:
            raise RuntimeError("Invalid device argument 0: did you call init?")

    def max_memory_allocated(self, device: str) -> int:
        self.called.add("max_memory_allocated")
        return 2**20 if self.is_initialized else 0

    def empty_cache(self) -> None:
        self.called.add("empty_cache")


STANDS_IN_FOR = {name for name in vars(FreshCuda) if not name.startswith("_")}
ON_TENSORS = {
    "CUDAGraph",
    "Event",
    "Stream",
    "current_device",
    "current_stream",
    "device",
    "graph",
    "graph_pool_handle",
    "is_current_stream_capturing",
    "stream",
}  # of a GPU: it is used


@pytest.fixture
def fresh_cuda(monkeypatch: pytest.MonkeyPatch) -> FreshCuda:
    cuda = FreshCuda()
    for name in STANDS_IN_FOR:
        monkeypatch.setattr(torch.cuda, name, getattr(cuda, name))
    for kind in (DataSet, Plane):
        monkeypatch.setattr(kind, "to", lambda self, device: self)
    monkeypatch.setattr("bnbench.sweep.cost.free_cached_memory", free_cached_memory)  # warm.QUICKER leaves it out
    return cuda


def calls_to_a_gpu() -> set[tuple[str, str]]:
    """Every file of the package that names something of torch.cuda, and what."""
    return {
        (path.relative_to(PACKAGE).as_posix(), name)
        for path in PACKAGE.rglob("*.py")
        for name in re.findall(r"torch\.cuda\.(\w+)", path.read_text())
    }


def test_every_call_to_a_gpu_is_one_that_the_stand_in_knows() -> None:
    assert {name for _, name in calls_to_a_gpu()} == STANDS_IN_FOR | ON_TENSORS


def test_every_call_to_a_gpu_stands_in_the_table_of_the_benchmarks() -> None:
    text = (PACKAGE.parent / "benchmarks" / "README.md").read_text()
    _, _, rows = text.partition("| of `torch.cuda` | where | when |\n|---|---|---|\n")
    lines = [line.split("|") for line in rows.partition("\n\n")[0].splitlines()]
    quoted = [[re.findall(r"`([^`]+)`", cell) for cell in cells[1:3]] for cells in lines]
    assert {(where, name) for names, places in quoted for name in names for where in places} == calls_to_a_gpu()


def test_torchs_modules_for_gpus_are_called_by_their_whole_name() -> None:
    """Or else the two tests above would not see a call."""
    texts = [path.read_text() for path in PACKAGE.rglob("*.py")]
    assert not [text for text in texts if re.search(r"from torch\.cuda|from torch import .*\bcuda\b", text)]


def test_fits_in_a_process_whose_gpu_nobody_has_used(
    fresh_cuda: FreshCuda, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Planned, timed, fitted, resumed, looked at, evaluated: each of them may be the first to use the GPU."""
    execution = Execution(make_slots(parse_devices("cuda:0"), None, 1), keep_planes=True)
    grid, key = Grid(("plain",), (0.5,), (1,)), FitKey("plain", 0.5, 1)
    open_folder(tmp_path, TINY)
    steps: list[Callable[[], object]] = [
        lambda: choose_chunk(plan_sweep(tmp_path, TINY, grid), execution, load_inputs(grid, TINY, execution)),
        lambda: estimate_seconds(plan_sweep(tmp_path, TINY, grid), execution, None),
        lambda: list(Runner(plan_sweep(tmp_path, TINY, grid), execution, Inline()).outcomes()),
        lambda: read_provenance(execution.slots[0], 1, 1),  # of bnbench check
        lambda: estimate_seconds(plan_sweep(tmp_path, TINY, Grid(("plain",), (0.5,), (1, 2))), execution, None),
        lambda: status_of(tmp_path),
        lambda: evaluated(tmp_path, execution),
    ]
    for step in steps:
        fresh_cuda.is_initialized = False
        step()
    provenance = read_fit(layout.fit_path(tmp_path, key)).provenance
    assert (provenance["device"], provenance["device_name"], provenance["peak_memory_mib"]) == ("cuda:0", "a GPU", 1.0)
    assert fresh_cuda.called >= STANDS_IN_FOR


def evaluated(folder: Path, execution: Execution) -> None:
    request = EvaluationRequest(folder / "evaluations", execution)
    (task,) = plan_evaluation(folder, request).to_run
    (found,) = evaluate_planes([task], request)
    assert found.readings, found.message
