"""A disk that is full, read-only or damaged: one sentence, and whatever can be kept and computed is."""

from __future__ import annotations

import re
import resource
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from bnbench.mpo.fit import Fit
from bnbench.protocol.protocol import FitKey, Grid
from bnbench.results import layout
from bnbench.results.checkpoints import Checkpoint, save_checkpoint
from bnbench.results.folder_protocol import open_folder
from bnbench.results.sweeps import read_sweep
from bnbench.sweep import interrupts
from bnbench.sweep.backends.inline import Inline
from bnbench.sweep.devices import make_slots
from bnbench.sweep.execution import Execution, Outcome
from bnbench.sweep.identity import fit_identity
from bnbench.sweep.plan import plan_sweep
from bnbench.sweep.runner import Runner
from bnbench.sweep.watching import run_and_show
from tests.cli.test_cli import Answer
from tests.cli.test_cli import bnbench as in_this_python
from tests.fits import TINY
from tests.shell import Stamps, assert_same, assert_tidy, bnbench, options_of

LONGER = TINY.with_knobs(steps=20)
GRID = Grid(("plain", "bn"), (0.5,), (1,))
KEY, OTHER = GRID.fits()
OFTEN = Execution(make_slots(("cpu",), 1, 1), chunk=8, checkpoint_every=1e-6)
COMMAND = [*options_of(LONGER), "--probs", "0.5", "--seeds", "1", "--chunk", "8", "--devices", "cpu"]
COMMAND += ["--backend", "inline"]


def sweep(folder: Path, execution: Execution = OFTEN) -> dict[FitKey, Outcome]:
    open_folder(folder, LONGER)
    plan = plan_sweep(folder, LONGER, GRID)
    return {outcome.key: outcome for outcome in Runner(plan, execution, Inline()).outcomes()}


def here(folder: Path) -> Answer:
    return in_this_python("run", "--out", "results", *COMMAND, cwd=folder)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("disk")
    assert [outcome.state for outcome in sweep(folder).values()] == ["done", "done"]
    return folder


@contextmanager
def files_of_at_most(size: int) -> Iterator[None]:
    """No file can grow beyond ``size``: writes fail as on a full disk (Python ignores SIGXFSZ)."""
    assert signal.getsignal(signal.SIGXFSZ) is signal.SIG_IGN
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_full_disk_ends_the_sweep_in_one_sentence_and_costs_nothing_finished(
    undisturbed: Path, tmp_path: Path
) -> None:
    shutil.copytree(undisturbed, tmp_path, dirs_exist_ok=True)
    layout.fit_path(tmp_path, OTHER).unlink()
    stamps = Stamps(tmp_path)
    stamps.look()
    with files_of_at_most(8_000):
        outcomes = sweep(tmp_path)
    assert list(outcomes) == [OTHER]
    assert outcomes[OTHER].is_fatal
    assert f"{layout.fit_path(tmp_path, OTHER)}: File too large (EFBIG)" in outcomes[OTHER].message
    assert "its steps from 0 to 20 are lost" in outcomes[OTHER].message, "no checkpoint could be written either"
    assert not layout.failure_paths(tmp_path), "a full disk is not the fit's failure"
    assert_tidy(tmp_path)
    stamps.look()
    assert sweep(tmp_path)[OTHER].state == "done"
    assert_same(tmp_path, undisturbed)


def test_checkpoints_that_do_not_fit_on_the_disk_are_noted_and_the_fit_goes_on(
    undisturbed: Path, tmp_path: Path
) -> None:
    with files_of_at_most(layout.fit_path(undisturbed, OTHER).stat().st_size + 4_000):
        assert [outcome.state for outcome in sweep(tmp_path).values()] == ["done", "done"]
    notes = set(read_sweep(tmp_path).provenance["note"])
    assert ["File too large" in note for note in notes] == [True]
    assert_same(tmp_path, undisturbed)
    assert_tidy(tmp_path)


def test_a_stop_that_no_checkpoint_can_be_written_for_says_which_steps_are_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    open_folder(tmp_path, LONGER)
    runner, advance = Runner(plan_sweep(tmp_path, LONGER, GRID), OFTEN, Inline()), Fit.advance

    def advance_and_stop(fit: Fit) -> None:
        advance(fit)
        if fit.step == 7:
            runner.stop.request()

    monkeypatch.setattr(Fit, "advance", advance_and_stop)
    monkeypatch.setattr(interrupts, "_LOOK_EVERY", 0.0)
    with files_of_at_most(4_000):
        (outcome,) = run_and_show(runner)
    assert (outcome.key, outcome.state) == (KEY, "stopped")
    (line,) = (line for line in capsys.readouterr().err.splitlines() if "stopped" in line)
    assert "its steps from 0 to 7 are lost" in line
    assert "File too large" in line


def can_mount() -> bool:
    command = ["unshare", "-rm", "mount", "-t", "tmpfs", "tmpfs", "/mnt"]
    try:
        return subprocess.run(command, capture_output=True, check=False).returncode == 0
    except OSError:
        return False


needs_mount = pytest.mark.skipif(
    not can_mount(), reason="a full and a read-only file system need unshare -rm, which this machine forbids"
)


def mounted(folder: Path, mount: str) -> list[str]:
    """A command that runs another with something mounted on a folder, for itself alone."""
    folder.mkdir(exist_ok=True)
    return ["unshare", "-rm", "sh", "-c", f'mount {mount} "{folder}" && exec "$@"', "sh"]


@pytest.mark.nightly  # like the next one from a cold start; the same in this process is above and below
@needs_mount
def test_a_full_file_system_ends_a_sweep_with_exit_1(tmp_path: Path) -> None:
    before = mounted(tmp_path / "results", "-t tmpfs -o size=20k tmpfs")
    code, said = bnbench(COMMAND, tmp_path, before=before)
    assert code == 1, said
    assert "No space left on device" in said


@pytest.mark.nightly
@needs_mount
def test_a_read_only_file_system_is_refused_before_anything_is_computed(undisturbed: Path, tmp_path: Path) -> None:
    shutil.copytree(undisturbed, tmp_path / "results")
    layout.fit_path(tmp_path / "results", KEY).unlink()
    before = mounted(tmp_path / "results", f'--bind -o ro "{tmp_path / "results"}"')
    code, said = bnbench(COMMAND, tmp_path, before=before)
    assert code == 2, said
    assert re.fullmatch(r"bnbench: --out results .*\(Read-only file system\).*", said.splitlines()[-1])


@pytest.mark.parametrize("name", ["fits", "running"])
def test_a_file_in_place_of_a_folder_is_refused_before_anything_is_computed(tmp_path: Path, name: str) -> None:
    (tmp_path / "results").mkdir()
    (tmp_path / "results" / name).write_text("in the way")
    ran = here(tmp_path)
    assert ran.returncode == 2
    assert ran.stderr.strip().splitlines()[-1].startswith("bnbench: --out results ")
    assert "Traceback" not in ran.stderr


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def test_a_truncated_table_is_named_and_the_rest_is_computed(undisturbed: Path, tmp_path: Path) -> None:
    shutil.copytree(undisturbed, tmp_path / "results")
    layout.fit_path(tmp_path / "results", OTHER).unlink()
    cut(layout.fit_path(tmp_path / "results", KEY))
    ran = here(tmp_path)
    assert ran.returncode == 1
    assert ran.stderr.count("plain_p0.500_seed1.parquet") == 1
    assert "Traceback" not in ran.stderr
    layout.fit_path(tmp_path / "results", KEY).unlink()
    assert here(tmp_path).returncode == 0
    assert_same(tmp_path / "results", undisturbed)


def put_checkpoint(folder: Path) -> Path:
    path = layout.checkpoint_path(folder, KEY)
    path.parent.mkdir(parents=True)
    save_checkpoint(folder, KEY, Checkpoint(fit_identity(KEY, LONGER), {}, 1.0, 1, {}))
    return path


def cut_checkpoint(folder: Path) -> str:
    cut(put_checkpoint(folder))
    return "is not a whole checkpoint"


def folder_for_checkpoint(folder: Path) -> str:
    layout.checkpoint_path(folder, KEY).mkdir(parents=True)
    return "is not a whole checkpoint"


def damaged_record(folder: Path) -> str:
    layout.failure_path(folder, KEY).parent.mkdir(parents=True)
    layout.failure_path(folder, KEY).write_text("{")
    return ""


def stale_lock(folder: Path) -> str:
    layout.lock_path(folder, KEY).parent.mkdir(parents=True)
    layout.lock_path(folder, KEY).touch()
    return ""


def rubbish_progress(folder: Path) -> str:
    stale_lock(folder)
    layout.progress_path(folder, KEY).write_bytes(b"\xff\x00rubbish")
    return ""


@pytest.mark.parametrize(
    "damage",
    [
        cut_checkpoint,
        rubbish_progress,
        *(
            pytest.param(damage, marks=pytest.mark.nightly)
            for damage in (folder_for_checkpoint, damaged_record, stale_lock)
        ),
    ],
)
def test_what_is_damaged_costs_no_fit_and_changes_no_bit(
    undisturbed: Path, tmp_path: Path, damage: Callable[[Path], str]
) -> None:
    folder = tmp_path / "results"
    sentence = damage(folder)
    ran = here(tmp_path)
    assert ran.returncode == 0, ran.stderr
    assert "Traceback" not in ran.stderr
    assert ran.stderr.count(sentence) == 1 or not sentence
    assert_same(folder, undisturbed)
    left = list((folder / "running").iterdir())
    assert left == ([layout.checkpoint_path(folder, KEY)] if damage is folder_for_checkpoint else [])
    assert not layout.failure_paths(folder)


@pytest.mark.parametrize("path_of", [layout.lock_path, layout.fit_path])
def test_a_folder_in_place_of_a_file_costs_that_fit_alone(
    undisturbed: Path, tmp_path: Path, path_of: Callable[[Path, FitKey], Path]
) -> None:
    folder = tmp_path / "results"
    path_of(folder, KEY).mkdir(parents=True)
    ran = here(tmp_path)
    assert ran.returncode == 1
    assert "Traceback" not in ran.stderr
    assert path_of(folder, KEY).name in ran.stderr
    assert layout.fit_paths(folder)[-1 if path_of is layout.lock_path else 0] == layout.fit_path(folder, OTHER)
    path_of(folder, KEY).rmdir()
    assert here(tmp_path).returncode == 0
    assert_same(folder, undisturbed)
    assert_tidy(folder)
