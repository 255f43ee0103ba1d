"""A notebook that runs sweeps stays as it was: its settings, its threads, and the arms that it edits and imports."""

from __future__ import annotations

import hashlib
import importlib
import logging
import multiprocessing
import os
import random
import sys
import threading
import time
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import psutil
import pytest
import torch

from bnbench.errors import RequestError
from bnbench.interactive.result import SweepResult
from bnbench.process.surroundings import put_back, read_settings
from bnbench.results import layout
from bnbench.results.fits import read_fit
from tests.interactive.test_interactive import run
from tests.warm import call


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


@pytest.mark.nightly
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
