"""A worker whose code is not its runner's computes nothing, and both are named."""

from __future__ import annotations

import ast
import os
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest
import torch

from bnbench.errors import RequestError
from bnbench.protocol.protocol import Grid
from bnbench.results.folder_protocol import open_folder
from bnbench.sweep import provenance, same_code
from bnbench.sweep.backends.dask_backend import Dask
from bnbench.sweep.backends.dask_cluster import _outcome_of
from bnbench.sweep.backends.inline import Inline
from bnbench.sweep.devices import DeviceRequest, make_slots
from bnbench.sweep.execution import Execution, Outcome
from bnbench.sweep.fit_record import moved_from
from bnbench.sweep.plan import plan_sweep
from bnbench.sweep.provenance import read_provenance
from bnbench.sweep.runner import Runner
from bnbench.sweep.same_code import Code, code_here, refusal
from tests.fits import KEY, TINY

PACKAGE = Path(same_code.__file__).parents[1]
GRID = Grid(("plain", "bn"), (0.5,), (1,))
OTHERS: dict[str, dict[str, Any]] = {
    "code": {"digest": "0123456789ab"},
    "revision": {"revision": 99},
    "format": {"format": 99},
    "torch": {"torch": "1.0.0"},
}


@pytest.mark.parametrize("changes", OTHERS.values(), ids=OTHERS)
def test_a_worker_with_other_code_computes_nothing_and_ends_the_sweep(tmp_path: Path, changes: dict[str, Any]) -> None:
    open_folder(tmp_path, TINY)
    runner = Runner(plan_sweep(tmp_path, TINY, GRID), Execution(make_slots(("cpu",), 1, 1)), Inline())
    runner.job = replace(runner.job, code=replace(code_here(), **changes))
    (outcome,) = runner.outcomes()
    assert (outcome.state, outcome.is_fatal) == ("failed", True)
    assert str(code_here()) in outcome.message
    assert str(runner.job.code) in outcome.message
    assert not list((tmp_path / "fits").iterdir())
    assert not (tmp_path / "failures").exists(), "it is not the fit's failure"


class Cluster:
    """What a scheduler's connection is to the backend, with one worker."""

    def __init__(self, answer: object) -> None:
        self.answer = answer

    def nthreads(self) -> dict[str, int]:
        return {"tcp://10.0.0.7:40001": 1}

    def run(self, function: Callable[..., object], *arguments: object, on_error: str = "") -> dict[str, object]:
        answer = self.answer if function is code_here else function(*arguments)
        return dict.fromkeys(self.nthreads(), answer)


@pytest.mark.parametrize("changes", [*OTHERS.values(), None], ids=[*OTHERS, "an older one"])
def test_a_cluster_whose_worker_has_other_code_is_refused_before_anything_is_planned(
    changes: dict[str, Any] | None,
) -> None:
    answer = ModuleNotFoundError("no same_code") if changes is None else replace(code_here(), **changes)
    there = Dask("tcp://10.0.0.1:8786")
    there._connection = cast(Any, Cluster(answer))
    with pytest.raises(RequestError) as refused:
        there.slots(DeviceRequest("cpu"))
    assert "tcp://10.0.0.7:40001" in str(refused.value)
    assert all(str(code) in str(refused.value) for code in (answer, code_here()))
    there._connection = cast(Any, Cluster(code_here()))
    assert [str(slot) for slot in there.slots(DeviceRequest("cpu"))] == ["cpu#0"]


def test_a_task_that_a_worker_cannot_even_read_ends_the_sweep() -> None:
    outcome = _outcome_of(KEY, AttributeError("module 'bnbench' has no attribute 'later'"))
    assert isinstance(outcome, Outcome)
    assert outcome.is_fatal
    assert "later" in outcome.message


def test_the_digest_is_of_what_fits_enter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def digest_with(name: str, text: str) -> str:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
        code_here.cache_clear()
        return code_here().digest

    with monkeypatch.context() as context:
        context.setattr(same_code, "_PACKAGE", tmp_path)
        first = digest_with("mpo/fit.py", "1")
        assert digest_with("report/page.py", "1") == first
        assert len({first, digest_with("mpo/fit.py", "2"), digest_with("new.py", ""), digest_with("new.py", "1")}) == 4
    code_here.cache_clear()


def imported_by(path: Path) -> set[Path]:
    """What of the package a module imports, inside its functions, too."""
    nodes = [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.ImportFrom) and node.module]
    names = {name for node in nodes for name in (node.module, *(f"{node.module}.{one.name}" for one in node.names))}
    return {path for name in names if (path := PACKAGE.parent / f"{str(name).replace('.', '/')}.py").is_file()}


def test_what_a_fit_enters_is_what_its_workers_must_have_alike() -> None:
    """Else an edit of a figure, in mid-sweep, would have workers refused that compute the same."""
    entered, next_ones = set[Path](), {PACKAGE / "sweep" / "worker.py"}
    while next_ones := next_ones - entered:
        entered |= next_ones
        next_ones = set[Path]().union(*map(imported_by, next_ones))
    rooms = {path.relative_to(PACKAGE).parts[0] for path in entered}
    there = {path.relative_to(PACKAGE).parts[0] for path in PACKAGE.rglob("*.py")}
    assert there - rooms - {"__init__.py"} == same_code._OUTSIDE_OF_FITS


@pytest.mark.parametrize("name", ["ATEN_CPU_CAPABILITY", "MKL_CBWR", "ONEDNN_MAX_CPU_ISA", "NVIDIA_TF32_OVERRIDE"])
def test_a_variable_that_chooses_other_kernels_is_on_record(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """It changes the last bits, and nobody is refused for it."""
    monkeypatch.delenv(name, raising=False)
    (slot,) = make_slots(("cpu",), 1, 1)
    assert name not in read_provenance(slot, 1, 8)["kernel_variables"]
    monkeypatch.setenv(name, "one")
    assert f"{name}=one" in read_provenance(slot, 1, 8)["kernel_variables"]


def test_processors_of_one_name_are_told_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    """A fit that goes on on another kind of processor rounds otherwise, and says so."""
    (slot,) = make_slots(("cpu",), 1, 1)
    here = read_provenance(slot, 1, 8)
    assert torch.backends.cpu.get_cpu_capability() in here["processor"]
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: "of old")
    there = read_provenance(slot, 1, 8)
    assert there["device_name"] == here["device_name"]
    assert moved_from(here, there) == [f"processor {here['processor']}"]
    for before in ({**here, "processor": None}, {name: value for name, value in here.items() if name != "processor"}):
        assert moved_from(before, there) == [], "on a GPU, or by an earlier version"


def test_who_looks_at_the_revision_of_a_checkout_leaves_it_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def git(*arguments: str) -> None:
        identity = ("-c", "user.name=a", "-c", "user.email=a@b")
        subprocess.run(["git", "-C", str(tmp_path), *identity, *arguments], check=True, capture_output=True)

    (tmp_path / "provenance.py").touch()
    git("init")
    git("add", ".")
    git("commit", "-m", "first")
    os.utime(tmp_path / "provenance.py", (1, 1))  # git would write this to its index, under a lock
    before = (tmp_path / ".git" / "index").read_bytes()
    monkeypatch.setattr(provenance, "__file__", str(tmp_path / "provenance.py"))
    revision, is_dirty = provenance.git_state.__wrapped__()
    assert (len(revision or ""), is_dirty) == (40, False)
    assert (tmp_path / ".git" / "index").read_bytes() == before


def test_the_same_code_is_refused_by_nobody() -> None:
    assert refusal(code_here(), Code(**vars(code_here())), "it") == ""
