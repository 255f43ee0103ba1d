"""Settings that every test shares."""

from __future__ import annotations

import gc
from pathlib import Path

import pytest
import torch
from hypothesis import settings

from bnbench.mpo import flops
from bnbench.results import store
from tests.fits import SMOKE

settings.register_profile("bnbench", deadline=None, derandomize=True, print_blob=True)
settings.load_profile("bnbench")
torch.set_num_threads(1)  # tests run beside each other
flops._SIZE = 256  # every command measures the peak of the processor when it ends


def pytest_collection_finish() -> None:
    """What is there now stays until the end: nobody need look through it for garbage."""
    gc.collect()
    gc.freeze()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """An empty results folder of the smoke protocol."""
    path = tmp_path / "results"
    store.open_folder(path, SMOKE)
    return path


@pytest.fixture(autouse=True)
def _seeded() -> None:
    """The same random numbers in every order of the tests, and on every worker."""
    torch.manual_seed(0)
