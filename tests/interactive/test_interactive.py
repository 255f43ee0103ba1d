"""bnbench.run: a sweep from Python is the command's sweep, and its result says how it stands."""

from __future__ import annotations

import hashlib
import importlib
import logging
import multiprocessing
import os
import random
import re
import signal
import sys
import threading
import time
import tomllib
import warnings
from collections.abc import Callable
from contextlib import chdir
from dataclasses import replace
from inspect import signature
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import psutil
import pytest
import torch

import bnbench
from bnbench.errors import RequestError
from bnbench.interactive import values
from bnbench.interactive.knobs import protocol_of
from bnbench.interactive.naming import in_python, names_of
from bnbench.interactive.result import SweepResult
from bnbench.measures.registry import REGISTERED
from bnbench.mpo.fit import Fit
from bnbench.process.surroundings import put_back, read_settings
from bnbench.protocol.profiles import PROFILES
from bnbench.protocol.protocol import FitKey
from bnbench.report.tables import fits_table
from bnbench.results import layout
from bnbench.results.fits import read_fit
from bnbench.results.sweeps import read_sweep
from bnbench.sweep import interrupts
from tests.cli.test_cli import bnbench as command
from tests.warm import call

KNOBS: dict[str, Any] = {"mask_size": 4, "steps": 4, "images": 4, "widths": [2], "strides": [2]}
KNOBS |= {"test_images": 60, "train_images": 60, "bn_statistics": "batch:60"}
FLAGS = [name for name, one in signature(bnbench.run).parameters.items() if isinstance(one.default, bool)]
OPTIONS = ["run", "--profile", "smoke", "--backend", "inline"]
OPTIONS += [part for name, value in KNOBS.items() for part in (f"--{name.replace('_', '-')}", str(value).strip("[]"))]
OPTIONS += ["--devices", "cpu", "--jobs", "1", "--chunk", "8", "--probs", "0.3,0.7", "--seeds", "2"]


def run(folder: Path, **more: Any) -> SweepResult:
    asked: dict[str, Any] = {"probs": 0.3, "seeds": 1, "arms": "plain", "chunk": 8, "progress": False, **KNOBS}
    where: dict[str, Any] = {"backend": "inline", "devices": "cpu", "jobs": 1}
    return bnbench.run("smoke", folder=folder, **where | asked | more)


@pytest.fixture(scope="module")
def swept(tmp_path_factory: pytest.TempPathFactory) -> SweepResult:
    return run(tmp_path_factory.mktemp("python") / "own", probs=(0.3, 0.7), seeds=2, arms=["plain", "bn"])


def before_advance(monkeypatch: pytest.MonkeyPatch, does: Callable[[Fit], None]) -> None:
    advance = Fit.advance

    def advance_then(self: Fit) -> None:
        does(self)
        advance(self)

    monkeypatch.setattr(Fit, "advance", advance_then)


def test_python_and_the_command_give_the_same_results(swept: SweepResult, tmp_path: Path) -> None:
    assert command(*OPTIONS, "--out", "own", cwd=tmp_path).returncode == 0
    ours, theirs = read_sweep(swept.folder), read_sweep(tmp_path / "own")
    for name in ("landscapes", "traces", "summaries"):
        pd.testing.assert_frame_equal(getattr(ours, name), getattr(theirs, name), check_exact=True)
    asked, said = (tomllib.loads(layout.config_path(one).read_text()) for one in (swept.folder, tmp_path / "own"))
    assert asked | {"out": ""} == said | {"out": ""}


def test_a_row_per_fit_that_was_asked_for(swept: SweepResult) -> None:
    fits = swept.fits
    assert len(fits) == 8
    assert {"arm", "p", "seed", "black", "white", "difference"} <= set(fits)
    again = run(swept.folder, seeds=[2])
    assert again.fits[["arm", "p", "seed"]].to_numpy().tolist() == [["plain", 0.3, 2]]
    pd.testing.assert_frame_equal(
        again.fits, fits[(fits["arm"] == "plain") & (fits["p"] == 0.3) & (fits["seed"] == 2)].reset_index(drop=True)
    )


def test_the_same_call_goes_on(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run(tmp_path / "own")
    (first,) = layout.fit_paths(tmp_path / "own")
    stamp = first.stat().st_mtime_ns
    capsys.readouterr()
    assert len(run(tmp_path / "own", seeds=2, progress=True).fits) == 2
    assert first.stat().st_mtime_ns == stamp
    said = capsys.readouterr()
    assert "1 done, 1 to run" in said.err
    assert said.out == ""


def test_without_progress_nothing_is_said(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    run(tmp_path / "own")
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("asked", "named"),
    [
        ({"profile": "fast"}, "fast"),
        ({"probs": 1.5}, "probs 1.5"),
        ({"probs": [0.1, 0.1]}, "probs"),
        ({"probs": []}, "probs"),
        ({"seeds": 0}, "seeds 0"),
        ({"seeds": 2.5}, "seeds 2.5"),
        ({"arms": "plane"}, "plane"),
        ({"arms": [print]}, "print"),
        ({"arms": ["plain", "plain"]}, "arms plain,plain"),
        ({"devices": "tpu"}, "tpu"),
        ({"jobs": 0}, "jobs 0"),
        ({"threads": True}, "threads True"),
        ({"chunk": -1}, "chunk -1"),
        ({"checkpoint_every": 0}, "checkpoint_every 0"),
        ({"fit_timeout": float("inf")}, "fit_timeout inf"),
        ({"fit_memory": 0.5}, "fit_memory 0.5"),
        ({"fit_memory": 100, "backend": "inline"}, "fit_memory 100 and backend inline"),
        ({"shard": (3, 2)}, "shard 3/2"),
        ({"backend": "cloud"}, "cloud"),
        ({"steps": 0}, "steps 0"),
        ({"widths": [4, 0]}, "widths 4,0"),
        ({"keep_plane": True}, "keep_planes"),
        ({"stepz": 3}, "steps"),
        ({"out": "results"}, "folder"),
        ({"images": 5000}, "images 5000"),  # refused beside the images
        ({"mask_kind": "framed"}, "mask_size 5"),
        ({"widths": [4, 4]}, "strides"),
        # Values of a wrong kind: each is refused, and none is taken for the number that it could pass for.
        ({"mask_size": [4, True]}, "mask_size 4xTrue"),
        ({"mask_size": True}, "mask_size True"),
        ({"mask_size": "4x"}, "mask_size"),
        ({"mask_size": 4.0}, "mask_size 4.0"),
        ({"mask_size": None}, "mask_size None"),
        ({"widths": [4, True]}, "widths 4,True"),
        ({"widths": "4"}, "widths '4'"),
        ({"widths": b"4"}, "widths"),
        ({"widths": {4, 8}}, "widths"),
        ({"steps": True}, "steps True"),
        ({"steps": np.bool_(True)}, "steps True"),
        ({"steps": 4.0}, "steps 4.0"),
        ({"steps": "4"}, "steps '4'"),
        ({"steps": None}, "steps None"),
        ({"learning_rate": True}, "learning_rate True"),
        ({"learning_rate": "0.1"}, "learning_rate '0.1'"),
        ({"dataset": None}, "dataset None"),
        ({"bn_statistics": None}, "None"),
        ({"profile": None}, "profile None"),
        ({"profile": True}, "profile True"),
        ({"probs": True}, "probs True"),
        ({"probs": [0.3, None]}, "None"),
        ({"probs": {0.3: 1}}, "probs"),
        ({"probs": None}, "probs None"),
        ({"probs": ""}, "probs ''"),
        ({"seeds": True}, "seeds True"),
        ({"seeds": [1, True]}, "True"),
        ({"seeds": 2.0}, "seeds 2.0"),
        ({"seeds": [1, 2.0]}, "seeds 2.0"),
        ({"seeds": None}, "seeds None"),
        ({"arms": None}, "arms None"),
        ({"arms": b"plain"}, "arms b'plain'"),
        ({"arms": ""}, "arms"),
        ({"arms": [True]}, "arms True"),
        ({"folder": ""}, "folder"),
        ({"folder": True}, "folder True"),
        ({"folder": b"own"}, "folder b'own'"),
        ({"data_folder": 3}, "data_folder 3"),
        ({"backend": ""}, "backend ''"),
        ({"backend": None}, "backend None"),
        ({"backend": True}, "backend True"),
        ({"scheduler": ""}, "scheduler"),
        ({"devices": None}, "devices None"),
        ({"devices": [True]}, "devices True"),
        ({"devices": ""}, "devices"),
        *(({name: True}, f"{name} True") for name in ("per_device", "jobs", "threads", "chunk", "checkpoint_every")),
        *(({name: 2.0}, f"{name} 2.0") for name in ("per_device", "jobs", "threads", "chunk")),
        *(({name: ""}, f"{name} ''") for name in ("per_device", "jobs", "threads", "chunk", "fit_timeout")),
        *(({name: [2]}, f"{name} [2]") for name in ("per_device", "jobs", "threads", "chunk", "fit_timeout")),
        *(({name: None}, f"{name} None") for name in ("threads", "checkpoint_every")),
        ({"fit_timeout": False}, "fit_timeout False"),
        ({"shard": None}, "shard None"),
        ({"shard": (1, True)}, "shard 1/True"),
        ({"shard": (1.0, 2)}, "shard 1.0/2"),
        ({"shard": 3}, "shard 3"),
        *(({name: 1}, f"{name} 1") for name in FLAGS),
        *(({name: "no"}, f"{name} 'no'") for name in FLAGS),
        *(({name: None}, f"{name} None") for name in FLAGS),
        ({"measure_at": 0}, "measure_at 0"),
        ({"measure_at": True}, "measure_at True"),
        ({"measure_at": 2.0}, "measure_at 2.0"),
        ({"measure_at": [1, True]}, "measure_at 1,True"),
        ({"measure_at": ""}, "measure_at"),
        ({"measure_at": [1, 10_000]}, "measure_at 1,10000"),
    ],
)
def test_a_wrong_request_names_it_and_computes_nothing(asked: dict[str, Any], named: str, tmp_path: Path) -> None:
    with chdir(tmp_path), pytest.raises(RequestError) as refused:
        bnbench.run(**{"profile": "smoke", "progress": False, "backend": "inline", **KNOBS, **asked})
    assert named in str(refused.value)
    assert "--" not in str(refused.value)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("scheduler", ["", " ", 3, True, b"tcp://10.0.0.1:8786"])
def test_a_scheduler_that_is_no_address_is_refused(scheduler: Any) -> None:
    with pytest.raises(RequestError, match=f"scheduler {re.escape(repr(scheduler))}"):
        bnbench.Dask(scheduler)


@pytest.mark.parametrize(
    ("asked", "named"),
    [
        ({"out": ""}, "out"),
        ({"out": 3}, "out 3"),
        ({"out": "{folder}"}, "out {folder}"),
        ({"formats": "htm"}, "formats htm"),
        ({"formats": ["csv", None]}, "formats csv,None"),
        ({"formats": []}, "formats"),
        ({"evaluations": True}, "evaluations True"),
        ({"evaluations": "{folder}/fits"}, "evaluations {folder}"),
        ({"figure3": (True, 1)}, "figure3 True"),
        ({"figure3": 0.3}, "figure3 0.3"),
        ({"figure3": (0.4, 1)}, "figure3 0.4,1"),
    ],
)
def test_a_wrong_report_names_the_argument_and_writes_nothing(
    asked: dict[str, Any], named: str, swept: SweepResult, tmp_path: Path
) -> None:
    there = str(swept.folder)
    given = {name: value.format(folder=there) if isinstance(value, str) else value for name, value in asked.items()}
    with chdir(tmp_path), pytest.raises(RequestError) as refused:
        swept.report(**{"formats": "csv", **given})
    assert named.format(folder=there) in str(refused.value)
    assert "--" not in str(refused.value)
    assert list(tmp_path.iterdir()) == []


def test_every_argument_and_knob_has_the_name_that_python_gives_it() -> None:
    names = names_of(bnbench.run, out="folder")
    knobs = [name for name, _ in PROFILES["smoke"].knobs()]
    for name in (*signature(bnbench.run).parameters, *knobs):
        sentence = f"--{name.replace('_', '-')} 3: give another."
        assert in_python(sentence, names) in (f"{name} 3: give another.", f"{name}=True 3: give another.")
    for untouched in ("bnbench run --force --keep-planes", "see https://x.org/a--steps", "its own --option"):
        assert in_python(untouched, names) == untouched


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        ("0.1:0.3:0.1", (0.1, 0.2, 0.3)),
        (0.5, (0.5,)),
        ([0.1 + 0.2, 0.7], (0.3, 0.7)),
        (np.linspace(0.1, 0.9, 9), tuple(i / 10 for i in range(1, 10))),
    ],
)
def test_natural_probabilities(given: Any, meant: tuple[float, ...]) -> None:
    assert values.probs_of(given) == meant


@pytest.mark.parametrize(
    ("given", "meant"), [(3, (1, 2, 3)), ([3], (3,)), (range(4, 6), (4, 5)), (np.int64(2), (1, 2)), ("7:7:1", (7,))]
)
def test_natural_seeds(given: Any, meant: tuple[int, ...]) -> None:
    assert values.seeds_of(given) == meant


@pytest.mark.parametrize(
    ("given", "meant"),
    [(12, "12"), ("12", "12"), (np.int64(3), "3"), ([300], "300,"), (range(2, 5), "2,3,4"), ("7, 5", "5,7")],
)
def test_natural_steps(given: Any, meant: str) -> None:
    assert str(values.steps_of(given)) == meant
    assert values.steps_of(None) is None


def test_natural_knobs_and_a_protocol_of_ones_own() -> None:
    knobs: dict[str, Any] = {"mask_size": np.int64(5), "widths": [3], "strides": [1]}
    changed = protocol_of(PROFILES["quick"], knobs, [])
    assert changed == PROFILES["quick"].with_knobs(mask_size=(5, 5), widths=(3,), strides=(1,))
    assert protocol_of("smoke", {"mask_size": [5, 6]}, []).mask.mask_size == (5, 6)


def test_a_protocol_of_ones_own_can_be_repeated_by_the_command(tmp_path: Path) -> None:
    protocol = replace(PROFILES["smoke"].with_knobs(mask_size=(4, 4), steps=4, images=4), profile="mine")
    asked: dict[str, Any] = {"probs": 0.3, "seeds": 1, "arms": "plain", "devices": "cpu", "jobs": 1, "chunk": 8}
    with chdir(tmp_path):
        sweep = bnbench.run(protocol, backend="inline", progress=False, **asked)
        assert sweep.folder.parent == tmp_path / "results"
    again = command("run", "--config", str(tmp_path / sweep.folder / "config.toml"), cwd=tmp_path)
    assert again.returncode == 0, again.stderr
    assert "1 done, 0 to run" in again.stderr


def test_a_failed_fit_raises_nothing_and_is_shown(
    swept: SweepResult, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(fit: Fit) -> None:
        raise RuntimeError("<script>alert(1)</script>")

    with monkeypatch.context() as patched:
        before_advance(patched, fails)
        sweep = run(tmp_path / "a<b>c")
    assert sweep.fits.empty
    assert sweep.fits.columns.tolist() == swept.fits.columns.tolist()
    assert {measure.name for measure in REGISTERED} <= set(sweep.fits)
    assert fits_table(read_sweep(swept.folder)).columns.difference(swept.fits.columns).empty
    ((arm, p, seed, message),) = sweep.failed.to_numpy().tolist()
    assert (arm, p, seed) == ("plain", 0.3, 1)
    assert "<script>" in message
    html = sweep._repr_html_()
    assert "<script>" not in html
    assert "<b>" not in html
    assert "retry_failed=True" in html
    assert len(run(tmp_path / "a<b>c").failed) == 1
    again = run(tmp_path / "a<b>c", retry_failed=True)
    assert (len(again.fits), len(again.failed)) == (1, 0)


def test_one_fit_of_a_sweep_shows_itself_and_has_its_pixels(swept: SweepResult) -> None:
    row = swept.fits.iloc[0]
    fit = swept.fit(row["arm"], row["p"], row["seed"])
    assert fit.measures["difference"] == row["difference"]
    own = swept.landscapes.query("arm == @fit.arm and p == @fit.p and seed == @fit.seed")
    assert len(fit.landscape) == len(own) == swept.protocol.mask.mask_size[0] * swept.protocol.mask.mask_size[1]
    black = fit.landscape.loc[fit.landscape["black"], "test_accuracy"].mean()
    assert fit.measures["black"] == pytest.approx(black)
    assert re.search(r'<img alt="[^"]+" src="data:image/png;base64,', fit._repr_html_())
    with pytest.raises(RequestError, match=r"p=0\.77 seed=1"):
        swept.fit("plain", 0.77, 1)


def test_a_notebook_sees_the_difference_of_each_arm_and_p(swept: SweepResult) -> None:
    html = swept._repr_html_()
    mean = swept.fits.query("arm == 'bn' and p == 0.7")["difference"].mean()
    assert f"{abs(mean):.3f} (n = 2)</td>" in html
    assert html.count("<td>") == 4
    assert "8 done" in repr(swept)


def test_a_result_builds_its_report(swept: SweepResult, tmp_path: Path) -> None:
    built = swept.report(tmp_path / "report", formats=["csv"])
    assert tmp_path / "report" / "tables" / "fits.csv" in built.paths


def test_an_interrupt_leaves_a_checkpoint_and_the_same_call_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(fit: Fit) -> None:
        if fit.step == 2:
            signal.raise_signal(signal.SIGINT)

    handler = signal.getsignal(signal.SIGINT)
    with monkeypatch.context() as patched:
        patched.setattr(interrupts, "_LOOK_EVERY", 0.0)
        before_advance(patched, interrupt)
        with pytest.raises(KeyboardInterrupt):
            run(tmp_path / "own")
    assert signal.getsignal(signal.SIGINT) is handler
    assert layout.checkpoint_path(tmp_path / "own", FitKey("plain", 0.3, 1)).exists()
    assert len(run(tmp_path / "own").fits) == 1
    assert read_sweep(tmp_path / "own").provenance["parts"].tolist() == [2]
    run(tmp_path / "undisturbed")
    pd.testing.assert_frame_equal(bnbench.load(tmp_path / "own"), bnbench.load(tmp_path / "undisturbed"))


def test_a_sweep_runs_in_a_thread_of_a_notebook(tmp_path: Path) -> None:
    done: list[SweepResult] = []
    thread = threading.Thread(target=lambda: done.append(run(tmp_path / "own")))
    thread.start()
    thread.join()
    assert len(done[0].fits) == 1


def left_by(folder: Path) -> dict[str, list[str]]:
    """What a sweep of each backend leaves changed in a process that has settings of its own, and which processes."""
    folder.mkdir()
    os.chdir(folder)
    os.environ["BNBENCH_OF_A_NOTEBOOK"] = "1"
    torch.set_num_threads(2)
    torch.set_default_dtype(torch.float64)
    torch.set_float32_matmul_precision("medium")
    torch.use_deterministic_algorithms(True, warn_only=True)
    torch.backends.cudnn.benchmark = True
    multiprocessing.set_start_method("spawn", force=True)
    logging.getLogger("joblib").setLevel(logging.ERROR)
    logging.getLogger("of_a_notebook").addHandler(logging.NullHandler())
    warnings.simplefilter("ignore", UserWarning)
    for seed in (random.seed, np.random.seed, torch.manual_seed):
        seed(7)
    before, streams = read_settings(with_streams=False), [random.getstate(), torch.get_rng_state().tolist()]
    drawn = np.random.random()
    np.random.seed(7)
    for backend in ("inline", "process"):
        assert len(run(Path(backend), seeds=2, jobs=2, backend=backend).fits) == 2
    assert streams == [random.getstate(), torch.get_rng_state().tolist()]
    assert np.random.random() == drawn
    children = [" ".join(child.cmdline()) for child in psutil.Process().children(recursive=True)]
    return {
        "settings": [setting.name for setting in put_back(before)],
        "threads": [thread.name for thread in threading.enumerate() if thread is not threading.main_thread()],
        "children": [line for line in children if line and "resource_tracker" not in line],
    }


def test_a_notebook_goes_on_as_it_was(tmp_path: Path) -> None:
    assert call(left_by, tmp_path / "notebook") == {"settings": [], "threads": [], "children": []}


def test_a_sweep_that_is_refused_leaves_settings_as_they_were(tmp_path: Path) -> None:
    before = read_settings(with_streams=False)
    for asked in ({"images": 5000}, {"arms": "no.such:factory"}, {"dataset": "mnist", "data_folder": tmp_path}):
        with pytest.raises(RequestError):
            run(tmp_path / "own", **asked)
    assert [setting.name for setting in put_back(before)] == []


_ARM = """
from torch import nn

class Scaled(nn.Module):
    def __init__(self, image_shape, classes):
        super().__init__()
        self.layer = nn.Linear(image_shape[0] * image_shape[1] * image_shape[2], classes)

    def forward(self, images):
        return {scale} * self.layer(images.flatten(1))

make = Scaled
"""


@pytest.mark.parametrize("how", ["edited", "reloaded", "edited back", "imported before"])
def test_an_arm_is_stored_under_the_hash_of_the_code_that_ran(
    how: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    name = f"edited_arm_{how.replace(' ', '_')}"
    file = tmp_path / f"{name}.py"
    file.write_text(_ARM.format(scale=1))
    module = importlib.import_module(name) if how == "imported before" else None
    if how != "imported before":
        run(tmp_path / "first", arms=f"{name}:make")
        module = sys.modules[name]
    file.write_text(_ARM.format(scale=3))
    os.utime(file, (time.time() + 60, time.time() + 60))  # else Python may take the compiled file of before
    assert module is not None
    if how in ("reloaded", "edited back"):
        importlib.reload(module)
    if how == "edited back":
        file.write_text(_ARM.format(scale=1))
    again = run(tmp_path / "again", arms=f"{name}:make")
    assert again.failed.empty
    (stored,) = map(read_fit, layout.fit_paths(tmp_path / "again"))
    assert stored.source == hashlib.sha256(file.read_bytes()).hexdigest()[:12]
    sys.modules.pop(name)
    fresh = run(tmp_path / "fresh", arms=f"{name}:make")
    pd.testing.assert_frame_equal(again.fits.drop(columns="wall_seconds"), fresh.fits.drop(columns="wall_seconds"))
