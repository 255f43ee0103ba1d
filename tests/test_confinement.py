"""Foreign code in a fit: whatever it does is that fit's failure, and the others are bitwise as without it."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from bnbench import layout, store
from bnbench.devices import make_slots
from bnbench.execution import Execution, Outcome
from bnbench.failures import failure_of
from bnbench.fits import read_fit
from bnbench.plan import plan_sweep
from bnbench.protocol import FitKey, Grid
from bnbench.runner import Sweeping, in_processes, in_this_process
from bnbench.surroundings import read_settings
from tests.arms import TRAINED_ON
from tests.fits import TINY
from tests.rough_arms import ROUGH

PROTOCOL = TINY.with_knobs(steps=2, images=TRAINED_ON)
ONE = Execution(make_slots(("cpu",), 1, 1))
PLAIN = FitKey("plain", 0.5, 1)


def key_of(name: str) -> FitKey:
    return FitKey(f"tests.rough_arms:rough_{name}", 0.5, 1)


def sweep(folder: Path, *keys: FitKey, execution: Execution = ONE, in_workers: bool = False) -> list[Outcome]:
    """One fit after another; ``plain`` comes last, in the process that the others have used."""
    store.open_folder(folder, PROTOCOL)
    plan = plan_sweep(folder, PROTOCOL, Grid(tuple(key.arm for key in keys), (0.5,), (1,)))
    return list(Sweeping(plan, execution, in_processes if in_workers else in_this_process).outcomes())


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


def check_failures(folder: Path, names: list[str]) -> None:
    for name in names:
        failure = failure_of(folder, key_of(name))
        assert failure is not None, name
        assert ROUGH[name][1] in failure.message, name
        assert len(failure.message) < 1_200
    assert len(layout.fit_paths(folder)) == 1


def test_what_rough_arms_do_in_this_process_fails_them_alone(tmp_path: Path, undisturbed: store.FitResult) -> None:
    before = read_settings(with_streams=False)
    outcomes = sweep(tmp_path, *map(key_of, ROUGH), PLAIN)
    assert [outcome.state for outcome in outcomes] == ["failed"] * len(ROUGH) + ["done"]
    check_failures(tmp_path, list(ROUGH))
    check_plain(tmp_path, undisturbed)
    after = read_settings(with_streams=False)
    assert {name for name in before if before[name] != after[name]} == set()
    assert list((tmp_path / "running").iterdir()) == []


def test_what_rough_arms_do_in_workers_fails_them_alone(tmp_path: Path, undisturbed: store.FitResult) -> None:
    outcomes = sweep(tmp_path, *map(key_of, ROUGH), PLAIN, in_workers=True)
    assert sorted(outcome.state for outcome in outcomes) == ["done"] + ["failed"] * len(ROUGH)
    check_failures(tmp_path, list(ROUGH))
    check_plain(tmp_path, undisturbed)
    assert all(failure_of(tmp_path, key_of(name)).tries == 1 for name in ROUGH), "no worker died over any of them"  # type: ignore[union-attr]  # as above
