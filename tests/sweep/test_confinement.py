"""Foreign code in a fit: whatever it does is that fit's failure, and the others are bitwise as without it."""

from __future__ import annotations

import os
import re
import signal
import sys
import threading
import time
from collections.abc import Iterable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any, cast

import pandas as pd
import pytest
import torch

from bnbench.arms.own_arm import load_arm
from bnbench.errors import ArmError
from bnbench.process.surroundings import SETTINGS, read_settings
from bnbench.protocol.protocol import FitKey, Grid
from bnbench.protocol.sections import NetworkProtocol
from bnbench.results import layout, store, sweeps
from bnbench.results.claims import is_claimed
from bnbench.results.failures import failure_of
from bnbench.results.fits import read_fit
from bnbench.results.folder_protocol import open_folder
from bnbench.sweep.backends import apart
from bnbench.sweep.backends.backend import Backend
from bnbench.sweep.backends.inline import Inline
from bnbench.sweep.backends.processes import Processes
from bnbench.sweep.devices import make_slots
from bnbench.sweep.execution import Execution, Outcome
from bnbench.sweep.fit_memory import MemoryWatch, resident_mib
from bnbench.sweep.plan import plan_sweep
from bnbench.sweep.runner import Runner
from bnbench.sweep.worker import was_beyond_a_limit
from tests.fits import TINY
from tests.foreign_arms import TRAINED_ON
from tests.rough_arms import CHILDREN, ROUGH
from tests.warm import call

PROTOCOL = TINY.with_knobs(steps=2, images=TRAINED_ON)
ONE = Execution(make_slots(("cpu",), 1, 1))
PLAIN = FitKey("plain", 0.5, 1)


def key_of(name: str) -> FitKey:
    return FitKey(f"tests.rough_arms:rough_{name}", 0.5, 1)


def sweep(folder: Path, *keys: FitKey, execution: Execution = ONE, in_workers: bool = False) -> list[Outcome]:
    """One fit after another; ``plain`` comes last, in the process that the others have used."""
    open_folder(folder, PROTOCOL)
    plan = plan_sweep(folder, PROTOCOL, Grid(tuple(key.arm for key in keys), (0.5,), (1,)))
    return list(Runner(plan, execution, Processes() if in_workers else Inline()).outcomes())


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> store.FitResult:
    folder = tmp_path_factory.mktemp("undisturbed")
    sweep(folder, PLAIN)
    return read_fit(layout.fit_path(folder, PLAIN))


def check_plain(folder: Path, undisturbed: store.FitResult) -> None:
    found = read_fit(layout.fit_path(folder, PLAIN))
    for name in ("landscape", "summary", "trace"):
        pd.testing.assert_frame_equal(getattr(found, name), getattr(undisturbed, name), check_exact=True)
    assert found.provenance["settings"] == undisturbed.provenance["settings"]


def check_failures(folder: Path, names: Iterable[str]) -> None:
    for name in names:
        failure = failure_of(folder, key_of(name))
        assert failure is not None, name
        assert ROUGH[name][1] in failure.message, name
        assert len(failure.message) < 1_200
        assert failure.tries == 1, f"a worker died over {name}"


def check_settings(folder: Path) -> None:
    """What was in force in a fit's last step is what its provenance says, and that its arm had changed it."""
    provenance = read_fit(layout.fit_path(folder, key_of("changes_settings"))).provenance
    assert "threads 2," in provenance["settings"]
    assert "float32_matmul_precision medium," in provenance["settings"]
    assert "threads from 1" in provenance["note"]


MILD = ("prints", "changes_settings")


@pytest.mark.nightly
def test_what_rough_arms_do_in_this_process_fails_them_alone(
    tmp_path: Path, undisturbed: store.FitResult, capfd: pytest.CaptureFixture[str]
) -> None:
    before = read_settings(with_streams=False)
    outcomes = sweep(tmp_path, *map(key_of, (*ROUGH, *MILD)), PLAIN)
    assert [outcome.state for outcome in outcomes] == ["failed"] * len(ROUGH) + ["done"] * 3
    check_failures(tmp_path, ROUGH)
    check_plain(tmp_path, undisturbed)
    check_settings(tmp_path)
    after = read_settings(with_streams=False)
    assert {name for name in before if before[name] != after[name]} == set()
    assert list((tmp_path / "running").iterdir()) == []
    printed = capfd.readouterr()
    assert printed.out == ""
    assert {"a line of the arm's own", "a line past Python"} <= set(printed.err.splitlines())


@pytest.mark.nightly  # by day the same in this process, above, and one arm in a worker, below
def test_what_rough_arms_do_in_workers_fails_them_alone(
    tmp_path: Path, undisturbed: store.FitResult, capfd: pytest.CaptureFixture[str]
) -> None:
    alone = FitKey("tests.worker_alone:make", 0.5, 1)
    outcomes = call(sweep, tmp_path, alone, *map(key_of, (*ROUGH, *MILD)), PLAIN, in_workers=True)
    assert sorted(outcome.state for outcome in outcomes) == ["done"] * 3 + ["failed"] * (len(ROUGH) + 1)
    check_failures(tmp_path, ROUGH)
    check_plain(tmp_path, undisturbed)
    check_settings(tmp_path)
    failure = failure_of(tmp_path, alone)
    assert failure is not None
    assert "ImportError" in failure.message
    assert plan_sweep(tmp_path, PROTOCOL, Grid((alone.arm,), (0.5,), (1,))).failed.keys() == {alone}
    assert capfd.readouterr().out == ""


def sweep_of(folder: Path, arms: tuple[str, ...], backend: Backend) -> list[Outcome]:
    open_folder(folder, PROTOCOL)
    plan = plan_sweep(folder, PROTOCOL, Grid(arms, (0.5,), (1, 2, 3)))
    return list(Runner(plan, ONE, backend).outcomes())


@pytest.mark.nightly
@pytest.mark.parametrize("name", ["leaves_a_thread", "sets_the_default_dtype", "replaces_a_function"])
def test_no_fit_follows_another_arms_fit_in_its_process(tmp_path: Path, name: str) -> None:
    """A thread that an arm leaves behind goes on for ever, and nothing can put back what it does."""
    outcomes = call(sweep_of, tmp_path / "beside", (key_of(name).arm, "plain"), Processes())
    assert [outcome.state for outcome in outcomes if outcome.key.arm == "plain"] == ["done"] * 3
    sweep_of(tmp_path / "alone", ("plain",), Inline())
    beside, alone = (sweeps.load(tmp_path / name) for name in ("beside", "alone"))
    beside = beside[beside["arm"] == "plain"].reset_index(drop=True)
    pd.testing.assert_frame_equal(beside, alone, check_exact=True, check_categorical=False)


def test_a_process_takes_fits_of_its_own_kind_first_and_keeps_to_the_order_of_seeds() -> None:
    keys = [FitKey(arm, p, seed) for seed in (1, 2) for p in (0.3, 0.5) for arm in ("plain", "my:net", "bn")]
    process, order = apart._Process(os.getpid()), []
    process._pool = cast(Any, object())
    while keys:
        order.append(keys.pop(process.next_of(keys)))
        process._kind = apart.kind_of(order[-1])
    assert [key.seed for key in order] == [1] * 6 + [2] * 6
    kinds = [apart.kind_of(key) for key in order]
    assert sum(one != other for one, other in pairwise(kinds)) == 2, "a process is replaced as rarely as it can be"


def test_a_fit_that_never_ends_is_given_up_in_this_process(tmp_path: Path, undisturbed: store.FitResult) -> None:
    (outcome,) = sweep(tmp_path, key_of("sleeps"), execution=replace(ONE, fit_timeout=1.0))
    assert re.match(r"timed out: .*\b1 s\b.*--fit-timeout", outcome.message)
    (done,) = sweep(tmp_path, PLAIN, execution=replace(ONE, fit_timeout=100.0))
    assert done.state == "done"
    check_plain(tmp_path, undisturbed)


@pytest.mark.nightly
def test_a_fit_that_never_ends_gives_its_worker_back_whatever_it_catches(tmp_path: Path) -> None:
    stubborn = key_of("sleeps_and_catches_everything")
    (outcome,) = call(sweep, tmp_path, stubborn, execution=replace(ONE, fit_timeout=1.0), in_workers=True)
    assert re.match(r"timed out: .*\b1 s\b.*--fit-timeout", outcome.message)
    failure = failure_of(tmp_path, stubborn)
    assert failure is not None
    assert failure.tries == 1, "one death is enough to know"
    assert list((tmp_path / "running").iterdir()) == []


def sweep_with_a_limit(folder: Path) -> list[Outcome]:
    """Of 500 MiB beside what a process holds that has imported everything."""
    limited = replace(ONE, fit_memory=round(resident_mib()) + 500)
    return sweep(folder, key_of("fills_the_memory"), PLAIN, execution=limited, in_workers=True)


@pytest.mark.nightly
@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells how much memory a process holds")
def test_a_fit_that_holds_too_much_memory_ends_alone_with_a_record(
    tmp_path: Path, undisturbed: store.FitResult
) -> None:
    outcomes = {outcome.key: outcome for outcome in call(sweep_with_a_limit, tmp_path)}
    filling = outcomes[key_of("fills_the_memory")]
    assert re.match(r"too much memory: .*\d MiB.* --fit-memory .*\d", filling.message)
    failure = failure_of(tmp_path, filling.key)
    assert failure is not None
    assert "fills_the_memory" in failure.traceback, "it says where"
    assert failure.tries == 1
    assert outcomes[PLAIN].state == "done"
    check_plain(tmp_path, undisturbed)
    assert list((tmp_path / "running").iterdir()) == []


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells how much memory a process holds")
@pytest.mark.parametrize("allowed", [1, 10**7, None])
def test_a_process_that_holds_more_than_it_may_is_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, allowed: int | None
) -> None:
    codes: list[int] = []
    monkeypatch.setattr(os, "_exit", codes.append)
    watch = MemoryWatch(allowed, tmp_path / "marker")
    before = threading.active_count()
    watch.start()
    while allowed == 1 and threading.active_count() > before:
        time.sleep(0.01)
    watch.stop()
    assert len(codes) == (allowed == 1)
    assert (tmp_path / "marker").exists() == (allowed == 1)


def test_a_fit_that_held_too_much_memory_is_recorded_and_not_tried_again(tmp_path: Path) -> None:
    open_folder(tmp_path, PROTOCOL)
    runner = Runner(plan_sweep(tmp_path, PROTOCOL, Grid((PLAIN.arm,), (0.5,), (1,))), ONE, Inline())
    runner.job.local_folder.mkdir()
    assert not was_beyond_a_limit(PLAIN, runner.job)
    runner.job.memory_marker(PLAIN).write_text("its process held 12 MiB\nwhere it was\n")
    assert was_beyond_a_limit(PLAIN, runner.job)
    (outcome,) = runner.outcomes()
    assert outcome.message == "too much memory: its process held 12 MiB"
    failure = failure_of(tmp_path, PLAIN)
    assert failure is not None
    assert failure.traceback == "where it was\n"


def test_a_child_that_stays_holds_no_lock(tmp_path: Path, undisturbed: store.FitResult) -> None:
    stays = key_of("forks_a_child_that_stays")
    try:
        (outcome,) = sweep(tmp_path, stays)
        assert "forked" in outcome.message
        assert not is_claimed(tmp_path, stays)
        assert [outcome.state for outcome in sweep(tmp_path, PLAIN)] == ["done"]
    finally:
        for child in CHILDREN:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
        CHILDREN.clear()
    check_plain(tmp_path, undisturbed)


def test_an_arm_that_changes_in_mid_sweep_fails_and_is_not_mislabelled(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "changing_arm.py").write_text("from tests.foreign_arms import layer_norm as make\n")
    key, folder = FitKey("changing_arm:make", 0.5, 1), tmp_path / "results"
    open_folder(folder, PROTOCOL)
    grid = Grid((key.arm,), (0.5,), (1,))
    runner = Runner(plan_sweep(folder, PROTOCOL, grid), ONE, Inline())
    (tmp_path / "changing_arm.py").write_text("from tests.foreign_arms import group_norm as make\n")
    monkeypatch.delitem(sys.modules, "changing_arm")  # a worker that begins now
    (outcome,) = runner.outcomes()
    assert outcome.state == "failed"
    assert "changed" in outcome.message
    assert layout.fit_paths(folder) == []
    assert plan_sweep(folder, PROTOCOL, grid).to_run == [key], "what failed is not what the file is now"


def test_the_settings_of_an_import_end_with_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "setting_arm.py").write_text(
        "from tests.foreign_arms import layer_norm\n"
        "from tests.rough_arms import changes_settings, prints\n"
        "changes_settings(), prints()\n"
        "def make(image_shape, classes):\n"
        "    network = layer_norm(image_shape, classes)\n"
        "    changes_settings(), prints()\n"
        "    return network\n"
    )
    before = read_settings()
    load_arm("setting_arm:make", (1, 4, 4), 3, NetworkProtocol())()
    after = read_settings()
    streams = {setting.name for setting in SETTINGS if setting.is_stream}
    assert {name for name in before if name not in streams and before[name] != after[name]} == set()
    assert capfd.readouterr().out == ""


@pytest.mark.parametrize("statement", ["raise KeyboardInterrupt", "raise GeneratorExit", "raise SystemExit(3)"])
def test_whatever_an_import_raises_is_a_refusal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, statement: str
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(signal, "default_int_handler", None)  # as in the program, whose handlers are its own
    (tmp_path / "raising_arm.py").write_text(f"{statement}\n")
    with pytest.raises(ArmError, match=r"--arms raising_arm:make .*raised \w+"):
        load_arm("raising_arm:make", (1, 4, 4), 3, NetworkProtocol())


def test_an_arm_that_replaces_a_function_on_import_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "replacing_arm.py").write_text(
        "import torch\ntorch.nn.functional.relu = torch.nn.functional.gelu\n"
        "from tests.foreign_arms import layer_norm as make\n"
    )
    relu = torch.nn.functional.relu
    with pytest.raises(ArmError, match=r"torch\.nn\.functional\.relu"):
        load_arm("replacing_arm:make", (1, 4, 4), 3, NetworkProtocol())
    assert torch.nn.functional.relu is relu
