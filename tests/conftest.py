"""Settings that every test shares."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from hypothesis import settings

from bnbench.results import store
from tests.fits import SMOKE

settings.register_profile("bnbench", deadline=None, derandomize=True, print_blob=True)
settings.load_profile("bnbench")
torch.set_num_threads(1)  # tests run beside each other


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
